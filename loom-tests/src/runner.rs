//! What the two commands share: where the repository is, and running a command with a limit.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// The flag that builds the library on loom's types.
pub const LOOM_FLAG: &str = "--cfg loom";

/// The root of the repository: the folder above this crate.
#[must_use]
pub fn repository() -> PathBuf {
    let own = std::env::var("CARGO_MANIFEST_DIR")
        .map_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or(own.clone(), Path::to_path_buf)
}

/// The names of the model files in `tests`, sorted.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn model_files(tests: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(tests)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let stem = path.file_stem().unwrap_or_default();
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// How a command ended, and all that it printed.
#[derive(Debug)]
pub struct Ended {
    /// `None` when the limit passed first and it was killed.
    pub status: Option<ExitStatus>,
    /// Its output, then its errors.
    pub output: String,
}

/// Runs `command`, kills it after `limit`, and gives back what it printed.
///
/// Output goes through two files beside `log`, so that no pipe can fill up.
///
/// # Errors
///
/// When the files cannot be made or the command cannot be started.
pub fn run_limited(command: &mut Command, limit: Duration, log: &Path) -> io::Result<Ended> {
    let (out, err) = (log.with_extension("out"), log.with_extension("err"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out)?)
        .stderr(fs::File::create(&err)?)
        .spawn()?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if begun.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let mut output = String::from_utf8_lossy(&fs::read(&out)?).into_owned();
    output.push_str(&String::from_utf8_lossy(&fs::read(&err)?));
    Ok(Ended { status, output })
}
