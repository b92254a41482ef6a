//! Breaks the shipped protocols one line at a time; each break must make its model fail.
//!
//! ```text
//! cargo run -p loom-tests --bin mutants [--only NAME]... [--list]
//!
//!  src/sync ──copy──▶ target/mutants/work ──one replacement──▶ build ──▶ run its model file
//!                                                                          │
//!               killed: a panic, a deadlock, a race or a leak ◀────────────┤
//!     not killed: it passes, does not compile, runs out of time or crashes ◀┘
//! ```
//!
//! `--only` takes the start of a name, so `--only parker` runs that file's mutants. Before the
//! mutants, the models they need run once unchanged: a model that fails anyway kills nothing.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    match job::run() {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("mutants: {reason}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(loom))]
mod job {
    use loom_tests::patch::{copy_folder, manifest, replaced};
    use loom_tests::runner::{Ended, LOOM_FLAG, repository, run_limited};
    use serde::Deserialize;
    use std::error::Error;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::{Duration, Instant};
    use std::{fs, io};

    const BUILD_LIMIT: Duration = Duration::from_secs(600);
    const MODEL_LIMIT: Duration = Duration::from_secs(120);

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Mutants {
        mutant: Vec<Mutant>,
    }

    /// One replacement, and the model file that must notice.
    #[derive(Clone, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Mutant {
        name: String,
        /// Below the root of the repository.
        file: String,
        /// Must be in the file exactly once; white space and commas before `)` don't count.
        find: String,
        replace: String,
        /// The model file: `loom-tests/tests/TEST.rs`.
        test: String,
        /// What the replacement breaks.
        breaks: String,
    }

    /// Runs what the arguments ask for; whether every mutant died.
    pub(crate) fn run() -> Result<bool, Box<dyn Error>> {
        let root = repository();
        let text = fs::read_to_string(root.join("loom-tests/mutants.toml"))?;
        let mut mutants = toml::from_str::<Mutants>(&text)?.mutant;
        let (mut only, mut list) = (Vec::new(), false);
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => list = true,
                "--only" => only.push(arguments.next().ok_or("--only: expected a name")?),
                other => return Err(format!("{other}: expected --only NAME or --list").into()),
            }
        }
        let bench = Bench::new(root)?;
        for mutant in &mutants {
            bench.mutated(mutant)?; // all are checked, also those that are not asked for
        }
        if !only.is_empty() {
            mutants.retain(|mutant| only.iter().any(|name| mutant.name.starts_with(name)));
        }
        if mutants.is_empty() {
            return Err("no mutant of that name".into());
        }
        if list {
            for mutant in &mutants {
                println!("{:34} {:10} {}", mutant.name, mutant.test, mutant.breaks);
            }
            return Ok(true);
        }
        bench.baseline(&mutants)?;
        let mut survivors = 0;
        for mutant in &mutants {
            let begun = Instant::now();
            let fate = bench.judge(mutant)?;
            survivors += u32::from(!fate.killed);
            let verdict = if fate.killed { "killed" } else { "SURVIVED" };
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "{verdict:8} {:34} {seconds:5.1} s  {}",
                mutant.name, fate.how
            );
        }
        println!("{} mutants, {survivors} not killed", mutants.len());
        Ok(survivors == 0)
    }

    /// What became of a mutant.
    struct Fate {
        killed: bool,
        how: String,
    }

    /// The scratch copy that the mutants are built in: `src/sync` and the models, nothing above.
    struct Bench {
        root: PathBuf,
        work: PathBuf,
        build: PathBuf,
    }

    impl Bench {
        fn new(root: PathBuf) -> Result<Self, Box<dyn Error>> {
            let work = root.join("target/mutants/work");
            let build = root.join("target/mutants/build");
            if work.exists() {
                fs::remove_dir_all(&work)?;
            }
            fs::create_dir_all(work.join("src"))?;
            fs::create_dir_all(&build)?;
            copy_folder(&root.join("src/sync"), &work.join("src/sync"))?;
            copy_folder(&root.join("loom-tests/src"), &work.join("loom-tests/src"))?;
            fs::remove_dir_all(work.join("loom-tests/src/bin"))?;
            copy_folder(
                &root.join("loom-tests/tests"),
                &work.join("loom-tests/tests"),
            )?;
            fs::copy(
                root.join("loom-tests/Cargo.toml"),
                work.join("loom-tests/Cargo.toml"),
            )?;
            fs::copy(root.join("Cargo.lock"), work.join("Cargo.lock"))?;
            fs::write(work.join("src/lib.rs"), LIBRARY)?;
            fs::write(work.join("Cargo.toml"), manifest(&root, &["loom-tests"])?)?;
            Ok(Self { root, work, build })
        }

        /// The text of the mutant's file with its replacement made.
        fn mutated(&self, mutant: &Mutant) -> Result<String, Box<dyn Error>> {
            let text = fs::read_to_string(self.root.join(&mutant.file))
                .map_err(|error| format!("{}: file {}: {error}", mutant.name, mutant.file))?;
            replaced(&text, &mutant.find, &mutant.replace).map_err(|error| {
                format!("{}: find: {error} in {}", mutant.name, mutant.file).into()
            })
        }

        /// Runs the models that `mutants` need, unchanged.
        fn baseline(&self, mutants: &[Mutant]) -> Result<(), Box<dyn Error>> {
            let mut tests: Vec<&str> = mutants.iter().map(|mutant| &*mutant.test).collect();
            tests.sort_unstable();
            tests.dedup();
            for test in tests {
                let (built, program) = self.compile(test)?;
                let program = program.ok_or_else(|| format!("{test}: {}", built.output))?;
                let ended = self.execute(&program)?;
                if !ended.status.is_some_and(|status| status.success()) {
                    return Err(format!("{test} fails unchanged:\n{}", ended.output).into());
                }
                if !ended.output.contains(" executions, ") {
                    return Err(format!("{test} ran no model").into());
                }
            }
            Ok(())
        }

        fn judge(&self, mutant: &Mutant) -> Result<Fate, Box<dyn Error>> {
            let place = self.work.join(&mutant.file);
            fs::write(&place, self.mutated(mutant)?)?;
            let (built, program) = self.compile(&mutant.test)?;
            let fate = match program {
                None => Fate {
                    killed: false,
                    how: match built.status {
                        Some(_) => "does not compile".into(),
                        None => format!("still building after {} s", BUILD_LIMIT.as_secs()),
                    },
                },
                Some(program) => fate(&self.execute(&program)?),
            };
            fs::copy(self.root.join(&mutant.file), &place)?;
            // A copy keeps the old time stamp on some systems; the next build must see it change.
            fs::File::options()
                .append(true)
                .open(&place)?
                .set_modified(std::time::SystemTime::now())?;
            Ok(fate)
        }

        /// Builds one model file; its program, if it compiled.
        fn compile(&self, test: &str) -> io::Result<(Ended, Option<PathBuf>)> {
            let mut cargo = Command::new(env!("CARGO"));
            cargo
                .current_dir(&self.work)
                .args(["test", "--offline", "--release", "-p", "loom-tests"])
                .args(["--no-run", "--message-format=json", "--test", test])
                .arg("--target-dir")
                .arg(&self.build)
                .env("RUSTFLAGS", LOOM_FLAG);
            let ended = run_limited(&mut cargo, BUILD_LIMIT, &self.build.join("compile"))?;
            let built = ended.status.is_some_and(|status| status.success());
            // The one artifact with an executable is the model file.
            let program = ended
                .output
                .split("\"executable\":\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .filter(|_| built)
                .map(PathBuf::from);
            Ok((ended, program))
        }

        fn execute(&self, program: &Path) -> io::Result<Ended> {
            let mut model = Command::new(program);
            model
                .args(["--nocapture", "--test-threads=1"])
                .env("RUST_BACKTRACE", "0");
            run_limited(&mut model, MODEL_LIMIT, &self.build.join("execute"))
        }
    }

    /// Reads from a model's end whether it noticed.
    fn fate(ended: &Ended) -> Fate {
        let Some(status) = ended.status else {
            return Fate {
                killed: false,
                how: format!("still running after {} s", MODEL_LIMIT.as_secs()),
            };
        };
        let panic = ended
            .output
            .lines()
            .skip_while(|line| !(line.starts_with("thread '") && line.contains(" panicked at ")));
        let message = panic.skip(1).take(1).collect::<String>();
        let endless = message.contains("maximum number of branches");
        let how = if status.success() {
            "its model passes".into()
        } else if message.is_empty() {
            format!("no panic: {status}")
        } else {
            message.chars().take(90).collect()
        };
        Fate {
            killed: !status.success() && !message.is_empty() && !endless,
            how,
        }
    }

    /// The library as far as the models reach.
    const LIBRARY: &str = "#![allow(missing_docs)]\npub mod sync;\n";
}
