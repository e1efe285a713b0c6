//! The choice of the next id: repeat penalty, top-k, top-p, min-p, temperature, then a draw that depends on (seed, position) alone.
//!
//! Probabilities are f64 over f32 logits. The draw walks the kept ids in id order until their running sum passes the random number.

use std::cell::RefCell;
use std::cmp::Ordering;

use crate::graph::NoChoice;
use crate::graph::philox::sample_draw;
use crate::plan::{Sample, ScalarRef};

use super::cache::History;
use super::step::StepContext;

/// Memory that a thread keeps from task to task.
#[derive(Default)]
struct SampleMemory {
    logits: Vec<f32>,
    penalized: Vec<u32>,
    candidates: Vec<(u32, f32)>,
    weights: Vec<f64>,
}

thread_local! {
    static MEMORY: RefCell<SampleMemory> = RefCell::default();
}

/// An id for each segment of the run, with the segment's settings; rows past the segments are not drawn.
pub(super) fn run(ctx: &StepContext<'_>, step: &Sample) {
    let (logits, out) = (ctx.f32(step.logits), ctx.out(step.out));
    let (blocks, segments) = (ctx.blocks, ctx.segments);
    ctx.threads.run(step.rows, |row| {
        let id = segments.get(row).map_or(0, |segment| {
            let history = step.history.map(|cache| segment.caches[cache.0 as usize].history());
            let logits = &logits[row * step.vocab..][..step.vocab];
            MEMORY.with_borrow_mut(|memory| draw(memory, step, &blocks[row], logits, history))
        });
        // SAFETY: the row is this task's alone.
        unsafe { out.range_mut::<i32>(row, 1) }.fill(id);
    });
}

/// Draws an id with the settings of a segment's parameter block, and records it in the history.
fn draw(memory: &mut SampleMemory, step: &Sample, block: &[u32], logits: &[f32], history: Option<&History>) -> i32 {
    let [temperature, top_k, top_p, min_p, penalty, last_n, seed] = step.settings;
    let bits = |scalar: ScalarRef| block[scalar.0 as usize];
    let float = |scalar| f32::from_bits(bits(scalar));
    let count = |scalar| usize::try_from(bits(scalar) as i32).unwrap_or(0);
    let position = bits(step.position) as i32;
    memory.logits.clear();
    memory.logits.extend_from_slice(logits);
    let recent = history.map(|history| history.recent_ids(usize::try_from(position).unwrap_or(0), count(last_n)));
    memory.penalize(recent.into_iter().flatten(), float(penalty));
    let settings = Settings {
        temperature: float(temperature),
        top_k: count(top_k),
        top_p: float(top_p),
        min_p: float(min_p),
        seed: bits(seed),
        position: position as u32,
    };
    let id = memory.no_choice().map_or_else(|| memory.choose(&settings) as i32, NoChoice::id);
    if let (Some(history), Ok(position)) = (history, usize::try_from(position)) {
        history.record(position, id);
    }
    id
}

struct Settings {
    temperature: f32,
    /// 0 keeps all.
    top_k: usize,
    top_p: f32,
    min_p: f32,
    seed: u32,
    position: u32,
}

