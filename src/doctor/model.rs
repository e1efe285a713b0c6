//! Whole blocks, as models have them: what fusion makes of norms, merged projections, rotations, gates and residuals.

use std::sync::Arc;

use crate::graph::{
    BinaryOp, CacheIdx, CacheSpec, Graph, KvType, NodeId, Op, RopeRowsKind, RopeScaling, RopeSpec, RopeStyle, RuntimeScalar, UnaryOp,
    Weight,
};
use crate::tensor::quant::{Q4_0, Q6_K};
use crate::tensor::{DType, Quant};

use super::Arithmetic;
use super::case::{Bound, Case, Run, weight};
use super::contraction::linear_bound;
use super::noise::Noise;

/// The numbers and weights of one block and a head.
struct Block {
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    style: RopeStyle,
    act: UnaryOp,
    parallel: bool,
    kv_type: KvType,
    embedding: Arc<Weight>,
    norms: [Arc<Weight>; 2],
    q: Arc<Weight>,
    k: Arc<Weight>,
    v: Arc<Weight>,
    o: Arc<Weight>,
    gate: Arc<Weight>,
    up: Arc<Weight>,
    down: Arc<Weight>,
    bias: Option<[Arc<Weight>; 3]>,
    qk_norm: Option<[Arc<Weight>; 2]>,
}

const VOCAB: usize = 67;

impl Block {
    /// Of width `c`. `v_type` may differ from `dtype`, as in files of mixed types.
    fn new(noise: &mut Noise, c: usize, dtype: DType, v_type: DType) -> Self {
        let (n_heads, n_kv_heads, head_dim) = (4, 2, 64);
        let f = 512;
        let mut w = |name: &str, n: usize, k: usize, dtype: DType| weight(noise, name, [n, k], dtype);
        let (embedding, q) = (w("token_embd", VOCAB, c, dtype), w("q", n_heads * head_dim, c, dtype));
        let (k, v) = (w("k", n_kv_heads * head_dim, c, dtype), w("v", n_kv_heads * head_dim, c, v_type));
        let (o, gate, up, down) =
            (w("o", c, n_heads * head_dim, dtype), w("gate", f, c, dtype), w("up", f, c, dtype), w("down", c, f, dtype));
        let norms = [weight(noise, "attn_norm", [c], DType::F32), weight(noise, "ffn_norm", [c], DType::F32)];
        Block {
            n_heads,
            n_kv_heads,
            head_dim,
            style: RopeStyle::Interleaved,
            act: UnaryOp::Silu,
            parallel: false,
            kv_type: KvType::F32,
            embedding,
            norms,
            q,
            k,
            v,
            o,
            gate,
            up,
            down,
            bias: None,
            qk_norm: None,
        }
    }

    fn step(&self, noise: &mut Noise, spec: &CacheSpec, position: usize, n_tokens: usize) -> Run {
        let bucket = n_tokens.next_power_of_two();
        let mut g = Graph::new();
        let ids = g.tokens_input(bucket);
        let logits = self.logits(&mut g, ids, bucket, spec);
        let count = g.runtime_scalar(RuntimeScalar::TokenCount);
        let one = g.literal_i32(1);
        let last = g.binary(BinaryOp::Sub, count, one).expect("ints");
        let row = g.add(Op::SelectRow, &[logits, last]).expect("a matrix");
        Run { position, n_tokens, compared_rows: None, ..Run::new(g, vec![row], vec![noise.i32([bucket], VOCAB as u32)]) }
    }

