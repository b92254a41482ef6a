//! Files: which there are, in what order, and what is in them.
//!
//! The walk is a value: what is left of it is its state, [`list`] is its only look at the disk,
//! and the same folder gives the same files the same numbers, whoever drives it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files of more bytes are not read.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;
/// A batch is full at this many bytes or files.
const BATCH_BYTES: u64 = 256 << 10;
const BATCH_FILES: usize = 64;
/// A file with a zero among its first bytes is binary.
const BINARY_PROBE_BYTES: usize = 8 << 10;

/// A file by its number: the place that it has in the walk.
pub(crate) type FileId = u32;

/// A file that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: FileId,
    pub(crate) path: Arc<Path>,
    bytes: u64,
}

/// Files that go through the pipeline together.
pub(crate) struct Batch {
    pub(crate) number: usize,
    pub(crate) files: Vec<Found>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Trouble {
    pub(crate) path: Arc<Path>,
    pub(crate) error: String,
}

/// One folder's content, each kind in the order of its names.
#[derive(Default)]
pub(crate) struct Listing {
    files: Vec<(Arc<Path>, u64)>,
    folders: Vec<PathBuf>,
    /// Links, sockets and the like: never opened.
    pub(crate) special: u64,
    pub(crate) troubles: Vec<Trouble>,
}

/// Reads one folder. Links are not followed.
pub(crate) fn list(folder: &Path) -> Listing {
    let mut listing = Listing::default();
    let trouble = |path: &Path, error: &io::Error| Trouble {
        path: path.into(),
        error: error.to_string(),
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            listing.troubles.push(trouble(folder, &error));
            return listing;
        }
    };
    for entry in entries {
        let found = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)));
        match found {
            Ok((path, facts)) if facts.is_dir() => listing.folders.push(path),
            Ok((path, facts)) if facts.is_file() => listing.files.push((path.into(), facts.len())),
            Ok(_) => listing.special += 1,
            Err(error) => listing.troubles.push(trouble(folder, &error)),
        }
    }
    listing.files.sort_unstable();
    listing.folders.sort_unstable();
    listing.troubles.sort_unstable();
    listing
}

/// A walk through a folder and all below it, as far as it has come.
pub(crate) struct Walk {
    /// Folders not yet read, the next one last.
    folders: Vec<PathBuf>,
    /// Files not yet in a batch.
    files: VecDeque<Found>,
    waiting_bytes: u64,
    files_found: FileId,
    batches_sent: usize,
}

impl Walk {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            folders: vec![root.to_owned()],
            files: VecDeque::new(),
            waiting_bytes: 0,
            files_found: 0,
            batches_sent: 0,
        }
    }

    /// The folder to read next; none when all have been read.
    pub(crate) fn next_folder(&self) -> Option<&Path> {
        self.folders.last().map(PathBuf::as_path)
    }

    /// The next batch, once there are enough files for one or no more will come.
    pub(crate) fn next_batch(&self) -> Option<Batch> {
        let full = self.waiting_bytes >= BATCH_BYTES || self.files.len() >= BATCH_FILES;
        if self.files.is_empty() || !(full || self.folders.is_empty()) {
            return None;
        }
        let mut bytes = 0;
        let fits = |file: &&Found| {
            let begins_inside = bytes < BATCH_BYTES;
            bytes += file.bytes;
            begins_inside
        };
        let files = self.files.iter().take(BATCH_FILES).take_while(fits);
        Some(Batch {
            number: self.batches_sent,
            files: files.cloned().collect(),
        })
    }

    /// Batches handed on so far.
    pub(crate) fn batches_sent(&self) -> usize {
        self.batches_sent
    }

    /// [`Walk::next_folder`] was read.
    pub(crate) fn listed(&mut self, listing: Listing) {
        self.folders.pop();
        self.folders.extend(listing.folders.into_iter().rev());
        for (path, bytes) in listing.files {
            let id = self.files_found;
            self.files_found += 1;
            self.waiting_bytes += bytes;
            self.files.push_back(Found { id, path, bytes });
        }
    }

    /// [`Walk::next_batch`], of so many files, was handed on.
    pub(crate) fn sent(&mut self, files: usize) {
        let gone = self.files.drain(..files);
        self.waiting_bytes -= gone.map(|file| file.bytes).sum::<u64>();
        self.batches_sent += 1;
    }
}

/// What came of reading a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(String),
    /// Text with bytes that are not UTF-8; each such place reads as `U+FFFD`.
    Lossy(String),
    Binary,
    Huge,
    Unreadable(String),
}

/// Reads a file that a walk found.
pub(crate) fn read(file: &Found) -> Content {
    if file.bytes > FILE_BYTES_MAX {
        return Content::Huge;
    }
    read_path(&file.path, file.bytes)
}

fn read_path(path: &Path, bytes_expected: u64) -> Content {
    let mut bytes = Vec::with_capacity(bytes_expected as usize + 1);
    // One more than allowed: the file may have grown since it was found.
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => return Content::Unreadable(error.to_string()),
        Ok(read) if read as u64 > FILE_BYTES_MAX => return Content::Huge,
        Ok(_) => {}
    }
    if bytes[..bytes.len().min(BINARY_PROBE_BYTES)].contains(&0) {
        return Content::Binary;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Content::Text(text),
        Err(error) => Content::Lossy(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}
