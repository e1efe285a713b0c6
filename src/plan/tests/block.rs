//! Transformer blocks made straight through the graph's builder, with the ways in which families differ.

use std::sync::Arc;

use crate::graph::{
    BinaryOp, CacheIdx, CacheSpec, CompileOptions, Graph, KvType, NodeId, Op, RopeRowsKind, RopeScaling, RopeSpec, RopeStyle,
    RuntimeScalar, UnaryOp, Weight,
};
use crate::plan::{Off, Plan, PlanError, Target, compile, verify};
use crate::tensor::quant::{Q4_0, Q6_K};
use crate::tensor::{DType, Quant};

pub const Q4: DType = DType::Quant(Quant(&Q4_0));
pub const Q6: DType = DType::Quant(Quant(&Q6_K));

/// What a device with epilogues asks for.
pub const TARGET: Target = Target { norm_prologue_rows: 8, epilogue_rows: 8, off: Off::NONE };

pub const H: usize = 4;
pub const G: usize = 2;
pub const D: usize = 64;
pub const C: usize = 256;
pub const F: usize = 512;
pub const V: usize = 1000;

/// How a block differs from llama's.
#[derive(Clone, Copy)]
pub struct Family {
    pub v_dtype: DType,
    pub biases: bool,
    pub qk_norm: bool,
    pub parallel: bool,
    /// Rotated dimensions of a head; 0: none.
    pub n_rotated: usize,
    pub tied: bool,
    /// `up · silu(gate)` instead of `silu(gate) · up`, with silu written as `x · sigmoid(x)`.
    pub spelled_out_gate: bool,
    pub n_layers: usize,
}

pub const LLAMA: Family =
    Family { v_dtype: Q4, biases: false, qk_norm: false, parallel: false, n_rotated: D, tied: false, spelled_out_gate: false, n_layers: 2 };

/// A model: its weights are made once, so that plans for several numbers of tokens can be compared.
pub struct Model {
    family: Family,
    weights: std::cell::RefCell<std::collections::HashMap<String, Arc<Weight>>>,
}

impl Model {
    pub fn new(family: Family) -> Self {
        Model { family, weights: Default::default() }
    }

    fn weight(&self, g: &mut Graph, name: String, shape: &[usize], dtype: DType) -> NodeId {
        let mut weights = self.weights.borrow_mut();
        let weight = weights.entry(name.clone()).or_insert_with(|| Arc::new(Weight::new(name, shape, dtype, Arc::new(Vec::new()))));
        g.weight(weight.clone())
    }

    fn linear(&self, g: &mut Graph, x: NodeId, name: String, n: usize, dtype: DType, bias: bool) -> NodeId {
        let k = g.shape(x).last_dim();
        let w = self.weight(g, format!("{name}.weight"), &[n, k], dtype);
        let y = g.linear(x, w).unwrap();
        if !bias {
            return y;
        }
        let b = self.weight(g, format!("{name}.bias"), &[n], DType::F32);
        g.binary(BinaryOp::Add, y, b).unwrap()
    }

    fn norm(&self, g: &mut Graph, x: NodeId, name: String) -> NodeId {
        let width = g.shape(x).last_dim();
        let (w, eps) = (self.weight(g, format!("{name}.weight"), &[width], DType::F32), g.literal_f32(1e-5));
        g.rms_norm(x, w, eps).unwrap()
    }

    /// The graph of a step over `tokens` token ids that gives logits of the last one.
    pub fn graph(&self, tokens: usize) -> (Graph, Vec<NodeId>) {
        let family = self.family;
        let mut g = Graph::new();
        let ids = g.tokens_input(tokens);
        let table = self.weight(&mut g, "token_embd.weight".into(), &[V, C], Q4);
        let mut x = g.embedding(ids, table).unwrap();
        for layer in 0..family.n_layers {
            x = self.block(&mut g, x, layer);
        }
        let h = self.norm(&mut g, x, "output_norm".into());
        let logits = if family.tied { g.linear(h, table).unwrap() } else { self.linear(&mut g, h, "output".into(), V, Q6, false) };
        let (count, one) = (g.runtime_scalar(RuntimeScalar::TokenCount), g.literal_i32(1));
        let last = g.binary(BinaryOp::Sub, count, one).unwrap();
        let row = g.add(Op::SelectRow, &[logits, last]).unwrap();
        (g, vec![row])
    }

