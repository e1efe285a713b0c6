//! Attention over the cache: group sizes, head sizes, lengths around tile sizes, windows that slide with sinks, pages, storage types.

use std::sync::Arc;

use crate::graph::{CacheIdx, CacheSpec, Graph, KvType, PAGE, RopeRowsKind, RopeScaling, RopeSpec, RopeStyle, RuntimeScalar};
use crate::tensor::{DType, HostData};

use super::Arithmetic;
use super::case::{Bound, Case, Run};
use super::noise::Noise;

struct Heads {
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    /// Without, as in models that learn their positions, nothing is rotated against sinks either.
    rotated: bool,
    /// Scores are capped, and null logits join their sums.
    capped: bool,
}

impl Heads {
    fn new(n_heads: usize, n_kv_heads: usize, head_dim: usize) -> Self {
        Heads { n_heads, n_kv_heads, head_dim, rotated: true, capped: false }
    }
}

/// One step: rotates queries and keys of `n_tokens` tokens, appends, attends. The bucket is the next power of two.
fn step(noise: &mut Noise, heads: &Heads, spec: &CacheSpec, position: usize, n_tokens: usize, window: i32) -> Run {
    let bucket = n_tokens.next_power_of_two();
    let mut g = Graph::new();
    // Only for the bucket's sake: attention reads no ids.
    g.tokens_input(bucket);
    let q = g.input([bucket, heads.n_heads, heads.head_dim], DType::F32);
    let k = g.input([bucket, heads.n_kv_heads, heads.head_dim], DType::F32);
    let v = g.input([bucket, heads.n_kv_heads, heads.head_dim], DType::F32);
    let first = g.runtime_scalar(RuntimeScalar::Position(CacheIdx(0)));
    let rope = RopeSpec { n_dims: heads.head_dim, base: 10000.0, scaling: RopeScaling::None, factors: Vec::new() };
    let rows = g.rope_rows(Arc::new(rope), RopeRowsKind::Position, first, bucket);
    let style = if heads.head_dim % 3 == 1 { RopeStyle::Neox } else { RopeStyle::Interleaved };
    let turn = |g: &mut Graph, x| if heads.rotated { g.rope(x, rows, style).expect("heads that fit") } else { x };
    let (q, k) = (turn(&mut g, q), turn(&mut g, k));
    let appended = g.cache_append(CacheIdx(0), 0, spec.n_positions(), k, v).expect("keys and values of one shape");
    let scale = g.literal_f32(1.0 / (heads.head_dim as f32).sqrt());
    let window = g.literal_i32(window);
    let cap = heads.capped.then(|| g.literal_f32(0.8));
    let null_logits = heads.capped.then(|| g.input([heads.n_heads], DType::F32));
    let out = g.attention_with(q, appended, scale, window, cap, null_logits).expect("heads that fit");
    let mut inputs = vec![
        noise.i32([bucket], 100),
        noise.f32([bucket, heads.n_heads, heads.head_dim]),
        noise.f32([bucket, heads.n_kv_heads, heads.head_dim]),
        noise.f32([bucket, heads.n_kv_heads, heads.head_dim]),
    ];
    // One above all scores, others among them.
    inputs.extend(heads.capped.then(|| {
        let mut logits = noise.f32([heads.n_heads]);
        if let HostData::F32(values) = &mut logits.data {
            values[0] = 2.5;
        }
        logits
    }));
    Run { position, n_tokens, compared_rows: Some(n_tokens), ..Run::new(g, vec![out], inputs) }
}

fn bound(arithmetic: Arithmetic, kv_type: KvType) -> Bound {
    Bound::Relative(match (arithmetic, kv_type) {
        (Arithmetic::Precise, KvType::F32) => 1e-5,
        // Rounding to f16 happens at ties in f64 here and from f32 there.
        (_, KvType::F16) | (Arithmetic::Fast, KvType::F32) => 2e-3,
        (_, KvType::Q8_0) => 1e-2,
    })
}

