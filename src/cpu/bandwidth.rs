//! How fast the processor's memory is: plain loops in the manner of STREAM (McCalpin, 1995), one that reads alone as decoding does, one that
//! copies.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use super::isa::{Isa, for_each_isa};
use crate::graph::Bandwidth;

/// Bytes of all threads' arrays together: well past the last-level cache of a large processor.
const TOTAL_BYTES: usize = 768 << 20;

/// The best of these counts, as in STREAM: others' work can only slow a round down.
const ROUNDS: usize = 9;

/// What `threads` threads move together, each in memory that it touched first. Takes about two seconds and 768 MB.
pub(super) fn bandwidth(isa: Isa, threads: usize) -> Bandwidth {
    let rate = |job: Job| measure(isa, threads.max(1), TOTAL_BYTES, job);
    Bandwidth { read: rate(read), copy: rate(copy) }
}

/// One pass over a thread's values.
type Job = fn(Isa, &mut [f32]);

fn read(isa: Isa, values: &mut [f32]) {
    black_box(sum(isa, values));
}

/// One half to the other: as many bytes move as the whole has. STREAM's "scale", as a plain copy would become a call of the C library,
/// which goes past the caches.
fn copy(isa: Isa, values: &mut [f32]) {
    let (from, to) = values.split_at_mut(values.len() / 2);
    scale(isa, from, to);
    black_box(to);
}

fn measure(isa: Isa, threads: usize, total_bytes: usize, job: Job) -> f64 {
    let len = (total_bytes / threads / size_of::<f32>()).max(1024);
    let barrier = Barrier::new(threads);
    let times: Vec<Vec<(Instant, Instant)>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| rounds(isa, len, &barrier, job))).collect();
        workers.into_iter().map(|w| w.join().unwrap_or_default()).collect()
    });
    let bytes = (len * size_of::<f32>() * threads) as f64;
    // From the first start to the last end: a thread that waits for memory delays the whole.
    let rate = |round: usize| {
        let of_round = || times.iter().filter_map(|t| t.get(round));
        let span = of_round().map(|t| t.0).min().zip(of_round().map(|t| t.1).max());
        let seconds = span.map_or(0.0, |(start, end)| (end - start).as_secs_f64());
        if seconds > 0.0 { bytes / seconds } else { 0.0 }
    };
    (0..ROUNDS).map(rate).fold(0.0, f64::max)
}

fn rounds(isa: Isa, len: usize, barrier: &Barrier, job: Job) -> Vec<(Instant, Instant)> {
    let mut values = vec![1.0f32; len];
    let round = |_| {
        barrier.wait();
        let start = Instant::now();
        job(isa, &mut values);
        (start, Instant::now())
    };
    (0..ROUNDS).map(round).collect()
}

for_each_isa! {
    /// Many sums side by side, so that no addition waits for the one before. The loop must be as wide as the machine's vectors: with SSE2 alone
    /// one processor asks for too few lines at once to keep its memory busy.
    fn sum(values: &[f32]) -> f32 {
        let mut sums = [0.0f32; 128];
        for chunk in values.chunks_exact(128) {
            for (sum, v) in sums.iter_mut().zip(chunk) {
                *sum += v;
            }
        }
        sums.iter().sum()
    }
}

for_each_isa! {
    fn scale(from: &[f32], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = 3.0 * from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_measurement_is_positive_and_finite() {
        for threads in [1, 2] {
            for job in [read as Job, copy] {
                let rate = measure(Isa::detect(), threads, 3 << 20, job);
                assert!(rate > 1e8 && rate.is_finite(), "{rate}");
            }
        }
    }
}