    fn block(&self, g: &mut Graph, x: NodeId, layer: usize) -> NodeId {
        let family = self.family;
        let tokens = g.shape(x)[0];
        let name = |part: &str| format!("blk.{layer}.{part}");
        let h = self.norm(g, x, name("attn_norm"));
        let q = self.heads(g, h, name("attn_q"), H, Q4, family.qk_norm);
        let k = self.heads(g, h, name("attn_k"), G, Q4, family.qk_norm);
        let v = self.heads(g, h, name("attn_v"), G, family.v_dtype, false);
        let (q, k) = (self.rope(g, q), self.rope(g, k));
        let n_positions = cache(family.n_layers).n_positions();
        let appended = g.cache_append(CacheIdx(0), layer, n_positions, k, v).unwrap();
        let (scale, window) = (g.literal_f32(0.125), g.literal_i32(0));
        let a = g.attention(q, appended, scale, window).unwrap();
        g.set_label(a, &name("attention"));
        let a = g.reshape(a, [tokens, H * D]).unwrap();
        let attended = self.linear(g, a, name("attn_output"), C, Q4, false);
        let y = g.binary(BinaryOp::Add, x, attended).unwrap();
        let h = if family.parallel { h } else { self.norm(g, y, name("ffn_norm")) };
        let gated = self.gated(g, h, layer);
        let down = self.linear(g, gated, name("ffn_down"), C, Q4, false);
        g.binary(BinaryOp::Add, y, down).unwrap()
    }

    fn heads(&self, g: &mut Graph, h: NodeId, name: String, n: usize, dtype: DType, normed: bool) -> NodeId {
        let tokens = g.shape(h)[0];
        let y = self.linear(g, h, name.clone(), n * D, dtype, self.family.biases);
        let y = g.reshape(y, [tokens, n, D]).unwrap();
        if normed { self.norm(g, y, format!("{name}_norm")) } else { y }
    }

    fn rope(&self, g: &mut Graph, x: NodeId) -> NodeId {
        let n_dims = self.family.n_rotated;
        if n_dims == 0 {
            return x;
        }
        let tokens = g.shape(x)[0];
        let first = g.runtime_scalar(RuntimeScalar::Position(CacheIdx(0)));
        let spec = RopeSpec { n_dims, base: 10000.0, scaling: RopeScaling::None, factors: Vec::new() };
        let rows = g.rope_rows(Arc::new(spec), RopeRowsKind::Position, first, tokens);
        g.rope(x, rows, RopeStyle::Interleaved).unwrap()
    }

    fn gated(&self, g: &mut Graph, h: NodeId, layer: usize) -> NodeId {
        let name = |part: &str| format!("blk.{layer}.{part}");
        if self.family.spelled_out_gate {
            let up = self.linear(g, h, name("ffn_up"), F, Q4, false);
            let gate = self.linear(g, h, name("ffn_gate"), F, Q4, false);
            let sigmoid = g.unary(UnaryOp::Sigmoid, gate).unwrap();
            let act = g.binary(BinaryOp::Mul, gate, sigmoid).unwrap();
            return g.binary(BinaryOp::Mul, up, act).unwrap();
        }
        let gate = self.linear(g, h, name("ffn_gate"), F, Q4, false);
        let up = self.linear(g, h, name("ffn_up"), F, Q4, false);
        let act = g.unary(UnaryOp::Silu, gate).unwrap();
        g.binary(BinaryOp::Mul, act, up).unwrap()
    }

    /// The plan of a step, checked.
    pub fn plan(&self, tokens: usize, fuse: bool, target: &Target) -> Result<Plan, PlanError> {
        let (graph, outputs) = self.graph(tokens);
        let options = CompileOptions { fuse, caches: vec![cache(self.family.n_layers)] };
        let plan = compile(&graph, &outputs, &options, target)?;
        verify(&plan).unwrap_or_else(|error| panic!("{error}\n{plan}"));
        Ok(plan)
    }
}

fn cache(n_layers: usize) -> CacheSpec {
    CacheSpec {
        n_layers,
        n_kv_heads: G,
        head_dim: D,
        window: 96,
        chunk: 64,
        sinks: 4,
        page: 16,
        sequences: 1,
        places: 0,
        kv_type: KvType::F16,
    }
}
