//! The index example gives the same answers on one thread, with rayon and as actors.

#[path = "../examples/index/engine/mod.rs"]
mod engine;

use engine::corpus::FILE_BYTES_MAX;
use engine::pipeline::Pipeline;
use engine::text::Fate;
use engine::{Answers, parallel, sample_queries, single};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of its own, gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("mainspring-index-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path); // left by a process of the same number
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Builds in all ways, compares all answers, and returns them.
fn answers(root: &Path, queries: &[&str]) -> Answers {
    let plain = single::build(root);
    let mut all: Vec<String> = queries.iter().map(|&query| query.to_owned()).collect();
    all.extend(sample_queries(&plain.answers(&[]).contents));
    let expected = plain.answers(&all);
    for workers in [1, 2, 5] {
        let parallel = parallel::build(root, workers).unwrap();
        assert_eq!(
            expected.difference(&parallel.answers(&all)),
            None,
            "rayon, {workers} workers"
        );
        let pipeline = Pipeline::new(root, workers).unwrap();
        let report = pipeline.build(|_| {}).unwrap();
        let actors = pipeline.answers(report, &all).unwrap();
        assert_eq!(
            expected.difference(&actors),
            None,
            "actors, {workers} workers"
        );
        assert_eq!(expected, actors);
    }
    expected
}

/// The names of the files that a query found, best first.
fn found<'a>(answers: &'a Answers, root: &Path, query: usize) -> Vec<&'a str> {
    let hits = answers.hits[query].iter();
    let paths = hits.map(|hit| &answers.report.entries[hit.file as usize].path);
    paths
        .map(|path| path.strip_prefix(root).unwrap().to_str().unwrap())
        .collect()
}

fn names<'a>(answers: &'a Answers, groups: &[Vec<u32>]) -> Vec<Vec<&'a str>> {
    let name = |&file: &u32| {
        let path = &answers.report.entries[file as usize].path;
        path.file_name().unwrap().to_str().unwrap()
    };
    groups
        .iter()
        .map(|group| group.iter().map(name).collect())
        .collect()
}

/// Words from a small generator, always the same for a seed.
fn prose(mut seed: u64, words: usize, vocabulary: u64) -> Vec<String> {
    let mut next = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let draw = seed >> 33;
        // The square makes some words common and most rare.
        (draw % vocabulary) * ((draw >> 8) % vocabulary) / vocabulary
    };
    (0..words).map(|_| format!("w{}", next())).collect()
}

#[test]
fn an_empty_folder_gives_an_empty_index() {
    let folder = Folder::new("empty");
    let answers = answers(&folder.0, &["anything"]);
    assert!(answers.report.entries.is_empty() && answers.contents.is_empty());
    assert!(answers.hits.iter().all(Vec::is_empty));
}

#[test]
fn one_file_is_found_by_its_words_in_any_case() {
    let folder = Folder::new("one");
    folder.write(
        "only.txt",
        "The Wheel turns; the SPRING drives it. Ünïcode_word",
    );
    let answers = answers(
        &folder.0,
        &["spring", "ÜNÏCODE_WORD", "absent", "", "the absent"],
    );
    for (query, count) in [1, 1, 0, 0, 1].into_iter().enumerate() {
        assert_eq!(answers.hits[query].len(), count, "query {query}");
    }
    let the = answers
        .contents
        .iter()
        .find(|(word, _)| word == "the")
        .unwrap();
    assert_eq!(the.1[0].count, 2);
}

#[test]
fn rarer_words_and_denser_files_rank_higher() {
    let folder = Folder::new("rank");
    folder.write("a.txt", "common rare");
    folder.write(
        "b.txt",
        "common common filler filler filler filler filler filler",
    );
    folder.write("c.txt", "common");
    folder.write(
        "d.txt",
        "rare filler filler filler filler filler filler filler",
    );
    let answers = answers(&folder.0, &["rare", "rare common"]);
    assert_eq!(found(&answers, &folder.0, 0), ["a.txt", "d.txt"]);
    assert_eq!(found(&answers, &folder.0, 1)[0], "a.txt");
}

