//! Makes a failing run smaller, by what it drew rather than by what it did.
//!
//! ```text
//!   tapes of a failing run ──▶ a change ──▶ played: fails for the same reason, and is smaller?
//!             ▲                                        │ yes
//!             └────────────────────────────────────────┘
//! ```
//!
//! A fault is a number on a tape, a test's count of messages another, and 0 always is the simplest.
//! So the shrinker knows nothing of actors: it cuts, clears and lowers numbers. A tape that ends
//! goes on with zeros.

/// How many runs a failure may cost.
const TRIES: u32 = 500;

/// What the three generators of a run gave out.
#[derive(Clone, Debug, Default)]
pub(super) struct Tapes {
    pub(super) test: Vec<u64>,
    pub(super) order: Vec<u64>,
    pub(super) faults: Vec<u64>,
}

/// A failing run, and how large it is: in the order of what weighs more.
#[derive(Clone, Debug)]
pub(super) struct Smaller {
    pub(super) faults: u64,
    pub(super) turns: u64,
    pub(super) numbers: u128,
    pub(super) tapes: Tapes,
}

impl Smaller {
    fn size(&self) -> (u64, u64, u128, usize, usize) {
        let nonzero = |tape: &[u64]| tape.iter().filter(|&&number| number != 0).count();
        let Tapes { test, order, .. } = &self.tapes;
        (
            self.faults,
            self.turns,
            self.numbers,
            test.len(),
            nonzero(order),
        )
    }
}

/// One of the three.
type Part = fn(&mut Tapes) -> &mut Vec<u64>;

/// The smallest failing run that was found. `play` runs what is on tapes; a run if it fails for the
/// same reason, with what it drew.
pub(super) fn shrink(first: Smaller, play: impl FnMut(&Tapes) -> Option<Smaller>) -> Smaller {
    let mut search = Search {
        best: first,
        play,
        left: TRIES,
    };
    let parts: [Part; 3] = [
        |tapes| &mut tapes.faults,
        |tapes| &mut tapes.test,
        |tapes| &mut tapes.order,
    ];
    loop {
        let before = search.best.size();
        for part in parts {
            search.blocks(part);
            search.lower(part);
        }
        if search.left == 0 || search.best.size() == before {
            return search.best;
        }
    }
}

struct Search<P> {
    best: Smaller,
    play: P,
    left: u32,
}

impl<P: FnMut(&Tapes) -> Option<Smaller>> Search<P> {
    /// Tries a change; whether the run is smaller by it.
    fn try_with(&mut self, change: impl FnOnce(&mut Tapes)) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let mut tapes = self.best.tapes.clone();
        change(&mut tapes);
        let run = (self.play)(&tapes);
        let Some(run) = run.filter(|run| run.size() < self.best.size()) else {
            return false;
        };
        self.best = run;
        true
    }

    /// Cuts and clears blocks, from all of the tape to single numbers.
    fn blocks(&mut self, part: Part) {
        let mut length = part(&mut self.best.tapes).len();
        while length > 0 && self.left > 0 {
            let mut at = 0;
            while at < part(&mut self.best.tapes).len() && self.left > 0 {
                let end = (at + length).min(part(&mut self.best.tapes).len());
                let idle = part(&mut self.best.tapes)[at..end].iter().all(|&n| n == 0);
                if !idle && self.try_with(|tapes| part(tapes)[at..end].fill(0)) {
                    continue;
                }
                let cut = |tapes: &mut Tapes| drop(part(tapes).drain(at..end));
                if idle || !self.try_with(cut) {
                    at = end;
                }
            }
            length /= 2;
        }
    }

    /// Halves numbers, and takes one off.
    fn lower(&mut self, part: Part) {
        let mut at = 0;
        while at < part(&mut self.best.tapes).len() && self.left > 0 {
            let number = part(&mut self.best.tapes)[at];
            let halved = number > 1 && self.try_with(|tapes| part(tapes)[at] = number / 2);
            let less = number > 1 && !halved && self.try_with(|tapes| part(tapes)[at] = number - 1);
            if !halved && !less {
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_two_numbers_is_shrunk_to_them() {
        // Fails with a fault and a number of 7 or more; the others are of no account.
        let play = |tapes: &Tapes| {
            let faults = tapes.faults.iter().filter(|&&fault| fault == 9).count();
            let large = tapes.test.iter().any(|&number| number >= 7);
            (faults > 0 && large).then(|| Smaller {
                faults: faults as u64,
                turns: tapes.test.len() as u64,
                numbers: tapes.test.iter().map(|&number| u128::from(number)).sum(),
                tapes: tapes.clone(),
            })
        };
        let tapes = Tapes {
            test: vec![3, 90, 5, 1_000_000, 2],
            order: vec![4, 4, 4],
            faults: vec![0, 9, 0, 9, 9, 0],
        };
        let least = shrink(play(&tapes).expect("it fails"), play);
        // Numbers that are 0 may stay where they are.
        let mut numbers = least.tapes.test;
        numbers.retain(|&number| number != 0);
        assert_eq!((least.faults, numbers), (1, vec![7]));
        assert_eq!(least.tapes.order, [0, 0, 0]);
    }
}
