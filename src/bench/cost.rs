//! What a step must move and compute: the least that any implementation of its kernel does, each operand read or written once.
//!
//! Caches in registers, re-reads and padding are an implementation's affair, so that a share of the bandwidth says how far it is from the
//! floor. Rows past the true token count are not counted.

use crate::graph::{CacheIdx, KvType};
use crate::plan::{Attention, Buf, CacheStore, Elementwise, Epilogue, Kernel, Linear, PlacedId, Plan, Rows, Step, Storage, View};

/// Bytes moved, and additions and multiplications.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    pub bytes: f64,
    pub flops: f64,
}

impl std::ops::Add for Cost {
    type Output = Cost;
    fn add(self, other: Cost) -> Cost {
        Cost { bytes: self.bytes + other.bytes, flops: self.flops + other.flops }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), |a, b| a + b)
    }
}

/// Bytes of a value of an activation.
const VALUE: f64 = 4.0;

/// One run of a whole plan.
pub fn plan_cost(plan: &Plan, n_tokens: usize, cache_len: usize) -> Cost {
    plan.steps.iter().map(|step| step_cost(plan, step, n_tokens, cache_len)).sum()
}

/// One step of a run over `n_tokens` true tokens with `cache_len` tokens in the cache before it.
pub fn step_cost(plan: &Plan, step: &Step, n_tokens: usize, cache_len: usize) -> Cost {
    let rows = |rows: Rows| rows.of_run(n_tokens) as f64;
    let values = |n: f64| n * VALUE;
    // In and out, and operations for each element.
    let through = |elements: f64, per_element: f64| Cost { bytes: 2.0 * values(elements), flops: elements * per_element };
    match &step.kernel {
        Kernel::Embedding(k) => {
            let n = rows(k.rows);
            Cost { bytes: n * (VALUE + row_bytes(plan, k.table)) + values(n * k.width as f64), flops: 0.0 }
        }
        Kernel::Norm(k) => {
            let n = rows(k.rows) * k.width as f64;
            through(n, 4.0) + moved(values(k.width as f64))
        }
        Kernel::Linear(k) => linear(plan, k, n_tokens),
        // Each choice reads its expert once; where many tokens choose one expert, all experts are read once.
        Kernel::ExpertLinear(k) => {
            let n_choices = rows(k.rows) * k.n_chosen as f64;
            let (n, width) = (k.n as f64, k.k as f64);
            let x = if k.each { n_choices } else { rows(k.rows) } * width;
            let weight = moved(n_choices.min(k.n_experts as f64) * n * row_bytes(plan, k.weight));
            weight + Cost { bytes: values(x + n_choices * (n + 1.0)), flops: 2.0 * n_choices * n * width }
        }
        Kernel::Rope(k) => {
            let n = rows(k.rows) * (k.n_heads * k.head_dim) as f64;
            through(n, 3.0) + moved(values(rows(k.rows) * k.rope.n_dims as f64))
        }
        Kernel::CacheStore(k) => cache_store(plan, k, n_tokens),
        Kernel::Attention(k) => attention(plan, k, n_tokens, cache_len),
        Kernel::Elementwise(k) => elementwise(k, n_tokens),
        Kernel::Copy(k) => through(elements(&k.dims, k.dynamic, n_tokens), 0.0),
        Kernel::Reduce(k) => {
            let (x, out) = ((k.outer * k.len * k.inner) as f64, (k.outer * k.inner) as f64);
            Cost { bytes: values(x + out), flops: x }
        }
        Kernel::Cumulate(k) => through((k.outer * k.len * k.inner) as f64, 1.0),
        // Subtract, exponential, sum and division.
        Kernel::Softmax(k) => through((k.outer * k.len * k.inner) as f64, 4.0),
        Kernel::Einsum(k) => {
            let dims: Vec<usize> = k.out_dims.iter().chain(&k.sum_dims).copied().collect();
            let (out, all) = (product(&k.out_dims), product(&dims));
            let b = k.b.as_ref().map_or(0.0, |b| touched(b, &dims));
            Cost { bytes: values(touched(&k.a, &dims) + b + out), flops: all * if k.b.is_some() { 2.0 } else { 1.0 } }
        }
        Kernel::Gather(k) => {
            let out = (k.outer * k.count * k.inner) as f64;
            through(out, 0.0) + moved(values(k.count as f64))
        }
        Kernel::ScatterAdd(k) => {
            let (x, updates) = ((k.outer * k.len * k.inner) as f64, (k.outer * k.count * k.inner) as f64);
            Cost { bytes: values(2.0 * x + updates + k.count as f64), flops: updates }
        }
        Kernel::ArgSort { rows, len, .. } => {
            let n = (rows * len) as f64;
            through(n, (*len as f64).max(2.0).log2())
        }
        Kernel::Iota { len, .. } => moved(values(*len as f64)),
        // Ten rounds of Philox, four values each.
        Kernel::Random { len, .. } => Cost { bytes: values(*len as f64), flops: 10.0 * *len as f64 },
        Kernel::SelectRow { len, .. } => through(*len as f64, 0.0),
        Kernel::LastRows { n_segments, len, .. } => through((n_segments * len) as f64, 0.0),
        Kernel::RecordedIds { rows, .. } => through(rows.of_run(n_tokens) as f64, 0.0),
        Kernel::Scalar { .. } => moved(VALUE),
        Kernel::Sample(k) => Cost { bytes: values((k.rows * (k.vocab + 1)) as f64), flops: 4.0 * (k.rows * k.vocab) as f64 },
    }
}

fn moved(bytes: f64) -> Cost {
    Cost { bytes, flops: 0.0 }
}

