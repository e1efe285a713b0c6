//! Each rule on the smallest graph that it changes.

use std::sync::Arc;

use crate::graph::{
    BinaryOp, CacheIdx, CacheSpec, CompileOptions, Graph, KvType, NodeId, Op, RopeRowsKind, RopeScaling, RopeSpec, RopeStyle,
    RuntimeScalar, UnaryOp, Weight,
};
use crate::plan::{Plan, Target, compile, verify};
use crate::tensor::DType;

use super::block::TARGET;
use super::snapshot;

fn weight(g: &mut Graph, name: &str, shape: &[usize]) -> NodeId {
    g.weight(Arc::new(Weight::new(name, shape, DType::F32, Arc::new(Vec::new()))))
}

fn linear(g: &mut Graph, x: NodeId, name: &str, n: usize) -> NodeId {
    let k = g.shape(x).last_dim();
    let w = weight(g, &format!("{name}.weight"), &[n, k]);
    g.linear(x, w).unwrap()
}

fn plan(target: &Target, build: impl FnOnce(&mut Graph) -> Vec<NodeId>) -> Plan {
    let mut g = Graph::new();
    let outputs = build(&mut g);
    let cache = CacheSpec {
        n_layers: 1,
        n_kv_heads: 2,
        head_dim: 4,
        window: 8,
        chunk: 16,
        sinks: 2,
        page: 4,
        sequences: 1,
        places: 0,
        kv_type: KvType::F32,
    };
    let plan = compile(&g, &outputs, &CompileOptions { fuse: true, caches: vec![cache] }, target).unwrap();
    verify(&plan).unwrap();
    plan
}

fn check(name: &str, build: impl FnOnce(&mut Graph) -> Vec<NodeId>) -> Plan {
    let plan = plan(&TARGET, build);
    snapshot::check(name, &plan.to_string());
    plan
}

#[test]
fn elementwise_chains_fuse_through_views() {
    let plan = check("rule_elementwise", |g| {
        let (x, y) = (g.input([4, 6], DType::F32), g.input([6], DType::F32));
        let (half, exp) = (g.literal_f32(0.5), g.unary(UnaryOp::Exp, y).unwrap());
        let scaled = g.binary(BinaryOp::Mul, x, half).unwrap();
        let sum = g.binary(BinaryOp::Add, scaled, exp).unwrap();
        let turned = g.permute(sum, &[1, 0]).unwrap();
        let part = g.slice(turned, &[(5, -2, 3), (1, 1, 2)]).unwrap();
        let flat = g.reshape(part, [6]).unwrap();
        vec![g.unary(UnaryOp::Tanh, flat).unwrap()]
    });
    assert_eq!(plan.steps.len(), 1);
}

#[test]
fn a_value_with_two_readers_stays() {
    let plan = check("rule_elementwise_two_readers", |g| {
        let x = g.input([4, 6], DType::F32);
        let exp = g.unary(UnaryOp::Exp, x).unwrap();
        vec![g.unary(UnaryOp::Tanh, exp).unwrap(), g.unary(UnaryOp::Neg, exp).unwrap()]
    });
    assert_eq!(plan.steps.len(), 3);
}

#[test]
fn arithmetic_of_numbers_costs_no_step() {
    let plan = check("rule_scalars", |g| {
        let x = g.input([4], DType::F32);
        let (a, b) = (g.literal_f32(2.0), g.literal_f32(3.0));
        let root = g.unary(UnaryOp::Sqrt, a).unwrap();
        let scale = g.binary(BinaryOp::Div, b, root).unwrap();
        vec![g.binary(BinaryOp::Mul, x, scale).unwrap(), scale]
    });
    assert_eq!(plan.steps.len(), 2, "a product, and the scalar that is asked for");
}