pub fn cases(arithmetic: Arithmetic, cases: &mut Vec<Case>) {
    let mut noise = Noise::new(6);
    let mut push =
        |name: String, heads: Heads, window: usize, chunk: usize, sinks: usize, kv_type: KvType, limit: i32, chunks: &[usize]| {
            let (n_kv_heads, head_dim) = (heads.n_kv_heads, heads.head_dim);
            // Small windows have small pages, so that a few runs give some back.
            let page = if window <= 64 { 8 } else { PAGE };
            let spec = CacheSpec { n_layers: 1, n_kv_heads, head_dim, window, chunk, sinks, page, sequences: 1, places: 0, kv_type };
            let mut position = 0;
            let mut runs = Vec::new();
            for &n in chunks {
                runs.push(step(&mut noise, &heads, &spec, position, n, limit));
                position += n;
            }
            cases.push(Case { name, runs, cache: Some(spec), history: Vec::new(), bound: bound(arithmetic, kv_type) });
        };
    for (n_heads, n_kv_heads, head_dim) in [(1, 1, 16), (2, 2, 64), (4, 2, 64), (8, 2, 32), (7, 1, 64), (4, 1, 128), (3, 3, 80)] {
        let name = format!("attention {n_heads}:{n_kv_heads} heads of {head_dim}");
        push(name, Heads::new(n_heads, n_kv_heads, head_dim), 128, 64, 4, KvType::F32, 0, &[1, 1, 30, 1, 33, 2, 1]);
    }
    let heads = || Heads::new(4, 2, 32);
    for length in [31usize, 32, 33, 63, 64, 65, 127, 128, 129, 255, 513] {
        push(format!("attention after {length} tokens"), heads(), 1024, 1024, 4, KvType::F32, 0, &[length, 1, 2]);
    }
    // More parts than are joined at a time.
    push("attention after 2047 tokens".into(), Heads::new(2, 1, 16), 2304, 2048, 4, KvType::F32, 0, &[2047, 1, 2]);
    for kv_type in [KvType::F16, KvType::Q8_0] {
        push(format!("attention with {kv_type:?} cache").to_lowercase(), heads(), 128, 64, 4, kv_type, 0, &[33, 1, 5]);
    }
    let unrotated = || Heads { rotated: false, ..heads() };
    push("attention without rotation".into(), unrotated(), 128, 64, 0, KvType::F32, 0, &[1, 33, 1, 9]);
    push("attention without rotation over sinks".into(), unrotated(), 24, 16, 4, KvType::F32, 0, &[16, 9, 1, 16]);
    push("attention in a window that slides".into(), heads(), 24, 16, 4, KvType::F32, 0, &[16, 9, 1, 16, 1, 1, 13, 16, 1, 2]);
    push("attention in a window that slides without sinks".into(), heads(), 20, 16, 0, KvType::F32, 0, &[16, 16, 1, 1, 16, 1]);
    push("attention in an f16 window that slides".into(), heads(), 24, 16, 4, KvType::F16, 0, &[16, 9, 1, 16, 1, 1, 13]);
    let capped = |n_heads, head_dim| Heads { capped: true, ..Heads::new(n_heads, 2, head_dim) };
    push("attention capped, with null logits".into(), capped(4, 32), 128, 64, 4, KvType::F32, 0, &[1, 33, 1, 9]);
    push("attention capped, with null logits in parts".into(), capped(4, 32), 512, 512, 4, KvType::F32, 0, &[300, 1, 2, 20]);
    push(
        "attention capped, with null logits in a window that slides".into(),
        capped(2, 16),
        24,
        16,
        4,
        KvType::F16,
        10,
        &[16, 9, 1, 16, 1],
    );
    push("attention in a window of 10".into(), heads(), 64, 32, 4, KvType::F32, 10, &[32, 1, 7, 1]);
}
