//! Breaks what holds the runtime's parts together, one line at a time; some schedule must show each.
//!
//! ```text
//! cargo run -p shuttle-tests --bin breaks [--only NAME]... [--list]
//!
//!  src ──copy──▶ target/breaks/work ──one replacement──▶ build ──▶ run its scenario, by seed
//!                                                                     │
//!                   killed: a schedule fails ◀────────────────────────┤
//!     not killed: none does, it does not compile or runs out of time ◀┘
//! ```
//!
//! `--only` takes the start of a name. The breaks are in files that no model of `loom-tests/` reaches:
//! each protocol by itself stays as it is. `MAINSPRING_SHUTTLE_SCHEDULES` is how many schedules of
//! each kind one gets, 300 if nothing is said.

#[cfg(mainspring_shuttle)]
fn main() {}

#[cfg(not(mainspring_shuttle))]
fn main() -> std::process::ExitCode {
    match job::run() {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("breaks: {reason}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(mainspring_shuttle))]
mod job {
    use loom_tests::patch::{copy_folder, manifest, replaced};
    use loom_tests::runner::{Ended, repository, run_limited};
    use serde::Deserialize;
    use std::error::Error;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::{Duration, Instant, SystemTime};
    use std::{fs, io};

    const FLAG: &str = "--cfg mainspring_shuttle";
    const SCHEDULES: &str = "300";
    const BUILD_LIMIT: Duration = Duration::from_secs(600);
    const RUN_LIMIT: Duration = Duration::from_secs(120);

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Breaks {
        r#break: Vec<Break>,
    }

    /// One replacement, and the scenario that must notice.
    #[derive(Clone, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Break {
        name: String,
        /// Below the root of the repository.
        file: String,
        /// Must be in the file exactly once; white space does not count.
        find: String,
        replace: String,
        scenario: String,
        /// What the replacement breaks.
        breaks: String,
    }

    /// Runs what the arguments ask for; whether every break was noticed.
    pub(crate) fn run() -> Result<bool, Box<dyn Error>> {
        let root = repository();
        let text = fs::read_to_string(root.join("shuttle-tests/breaks.toml"))?;
        let mut breaks = toml::from_str::<Breaks>(&text)?.r#break;
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
        for one in &breaks {
            bench.broken(one)?; // all are checked, also those that are not asked for
        }
        if !only.is_empty() {
            breaks.retain(|one| only.iter().any(|name| one.name.starts_with(name)));
        }
        if breaks.is_empty() {
            return Err("no break of that name".into());
        }
        if list {
            for one in &breaks {
                println!("{:34} {}", one.name, one.breaks);
            }
            return Ok(true);
        }
        bench.baseline(&breaks)?;
        let mut unnoticed = 0;
        for one in &breaks {
            let begun = Instant::now();
            let noticed = bench.judge(one)?;
            unnoticed += u32::from(noticed.is_err());
            let verdict = if noticed.is_ok() {
                "killed"
            } else {
                "SURVIVED"
            };
            let seconds = begun.elapsed().as_secs_f64();
            let how = noticed.unwrap_or_else(|how| how);
            println!("{verdict:8} {:34} {seconds:5.1} s  {how}", one.name);
        }
        println!("{} breaks, {unnoticed} not killed", breaks.len());
        Ok(unnoticed == 0)
    }

    /// The scratch copy that the breaks are built in.
    struct Bench {
        root: PathBuf,
        work: PathBuf,
        build: PathBuf,
    }

    impl Bench {
        fn new(root: PathBuf) -> Result<Self, Box<dyn Error>> {
            let work = root.join("target/breaks/work");
            let build = root.join("target/breaks/build");
            if work.exists() {
                fs::remove_dir_all(&work)?;
            }
            fs::create_dir_all(&work)?;
            fs::create_dir_all(&build)?;
            for folder in ["src", "loom-tests", "shuttle-tests", "tests/common"] {
                copy_folder(&root.join(folder), &work.join(folder))?;
            }
            fs::copy(root.join("Cargo.lock"), work.join("Cargo.lock"))?;
            let members = ["loom-tests", "shuttle-tests"];
            fs::write(work.join("Cargo.toml"), manifest(&root, &members)?)?;
            Ok(Self { root, work, build })
        }

        /// The text of the file with its replacement made.
        fn broken(&self, one: &Break) -> Result<String, Box<dyn Error>> {
            let Break { name, file, .. } = one;
            let text = fs::read_to_string(self.root.join(file))
                .map_err(|error| format!("{name}: file {file}: {error}"))?;
            replaced(&text, &one.find, &one.replace)
                .map_err(|error| format!("{name}: find: {error} in {file}").into())
        }

        /// Runs the scenarios that `breaks` need, unchanged.
        fn baseline(&self, breaks: &[Break]) -> Result<(), Box<dyn Error>> {
            let (built, program) = self.compile()?;
            let program = program.ok_or(built.output)?;
            let mut scenarios: Vec<&str> = breaks.iter().map(|one| &*one.scenario).collect();
            scenarios.sort_unstable();
            scenarios.dedup();
            for scenario in scenarios {
                let ended = self.execute(&program, scenario)?;
                if !ended.status.is_some_and(|status| status.success()) {
                    return Err(format!("{scenario} fails unchanged:\n{}", ended.output).into());
                }
                if !ended.output.contains(&format!("{scenario}: ")) {
                    return Err(format!("{scenario}: no such scenario").into());
                }
            }
            Ok(())
        }

        /// The seed that shows it; else why there is none.
        fn judge(&self, one: &Break) -> Result<Result<String, String>, Box<dyn Error>> {
            let place = self.work.join(&one.file);
            fs::write(&place, self.broken(one)?)?;
            let (built, program) = self.compile()?;
            let noticed = match program {
                None => Err(match built.status {
                    Some(_) => format!("does not compile:\n{}", built.output),
                    None => format!("still building after {} s", BUILD_LIMIT.as_secs()),
                }),
                Some(program) => seed(&self.execute(&program, &one.scenario)?),
            };
            fs::copy(self.root.join(&one.file), &place)?;
            // A copy keeps the old time stamp on some systems; the next build must see it change.
            let file = fs::File::options().append(true).open(&place)?;
            file.set_modified(SystemTime::now())?;
            Ok(noticed)
        }

        /// Builds the scenarios; their program, if they compiled.
        fn compile(&self) -> io::Result<(Ended, Option<PathBuf>)> {
            let mut cargo = Command::new(env!("CARGO"));
            cargo
                .current_dir(&self.work)
                .args(["test", "--offline", "-p", "shuttle-tests", "--no-run"])
                .args(["--message-format=json", "--test", "schedules"])
                .arg("--target-dir")
                .arg(&self.build)
                .env("RUSTFLAGS", FLAG);
            let ended = run_limited(&mut cargo, BUILD_LIMIT, &self.build.join("compile"))?;
            let built = ended.status.is_some_and(|status| status.success());
            let mut artifacts = ended.output.lines();
            let scenarios = artifacts.find(|line| line.contains("\"name\":\"schedules\""));
            let program = scenarios
                .and_then(|line| line.split("\"executable\":\"").nth(1))
                .and_then(|rest| rest.split('"').next())
                .filter(|_| built)
                .map(PathBuf::from);
            Ok((ended, program))
        }

        fn execute(&self, program: &Path, scenario: &str) -> io::Result<Ended> {
            let mut scenarios = Command::new(program);
            scenarios.args(["--nocapture", "--test-threads=1", scenario]);
            scenarios.env("RUST_BACKTRACE", "0");
            if std::env::var_os("MAINSPRING_SHUTTLE_SCHEDULES").is_none() {
                scenarios.env("MAINSPRING_SHUTTLE_SCHEDULES", SCHEDULES);
            }
            run_limited(&mut scenarios, RUN_LIMIT, &self.build.join("execute"))
        }
    }

    /// Reads from a scenario's end which schedule failed.
    fn seed(ended: &Ended) -> Result<String, String> {
        let Some(status) = ended.status else {
            return Err(format!("still running after {} s", RUN_LIMIT.as_secs()));
        };
        let seed = ended.output.split("MAINSPRING_SHUTTLE_SEED=").nth(1);
        match seed.and_then(|rest| rest.split(' ').next()) {
            Some(seed) if !status.success() => {
                let panics = ended.output.rsplit_once(" panicked at ");
                let text = panics.and_then(|(_, panic)| panic.lines().nth(1));
                let text: String = text.unwrap_or_default().chars().take(70).collect();
                Ok(format!("{seed}: {text}"))
            }
            _ if status.success() => Err("all schedules pass".into()),
            _ => Err(format!("no schedule is named: {status}")),
        }
    }
}
