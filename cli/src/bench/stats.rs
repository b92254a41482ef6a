//! Order statistics of a handful of rounds.

/// What the rounds of one measure say: the middle, the middle half, and the ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) rounds: usize,
    pub(crate) min: f64,
    pub(crate) q1: f64,
    pub(crate) median: f64,
    pub(crate) q3: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// Summarizes `values`, or nothing when there are none or one is not a number.
    pub(crate) fn of(values: &[f64]) -> Option<Summary> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Summary {
            rounds: sorted.len(),
            min: sorted[0],
            q1: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            q3: quantile(&sorted, 0.75),
            max: sorted[sorted.len() - 1],
        })
    }

    /// The spread as a share of the median: (q3 - q1) / median; 0 when the median is 0.
    pub(crate) fn spread(&self) -> f64 {
        if self.median == 0.0 {
            0.0
        } else {
            (self.q3 - self.q1) / self.median.abs()
        }
    }
}

/// The value below which the share `q` of `sorted` lies, interpolated between neighbors.
///
/// Hyndman and Fan's type 7, "Sample Quantiles in Statistical Packages" (1996): the default of R
/// and NumPy.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = position.ceil() as usize;
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_those_of_r() {
        // R: quantile(c(1, 2, 4, 8, 16, 32)) gives 1.0 2.5 6.0 14.0 32.0
        let summary = Summary::of(&[32.0, 1.0, 8.0, 2.0, 16.0, 4.0]).unwrap();
        assert_eq!(
            summary,
            Summary {
                rounds: 6,
                min: 1.0,
                q1: 2.5,
                median: 6.0,
                q3: 14.0,
                max: 32.0
            }
        );
    }

    #[test]
    fn one_round_is_its_own_summary() {
        let summary = Summary::of(&[7.0]).unwrap();
        assert_eq!((summary.min, summary.median, summary.max), (7.0, 7.0, 7.0));
        assert_eq!(summary.spread(), 0.0);
    }

    #[test]
    fn the_median_of_an_odd_count_is_a_value_of_it() {
        assert_eq!(Summary::of(&[9.0, 1.0, 5.0]).unwrap().median, 5.0);
    }

    #[test]
    fn spread_is_the_middle_half_over_the_median() {
        // R: IQR(c(90, 100, 110, 120)) / median(c(90, 100, 110, 120)) gives 15 / 105
        let summary = Summary::of(&[90.0, 100.0, 110.0, 120.0]).unwrap();
        assert!((summary.spread() - 15.0 / 105.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_and_not_a_number_have_no_summary() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
        assert_eq!(Summary::of(&[1.0, f64::INFINITY]), None);
    }
}
