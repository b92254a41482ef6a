//! Text: words, their hashes, and what two texts have in common.
//!
//! A text's shingles are its runs of [`SHINGLE_WORDS`] words. MinHash (Broder, "On the resemblance
//! and containment of documents", 1997) keeps the least value of each of [`SIGNATURE`] hash
//! functions over the shingles: the share of equal places of two signatures estimates the share of
//! shingles that two texts have in common.

use super::corpus::{Content, FileId};
use super::shard::Postings;
use hashbrown::HashTable;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::sync::Arc;

/// Words of more bytes are left out: they are data, not words.
const WORD_BYTES_MAX: usize = 64;
/// Words in a shingle.
const SHINGLE_WORDS: usize = 5;
/// Hash functions of a signature.
pub(crate) const SIGNATURE: usize = 64;

/// The least values of the hash functions over a text's shingles.
pub(crate) type Signature = Box<[u32; SIGNATURE]>;

/// Calls `each` with every word of `text`: a run of letters, digits and `_`, in lower case.
pub(crate) fn words(text: &str, mut each: impl FnMut(&str)) {
    let mut word = String::with_capacity(2 * WORD_BYTES_MAX);
    let mut flush = |word: &mut String| {
        if !word.is_empty() && word.len() <= WORD_BYTES_MAX {
            each(word);
        }
        word.clear();
    };
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            word.push(letter.to_ascii_lowercase());
        } else if !letter.is_ascii() && letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        } else if !word.is_empty() {
            flush(&mut word);
        }
    }
    flush(&mut word);
}

/// A word's hash: eight bytes at a time, multiplied and folded.
pub(crate) fn word_hash(word: &str) -> u64 {
    let mut hash = word.len() as u64;
    for chunk in word.as_bytes().chunks(8) {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash ^ u64::from_le_bytes(bytes));
    }
    hash
}

fn mix(value: u64) -> u64 {
    let product = u128::from(value ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93;
    (product >> 64) as u64 ^ product as u64
}

/// The hash that tells equal contents; together with the length it is taken as proof.
fn content_hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Gathers a signature, one word after the other.
struct Shingles {
    last: [u64; SHINGLE_WORDS],
    words: usize,
    least: Signature,
}

impl Shingles {
    fn new() -> Self {
        Self {
            last: [0; SHINGLE_WORDS],
            words: 0,
            least: Box::new([u32::MAX; SIGNATURE]),
        }
    }

    fn word(&mut self, hash: u64) {
        self.last[self.words % SHINGLE_WORDS] = hash;
        self.words += 1;
        if self.words >= SHINGLE_WORDS {
            self.shingle();
        }
    }

    fn shingle(&mut self) {
        let newest = self.words + SHINGLE_WORDS;
        let in_order = (1..=SHINGLE_WORDS).map(|i| self.last[(newest + i - 1) % SHINGLE_WORDS]);
        let hash = in_order.fold(0, |hash: u64, word| mix(hash.rotate_left(5) ^ word));
        let (low, high) = (hash as u32, (hash >> 32) as u32 | 1);
        // Double hashing (Kirsch and Mitzenmacher, 2008): each function is low + i * high, mixed.
        for (i, least) in self.least.iter_mut().enumerate() {
            let value = low.wrapping_add(high.wrapping_mul(i as u32));
            let value = (value ^ (value >> 15)).wrapping_mul(0x2C1B_3C6D);
            *least = (*least).min(value ^ (value >> 13));
        }
    }

    /// None for a text without words. A short text is one shingle.
    fn finish(mut self) -> Option<Signature> {
        if self.words == 0 {
            return None;
        }
        if self.words < SHINGLE_WORDS {
            self.shingle();
        }
        Some(self.least)
    }
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Indexed { words: u32, lossy: bool },
    Binary,
    Huge,
    Unreadable(String),
}

/// A file as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: FileId,
    pub(crate) path: Arc<Path>,
    pub(crate) bytes: u64,
    pub(crate) fate: Fate,
}

/// What the search for duplicates knows of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) id: FileId,
    pub(crate) bytes: u64,
    pub(crate) hash: u64,
    /// None for a text without words.
    pub(crate) signature: Option<Signature>,
}

/// A file and what was read of it.
pub(crate) struct Document {
    pub(crate) id: FileId,
    pub(crate) path: Arc<Path>,
    pub(crate) content: Content,
}

/// What a batch of files adds to the index.
pub(crate) struct Indexed {
    /// By shard.
    pub(crate) postings: Vec<Postings>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) fingerprints: Vec<Fingerprint>,
}

/// A word of the batch.
struct Word {
    hash: u64,
    /// Its number among the words of its shard.
    local: u32,
    shard: u32,
    /// How often the file in hand has it.
    count: u32,
}

/// The shard that keeps a word.
pub(crate) fn shard_of(hash: u64, shards: usize) -> usize {
    ((hash >> 32) as usize * shards) >> 32
}

/// Splits a batch of files into words and gathers what each shard gets of it.
pub(crate) fn index(documents: Vec<Document>, shards: usize) -> Indexed {
    let mut indexed = Indexed {
        postings: (0..shards).map(|_| Postings::default()).collect(),
        entries: Vec::with_capacity(documents.len()),
        fingerprints: Vec::with_capacity(documents.len()),
    };
    let mut table = HashTable::<u32>::with_capacity(4096);
    let mut vocabulary = Vec::<Word>::with_capacity(4096);
    let mut of_file = Vec::<u32>::new();
    for Document { id, path, content } in documents {
        let (text, lossy) = match content {
            Content::Text(text) => (text, false),
            Content::Lossy(text) => (text, true),
            other => {
                let fate = match other {
                    Content::Huge => Fate::Huge,
                    Content::Unreadable(error) => Fate::Unreadable(error),
                    _ => Fate::Binary,
                };
                let bytes = 0;
                indexed.entries.push(Entry {
                    id,
                    path,
                    bytes,
                    fate,
                });
                continue;
            }
        };
        let mut shingles = Shingles::new();
        words(&text, |word| {
            let hash = word_hash(word);
            shingles.word(hash);
            let postings = &indexed.postings;
            let same = |&at: &u32| {
                let known = &vocabulary[at as usize];
                known.hash == hash && postings[known.shard as usize].word(known.local) == word
            };
            let at = match table.find(hash, same) {
                Some(&at) => at,
                None => {
                    let at = vocabulary.len() as u32;
                    let shard = shard_of(hash, shards);
                    vocabulary.push(Word {
                        hash,
                        local: indexed.postings[shard].add_word(word, hash),
                        shard: shard as u32,
                        count: 0,
                    });
                    table.insert_unique(hash, at, |&at| vocabulary[at as usize].hash);
                    at
                }
            };
            let known = &mut vocabulary[at as usize];
            if known.count == 0 {
                of_file.push(at);
            }
            known.count += 1;
        });
        for at in of_file.drain(..) {
            let word = &mut vocabulary[at as usize];
            let count = std::mem::take(&mut word.count);
            indexed.postings[word.shard as usize].add(word.local, id, count);
        }
        let (words, bytes) = (shingles.words as u32, text.len() as u64);
        let fate = Fate::Indexed { words, lossy };
        indexed.entries.push(Entry {
            id,
            path,
            bytes,
            fate,
        });
        indexed.fingerprints.push(Fingerprint {
            id,
            bytes,
            hash: content_hash(&text),
            signature: shingles.finish(),
        });
    }
    indexed
}
