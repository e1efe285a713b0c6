//! A prompt fed at once and token by token: the same logits, whatever its length, the grouping of the heads and the arithmetic.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use support::{Backend, Llama, Sizes, backends, difference, random_llama, run_logits};
use tensorlogic::graph::{CacheSpec, Executor, KvType};
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::tensor::quant::{Q4_0, Q8_0};
use tensorlogic::tensor::{DType, Quant};

const LENGTHS: [usize; 7] = [1, 2, 31, 32, 33, 255, 513];
const LONGEST: usize = 513;
/// The largest run that the engine makes of a prompt.
const CHUNK: usize = 512;
/// What it leaves for the last run of a longer one.
const LAST_RUN: usize = 16;
const HEADS: [(usize, usize); 4] = [(2, 2), (4, 2), (4, 1), (7, 1)];

/// The logits after each of `LENGTHS` tokens.
type Logits = Vec<Vec<f32>>;

struct Subject {
    llama: Llama,
    spec: CacheSpec,
    ids: Vec<i32>,
}

impl Subject {
    fn new(heads: (usize, usize), dtype: DType, kv_type: KvType) -> Subject {
        // GPUs take eight bits for rows of 512 and more.
        let ffn = if matches!(dtype, DType::Quant(_)) { 512 } else { 160 };
        let sizes = Sizes { n_heads: heads.0, n_kv_heads: heads.1, head_dim: 32, n_layers: 2, ffn, vocab: 96 };
        let llama = random_llama(&sizes, dtype, 5);
        let spec = llama.cache(1024, CHUNK, 4, kv_type);
        let ids = (0..LONGEST as i32).map(|i| (i * 37 + i * i * 11) % 96).collect();
        Subject { llama, spec, ids }
    }

    /// Feeds runs of these lengths one after another, and keeps the logits after the last token of each.
    fn feed(&self, executor: &mut dyn Executor, runs: &[usize]) -> Logits {
        let cache = executor.new_cache(&self.spec).unwrap();
        let mut position = 0;
        let kept = runs.iter().map(|&n| {
            let logits = run_logits(executor, &self.llama, cache, &self.spec, position, &self.ids[position..position + n]);
            position += n;
            logits[logits.len() / n * (n - 1)..].to_vec()
        });
        let kept = kept.collect();
        executor.free_cache(cache);
        kept
    }

    fn step_by_step(&self, executor: &mut dyn Executor) -> Logits {
        let mut all = self.feed(executor, &[1; LONGEST]);
        LENGTHS.iter().map(|&n| std::mem::take(&mut all[n - 1])).collect()
    }

    /// Each length on a cache of its own, cut as the generate loop cuts it.
    fn at_once(&self, executor: &mut dyn Executor) -> Logits {
        let runs = |n: usize| if n <= CHUNK { vec![n] } else { vec![n - LAST_RUN, LAST_RUN] };
        LENGTHS.iter().map(|&n| self.feed(executor, &runs(n)).pop().unwrap()).collect()
    }

    fn exact(&self) -> Logits {
        let mut executor = ReferenceExecutor::new();
        let all = {
            let cache = executor.new_cache(&self.spec).unwrap();
            let first = run_logits(&mut executor, &self.llama, cache, &self.spec, 0, &self.ids[..CHUNK]);
            let rest = run_logits(&mut executor, &self.llama, cache, &self.spec, CHUNK, &self.ids[CHUNK..]);
            [first, rest].concat()
        };
        let vocab = all.len() / LONGEST;
        LENGTHS.iter().map(|&n| all[(n - 1) * vocab..n * vocab].to_vec()).collect()
    }
}

/// Root mean square of the difference over that of the values.
fn relative(ours: &[f32], exact: &[f32]) -> f64 {
    difference(ours, exact).0 / difference(exact, &vec![0.0; exact.len()]).0
}

/// The largest relative error over all lengths, with its length.
fn worst(a: &Logits, b: &Logits) -> (f64, usize) {
    let errors = a.iter().zip(b).zip(LENGTHS).map(|((a, b), n)| (relative(a, b), n));
    errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// Holds prefill against single steps, on every backend and grouping.
fn assert_agree(precise: bool, dtype: DType, kv_type: KvType, bound: f64) {
    for heads in HEADS {
        let subject = Subject::new(heads, dtype, kv_type);
        for Backend { name, open } in backends() {
            let mut executor = open(precise);
            let (error, n) = worst(&subject.at_once(&mut *executor), &subject.step_by_step(&mut *executor));
            println!("{name:<4} heads {heads:?} {dtype} precise {precise}: {error:.1e} at {n} tokens, bound {bound:.0e}");
            assert!(error <= bound, "{name}, heads {heads:?}, {dtype}, {n} tokens: {error:.1e} over {bound:.0e}");
        }
    }
}

#[test]
fn precise_prefill_agrees_with_single_steps() {
    for dtype in [DType::F32, DType::F16, DType::Quant(Quant(&Q4_0))] {
        assert_agree(true, dtype, KvType::F32, 1e-4);
    }
}

/// Where the device has matrix units, the prefill of the default mode uses f16 tiles; steps never do.
#[test]
fn f16_tiles_agree_with_single_steps() {
    for dtype in [DType::F32, DType::F16] {
        assert_agree(false, dtype, KvType::F16, 2e-3);
    }
}

/// Eight-bit activations. A block of 32 normal numbers has a largest of 2.1 deviations on average, so a step of rounding is 2.1 / 127 of a
/// deviation and its error 2.1 / 127 / sqrt(12) = 4.8e-3. Nine products follow one another in two layers and a head; were their errors to
/// add up in one direction, 4.3e-2.
#[test]
fn eight_bit_prefill_and_steps_are_near_the_definition() {
    const BOUND: f64 = 9.0 * 4.8e-3;
    for dtype in [DType::Quant(Quant(&Q4_0)), DType::Quant(Quant(&Q8_0))] {
        for heads in HEADS {
            let subject = Subject::new(heads, dtype, KvType::F32);
            let exact = subject.exact();
            for Backend { name, open } in backends() {
                let mut executor = open(false);
                for (how, logits) in [("at once", subject.at_once(&mut *executor)), ("steps", subject.step_by_step(&mut *executor))] {
                    let (error, n) = worst(&logits, &exact);
                    println!("{name:<4} heads {heads:?} {dtype} {how}: {error:.1e} at {n} tokens, bound {BOUND:.0e}");
                    assert!(error <= BOUND, "{name}, heads {heads:?}, {dtype}, {how}, {n} tokens: {error:.1e} over {BOUND:.0e}");
                }
            }
        }
    }
}
