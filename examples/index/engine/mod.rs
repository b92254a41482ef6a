//! An inverted index over a folder, built in three ways that must agree.
//!
//! ```text
//!   corpus ──▶ text ───────▶ shard ─────▶ ranking
//!   which      words,        words with   the best files,
//!   files      fingerprints  their files  duplicates
//! ```
//!
//! `single` runs this on one thread, `parallel` with rayon, `pipeline` as actors. They share all of
//! the above, and differ in who calls it when.

pub(crate) mod corpus;
pub(crate) mod parallel;
pub(crate) mod pipeline;
pub(crate) mod ranking;
pub(crate) mod shard;
pub(crate) mod single;
pub(crate) mod text;

use corpus::{Batch, FileId, Trouble, read};
use ranking::{Duplicates, Hit, best, duplicates, query_words};
use shard::{Lengths, Posting, Shard, Shares};
use std::sync::Arc;
use text::{Document, Entry, Fate, Fingerprint};

/// What is known of the files once all have been seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// By number.
    pub(crate) entries: Vec<Entry>,
    /// Folders that could not be read; files that could not are among the entries.
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) special: u64,
    pub(crate) duplicates: Duplicates,
}

/// The words of an index in order, each with its files.
pub(crate) type Contents = Vec<(String, Vec<Posting>)>;

/// Everything that an index answers: two that were built from the same folder must be equal.
#[derive(Debug, PartialEq)]
pub(crate) struct Answers {
    pub(crate) report: Report,
    pub(crate) contents: Contents,
    /// By query.
    pub(crate) hits: Vec<Vec<Hit>>,
}

impl Answers {
    /// The first thing in which `other` differs.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let Report {
            entries,
            troubles,
            special,
            duplicates,
        } = &self.report;
        first_difference("file", entries, &other.report.entries)
            .or_else(|| first_difference("folder", troubles, &other.report.troubles))
            .or_else(|| first_difference("specials", &[*special], &[other.report.special]))
            .or_else(|| first_difference("word", &self.contents, &other.contents))
            .or_else(|| first_difference("ranking", &self.hits, &other.hits))
            .or_else(|| {
                let (ours, theirs) = (duplicates, &other.report.duplicates);
                first_difference("duplicates", &ours.exact, &theirs.exact)
                    .or_else(|| first_difference("near-duplicates", &ours.near, &theirs.near))
            })
    }
}

fn first_difference<T: PartialEq + std::fmt::Debug>(
    what: &str,
    a: &[T],
    b: &[T],
) -> Option<String> {
    let place = (0..a.len().max(b.len())).find(|&at| a.get(at) != b.get(at))?;
    Some(format!(
        "{what} {place}: {:?} and {:?}",
        a.get(place),
        b.get(place)
    ))
}

/// An index in this process's own hands, as `single` and `parallel` build it.
pub(crate) struct Built {
    pub(crate) shards: Vec<Shard>,
    pub(crate) report: Report,
}

impl Built {
    /// The best files for a query.
    pub(crate) fn search(&self, query: &str) -> Vec<Hit> {
        let words = query_words(query);
        let shares = words.iter().map(|word| {
            let shard = text::shard_of(text::word_hash(word), self.shards.len());
            self.shards[shard].shares(word)
        });
        let shares: Vec<Shares> = shares.collect();
        best(&shares.iter().collect::<Vec<_>>())
    }

    pub(crate) fn answers(&self, queries: &[String]) -> Answers {
        let contents = self.shards.iter().flat_map(Shard::contents);
        Answers {
            report: self.report.clone(),
            contents: in_order(contents.collect()),
            hits: queries.iter().map(|query| self.search(query)).collect(),
        }
    }
}

/// Brings the words of all shards in order.
pub(crate) fn in_order(mut contents: Contents) -> Contents {
    contents.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    contents
}

/// Reads a batch's files.
pub(crate) fn read_all(batch: &Batch) -> Vec<Document> {
    let read = |file: &corpus::Found| Document {
        id: file.id,
        path: file.path.clone(),
        content: read(file),
    };
    batch.files.iter().map(read).collect()
}

/// The lengths by file; `entries` go by number and have no gap.
pub(crate) fn lengths(entries: &[Entry]) -> Arc<Lengths> {
    let words = entries.iter().map(|entry| match entry.fate {
        Fate::Indexed { words, .. } => Some(words),
        _ => None,
    });
    Arc::new(Lengths::new(words))
}

/// Queries made of words of the index, common and rare ones, for comparisons.
pub(crate) fn sample_queries(contents: &Contents) -> Vec<String> {
    let mut words: Vec<(usize, &str)> = contents
        .iter()
        .map(|(word, postings)| (postings.len(), word.as_str()))
        .collect();
    words.sort_unstable_by(|a, b| b.cmp(a));
    let at = |share: f64| {
        words
            .get((words.len() as f64 * share) as usize)
            .map(|&(_, word)| word)
    };
    let shares = [
        [0.0, 0.001, 0.01],
        [0.0005, 0.02, 0.3],
        [0.1, 0.5, 0.9],
        [0.002, 0.002, 0.999],
    ];
    let queries = shares.iter().map(|shares| {
        let words = shares.iter().filter_map(|&share| at(share));
        words.collect::<Vec<_>>().join(" ")
    });
    queries
        .chain(["no such wörd_in_any_file".to_owned()])
        .collect()
}

/// Puts together what the batches gave, in any order.
pub(crate) fn report(
    mut entries: Vec<Entry>,
    fingerprints: &[Fingerprint],
    troubles: Vec<Trouble>,
    special: u64,
) -> Report {
    entries.sort_unstable_by_key(|entry: &Entry| -> FileId { entry.id });
    Report {
        entries,
        troubles,
        special,
        duplicates: duplicates(fingerprints),
    }
}