#[test]
fn sums_join_their_linears_either_way_round() {
    let plan = check("rule_store_epilogue", |g| {
        let x = g.input([3, 8], DType::F32);
        let (a, bias) = (linear(g, x, "a", 8), weight(g, "a.bias", &[8]));
        let a = g.binary(BinaryOp::Add, bias, a).unwrap();
        let y = g.binary(BinaryOp::Add, a, x).unwrap();
        let b = linear(g, y, "b", 8);
        // The later of two linears takes the earlier one's rows.
        let c = linear(g, b, "c", 8);
        vec![g.binary(BinaryOp::Add, c, b).unwrap()]
    });
    assert_eq!(plan.steps.len(), 3);
}

#[test]
fn a_sum_with_what_is_broadcast_along_rows_is_no_residual() {
    let plan = check("rule_store_epilogue_column", |g| {
        let (x, column) = (g.input([3, 8], DType::F32), g.input([3, 1], DType::F32));
        let a = linear(g, x, "a", 8);
        vec![g.binary(BinaryOp::Add, a, column).unwrap()]
    });
    assert_eq!(plan.steps.len(), 2);
}

#[test]
fn a_linear_is_not_its_own_residual() {
    let plan = plan(&TARGET, |g| {
        let x = g.input([1, 8], DType::F32);
        let a = linear(g, x, "a", 8);
        let flat = g.reshape(a, [8]).unwrap();
        vec![g.binary(BinaryOp::Add, a, flat).unwrap()]
    });
    assert_eq!(plan.steps.len(), 2);
}

#[test]
fn a_norm_joins_the_linears_that_alone_read_it() {
    let build = |rows: usize, also_output: bool| {
        move |g: &mut Graph| {
            let (x, w, eps) = (g.input([rows, 8], DType::F32), weight(g, "norm.weight", &[8]), g.literal_f32(1e-5));
            let h = g.rms_norm(x, w, eps).unwrap();
            let (a, b) = (linear(g, h, "a", 8), linear(g, h, "b", 16));
            if also_output { vec![a, b, h] } else { vec![a, b] }
        }
    };
    assert_eq!(check("rule_norm_prologue", build(2, false)).steps.len(), 2);
    assert_eq!(plan(&TARGET, build(2, true)).steps.len(), 3);
    assert_eq!(plan(&TARGET, build(9, false)).steps.len(), 3);
}

#[test]
fn linears_merge_where_their_readers_can_read_windows() {
    let plan = check("rule_merge_linears", |g| {
        let x = g.input([3, 8], DType::F32);
        let (a, b, c) = (linear(g, x, "a", 4), linear(g, x, "b", 6), linear(g, x, "c", 4));
        let part = g.slice(b, &[(0, 1, 3), (1, 1, 4)]).unwrap();
        let sum = g.binary(BinaryOp::Sub, a, part).unwrap();
        let difference = g.binary(BinaryOp::Sub, sum, c).unwrap();
        vec![g.reshape(difference, [12]).unwrap()]
    });
    assert_eq!(plan.steps.len(), 2);
}

#[test]
fn a_linear_that_is_asked_for_keeps_apart_but_not_its_weight() {
    let plan = check("rule_merge_linears_output", |g| {
        let x = g.input([3, 8], DType::F32);
        let (a, b) = (linear(g, x, "a", 4), linear(g, x, "b", 4));
        vec![g.binary(BinaryOp::Mul, a, b).unwrap(), a]
    });
    assert_eq!((plan.steps.len(), plan.placements.len()), (3, 1));
}

#[test]
fn gates_join_their_linear_for_few_rows() {
    let build = |rows: usize| {
        move |g: &mut Graph| {
            let x = g.input([rows, 8], DType::F32);
            let (up, gate) = (linear(g, x, "up", 4), linear(g, x, "gate", 4));
            let act = g.unary(UnaryOp::Gelu, gate).unwrap();
            vec![g.binary(BinaryOp::Mul, up, act).unwrap()]
        }
    };
    assert_eq!(check("rule_gated", build(8)).steps.len(), 1);
    assert_eq!(check("rule_gated_many_rows", build(9)).steps.len(), 2);
}

