//! The index built with rayon: one phase after the other, each in parallel.

use super::corpus::{Walk, list};
use super::shard::{Postings, Shard};
use super::text::index;
use super::{Built, lengths, read_all, report};
use rayon::prelude::*;
use std::path::Path;

/// Builds the index of a folder with `workers` threads.
///
/// # Errors
///
/// When the operating system refuses a thread.
pub(crate) fn build(root: &Path, workers: usize) -> Result<Built, rayon::ThreadPoolBuildError> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(workers)
        .build()?;
    Ok(pool.install(|| build_here(root, 2 * workers)))
}

fn build_here(root: &Path, shard_count: usize) -> Built {
    let (mut batches, mut troubles, mut special) = (Vec::new(), Vec::new(), 0);
    let mut walk = Walk::new(root);
    loop {
        if let Some(batch) = walk.next_batch() {
            walk.sent(batch.files.len());
            batches.push(batch);
        } else if let Some(folder) = walk.next_folder() {
            let mut listing = list(folder);
            troubles.append(&mut listing.troubles);
            special += listing.special;
            walk.listed(listing);
        } else {
            break;
        }
    }
    let indexed = batches
        .par_iter()
        .map(|batch| index(read_all(batch), shard_count));
    let indexed: Vec<_> = indexed.collect();
    let mut by_shard: Vec<Vec<Postings>> = (0..shard_count).map(|_| Vec::new()).collect();
    let (mut entries, mut fingerprints) = (Vec::new(), Vec::new());
    for batch in indexed {
        for (shard, postings) in by_shard.iter_mut().zip(batch.postings) {
            shard.push(postings);
        }
        entries.extend(batch.entries);
        fingerprints.extend(batch.fingerprints);
    }
    let fill = |batches: Vec<Postings>| {
        let mut shard = Shard::default();
        batches.iter().for_each(|batch| shard.add(batch));
        shard
    };
    let (mut shards, report) = rayon::join(
        || by_shard.into_par_iter().map(fill).collect::<Vec<_>>(),
        || report(entries, &fingerprints, troubles, special),
    );
    let lengths = lengths(&report.entries);
    shards
        .par_iter_mut()
        .for_each(|shard| shard.seal(lengths.clone()));
    Built { shards, report }
}
