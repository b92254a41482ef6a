//! The end of the pipeline: what a query finds, and which files are the same.

use super::corpus::FileId;
use super::shard::Shares;
use super::text::{Fingerprint, SIGNATURE, words};
use std::collections::HashMap;

/// Files that a query gives.
pub(crate) const TOP: usize = 10;

/// A file that a query found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) file: FileId,
    pub(crate) score: f64,
}

/// The words of a query, each once, in its order.
pub(crate) fn query_words(query: &str) -> Vec<String> {
    let mut found = Vec::<String>::new();
    words(query, |word| {
        if !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
        }
    });
    found
}

/// The best files, given what each word of the query adds, in the order of the query: sums of
/// floating-point numbers depend on it. Equal scores go by file.
pub(crate) fn best(shares: &[&Shares]) -> Vec<Hit> {
    let mut scores = HashMap::<FileId, f64>::new();
    for &(file, share) in shares.iter().copied().flatten() {
        *scores.entry(file).or_default() += share;
    }
    let hits = scores.into_iter();
    let mut hits: Vec<Hit> = hits.map(|(file, score)| Hit { file, score }).collect();
    hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.file.cmp(&b.file)));
    hits.truncate(TOP);
    hits
}

/// Files that are the same, or nearly. Files in a group and groups go by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Duplicates {
    pub(crate) exact: Vec<Vec<FileId>>,
    /// Of files that are not exact duplicates of one before.
    pub(crate) near: Vec<Vec<FileId>>,
}

/// Places of a signature in a band. With bands of 4, texts that share 80 % of their shingles meet
/// in one of the 16 bands with a probability of 1 - (1 - 0.8^4)^16 = 0.9998.
const BAND: usize = 4;
/// Equal places from which two texts are near-duplicates: 80 % of them.
const ALIKE: usize = SIGNATURE * 8 / 10;
/// With how many of those before it in a band a text is compared: bounds the work where very many
/// texts are alike.
const COMPARED: usize = 16;

/// Groups the texts: equal contents, then the rest by their signatures' bands.
pub(crate) fn duplicates(fingerprints: &[Fingerprint]) -> Duplicates {
    let mut texts: Vec<&Fingerprint> = fingerprints.iter().collect();
    texts.sort_unstable_by_key(|text| (text.bytes, text.hash, text.id));
    let groups = texts.chunk_by(|a, b| (a.bytes, a.hash) == (b.bytes, b.hash));
    let mut exact = Vec::new();
    let mut first = Vec::new();
    for group in groups {
        first.push(group[0]);
        if group.len() > 1 {
            exact.push(group.iter().map(|text| text.id).collect());
        }
    }
    exact.sort_unstable();
    first.sort_unstable_by_key(|text| text.id);
    let near = near(&first);
    Duplicates { exact, near }
}

fn near(texts: &[&Fingerprint]) -> Vec<Vec<FileId>> {
    let signed = texts.iter().enumerate();
    let signed = signed.filter_map(|(at, text)| Some((at as u32, text.signature.as_deref()?)));
    let signed: Vec<(u32, &[u32; SIGNATURE])> = signed.collect();
    let mut leaders: Vec<u32> = (0..texts.len() as u32).collect();
    let mut band = Vec::with_capacity(signed.len());
    for start in (0..SIGNATURE).step_by(BAND) {
        band.clear();
        let key = |signature: &[u32; SIGNATURE]| -> [u32; BAND] {
            std::array::from_fn(|i| signature[start + i])
        };
        let keyed = signed.iter().enumerate();
        band.extend(keyed.map(|(i, (_, signature))| (key(signature), i)));
        band.sort_unstable();
        for bucket in band.chunk_by(|a, b| a.0 == b.0) {
            for (i, &(_, later)) in bucket.iter().enumerate().skip(1) {
                for &(_, earlier) in &bucket[i.saturating_sub(COMPARED)..i] {
                    let ((a, sign_a), (b, sign_b)) = (signed[earlier], signed[later]);
                    if leader(&mut leaders, a) != leader(&mut leaders, b) && alike(sign_a, sign_b) {
                        join(&mut leaders, a, b);
                    }
                }
            }
        }
    }
    let mut groups = vec![Vec::new(); texts.len()];
    for (at, text) in texts.iter().enumerate() {
        groups[leader(&mut leaders, at as u32) as usize].push(text.id);
    }
    groups.retain(|group| group.len() > 1);
    groups
}

fn alike(a: &[u32; SIGNATURE], b: &[u32; SIGNATURE]) -> bool {
    a.iter().zip(b).filter(|(a, b)| a == b).count() >= ALIKE
}

/// The first text of a text's group; shortens the way there.
fn leader(leaders: &mut [u32], mut at: u32) -> u32 {
    while leaders[at as usize] != at {
        leaders[at as usize] = leaders[leaders[at as usize] as usize];
        at = leaders[at as usize];
    }
    at
}

fn join(leaders: &mut [u32], a: u32, b: u32) {
    let (a, b) = (leader(leaders, a), leader(leaders, b));
    leaders[a.max(b) as usize] = a.min(b);
}
