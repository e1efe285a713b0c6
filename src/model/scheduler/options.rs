//! How a scheduler makes its runs, and what it has done.

use std::time::{Duration, Instant};

/// How a scheduler makes its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerOptions {
    /// Full pages of sequences are kept while nobody wants their place, so that a later sequence that begins with the same tokens does not compute them
    /// again.
    pub keeps_prefixes: bool,
    /// How long a run should take at most while sequences wait for their next token: parts of prompts have so many rows that it is met.
    pub run_target: Duration,
}

impl Default for SchedulerOptions {
    /// Prefixes are kept. A run takes 80 ms at most, so that with what follows it no sequence waits longer than a tenth of a second for its next token.
    fn default() -> Self {
        SchedulerOptions { keeps_prefixes: true, run_target: Duration::from_millis(80) }
    }
}

/// What a scheduler has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulerCounts {
    pub runs: u64,
    /// Rows of all runs that followed a drawn token.
    pub drawn_rows: u64,
    /// Rows of prompts, and of what was computed again.
    pub prompt_rows: u64,
    /// Tokens that sequences found computed by earlier ones.
    pub reused_tokens: u64,
    /// How often a sequence was put back, since no page was left.
    pub put_back: u64,
}

/// How long it has been since some instant.
pub(super) struct Clock(Box<dyn FnMut(&SchedulerCounts) -> Duration + Send>);

impl Clock {
    pub fn new(clock: impl FnMut(&SchedulerCounts) -> Duration + Send + 'static) -> Clock {
        Clock(Box::new(clock))
    }

    pub fn of_the_system() -> Clock {
        let start = Instant::now();
        Clock::new(move |_| start.elapsed())
    }

    pub fn now(&mut self, counts: &SchedulerCounts) -> Duration {
        (self.0)(counts)
    }
}
