//! The anchor: a reader never pairs a new window with an old offset.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use loom_tests::model_exhaustive;
use mainspring::sync::anchor::{Anchor, Sample};

/// One count a nanosecond, so that a reading's error is its offset's.
const FIRST: u64 = Anchor::CALIBRATION_NS;
/// The second window begins where the first has long ended, and the time has drifted by 1,000.
const SECOND: u64 = FIRST + 2 * Anchor::WINDOW;
const DRIFT_NS: u64 = 1_000;

#[test]
fn a_new_window_comes_with_its_offset() {
    model_exhaustive("anchor_new_window", || {
        let anchor = Arc::new(Anchor::new(Sample { count: 0, ns: 0 }));
        anchor.update(Sample {
            count: FIRST,
            ns: FIRST,
        });
        let writer = {
            let anchor = anchor.clone();
            thread::spawn(move || {
                anchor.update(Sample {
                    count: SECOND,
                    ns: SECOND + DRIFT_NS,
                })
            })
        };
        let ns = anchor.read(SECOND + 1);
        assert!(ns.is_none() || ns == Some(SECOND + 1 + DRIFT_NS), "{ns:?}");
        writer.join().unwrap();
        assert_eq!(anchor.read(SECOND + 1), Some(SECOND + 1 + DRIFT_NS));
    });
}

#[test]
fn the_first_window_comes_with_the_rate() {
    model_exhaustive("anchor_first_window", || {
        let anchor = Arc::new(Anchor::new(Sample { count: 0, ns: 0 }));
        let writers = [0, 1].map(|late| {
            let anchor = anchor.clone();
            let now = Sample {
                count: FIRST + late,
                ns: FIRST + late,
            };
            thread::spawn(move || anchor.update(now))
        });
        let ns = anchor.read(FIRST + 2);
        assert!(ns.is_none() || ns == Some(FIRST + 2), "{ns:?}");
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(anchor.read(FIRST + 2), Some(FIRST + 2));
    });
}
