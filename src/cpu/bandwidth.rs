//! How fast the processor reads memory: plain loops in the manner of STREAM (McCalpin, 1995).

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

/// Bytes a second of all threads together, best of several rounds as STREAM counts it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bandwidth {
    /// Reading alone: what decoding does.
    pub read: f64,
    /// `a = b + s · c`: two parts read, one written.
    pub triad: f64,
}

/// Bytes of all three arrays together: well past the last-level cache of a large processor.
const TOTAL_BYTES: usize = 768 << 20;
const ROUNDS: usize = 7;

/// Measures with `threads` threads, each on memory that it touched first. Takes about a second and 768 MB.
pub fn cpu_bandwidth(threads: usize) -> Bandwidth {
    measure(threads.max(1), TOTAL_BYTES)
}

/// Start and end of reading, and of the triad.
type Round = [Instant; 4];

fn measure(threads: usize, total_bytes: usize) -> Bandwidth {
    let len = (total_bytes / 3 / threads / size_of::<f64>()).max(1024);
    let barrier = Barrier::new(threads);
    let times: Vec<Vec<Round>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| rounds(len, &barrier))).collect();
        workers.into_iter().map(|w| w.join().unwrap_or_default()).collect()
    });
    let bytes = (3 * len * size_of::<f64>() * threads) as f64;
    // From the first start to the last end: a thread that waits for memory delays the whole.
    let rate = |round: usize, start: usize, end: usize| {
        let of_round = || times.iter().filter_map(|t| t.get(round));
        let span = of_round().map(|t| t[start]).min().zip(of_round().map(|t| t[end]).max());
        let seconds = span.map_or(0.0, |(start, end)| (end - start).as_secs_f64());
        if seconds > 0.0 { bytes / seconds } else { 0.0 }
    };
    let best = |start, end| (0..ROUNDS).map(|round| rate(round, start, end)).fold(0.0, f64::max);
    Bandwidth { read: best(0, 1), triad: best(2, 3) }
}

fn rounds(len: usize, barrier: &Barrier) -> Vec<Round> {
    let (mut a, b, c) = (vec![1.0f64; len], vec![2.0f64; len], vec![0.5f64; len]);
    (0..ROUNDS)
        .map(|round| {
            barrier.wait();
            let read_start = Instant::now();
            black_box(sum(&a) + sum(&b) + sum(&c));
            let read_end = Instant::now();
            barrier.wait();
            let triad_start = Instant::now();
            triad(&mut a, &b, &c, round as f64);
            black_box(&a);
            [read_start, read_end, triad_start, Instant::now()]
        })
        .collect()
}

/// Sixteen sums side by side, so that no addition waits for the one before and the loop is as wide as the machine's vectors.
fn sum(values: &[f64]) -> f64 {
    let mut sums = [0.0; 16];
    for chunk in values.chunks_exact(16) {
        for (sum, v) in sums.iter_mut().zip(chunk) {
            *sum += v;
        }
    }
    sums.iter().sum()
}

fn triad(a: &mut [f64], b: &[f64], c: &[f64], s: f64) {
    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
        *a = b + s * c;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_measurement_is_positive_and_finite() {
        for threads in [1, 2] {
            let Bandwidth { read, triad } = measure(threads, 3 << 20);
            assert!(read > 1e8 && read.is_finite() && triad > 1e8 && triad.is_finite(), "{read} {triad}");
        }
    }
}
