//! Another function of the same operands.

use crate::graph::{BinaryOp, Literal, Op, UnaryOp};

use super::super::cut::Cut;
use super::super::reason::ReasonKind;
use super::Hypothesis;

const ACTIVATIONS: [UnaryOp; 6] = [UnaryOp::Silu, UnaryOp::Gelu, UnaryOp::Relu, UnaryOp::Sigmoid, UnaryOp::Tanh, UnaryOp::Softplus];

pub(super) fn about(cut: &Cut, at: usize, _others: &[Cut]) -> Vec<Hypothesis> {
    let node = &cut.nodes[at];
    if !node.dtype.is_float() {
        return Vec::new();
    }
    match &node.op {
        Op::Unary(op) => unary(cut, at, *op),
        Op::Binary(op) => binary(cut, at, *op),
        Op::Softmax { axis } => (0..node.shape.rank())
            .filter(|a| a != axis)
            .map(|a| {
                Hypothesis::new(
                    ReasonKind::Function,
                    format!("softmax along dimension {a}, not {axis}"),
                    cut.with_op(at, Op::Softmax { axis: a }),
                )
            })
            .collect(),
        Op::Permute(axes) if cut.node(node.inputs[0]).shape == node.shape => {
            let left_out = cut.with_alias(at, node.inputs[0]);
            vec![Hypothesis::new(ReasonKind::Transposed, format!("the order of dimensions {axes:?} left out"), left_out)]
        }
        _ => Vec::new(),
    }
}

fn unary(cut: &Cut, at: usize, op: UnaryOp) -> Vec<Hypothesis> {
    let name = |op: UnaryOp| format!("{op:?}").to_lowercase();
    let mut found =
        vec![Hypothesis::new(ReasonKind::Function, format!("{} left out", name(op)), cut.with_alias(at, cut.nodes[at].inputs[0]))];
    if ACTIVATIONS.contains(&op) {
        found.push(Hypothesis::new(ReasonKind::Zero, format!("{} giving 0", name(op)), zero(cut, at)));
        let others = ACTIVATIONS.into_iter().filter(|&o| o != op);
        found.extend(
            others.map(|o| Hypothesis::new(ReasonKind::Function, format!("{} for {}", name(o), name(op)), cut.with_op(at, Op::Unary(o)))),
        );
    }
    found
}

/// The node's value all zeros: a comparison that never holds, chosen from.
fn zero(cut: &Cut, at: usize) -> Cut {
    let x = cut.nodes[at].inputs[0];
    let like = cut.nodes[at].clone();
    cut.with_nodes_before(at, |new| {
        let nothing = new.literal(Literal::F32(0.0));
        crate::graph::Node { op: Op::Binary(BinaryOp::Mul), inputs: vec![x, nothing], ..like }
    })
}

fn binary(cut: &Cut, at: usize, op: BinaryOp) -> Vec<Hypothesis> {
    let node = &cut.nodes[at];
    let mut found = Vec::new();
    let mut with = |text: &str, cut: Cut| found.push(Hypothesis::new(ReasonKind::Function, text, cut));
    let operand_names = ["its first operand", "its second operand"];
    for (side, name) in operand_names.iter().enumerate() {
        let x = node.inputs[1 - side];
        if cut.node(x).shape == node.shape {
            with(&format!("{name} left out"), cut.with_alias(at, x));
        }
    }
    let other = |op| cut.with_op(at, Op::Binary(op));
    match op {
        BinaryOp::Add => {
            with("a difference for the sum", other(BinaryOp::Sub));
            with("a product for the sum", other(BinaryOp::Mul));
        }
        BinaryOp::Mul => {
            with("a sum for the product", other(BinaryOp::Add));
            // `silu(gate) * up`: the function on the other operand.
            found.extend(exchanged_function(cut, at));
        }
        BinaryOp::Sub | BinaryOp::Div => {
            if op == BinaryOp::Sub {
                with("a sum for the difference", other(BinaryOp::Add));
            }
            let exchanged = crate::graph::Node { inputs: vec![node.inputs[1], node.inputs[0]], ..node.clone() };
            with("its operands exchanged", cut.with_node(at, exchanged));
        }
        _ => {}
    }
    found
}

/// `f(a) * b` as `a * f(b)`.
fn exchanged_function(cut: &Cut, at: usize) -> Option<Hypothesis> {
    let node = cut.nodes[at].clone();
    let (f_at, b) = node.inputs.iter().zip(node.inputs.iter().rev()).find_map(|(&f, &b)| match cut.node(f).op {
        Op::Unary(op) if ACTIVATIONS.contains(&op) => Some((f, b)),
        _ => None,
    })?;
    let f = cut.node(f_at).clone();
    let edited = cut.with_nodes_before(at, |new| {
        let of_b = new.op(f.op.clone(), &[b], &f);
        crate::graph::Node { inputs: vec![f.inputs[0], of_b], ..node }
    });
    Some(Hypothesis::new(ReasonKind::Swapped, "the function applied to the other operand", edited))
}
