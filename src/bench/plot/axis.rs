//! Axes: from values to pixels, and where the ticks are.

/// A linear or logarithmic axis from `low` to `high` at pixels `start` to `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
    log: bool,
}

impl Axis {
    /// From 0 to at least `high`, which becomes a round number.
    pub fn linear(high: f64, start: f64, end: f64) -> Self {
        let step = round_step(high.max(f64::MIN_POSITIVE));
        Axis { low: 0.0, high: (high / step).ceil().max(1.0) * step, start, end, log: false }
    }

    /// Whole decades around the values, at least two.
    pub fn log(low: f64, high: f64, start: f64, end: f64) -> Self {
        let low = 10f64.powf(low.max(1e-30).log10().floor());
        let high = 10f64.powf(high.max(low * 100.0).log10().ceil());
        Axis { low, high, start, end, log: true }
    }

    pub fn low(&self) -> f64 {
        self.low
    }

    pub fn high(&self) -> f64 {
        self.high
    }

    /// The pixel of a value; values outside are moved to the edge.
    pub fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = if self.log {
            (value / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.start + share * (self.end - self.start)
    }

    /// Each decade, or four to ten round steps.
    pub fn ticks(&self) -> Vec<f64> {
        if self.log {
            let (low, high) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
            return (low..=high).map(|e| 10f64.powi(e)).collect();
        }
        let step = round_step(self.high);
        (0..=(self.high / step).round() as usize).map(|i| i as f64 * step).collect()
    }
}

/// 1, 2 or 5 by a power of ten, so that `high` is four to ten of it.
fn round_step(high: f64) -> f64 {
    let power = 10f64.powf((high / 10.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * power).find(|step| high / step <= 10.0 + 1e-9).unwrap_or(10.0 * power)
}

/// `0.01`, `5`, `20k`, `3M`
pub(super) fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = if value == 0.0 || value.abs() >= 1.0 && value.fract().abs() < 1e-9 {
        0
    } else {
        (1.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// A power of ten with its unit's prefix: `100 G`.
pub(super) fn short_si(value: f64) -> String {
    let unit = ((value.log10() + 1e-9) / 3.0).floor().clamp(0.0, 5.0);
    format!("{} {}", short(value / 1000f64.powf(unit)), ["", "k", "M", "G", "T", "P"][unit as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_end() {
        for high in [0.7, 3.0, 9.9, 10.0, 47.0, 1650.0, 4096.0, 1e6] {
            let axis = Axis::linear(high, 0.0, 100.0);
            let ticks = axis.ticks();
            assert!((4..=11).contains(&ticks.len()), "{high}: {ticks:?}");
            assert!(*ticks.last().unwrap() >= high && (axis.at(*ticks.last().unwrap()) - 100.0).abs() < 1e-6, "{high}: {ticks:?}");
        }
    }

    #[test]
    fn decades_surround_the_values() {
        let axis = Axis::log(0.3, 40.0, 100.0, 0.0);
        let ticks: Vec<String> = axis.ticks().into_iter().map(short).collect();
        assert_eq!(ticks, ["0.1", "1", "10", "100"]);
        assert_eq!((axis.at(0.1), axis.at(100.0), axis.at(1e9)), (100.0, 0.0, 0.0));
        assert!((axis.at(1.0) - 200.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.01, 0.25, 5.0, 1500.0, 20000.0, 3e6].map(short), ["0", "0.01", "0.25", "5", "1500", "20k", "3M"]);
    }
}
