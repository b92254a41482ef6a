//! The index built by one thread, one step after the other.

use super::corpus::{Walk, list};
use super::shard::Shard;
use super::text::index;
use super::{Built, lengths, read_all, report};
use std::path::Path;

/// Builds the index of a folder.
pub(crate) fn build(root: &Path) -> Built {
    let mut shard = Shard::default();
    let (mut entries, mut fingerprints) = (Vec::new(), Vec::new());
    let (mut troubles, mut special) = (Vec::new(), 0);
    let mut walk = Walk::new(root);
    loop {
        if let Some(batch) = walk.next_batch() {
            walk.sent(batch.files.len());
            let indexed = index(read_all(&batch), 1);
            shard.add(&indexed.postings[0]);
            entries.extend(indexed.entries);
            fingerprints.extend(indexed.fingerprints);
        } else if let Some(folder) = walk.next_folder() {
            let mut listing = list(folder);
            troubles.append(&mut listing.troubles);
            special += listing.special;
            walk.listed(listing);
        } else {
            break;
        }
    }
    let report = report(entries, &fingerprints, troubles, special);
    shard.seal(lengths(&report.entries));
    let shards = vec![shard];
    Built { shards, report }
}