#[test]
fn equal_and_nearly_equal_files_are_grouped() {
    let folder = Folder::new("twins");
    let text = prose(1, 600, 5_000);
    folder.write("original.txt", text.join(" "));
    folder.write("sub/copy.txt", text.join(" "));
    let mut edited = text.clone();
    edited[300] = "changed".to_owned();
    folder.write("edited.txt", edited.join(" "));
    folder.write("other.txt", prose(2, 600, 5_000).join(" "));
    folder.write(
        "half.txt",
        [&text[..300], &prose(3, 300, 5_000)[..]].concat().join(" "),
    );
    folder.write("nothing.txt", "");
    folder.write("nothing-either.txt", "");
    let answers = answers(&folder.0, &[]);
    let duplicates = &answers.report.duplicates;
    let exact = [
        vec!["nothing-either.txt", "nothing.txt"],
        vec!["original.txt", "copy.txt"],
    ];
    assert_eq!(names(&answers, &duplicates.exact), exact);
    assert_eq!(
        names(&answers, &duplicates.near),
        [["edited.txt", "original.txt"]]
    );
}

#[test]
fn files_that_are_no_text_are_counted_and_passed_over() {
    let folder = Folder::new("odd");
    folder.write("text.txt", "plain words");
    folder.write("binary", b"words\0words");
    folder.write("latin1.txt", b"caf\xe9 society");
    folder.write("huge.txt", vec![b'x'; FILE_BYTES_MAX as usize + 1]);
    #[cfg(unix)]
    std::os::unix::fs::symlink("text.txt", folder.0.join("link")).unwrap();
    let answers = answers(&folder.0, &["words", "society", "caf"]);
    let fates = answers
        .report
        .entries
        .iter()
        .map(|entry| entry.fate.clone());
    let expected = [
        Fate::Binary,
        Fate::Huge,
        Fate::Indexed {
            words: 2,
            lossy: true,
        },
        Fate::Indexed {
            words: 2,
            lossy: false,
        },
    ];
    assert_eq!(fates.collect::<Vec<_>>(), expected);
    assert_eq!(answers.report.special, u64::from(cfg!(unix)));
    assert_eq!(found(&answers, &folder.0, 0), ["text.txt"]);
    assert_eq!(found(&answers, &folder.0, 1), ["latin1.txt"]);
    assert_eq!(found(&answers, &folder.0, 2), ["latin1.txt"]);
}

/// Paths that are too long to open are unreadable for everybody, unlike files without permission,
/// which a privileged user reads.
#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_read_is_reported_and_the_rest_indexed() {
    // The lowest folder's path, of 4,000 bytes, fits in the system's 4,096; what is in it does not.
    const PATH_BYTES: usize = 4_000;
    const LEVEL_BYTES: usize = 201;
    const LOWER_LEVELS: usize = 8;
    let folder = Folder::new("unreadable");
    folder.write("fine.txt", "readable words");
    let level = "d".repeat(LEVEL_BYTES - 1);
    let deep = |path: PathBuf, levels| (0..levels).fold(path, |path, _| path.join(&level));
    // Made in two parts, since no path to the whole fits.
    let lowest = deep(folder.0.join("lower"), LOWER_LEVELS);
    fs::create_dir_all(lowest.join("f".repeat(200))).unwrap();
    fs::write(lowest.join("g".repeat(200)), "words").unwrap();
    let upper = folder.0.join("upper");
    let above = PATH_BYTES - LOWER_LEVELS * LEVEL_BYTES - "/lower".len();
    let room = above - upper.as_os_str().len();
    let upper = deep(upper, room / LEVEL_BYTES - 1);
    let rest = LEVEL_BYTES + room % LEVEL_BYTES;
    let upper = upper
        .join("e".repeat(rest / 2 - 1))
        .join("e".repeat(rest.div_ceil(2) - 1));
    fs::create_dir_all(&upper).unwrap();
    fs::rename(folder.0.join("lower"), upper.join("lower")).unwrap();

    let answers = answers(&folder.0, &["words"]);
    let entries = &answers.report.entries;
    assert_eq!(entries.len(), 2);
    assert!(
        matches!(entries[1].fate, Fate::Unreadable(_)),
        "{:?}",
        entries[1].fate
    );
    assert_eq!(answers.report.troubles.len(), 1);
    assert_eq!(found(&answers, &folder.0, 0), ["fine.txt"]);
}

#[test]
fn many_files_in_many_batches_give_equal_answers() {
    let folder = Folder::new("many");
    for file in 0..700 {
        // Every tenth is a copy of the one before.
        let seed = if file % 10 == 9 { file - 1 } else { file };
        let words = 40 + (seed as usize * 37) % 900;
        folder.write(
            &format!("{}/{file}.txt", file % 23),
            prose(seed, words, 3_000).join(" "),
        );
    }
    let answers = answers(&folder.0, &["w1 w20 w300", "w2999 w7"]);
    assert_eq!(answers.report.entries.len(), 700);
    assert_eq!(answers.report.duplicates.exact.len(), 70);
    assert!(answers.hits[0].len() == 10);
}
