//! How many rows of prompts a run has beside those of sequences that wait for their next token.

use std::time::Duration;

use super::super::generate::RUN_MIN;

/// Before anything was measured.
const FIRST_ROWS: usize = 64;

/// A run of prompts alone may take so many times as long: nobody waits for a token, but a sequence that is added or cancelled waits for its end.
const ALONE: usize = 4;

/// Follows what runs take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    target: Duration,
    rows: usize,
    most: usize,
}

impl Pace {
    /// `most`: the most rows of a run.
    pub fn new(target: Duration, most: usize) -> Pace {
        Pace { target, rows: FIRST_ROWS.min(most), most }
    }

    /// Rows of prompts in the next run; `alone` where all of its rows are of prompts.
    pub fn rows(&self, alone: bool) -> usize {
        if alone { (ALONE * self.rows).min(self.most) } else { self.rows }
    }

    /// A run with so many rows of prompts has taken `took`. A short one that was quick says nothing about a longer one.
    pub fn ran(&mut self, n_rows: usize, took: Duration) {
        if n_rows == 0 || took <= self.target && n_rows < self.rows {
            return;
        }
        let fitting = n_rows as f64 * self.target.as_secs_f64() / took.as_secs_f64().max(1e-9);
        // A run twice as long as one that was measured may take more than twice its time.
        self.rows = (fitting as usize).min(2 * n_rows).clamp(RUN_MIN.min(self.most), self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(80);

    /// Runs of a device that takes `row` for each row, and `each` for a run.
    fn after(pace: &mut Pace, n_runs: usize, row: Duration, each: Duration) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..n_runs {
            let n = pace.rows(false);
            took = each + row * n as u32;
            pace.ran(n, took);
        }
        took
    }

    #[test]
    fn rows_follow_what_runs_take() {
        let mut pace = Pace::new(TARGET, 512);
        let took = after(&mut pace, 8, Duration::from_micros(300), Duration::from_millis(4));
        assert!(took <= TARGET * 11 / 10 && took >= TARGET * 8 / 10, "{took:?}");
        // The same device with a long cache behind each row.
        let took = after(&mut pace, 8, Duration::from_micros(900), Duration::from_millis(4));
        assert!(took <= TARGET * 11 / 10 && took >= TARGET * 8 / 10, "{took:?}");
        after(&mut pace, 8, Duration::from_micros(1), Duration::ZERO);
        assert_eq!((pace.rows(false), pace.rows(true)), (512, 512), "no more than a run holds");
        after(&mut pace, 8, Duration::from_millis(100), Duration::ZERO);
        assert_eq!((pace.rows(false), pace.rows(true)), (RUN_MIN, 4 * RUN_MIN), "and never none");
    }

    #[test]
    fn the_end_of_a_prompt_changes_nothing() {
        let mut pace = Pace::new(TARGET, 512);
        after(&mut pace, 8, Duration::from_micros(300), Duration::ZERO);
        let rows = pace.rows(false);
        pace.ran(3, Duration::from_millis(20));
        pace.ran(0, Duration::from_millis(500));
        assert_eq!(pace.rows(false), rows);
    }
}