impl SampleMemory {
    /// Divides positive logits of recent ids by the penalty and multiplies the others, once an id.
    fn penalize(&mut self, recent: impl Iterator<Item = i32>, penalty: f32) {
        if penalty == 1.0 || penalty <= 0.0 {
            return;
        }
        self.penalized.clear();
        self.penalized.extend(recent.filter_map(|id| u32::try_from(id).ok()));
        self.penalized.sort_unstable();
        self.penalized.dedup();
        for &id in &self.penalized {
            if let Some(logit) = self.logits.get_mut(id as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    /// Whether a logit is NaN or the largest infinite. Integers are compared, which becomes vector code.
    fn no_choice(&self) -> Option<NoChoice> {
        // Bits of magnitudes order as the magnitudes do, with inf and NaN above all numbers.
        let largest = self.logits.iter().fold(0, |m, x| m.max(x.to_bits() & 0x7FFF_FFFF));
        let infinite = f32::INFINITY.to_bits();
        if largest > infinite {
            return Some(NoChoice::Nan);
        }
        let is_infinite = || self.logits.contains(&f32::INFINITY) || self.logits.iter().all(|&x| x == f32::NEG_INFINITY);
        (largest == infinite && is_infinite()).then_some(NoChoice::Infinite)
    }

    fn choose(&mut self, settings: &Settings) -> u32 {
        if settings.temperature <= 0.0 {
            return self.argmax();
        }
        self.gather(settings.top_k);
        let candidates = &mut self.candidates;
        candidates.sort_unstable_by(by_logit);
        let Some(&(best, largest)) = candidates.first() else { return 0 };
        if !largest.is_finite() {
            return best;
        }
        let weight = |logit: f32, temperature: f32| (f64::from(logit - largest) / f64::from(temperature)).exp();
        self.weights.clear();
        self.weights.extend(candidates.iter().map(|c| (f64::from(c.1) - f64::from(largest)).exp()));
        // Top-p keeps the most likely ids up to and including the one with which their probability reaches p.
        if settings.top_p < 1.0 {
            let limit = f64::from(settings.top_p) * self.weights.iter().sum::<f64>();
            let mut sum = 0.0;
            let kept = self.weights.iter().position(|w| {
                sum += w;
                sum >= limit
            });
            candidates.truncate(kept.map_or(candidates.len(), |i| i + 1));
        }
        // The largest weight is 1, so a weight is already relative to it.
        let kept = self.weights[..candidates.len()].iter().take_while(|&&w| w >= f64::from(settings.min_p)).count().max(1);
        candidates.truncate(kept);
        candidates.sort_unstable_by_key(|c| c.0);
        self.weights.clear();
        self.weights.extend(candidates.iter().map(|c| weight(c.1, settings.temperature)));
        let target = f64::from(sample_draw(settings.seed, settings.position)) * self.weights.iter().sum::<f64>();
        let mut sum = 0.0;
        for (candidate, w) in candidates.iter().zip(&self.weights) {
            sum += w;
            if target < sum {
                return candidate.0;
            }
        }
        candidates.last().map_or(best, |c| c.0)
    }

    /// The `top_k` ids with the largest logits, of equal ones the lower, in no order; all ids for 0.
    fn gather(&mut self, top_k: usize) {
        let candidates = &mut self.candidates;
        candidates.clear();
        let all = self.logits.iter().enumerate().map(|(id, &logit)| (id as u32, logit));
        if top_k == 0 || top_k >= self.logits.len() {
            candidates.extend(all);
            return;
        }
        // Few ids pass the least of the best found so far; those that do are thinned out when they are twice as many as wanted. One that
        // equals that least logit comes after `top_k` others that are as large.
        let mut least = None;
        for (id, logit) in all {
            if least.is_none_or(|least| logit > least) {
                candidates.push((id, logit));
                if candidates.len() == 2 * top_k {
                    candidates.select_nth_unstable_by(top_k - 1, by_logit);
                    candidates.truncate(top_k);
                    least = candidates.last().map(|c| c.1);
                }
            }
        }
        if candidates.len() > top_k {
            candidates.select_nth_unstable_by(top_k - 1, by_logit);
            candidates.truncate(top_k);
        }
    }

    /// The lowest id of the largest logit.
    fn argmax(&self) -> u32 {
        let mut best = (0, f32::NEG_INFINITY);
        for (id, &logit) in self.logits.iter().enumerate() {
            if logit > best.1 {
                best = (id, logit);
            }
        }
        best.0 as u32
    }
}

/// The larger logit first, then the lower id.
fn by_logit(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal).then(a.0.cmp(&b.0))
}
