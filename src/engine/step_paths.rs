//! One decode step by two ways: through the generate loop as chat runs it, and straight from its recording.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::bench::{PathRatio, Report, StepPath, Summary};
use crate::graph::Sampling;

use super::EngineError;
use super::measure::{Bench, prompt};

/// Tokens before the steps that are measured.
const CACHED: usize = 1;
/// Where they are short, both ways are measured for so long, up to so many times: the more neighbours, the less one pair's noise weighs.
const LONG: Duration = Duration::from_secs(4);
const MOST_RUNS: usize = 100;

/// The wall's and the processor's clock.
#[derive(Clone, Copy)]
struct Clocks {
    wall: Instant,
    processor: Option<f64>,
}

impl Clocks {
    fn now() -> Self {
        Clocks { wall: Instant::now(), processor: processor_seconds() }
    }
}

/// Sums over measurements of one way.
#[derive(Default)]
struct Spent {
    wall: Vec<f64>,
    processor: Vec<f64>,
}

impl Spent {
    fn add(&mut self, since: Clocks, steps: usize) {
        let now = Clocks::now();
        self.wall.push(now.wall.duration_since(since.wall).as_secs_f64() / steps as f64);
        self.processor.extend(now.processor.zip(since.processor).map(|(now, before)| (now - before) / steps as f64));
    }

    fn path(&self, name: &str) -> StepPath {
        let processor_seconds = (!self.processor.is_empty()).then(|| Summary::of(&self.processor));
        StepPath { name: name.to_owned(), seconds: Summary::of(&self.wall), processor_seconds }
    }
}

fn ratio(of: &Spent, over: &Spent) -> PathRatio {
    let ratios = |a: &[f64], b: &[f64]| Summary::of(&a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>());
    let processor_seconds = (!of.processor.is_empty()).then(|| ratios(&of.processor, &over.processor));
    PathRatio { seconds: ratios(&of.wall, &over.wall), processor_seconds }
}

impl Bench<'_> {
    /// Both ways in turn, each for `n` steps, at least `runs` times; nothing where the backend runs no recordings.
    pub(super) fn step_paths(
        &mut self,
        n: usize,
        runs: usize,
        report: &mut Report,
        on_progress: &mut impl FnMut(&str),
    ) -> Result<(), EngineError> {
        on_progress("decode through the generate loop, and straight from the recording");
        let (mut by_loop, mut by_recording) = (Spent::default(), Spent::default());
        // Once uncounted: buffers and bind groups may be new.
        let began = self.through_loop(n)?;
        let mut step = began.wall.elapsed() / n as u32;
        if self.by_recording(n, step)?.is_none() {
            return Ok(());
        }
        let all_began = Instant::now();
        for run in 0..runs.max(MOST_RUNS) {
            if run >= runs && all_began.elapsed() > LONG {
                break;
            }
            // In turn also which comes first.
            for is_loop in [run % 2 == 0, run % 2 == 1] {
                if is_loop {
                    let began = self.through_loop(n)?;
                    by_loop.add(began, n);
                    step = began.wall.elapsed() / n as u32;
                } else {
                    let Some(began) = self.by_recording(n, step)? else { return Ok(()) };
                    by_recording.add(began, n);
                }
            }
        }
        report.path_ratio = Some(ratio(&by_loop, &by_recording));
        report.step_paths = vec![by_loop.path("through the generate loop"), by_recording.path("straight from the recording")];
        Ok(())
    }

    /// Generates `n` tokens after the first one; the clocks when the first one was there.
    fn through_loop(&mut self, n: usize) -> Result<Clocks, EngineError> {
        self.generator.context_mut().clear();
        let ids = prompt(CACHED, self.model.config.vocab_len);
        let mut began = None;
        let on_token = |_| {
            began.get_or_insert_with(Clocks::now);
            ControlFlow::Continue(())
        };
        self.generator.generate(&ids, Sampling::default(), n + 1, |_| false, |_| ControlFlow::Continue(()), on_token)?;
        Ok(began.unwrap_or_else(Clocks::now))
    }

    /// The same steps from the recording, as many a submit as the loop gives that knows how long a step takes; the clocks before the first.
    fn by_recording(&mut self, n: usize, step: Duration) -> Result<Option<Clocks>, EngineError> {
        let (compiled, args) = self.one_run(CACHED, 1)?;
        // A recording that goes from position to position would be wrong at all but the first.
        if compiled.pinned.is_some() {
            return Ok(None);
        }
        let mut began = None;
        let mut begin = || began = Some(Clocks::now());
        let mut executor = self.model.executor.lock();
        let a_submit = executor.runs_a_submit(step);
        let ran = executor.replay(compiled.program, &args, n, a_submit, &mut begin)?;
        Ok(began.filter(|_| ran))
    }
}

/// Seconds that all threads of this process have used of the processors, where the system tells.
pub fn processor_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Some(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
    }
    #[cfg(not(unix))]
    None
}
