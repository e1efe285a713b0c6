//! Repeated measurements of one quantity.

use serde::{Deserialize, Serialize};

/// Minimum, median and maximum of repeated measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub n: usize,
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

/// Two runs of a program differ by this much for reasons that five repetitions within one need not show: clocks, placement of memory.
const LEAST_SPREAD: f64 = 0.03;

impl Summary {
    /// Of no measurements every figure is 0; the median of an even number is the mean of the middle two.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let Some((&min, &max)) = sorted.first().zip(sorted.last()) else {
            return Summary { n: 0, min: 0.0, median: 0.0, max: 0.0 };
        };
        let median = if n % 2 == 1 { sorted[n / 2] } else { 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]) };
        Summary { n, min, median, max }
    }

    /// Of the same measurements expressed as `amount` by each: seconds to tokens a second.
    pub fn rate(self, amount: f64) -> Self {
        let by = |v: f64| if v > 0.0 { amount / v } else { 0.0 };
        // The reciprocal of a median of two middle values is not quite the median of reciprocals; with an odd number it is.
        Summary { n: self.n, min: by(self.max), median: by(self.median), max: by(self.min) }
    }

    /// The stated uncertainty of the median, relative: the whole range, at least 3 %. One measurement states none.
    pub fn spread(self) -> Option<f64> {
        let range = if self.median > 0.0 { (self.max - self.min) / self.median } else { 0.0 };
        (self.n > 1).then_some(range.max(LEAST_SPREAD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]), Summary { n: 3, min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Summary::of(&[]), Summary { n: 0, min: 0.0, median: 0.0, max: 0.0 });
    }

    #[test]
    fn a_rate_turns_the_range_round() {
        let rate = Summary::of(&[1.0, 2.0, 4.0]).rate(8.0);
        assert_eq!((rate.min, rate.median, rate.max), (2.0, 4.0, 8.0));
        assert_eq!(rate.spread(), Some(1.5));
        assert_eq!(Summary::of(&[5.0, 5.0]).spread(), Some(LEAST_SPREAD));
        assert_eq!(Summary::of(&[5.0]).spread(), None);
    }
}