fn attention(g: &mut Graph, rows: usize, same_table: bool) -> Vec<NodeId> {
    let x = g.input([rows, 8], DType::F32);
    let first = g.runtime_scalar(RuntimeScalar::Position(CacheIdx(0)));
    let heads = |g: &mut Graph, name: &str, n: usize, base: Option<f64>| {
        let y = linear(g, x, name, n * 4);
        let y = g.reshape(y, [rows, n, 4]).unwrap();
        let Some(base) = base else { return y };
        let spec = RopeSpec { n_dims: 4, base, scaling: RopeScaling::None, factors: Vec::new() };
        let table = g.rope_rows(Arc::new(spec), RopeRowsKind::Position, first, rows);
        g.rope(y, table, RopeStyle::Neox).unwrap()
    };
    let q = heads(g, "q", 4, Some(100.0));
    let k = heads(g, "k", 2, Some(if same_table { 100.0 } else { 200.0 }));
    let v = heads(g, "v", 2, None);
    let appended = g.cache_append(CacheIdx(0), 0, 24, k, v).unwrap();
    let (scale, window) = (g.literal_f32(0.5), g.literal_i32(0));
    vec![g.attention(q, appended, scale, window).unwrap()]
}

#[test]
fn rotation_and_cache_write_join_their_linear_for_few_rows() {
    assert_eq!(check("rule_rope_store", |g| attention(g, 8, true)).steps.len(), 2);
    assert_eq!(check("rule_key_rotation", |g| attention(g, 9, true)).steps.len(), 4);
    assert_eq!(check("rule_rope_store_other_table", |g| attention(g, 8, false)).steps.len(), 4);
}

#[test]
fn a_row_is_selected_before_what_works_row_by_row() {
    let plan = check("rule_select_rows", |g| {
        let (x, y) = (g.input([5, 8], DType::F32), g.input([8], DType::F32));
        let index = g.runtime_scalar(RuntimeScalar::TokenCount);
        let h = g.unary(UnaryOp::Exp, x).unwrap();
        let h = g.reduce(crate::graph::ReduceOp::Sum, h, 0, true).unwrap();
        let x = g.binary(BinaryOp::Mul, x, h).unwrap();
        let a = linear(g, x, "a", 8);
        let sum = g.binary(BinaryOp::Add, a, y).unwrap();
        let softmax = g.softmax(sum, 1).unwrap();
        vec![g.add(Op::SelectRow, &[softmax, index]).unwrap()]
    });
    let dump = plan.to_string();
    assert!(dump.contains("linear(") && dump.contains("rows 1 "), "{dump}");
}

#[test]
fn a_row_of_what_is_read_whole_is_selected_last() {
    let plan = check("rule_select_rows_shared", |g| {
        let x = g.input([5, 8], DType::F32);
        let index = g.runtime_scalar(RuntimeScalar::TokenCount);
        let a = linear(g, x, "a", 8);
        vec![g.add(Op::SelectRow, &[a, index]).unwrap(), a]
    });
    assert!(plan.to_string().contains("rows 5"), "{plan}");
}

#[test]
fn a_sliced_row_is_computed_alone_too() {
    let plan = check("rule_select_rows_sliced", |g| {
        let x = g.input([5, 8], DType::F32);
        let (w, eps) = (weight(g, "norm.weight", &[8]), g.literal_f32(1e-5));
        let exp = g.unary(UnaryOp::Exp, x).unwrap();
        let a = linear(g, exp, "a", 8);
        let sum = g.binary(BinaryOp::Add, exp, a).unwrap();
        let h = g.rms_norm(sum, w, eps).unwrap();
        let logits = linear(g, h, "b", 32);
        let last = g.slice(logits, &[(4, 1, 1), (0, 1, 32)]).unwrap();
        vec![g.reshape(last, [32]).unwrap()]
    });
    assert_eq!(plan.steps.len(), 3, "{plan}");
}
