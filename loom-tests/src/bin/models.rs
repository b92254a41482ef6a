//! Runs every model and fails when one fails or when a model file ran none.
//!
//! ```text
//! cargo run -p loom-tests --bin models [FILE...]
//! ```
//!
//! Builds without link-time optimization, which would cost more than it saves here.

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    match job::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("models: {reason}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(loom))]
mod job {
    use loom_tests::runner::{LOOM_FLAG, model_files, repository};
    use std::error::Error;
    use std::fs;
    use std::process::Command;

    pub(crate) fn run() -> Result<(), Box<dyn Error>> {
        let root = repository();
        let mut files = model_files(&root.join("loom-tests/tests"))?;
        let asked: Vec<String> = std::env::args().skip(1).collect();
        if !asked.is_empty() {
            files.retain(|file| asked.contains(file));
        }
        if files.is_empty() {
            return Err("no model file to run".into());
        }
        let target = root.join("target/loom");
        fs::create_dir_all(&target)?;
        let log = target.join("models.log");
        let (mut models, mut executions, mut empty) = (0, 0, Vec::new());
        for file in &files {
            fs::write(&log, "")?;
            let status = Command::new(env!("CARGO"))
                .current_dir(&root)
                .args(["test", "-p", "loom-tests", "--release", "--target-dir"])
                .arg(&target)
                .args(["--test", file, "--", "--nocapture", "--test-threads=1"])
                .env("RUSTFLAGS", LOOM_FLAG)
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
                .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
                .env("MAINSPRING_MODEL_LOG", &log)
                .status()?;
            if !status.success() {
                return Err(format!("a model in {file} failed").into());
            }
            let lines = fs::read_to_string(&log)?;
            if lines.is_empty() {
                empty.push(file.as_str());
            }
            for line in lines.lines() {
                models += 1;
                let count = line.split(' ').nth(1).unwrap_or_default();
                executions += count.parse::<u64>()?;
            }
        }
        println!(
            "{models} models in {} files, {executions} executions",
            files.len()
        );
        if !empty.is_empty() {
            return Err(format!("these files ran no model: {}", empty.join(", ")).into());
        }
        Ok(())
    }
}