    fn logits(&self, g: &mut Graph, ids: NodeId, bucket: usize, spec: &CacheSpec) -> NodeId {
        let fits = "shapes made to fit";
        let linear = |g: &mut Graph, x: NodeId, w: &Arc<Weight>| {
            let w = g.weight(w.clone());
            g.linear(x, w).expect(fits)
        };
        let norm = |g: &mut Graph, x: NodeId, w: &Arc<Weight>| {
            let (w, eps) = (g.weight(w.clone()), g.literal_f32(1e-5));
            g.rms_norm(x, w, eps).expect(fits)
        };
        let table = g.weight(self.embedding.clone());
        let x = g.embedding(ids, table).expect(fits);
        let h = norm(g, x, &self.norms[0]);
        let mut heads = Vec::new();
        for (i, (w, n)) in [(&self.q, self.n_heads), (&self.k, self.n_kv_heads), (&self.v, self.n_kv_heads)].into_iter().enumerate() {
            let mut y = linear(g, h, w);
            if let Some(bias) = &self.bias {
                let b = g.weight(bias[i].clone());
                y = g.binary(BinaryOp::Add, y, b).expect(fits);
            }
            y = g.reshape(y, [bucket, n, self.head_dim]).expect(fits);
            if let (Some(norms), 0 | 1) = (&self.qk_norm, i) {
                y = norm(g, y, &norms[i]);
            }
            heads.push(y);
        }
        let first = g.runtime_scalar(RuntimeScalar::Position(CacheIdx(0)));
        let rope = RopeSpec { n_dims: self.head_dim, base: 10000.0, scaling: RopeScaling::None, factors: Vec::new() };
        let rows = g.rope_rows(Arc::new(rope), RopeRowsKind::Position, first, bucket);
        let q = g.rope(heads[0], rows, self.style).expect(fits);
        let k = g.rope(heads[1], rows, self.style).expect(fits);
        let appended = g.cache_append(CacheIdx(0), 0, spec.n_positions(), k, heads[2]).expect(fits);
        // Weights of deviation 1 make queries and keys of deviation 16; the scale brings scores down to what models have, where softmax is
        // not a choice of one key that the last bit of an activation decides.
        let (scale, no_window) = (g.literal_f32(0.125 / 256.0), g.literal_i32(0));
        let a = g.attention(q, appended, scale, no_window).expect(fits);
        let a = g.reshape(a, [bucket, self.n_heads * self.head_dim]).expect(fits);
        let attended = linear(g, a, &self.o);
        let y = g.binary(BinaryOp::Add, x, attended).expect(fits);
        let h = if self.parallel { h } else { norm(g, y, &self.norms[1]) };
        let gate = linear(g, h, &self.gate);
        let up = linear(g, h, &self.up);
        let gate = g.unary(self.act, gate).expect(fits);
        let gated = g.binary(BinaryOp::Mul, gate, up).expect(fits);
        let down = linear(g, gated, &self.down);
        let z = g.binary(BinaryOp::Add, y, down).expect(fits);
        let h = norm(g, z, &self.norms[1]);
        linear(g, h, &self.embedding)
    }
}

