//! A shard: the words whose hashes fall to it, each with the files that have it.

use super::corpus::FileId;
use super::text::word_hash;
use hashbrown::HashTable;
use std::sync::Arc;

/// A file that has a word, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) file: FileId,
    pub(crate) count: u32,
}

/// Words one after the other in one string.
#[derive(Default)]
struct Words {
    text: String,
    ends: Vec<usize>,
}

impl Words {
    fn push(&mut self, word: &str) {
        self.text.push_str(word);
        self.ends.push(self.text.len());
    }

    fn get(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|at| self.get(at))
    }
}

/// What one batch of files adds to one shard.
#[derive(Default)]
pub(crate) struct Postings {
    words: Words,
    hashes: Vec<u64>,
    /// Which of `words`, where.
    postings: Vec<(u32, Posting)>,
}

impl Postings {
    /// Adds a word that is not there; returns its number.
    pub(crate) fn add_word(&mut self, word: &str, hash: u64) -> u32 {
        self.words.push(word);
        self.hashes.push(hash);
        self.hashes.len() as u32 - 1
    }

    /// The word of a number.
    pub(crate) fn word(&self, number: u32) -> &str {
        self.words.get(number as usize)
    }

    /// A file has the word of this number so often.
    pub(crate) fn add(&mut self, word: u32, file: FileId, count: u32) {
        self.postings.push((word, Posting { file, count }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.postings.is_empty()
    }
}

/// How long the files are, for the ranking.
pub(crate) struct Lengths {
    /// Words by file; 0 for those not indexed.
    pub(crate) words: Vec<u32>,
    /// Files that were indexed.
    pub(crate) files: usize,
    pub(crate) mean: f64,
}

impl Lengths {
    /// `words` by file, none for those not indexed.
    pub(crate) fn new(words: impl Iterator<Item = Option<u32>>) -> Self {
        let mut files = 0;
        let mut total = 0;
        let mut count = |words: Option<u32>| {
            files += usize::from(words.is_some());
            total += u64::from(words.unwrap_or(0));
            words.unwrap_or(0)
        };
        let words = words.map(&mut count).collect();
        Self {
            words,
            files,
            mean: total as f64 / files.max(1) as f64,
        }
    }
}

/// What one word of a query adds to the scores of the files that have it, by file.
pub(crate) type Shares = Vec<(FileId, f64)>;

/// See the module's text.
#[derive(Default)]
pub(crate) struct Shard {
    table: HashTable<u32>,
    hashes: Vec<u64>,
    words: Words,
    postings: Vec<Vec<Posting>>,
    lengths: Option<Arc<Lengths>>,
}

impl Shard {
    /// Takes in what a batch has for this shard. Batches may come in any order.
    pub(crate) fn add(&mut self, batch: &Postings) {
        let words = batch.words.iter().zip(&batch.hashes);
        let places: Vec<usize> = words.map(|(word, &hash)| self.place(word, hash)).collect();
        for &(word, posting) in &batch.postings {
            self.postings[places[word as usize]].push(posting);
        }
    }

    fn find(&self, word: &str, hash: u64) -> Option<usize> {
        let same = |&at: &u32| {
            let at = at as usize;
            self.hashes[at] == hash && self.words.get(at) == word
        };
        self.table.find(hash, same).map(|&at| at as usize)
    }

    fn place(&mut self, word: &str, hash: u64) -> usize {
        if let Some(at) = self.find(word, hash) {
            return at;
        }
        let at = self.hashes.len();
        self.hashes.push(hash);
        self.words.push(word);
        self.postings.push(Vec::new());
        self.table
            .insert_unique(hash, at as u32, |&at| self.hashes[at as usize]);
        at
    }

    /// Ends the building: postings go by file, and the ranking knows the lengths.
    pub(crate) fn seal(&mut self, lengths: Arc<Lengths>) {
        for postings in &mut self.postings {
            // Made of sorted runs, which the stable sort merges.
            postings.sort_by_key(|posting| posting.file);
        }
        self.lengths = Some(lengths);
    }

    /// The shares of `word` by BM25 (Robertson and Zaragoza, "The Probabilistic Relevance
    /// Framework: BM25 and Beyond", 2009), with k1 = 1.2 and b = 0.75.
    ///
    /// Nothing before the shard is sealed.
    pub(crate) fn shares(&self, word: &str) -> Shares {
        const K1: f64 = 1.2;
        const B: f64 = 0.75;
        let (Some(lengths), Some(at)) = (&self.lengths, self.find(word, word_hash(word))) else {
            return Shares::new();
        };
        let postings = &self.postings[at];
        let (all, having) = (lengths.files as f64, postings.len() as f64);
        let rarity = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
        let share = |posting: &Posting| {
            let length = f64::from(lengths.words[posting.file as usize]) / lengths.mean;
            let count = f64::from(posting.count);
            let saturated = count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length));
            (posting.file, rarity * saturated)
        };
        postings.iter().map(share).collect()
    }

    /// Every word with its postings.
    pub(crate) fn contents(&self) -> Vec<(String, Vec<Posting>)> {
        let words = self.words.iter().map(str::to_owned);
        words.zip(self.postings.iter().cloned()).collect()
    }
}
