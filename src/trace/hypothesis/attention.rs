//! Attention written out, so that its mask, its groups and its scale can be others.

use crate::graph::{BinaryOp, EinsumSpec, Literal, Node, Op, ScalarSource};
use crate::tensor::{DType, HostTensor, Shape};

use super::super::cut::Cut;
use super::super::reason::ReasonKind;
use super::{Hypothesis, Others};

/// What is other than it should be: whether query p sees key k, which key-value head a head reads, and the factor on the scale.
struct Variant {
    kind: ReasonKind,
    text: String,
    sees: Box<dyn Fn(usize, usize) -> bool>,
    group: Box<dyn Fn(usize) -> usize>,
    factor: f32,
}

pub(super) fn about(cut: &Cut, at: usize, _others: &Others) -> Vec<Hypothesis> {
    let node = &cut.nodes[at];
    // What a cap or null logits change is not written out.
    if !matches!(node.op, Op::Attention { capped: false, null_logits: false, .. }) || cut.position > 0 {
        return Vec::new();
    }
    let (n_heads, head_dim) = (node.shape[1], node.shape[2]);
    let append = cut.node(node.inputs[1]);
    let n_groups = append.shape[1];
    let window = literal_i32(cut, cut.node(node.inputs[3])).unwrap_or(0) as usize;
    variants(n_heads, n_groups, head_dim, window)
        .into_iter()
        .filter_map(|v| Some(Hypothesis::new(v.kind, v.text.clone(), written_out(cut, at, &v)?)))
        .collect()
}

fn variants(n_heads: usize, n_groups: usize, head_dim: usize, window: usize) -> Vec<Variant> {
    let per_group = (n_heads / n_groups.max(1)).max(1);
    let in_window = move |p: usize, k: usize| window == 0 || k + window > p;
    let causal = move |p: usize, k: usize| k <= p && in_window(p, k);
    let own_group = move |h: usize| h / per_group;
    let mask = |text: &str, sees: Box<dyn Fn(usize, usize) -> bool>| Variant {
        kind: ReasonKind::Mask,
        text: text.to_owned(),
        sees,
        group: Box::new(own_group),
        factor: 1.0,
    };
    let groups = |text: String, group: Box<dyn Fn(usize) -> usize>| Variant {
        kind: ReasonKind::HeadGroups,
        text,
        sees: Box::new(causal),
        group,
        factor: 1.0,
    };
    let scale = |text: String, factor: f32| Variant {
        kind: ReasonKind::AttentionScale,
        text,
        sees: Box::new(causal),
        group: Box::new(own_group),
        factor,
    };
    let d = head_dim as f32;
    let mut all = vec![
        mask("the causal mask missing: queries see keys after their own position", Box::new(move |p, k| k <= p || in_window(p, k))),
        mask("a mask off by one: queries see one key too many", Box::new(move |p, k| causal(p, k) || k == p + 1)),
        mask("a mask off by one: queries do not see their own key", Box::new(move |p, k| causal(p, k) && (k < p || p == 0))),
        mask("each query seeing its own key alone", Box::new(|p, k| k == p)),
        mask("the first key unseen", Box::new(move |p, k| causal(p, k) && (k > 0 || p == 0))),
        scale(format!("the factor 1 / √{head_dim} of its scale once less"), d.sqrt()),
        scale(format!("the factor 1 / √{head_dim} of its scale once more"), 1.0 / d.sqrt()),
    ];
    if window > 0 {
        all.push(mask(&format!("its window of {window} keys ignored"), Box::new(|p, k| k <= p)));
    }
    if n_groups > 1 && per_group > 1 {
        all.push(groups(format!("head h reading key-value head h mod {n_groups}, not h / {per_group}"), Box::new(move |h| h % n_groups)));
    }
    if n_groups > 1 {
        all.push(groups("every head reading key-value head 0".to_owned(), Box::new(|_| 0)));
    }
    all
}

fn literal_i32(cut: &Cut, node: &Node) -> Option<i32> {
    match node.op {
        Op::Scalar(ScalarSource::Literal { index, .. }) => match cut.literals[index as usize] {
            Literal::I32(v) => Some(v),
            Literal::F32(_) => None,
        },
        _ => None,
    }
}

/// softmax(q · kᵀ · scale + mask) · v in primitive ops, over the tokens of this run.
fn written_out(cut: &Cut, at: usize, variant: &Variant) -> Option<Cut> {
    let node = cut.nodes[at].clone();
    let (n, n_heads, head_dim) = (node.shape[0], node.shape[1], node.shape[2]);
    let n_true = cut.n_tokens.min(n);
    let append = cut.node(node.inputs[1]).clone();
    let (k, v) = (*append.inputs.first()?, *append.inputs.get(1)?);
    let shaped = |dims: &[usize]| Node { shape: Shape::from(dims), dtype: DType::F32, label: None, ..node.clone() };
    let heads = HostTensor::i32([n_heads], (0..n_heads).map(|h| (variant.group)(h) as i32).collect());
    // Selected before the exponential by a large finite value, as everywhere.
    let hidden = |p: usize, k: usize| if k < n_true && (variant.sees)(p, k) { 0.0 } else { -1e30 };
    let mask = HostTensor::f32([n, n], (0..n * n).map(|i| hidden(i / n, i % n)).collect());
    let einsum = |text: &str| EinsumSpec::parse(text).ok().map(Op::Einsum);
    let (score, read) = (einsum("thd,shd->hts")?, einsum("hts,shd->thd")?);
    Some(cut.with_nodes_before(at, |new| {
        let heads = new.bound(heads);
        let k = new.op(Op::Gather { axis: 1 }, &[k, heads], &shaped(&[n, n_heads, head_dim]));
        let v = new.op(Op::Gather { axis: 1 }, &[v, heads], &shaped(&[n, n_heads, head_dim]));
        let scores = new.op(score, &[node.inputs[0], k], &shaped(&[n_heads, n, n]));
        let scaled = new.op(Op::Binary(BinaryOp::Mul), &[scores, node.inputs[2]], &shaped(&[n_heads, n, n]));
        let factor = new.literal(Literal::F32(variant.factor));
        let scaled = new.op(Op::Binary(BinaryOp::Mul), &[scaled, factor], &shaped(&[n_heads, n, n]));
        let mask = new.bound(mask);
        let masked = new.op(Op::Binary(BinaryOp::Add), &[scaled, mask], &shaped(&[n_heads, n, n]));
        let weights = new.op(Op::Softmax { axis: 2 }, &[masked], &shaped(&[n_heads, n, n]));
        Node { op: read, inputs: vec![weights, v], ..node.clone() }
    }))
}
