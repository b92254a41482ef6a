//! How far a run is: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Is told of every step of a run.
pub(crate) trait Progress {
    /// `runs` runs will follow.
    fn begin(&mut self, runs: usize);
    fn running(&mut self, round: usize, rounds: usize, id: &str);
    /// The run gave `headline`, written for people.
    fn done(&mut self, round: usize, rounds: usize, id: &str, headline: &str);
    /// A run of a case that has been wrong before is left out.
    fn skipped(&mut self);
    fn wrong(&mut self, id: &str, reason: &str);
    fn end(&mut self);
}

/// The progress for this process's error output.
pub(crate) fn for_stderr() -> Box<dyn Progress> {
    if stderr().is_terminal() {
        Box::new(Bar(ProgressBar::hidden()))
    } else {
        Box::new(Lines)
    }
}

struct Bar(ProgressBar);

impl Progress for Bar {
    fn begin(&mut self, runs: usize) {
        let style =
            ProgressStyle::with_template("{bar:30.cyan/dim} {pos}/{len} {eta:>4} {wide_msg}")
                .expect("the template is well formed");
        self.0 = ProgressBar::new(runs as u64).with_style(style.progress_chars("━╸─"));
        self.0.enable_steady_tick(Duration::from_millis(200));
    }

    fn running(&mut self, round: usize, rounds: usize, id: &str) {
        self.0.set_message(format!("round {round}/{rounds}  {id}"));
    }

    fn done(&mut self, _: usize, _: usize, _: &str, _: &str) {
        self.0.inc(1);
    }

    fn skipped(&mut self) {
        self.0.inc(1);
    }

    fn wrong(&mut self, id: &str, reason: &str) {
        self.0.println(format!("wrong: {id}: {reason}"));
        self.0.inc(1);
    }

    fn end(&mut self) {
        self.0.finish_and_clear();
    }
}

struct Lines;

impl Progress for Lines {
    fn begin(&mut self, runs: usize) {
        eprintln!("{runs} runs");
    }

    fn running(&mut self, _: usize, _: usize, _: &str) {}

    fn done(&mut self, round: usize, rounds: usize, id: &str, headline: &str) {
        eprintln!("round {round}/{rounds}  {id}  {headline}");
    }

    fn skipped(&mut self) {}

    fn wrong(&mut self, id: &str, reason: &str) {
        eprintln!("wrong: {id}: {reason}");
    }

    fn end(&mut self) {}
}

/// Says nothing.
#[cfg(test)]
pub(crate) struct Silent;

#[cfg(test)]
impl Progress for Silent {
    fn begin(&mut self, _: usize) {}
    fn running(&mut self, _: usize, _: usize, _: &str) {}
    fn done(&mut self, _: usize, _: usize, _: &str, _: &str) {}
    fn skipped(&mut self) {}
    fn wrong(&mut self, _: &str, _: &str) {}
    fn end(&mut self) {}
}
