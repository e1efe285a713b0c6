//! What a table says of a step's values.

use crate::tensor::HostTensor;

/// Sums and extremes of a tensor, in f64. `min`, `max` and `rms` are over the finite values; `sum` is over all, so that a NaN shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    pub count: usize,
    pub sum: f64,
    /// 0 where no value is finite.
    pub min: f64,
    pub max: f64,
    pub rms: f64,
    pub nan_count: usize,
    pub inf_count: usize,
    /// Row-major index of the first value that is NaN or infinite.
    pub first_nonfinite: Option<usize>,
}

impl Stats {
    pub fn of(tensor: &HostTensor) -> Self {
        let mut stats = Stats { count: tensor.len(), min: f64::INFINITY, max: f64::NEG_INFINITY, ..Stats::default() };
        let mut squares = 0.0;
        for i in 0..tensor.len() {
            let v = tensor.value(i);
            stats.sum += v;
            if v.is_finite() {
                stats.min = stats.min.min(v);
                stats.max = stats.max.max(v);
                squares += v * v;
            } else {
                stats.nan_count += usize::from(v.is_nan());
                stats.inf_count += usize::from(v.is_infinite());
                stats.first_nonfinite.get_or_insert(i);
            }
        }
        let n_finite = stats.count - stats.nan_count - stats.inf_count;
        if n_finite == 0 {
            (stats.min, stats.max) = (0.0, 0.0);
        } else {
            stats.rms = (squares / n_finite as f64).sqrt();
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_not_finite_and_leaves_it_out_of_the_extremes() {
        let stats = Stats::of(&HostTensor::f32([5], vec![3.0, f32::NAN, -4.0, f32::INFINITY, f32::NEG_INFINITY]));
        assert_eq!((stats.min, stats.max, stats.nan_count, stats.inf_count, stats.first_nonfinite), (-4.0, 3.0, 1, 2, Some(1)));
        assert!(stats.sum.is_nan());
        assert!((stats.rms - 12.5f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn an_empty_tensor_and_one_of_nan_alone_have_zero_extremes() {
        assert_eq!(Stats::of(&HostTensor::f32([0], vec![])), Stats::default());
        let stats = Stats::of(&HostTensor::f32([1], vec![f32::NAN]));
        assert_eq!((stats.min, stats.max, stats.rms), (0.0, 0.0, 0.0));
    }
}