/// Bytes of a row of a placed weight on the device, as many as in its file.
fn row_bytes(plan: &Plan, placed: PlacedId) -> f64 {
    let placement = &plan.placements[placed.0 as usize];
    let len = placement.row_len() as f64;
    match placement.storage {
        Storage::Native => len / placement.dtype().block_len() as f64 * placement.dtype().block_bytes() as f64,
        Storage::F32 => len * VALUE,
    }
}

fn linear(plan: &Plan, k: &Linear, n_tokens: usize) -> Cost {
    let rows = k.rows.of_run(n_tokens) as f64;
    let (n, width) = (k.n as f64, k.k as f64);
    let weight = moved(n * row_bytes(plan, k.weight));
    let x = moved(rows * width * VALUE);
    let product = Cost { bytes: 0.0, flops: 2.0 * rows * n * width };
    let norm = k.norm.map_or(Cost::default(), |_| Cost { bytes: width * VALUE, flops: 4.0 * rows * width });
    let epilogue = match &k.epilogue {
        Epilogue::Store { bias, residual, .. } => {
            let residual = residual.map_or(0.0, |_| rows * n);
            let bias_len = bias.map_or(0.0, |_| n);
            Cost { bytes: (rows * n + residual + bias_len) * VALUE, flops: residual + bias.map_or(0.0, |_| rows * n) }
        }
        Epilogue::Gated { .. } => Cost { bytes: rows * n / 2.0 * VALUE, flops: 3.0 * rows * n / 2.0 },
        Epilogue::RopeStore { bias, n_heads, n_kv_heads, head_dim, has_v, rope, cache, .. } => {
            let (q, kv) = ((n_heads * head_dim) as f64, (n_kv_heads * head_dim) as f64);
            let stored = kv * if *has_v { 2.0 } else { 1.0 } * kv_bytes(plan, *cache);
            let bias_bytes = bias.map_or(0.0, |_| n * VALUE);
            Cost { bytes: rows * ((q + rope.n_dims as f64) * VALUE + stored) + bias_bytes, flops: 3.0 * rows * (q + kv) }
        }
    };
    weight + x + product + norm + epilogue
}

fn cache_store(plan: &Plan, k: &CacheStore, n_tokens: usize) -> Cost {
    let rows = k.rows.of_run(n_tokens) as f64;
    let width = (k.n_kv_heads * k.head_dim) as f64;
    let n_sides = f64::from(u8::from(k.k.is_some()) + u8::from(k.v.is_some()));
    let rope = k.k_rope.map_or(Cost::default(), |r| Cost { bytes: rows * r.n_dims as f64 * VALUE, flops: 3.0 * rows * width });
    moved(rows * width * n_sides * (VALUE + kv_bytes(plan, k.cache))) + rope
}

/// Keys and values that any query sees are read once; each query multiplies those that it sees itself.
fn attention(plan: &Plan, k: &Attention, n_tokens: usize, cache_len: usize) -> Cost {
    let rows = k.rows.of_run(n_tokens);
    let heads = (k.n_heads * k.head_dim) as f64;
    let Some(spec) = plan.options.caches.get(k.cache.0 as usize) else { return Cost::default() };
    let window = spec.window;
    let seen_by_all: f64 = (0..rows).map(|t| (cache_len + t + 1).min(window) as f64).sum();
    let in_view = (cache_len + rows).min(window + rows - 1) as f64;
    let kv = in_view * 2.0 * (spec.n_kv_heads * spec.head_dim) as f64 * kv_bytes(plan, k.cache);
    // Per key: a product with the query, the softmax, and a product with the value.
    Cost { bytes: kv + 2.0 * rows as f64 * heads * VALUE, flops: seen_by_all * (4.0 * heads + 5.0 * k.n_heads as f64) }
}

fn kv_bytes(plan: &Plan, cache: CacheIdx) -> f64 {
    match plan.options.caches.get(cache.0 as usize).map(|c| c.kv_type) {
        Some(KvType::F32) | None => 4.0,
        Some(KvType::F16) => 2.0,
        Some(KvType::Q8_0) => 34.0 / 32.0,
    }
}

fn elementwise(k: &Elementwise, n_tokens: usize) -> Cost {
    let n = elements(&k.dims, k.dynamic, n_tokens);
    let share = n / product(&k.dims).max(1.0);
    let read: f64 = k.inputs.iter().map(|(view, _)| touched(view, &k.dims) * if varies(view, &k.dims) { share } else { 1.0 }).sum();
    let n_ops = k.expr.ops.iter().filter(|op| !op.operands().is_empty()).count() as f64;
    Cost { bytes: (read + n) * VALUE, flops: n * n_ops }
}

fn product(dims: &[usize]) -> f64 {
    dims.iter().map(|&d| d as f64).product()
}

fn elements(dims: &[usize], dynamic: bool, n_tokens: usize) -> f64 {
    match dims.split_first() {
        Some((&first, rest)) if dynamic => first.min(n_tokens) as f64 * product(rest),
        _ => product(dims),
    }
}

/// Whether the view moves with the first dimension, of which a run may use a part.
fn varies(view: &View, dims: &[usize]) -> bool {
    !dims.is_empty() && view.strides.first().is_some_and(|&s| s != 0) && !matches!(view.buf, Buf::Weight(_))
}

/// Elements that a view reads: dimensions along which it stands still count once.
fn touched(view: &View, dims: &[usize]) -> f64 {
    dims.iter().zip(&view.strides).filter(|(_, s)| **s != 0).map(|(&d, _)| d as f64).product()
}
