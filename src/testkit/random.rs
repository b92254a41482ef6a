//! The numbers of a simulation, which can be written down and played again, changed.

/// A small generator: splitmix64. The same seed gives the same numbers on every platform.
#[derive(Debug)]
pub struct Random {
    state: u64,
    tape: Option<Tape>,
}

/// The numbers that were drawn; and those to give out first, if it is played.
#[derive(Debug, Default)]
struct Tape {
    written: Vec<u64>,
    played: Option<Vec<u64>>,
}

impl Clone for Random {
    /// A generator that goes on from here by itself.
    fn clone(&self) -> Self {
        Self::new(self.state)
    }
}

impl Random {
    /// The generator of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed,
            tape: None,
        }
    }

    /// One that writes its numbers down, and gives out those of `played` while there are any, then
    /// zeros.
    pub(super) fn taped(seed: u64, played: Option<Vec<u64>>) -> Self {
        let written = Vec::new();
        Self {
            state: seed,
            tape: Some(Tape { written, played }),
        }
    }

    /// The numbers that were drawn.
    pub(super) fn written(&self) -> &[u64] {
        self.tape.as_ref().map_or(&[], |tape| &tape.written)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.draw(|bits| bits, u64::MAX)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let scale = |bits| ((u128::from(bits) * u128::from(bound)) >> 64) as u64;
        self.draw(scale, bound.saturating_sub(1))
    }

    /// True once in `times`; never for 0.
    pub fn one_in(&mut self, times: u64) -> bool {
        // The simplest number, 0, is what mostly comes.
        times > 0 && self.below(times) == times - 1
    }

    fn draw(&mut self, of: impl FnOnce(u64) -> u64, most: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = of(z ^ (z >> 31));
        let Some(tape) = &mut self.tape else {
            return drawn;
        };
        let number = match &tape.played {
            Some(played) => played.get(tape.written.len()).copied().unwrap_or(0),
            None => drawn,
        };
        let number = number.min(most);
        tape.written.push(number);
        number
    }
}
