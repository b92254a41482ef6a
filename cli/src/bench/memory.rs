//! Resident memory: how much there is, and the most there was during a window.

use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::machine::kilobytes;

/// Watches the peak of the process's resident memory from its creation on.
///
/// Linux keeps the peak itself and lets a process reset it. Where that is not allowed, a thread
/// looks every [`SAMPLE_EVERY`] and misses what comes and goes in between.
pub(crate) struct PeakWatch(Source);

const SAMPLE_EVERY: Duration = Duration::from_millis(2);

enum Source {
    Kernel,
    Sampler {
        stop: mpsc::Sender<()>,
        thread: JoinHandle<u64>,
    },
}

impl PeakWatch {
    pub(crate) fn begin() -> PeakWatch {
        // 5 resets the "high water mark" of resident memory: proc_pid_clear_refs(5).
        match fs::write("/proc/self/clear_refs", "5") {
            Ok(()) => PeakWatch(Source::Kernel),
            Err(_) => PeakWatch::by_sampling(),
        }
    }

    fn by_sampling() -> PeakWatch {
        let (stop, stopped) = mpsc::channel();
        let sample = move || {
            let mut peak = resident_bytes();
            while stopped.recv_timeout(SAMPLE_EVERY) == Err(RecvTimeoutError::Timeout) {
                peak = peak.max(resident_bytes());
            }
            peak.max(resident_bytes())
        };
        PeakWatch(Source::Sampler {
            stop,
            thread: thread::spawn(sample),
        })
    }

    /// The peak since `begin`, in bytes; 0 where the system does not tell.
    pub(crate) fn end(self) -> u64 {
        match self.0 {
            Source::Kernel => {
                let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
                kilobytes(&status, "VmHWM").unwrap_or(0)
            }
            Source::Sampler { stop, thread } => {
                drop(stop);
                thread.join().unwrap_or(0)
            }
        }
    }
}

/// The process's resident memory now, in bytes; 0 where the system does not tell.
pub(crate) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    kilobytes(&status, "VmRSS").unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK_BYTES: usize = 64 << 20;

    // One test, since both watch the one process; and the block is kept to the end, since another
    // test may reset the kernel's mark in between.
    #[test]
    fn the_peak_contains_a_block_in_use() {
        for begin in [PeakWatch::begin, PeakWatch::by_sampling] {
            let before = resident_bytes();
            let watch = begin();
            let block = std::hint::black_box(vec![1u8; BLOCK_BYTES]);
            let peak = watch.end();
            drop(block);
            assert!(
                peak.saturating_sub(before) > BLOCK_BYTES as u64 / 2,
                "{before} then {peak}"
            );
        }
    }
}
