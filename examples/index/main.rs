//! Finds words and duplicates in a folder: `index FOLDER [--query "words"]…`.
//!
//! A pipeline of actors reads every file, builds an inverted index, ranks files by BM25 and groups
//! equal and nearly equal ones. `docs/example-index.md` tells how it works and how fast it is.

mod engine;

use engine::pipeline::{Pipeline, Progress};
use engine::text::{Entry, Fate};
use engine::{Answers, Report, parallel, sample_queries, single};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: index FOLDER [--query \"WORDS\"]... [--workers N] [--check] [--compare]

  --query \"WORDS\"  print the 10 best files for these words; may be given several times
  --workers N      worker threads, 1 to 256; by default one for each core
  --check          compare all answers with those of a plain run on one thread
  --compare        print the times of one thread, rayon and mainspring
";
const WORKERS_MAX: usize = 256;
/// Runs of each kind under `--compare`.
const RUNS: usize = 5;

struct Options {
    folder: PathBuf,
    queries: Vec<String>,
    workers: usize,
    check: bool,
    compare: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match parse(arguments.into_iter()).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("index: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> mainspring::Result<Options> {
    let mut folder = None;
    let mut options = Options {
        folder: PathBuf::new(),
        queries: Vec::new(),
        workers: std::thread::available_parallelism().map_or(1, usize::from),
        check: false,
        compare: false,
    };
    while let Some(argument) = arguments.next() {
        match argument.to_string_lossy().as_ref() {
            "--query" => {
                let query = arguments.next().ok_or("--query: expected words after it")?;
                options.queries.push(query.to_string_lossy().into_owned());
            }
            "--workers" => {
                let given = arguments.next().unwrap_or_default();
                let given = given.to_string_lossy();
                let count = given
                    .parse()
                    .ok()
                    .filter(|count| (1..=WORKERS_MAX).contains(count));
                options.workers = count.ok_or_else(|| {
                    format!("--workers: expected a number from 1 to {WORKERS_MAX}, got {given:?}")
                })?;
            }
            "--check" => options.check = true,
            "--compare" => options.compare = true,
            flag if flag.starts_with('-') => {
                return Err(format!("{flag}: there is no such option\n{USAGE}").into());
            }
            path => match folder.replace(PathBuf::from(&argument)) {
                None => {}
                Some(first) => {
                    return Err(format!("{path}: {} is given already", first.display()).into());
                }
            },
        }
    }
    options.folder = folder.ok_or_else(|| format!("FOLDER is missing\n{USAGE}"))?;
    let facts = std::fs::metadata(&options.folder)
        .map_err(|error| format!("{}: {error}", options.folder.display()))?;
    if !facts.is_dir() {
        return Err(format!("{}: expected a folder", options.folder.display()).into());
    }
    Ok(options)
}

fn run(options: &Options) -> mainspring::Result {
    let began = Instant::now();
    let pipeline = Pipeline::new(&options.folder, options.workers)?;
    let mut line = ProgressLine::new();
    let report = pipeline.build(|progress| line.show(progress, began.elapsed()))?;
    line.clear();
    summarize(&report, began.elapsed());
    for query in &options.queries {
        println!("\n{query}");
        for hit in pipeline.search(query)? {
            let path = report.entries[hit.file as usize].path.display();
            println!("{:9.4}  {path}", hit.score);
        }
    }
    if options.check {
        check(options, &pipeline, report)?;
    }
    if options.compare {
        drop(pipeline);
        compare(&options.folder, options.workers)?;
    }
    Ok(())
}

/// How far it is, on one line of a terminal.
struct ProgressLine {
    is_shown: bool,
}

impl ProgressLine {
    fn new() -> Self {
        Self {
            is_shown: std::io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, progress: Progress, elapsed: Duration) {
        if self.is_shown {
            let (files, megabytes) = (progress.files, progress.bytes / 1_000_000);
            eprint!(
                "\r{files} files, {megabytes} MB, {:.1} s ",
                elapsed.as_secs_f64()
            );
        }
    }

    fn clear(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}

fn summarize(report: &Report, elapsed: Duration) {
    let count = |wanted: fn(&Fate) -> bool| {
        let entries = report.entries.iter();
        entries.filter(|entry| wanted(&entry.fate)).count()
    };
    let indexed = count(|fate| matches!(fate, Fate::Indexed { .. }));
    let lossy = count(|fate| matches!(fate, Fate::Indexed { lossy: true, .. }));
    let binary = count(|fate| *fate == Fate::Binary);
    let huge = count(|fate| *fate == Fate::Huge);
    let bytes: u64 = report.entries.iter().map(|entry| entry.bytes).sum();
    println!(
        "{indexed} files with {:.1} MB of text indexed in {:.2} s ({lossy} not all UTF-8)",
        bytes as f64 / 1e6,
        elapsed.as_secs_f64()
    );
    println!(
        "passed over: {binary} binary, {huge} huge, {} links and the like",
        report.special
    );
    let unreadable = report.entries.iter().filter_map(|entry| match &entry.fate {
        Fate::Unreadable(error) => Some((&entry.path, error)),
        _ => None,
    });
    let folders = report
        .troubles
        .iter()
        .map(|trouble| (&trouble.path, &trouble.error));
    for (path, error) in unreadable.chain(folders) {
        eprintln!("index: {}: {error}", path.display());
    }
    describe_groups("equal", &report.duplicates.exact, &report.entries);
    describe_groups("nearly equal", &report.duplicates.near, &report.entries);
}

/// The largest groups, a few files of each.
fn describe_groups(what: &str, groups: &[Vec<u32>], entries: &[Entry]) {
    let files: usize = groups.iter().map(Vec::len).sum();
    println!(
        "{} groups of {what} files, {files} files in all",
        groups.len()
    );
    let mut largest: Vec<&Vec<u32>> = groups.iter().collect();
    largest.sort_by_key(|group| std::cmp::Reverse(group.len()));
    for group in largest.into_iter().take(3) {
        let mut text = format!("  {}:", group.len());
        for &file in group.iter().take(2) {
            let _ = write!(text, " {}", entries[file as usize].path.display());
        }
        println!("{text}{}", if group.len() > 2 { " …" } else { "" });
    }
}

fn check(options: &Options, pipeline: &Pipeline, report: Report) -> mainspring::Result {
    let plain = single::build(&options.folder);
    let mut queries = options.queries.clone();
    queries.extend(sample_queries(&plain.answers(&[]).contents));
    let expected = plain.answers(&queries);
    drop(plain);
    let answers = pipeline.answers(report, &queries)?;
    report_check("mainspring", &expected, &answers)?;
    drop(answers);
    let parallel = parallel::build(&options.folder, options.workers)?;
    report_check("rayon", &expected, &parallel.answers(&queries))?;
    let postings: usize = expected
        .contents
        .iter()
        .map(|(_, postings)| postings.len())
        .sum();
    println!(
        "\ncheck: equal to the run on one thread: {} files, {} words, {postings} postings, {} \
         queries, {} groups",
        expected.report.entries.len(),
        expected.contents.len(),
        queries.len(),
        expected.report.duplicates.exact.len() + expected.report.duplicates.near.len(),
    );
    Ok(())
}

fn report_check(name: &str, expected: &Answers, answers: &Answers) -> mainspring::Result {
    match expected.difference(answers) {
        None => Ok(()),
        Some(difference) => {
            Err(format!("check: {name} differs from one thread: {difference}").into())
        }
    }
}

fn compare(folder: &Path, workers: usize) -> mainspring::Result {
    let mut costs: [Vec<Cost>; 3] = Default::default();
    for _ in 0..RUNS {
        costs[0].push(cost(|| Ok(single::build(folder)))?);
        costs[1].push(cost(|| Ok(parallel::build(folder, workers)?))?);
        costs[2].push(cost(|| {
            let pipeline = Pipeline::new(folder, workers)?;
            pipeline.build(|_| {})?;
            Ok(pipeline)
        })?);
    }
    println!(
        "\n{workers} workers, from files to a sealed index, median of {RUNS} interleaved runs;\n\
         with other load on the machine, the processor time says more than the wall's"
    );
    println!("             wall (least, most)          ratio   processor  ratio");
    let one_thread = median(&costs[0]);
    for (name, costs) in ["one thread", "rayon", "mainspring"].iter().zip(&costs) {
        let Cost { wall, processor } = median(costs);
        let walls = || costs.iter().map(|cost| cost.wall);
        let (least, most) = (
            walls().fold(f64::MAX, f64::min),
            walls().fold(0.0, f64::max),
        );
        println!(
            "{name:11} {wall:7.3} s ({least:.3}, {most:.3})  {:6.2}   {processor:7.2} s  {:5.2}",
            one_thread.wall / wall,
            one_thread.processor / processor,
        );
    }
    Ok(())
}

/// What a run took, in seconds.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    /// Of all threads; not a number where the system doesn't tell.
    processor: f64,
}

/// What `build` takes; dropping what it built is not in it.
fn cost<T>(build: impl FnOnce() -> mainspring::Result<T>) -> mainspring::Result<Cost> {
    let processor_before = processor_seconds();
    let began = Instant::now();
    let built = build()?;
    let wall = began.elapsed().as_secs_f64();
    let processor = processor_seconds() - processor_before;
    drop(built);
    Ok(Cost { wall, processor })
}

/// Processor time of this process so far, from Linux's `/proc/self/stat`, in steps of 10 ms.
fn processor_seconds() -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in parentheses, may hold anything; user and system time are the 12th and
    // 13th field after it.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let times = after_name.split_whitespace().skip(11).take(2);
    let ticks: Option<f64> = times.map(|ticks| ticks.parse::<f64>().ok()).sum();
    let ticks = ticks.filter(|&ticks| ticks > 0.0);
    ticks.map_or(f64::NAN, |ticks| ticks / TICKS_A_SECOND)
}

/// The median of the wall's times, and of the processor's.
fn median(costs: &[Cost]) -> Cost {
    let middle = |of: fn(&Cost) -> f64| {
        let mut times: Vec<f64> = costs.iter().map(of).collect();
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 2]
    };
    Cost {
        wall: middle(|cost| cost.wall),
        processor: middle(|cost| cost.processor),
    }
}