pub fn cases(arithmetic: Arithmetic, cases: &mut Vec<Case>) {
    let (q4_0, q6_k) = (DType::Quant(Quant(&Q4_0)), DType::Quant(Quant(&Q6_K)));
    let mut wide = |width: usize, name: &str, dtype: DType, v_type: DType, change: &dyn Fn(&mut Noise, &mut Block)| {
        let mut noise = Noise::new(8);
        let mut block = Block::new(&mut noise, width, dtype, v_type);
        change(&mut noise, &mut block);
        let spec = CacheSpec {
            n_layers: 1,
            n_kv_heads: block.n_kv_heads,
            head_dim: block.head_dim,
            window: 48,
            chunk: 48,
            sinks: 4,
            page: 16,
            sequences: 1,
            places: 0,
            kv_type: block.kv_type,
        };
        let mut position = 0;
        let runs = [1, 5, 33, 1, 2, 1, 40, 1]
            .map(|n| {
                let run = block.step(&mut noise, &spec, position, n);
                position += n;
                run
            })
            .into_iter()
            .collect();
        let bound = Bound::Relative(match (arithmetic, dtype, block.kv_type) {
            // A dozen ops of up to 2e-6 each, and the exponential of scores of ten or so in between.
            (Arithmetic::Precise, _, KvType::F32) => 5e-5,
            // As attention alone with such a cache.
            (Arithmetic::Precise, _, KvType::F16) => 2e-3,
            (Arithmetic::Precise, _, KvType::Q8_0) => 1e-2,
            (Arithmetic::Fast, DType::Quant(_), _) => 6e-2,
            (Arithmetic::Fast, _, _) => 5e-3,
        });
        cases.push(Case { name: format!("block, {name}"), runs, cache: Some(spec), history: Vec::new(), bound });
    };
    let mut push =
        |name: &str, dtype: DType, v_type: DType, change: &dyn Fn(&mut Noise, &mut Block)| wide(256, name, dtype, v_type, change);
    push("f32", DType::F32, DType::F32, &|_, _| {});
    // Of the size of their eps: a norm that leaves it out shows.
    push("small activations", DType::F32, DType::F32, &|noise, b| {
        let small: Vec<u8> = noise.f32([VOCAB, 256]).as_f32().into_iter().flatten().flat_map(|v| (v * 3e-3).to_le_bytes()).collect();
        b.embedding = Arc::new(Weight::new("token_embd", [VOCAB, 256], DType::F32, Arc::new(small)));
    });
    push("f16", DType::F16, DType::F16, &|_, _| {});
    push("q4_0", q4_0, q4_0, &|_, _| {});
    push("q4_0 with values in q6_k", q4_0, q6_k, &|_, _| {});
    push("biases and neox pairs", DType::F32, DType::F32, &|noise, b| {
        let n = [b.n_heads, b.n_kv_heads, b.n_kv_heads].map(|n| n * b.head_dim);
        b.bias = Some(n.map(|n| weight(noise, "bias", [n], DType::F32)));
        b.style = RopeStyle::Neox;
    });
    push("biases in q4_0", q4_0, q4_0, &|noise, b| {
        let n = [b.n_heads, b.n_kv_heads, b.n_kv_heads].map(|n| n * b.head_dim);
        b.bias = Some(n.map(|n| weight(noise, "bias", [n], DType::F32)));
    });
    push("norms of queries and keys", q4_0, q4_0, &|noise, b| {
        b.qk_norm = Some([(); 2].map(|()| weight(noise, "qk_norm", [b.head_dim], DType::F32)));
        b.style = RopeStyle::Neox;
    });
    push("gelu and a parallel residual", DType::F32, DType::F32, &|_, b| {
        b.act = UnaryOp::Gelu;
        b.parallel = true;
    });
    // Wide enough for activations of eight bits.
    for kv_type in [KvType::F32, KvType::F16, KvType::Q8_0] {
        for style in [RopeStyle::Interleaved, RopeStyle::Neox] {
            let name = format!("512 wide, {style:?} pairs, {kv_type:?} cache").to_lowercase();
            wide(512, &name, q4_0, q4_0, &|_, b| (b.kv_type, b.style) = (kv_type, style));
        }
    }
    // Halves of a merged product that no tile divides, and one of many tiles; one row, wide enough for activations of eight bits; columns in shares.
    let mut noise = Noise::new(9);
    let halves = [
        (40, 64, 33, UnaryOp::Silu),
        (129, 96, 70, UnaryOp::Gelu),
        (23, 64, 3, UnaryOp::Sigmoid),
        (2048, 64, 512, UnaryOp::Silu),
        (129, 512, 1, UnaryOp::Silu),
        (40, 1024, 1, UnaryOp::Gelu),
        (40, 1024, 20, UnaryOp::Silu),
        (23, 1024, 70, UnaryOp::Gelu),
        (1, 2048, 1, UnaryOp::Silu),
        (23, 5632, 1, UnaryOp::Silu),
    ];
    for (f, k, rows, act) in halves {
        for dtype in [DType::F16, q4_0] {
            let (gate, up) = (weight(&mut noise, "gate", [f, k], dtype), weight(&mut noise, "up", [f, k], dtype));
            let (bound, magnitude) = linear_bound(arithmetic, dtype, k);
            // Each factor's error times the other.
            let bound = Bound::Scaled { bound: 2.0 * bound, magnitude: magnitude * magnitude };
            let name = format!("gate {dtype} 2x{f}x{k}, {rows} rows");
            cases.push(Case::of(name, bound, vec![noise.f32([rows, k])], |g, i| {
                let (gate, up) = (g.weight(gate), g.weight(up));
                let (gate, up) = (g.linear(i[0], gate).expect("sizes that fit"), g.linear(i[0], up).expect("sizes that fit"));
                let gate = g.unary(act, gate).expect("floats");
                vec![g.binary(BinaryOp::Mul, gate, up).expect("equal shapes")]
            }));
        }
    }
}
