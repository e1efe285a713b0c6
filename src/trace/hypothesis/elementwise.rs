//! Another function of the same operands.

use crate::graph::{BinaryOp, Literal, Node, Op, UnaryOp};

use super::super::cut::Cut;
use super::super::reason::ReasonKind;
use super::{Hypothesis, Others};

const ACTIVATIONS: [UnaryOp; 6] = [UnaryOp::Silu, UnaryOp::Gelu, UnaryOp::Relu, UnaryOp::Sigmoid, UnaryOp::Tanh, UnaryOp::Softplus];

pub(super) fn about(cut: &Cut, at: usize, _others: &Others) -> Vec<Hypothesis> {
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
        _ => Vec::new(),
    }
}

fn unary(cut: &Cut, at: usize, op: UnaryOp) -> Vec<Hypothesis> {
    let name = |op: UnaryOp| format!("{op:?}").to_lowercase();
    let mut found =
        vec![Hypothesis::new(ReasonKind::Function, format!("{} left out", name(op)), cut.with_alias(at, cut.nodes[at].inputs[0]))];
    if ACTIVATIONS.contains(&op) {
        found.extend(function_inside(cut, at));
        found.push(Hypothesis::new(ReasonKind::Zero, format!("{} giving 0", name(op)), zero(cut, at)));
        let others = ACTIVATIONS.into_iter().filter(|&o| o != op);
        found.extend(
            others.map(|o| Hypothesis::new(ReasonKind::Function, format!("{} for {}", name(o), name(op)), cut.with_op(at, Op::Unary(o)))),
        );
    }
    found
}

/// `f(a · b)` as `f(a) · b` and `a · f(b)`.
fn function_inside(cut: &Cut, at: usize) -> Vec<Hypothesis> {
    let (f, inner) = (cut.nodes[at].clone(), cut.node(cut.nodes[at].inputs[0]).clone());
    if !matches!(inner.op, Op::Binary(_)) {
        return Vec::new();
    }
    let on = |side: usize| {
        cut.with_nodes_before(at, |new| {
            let mut inputs = inner.inputs.clone();
            let like = new.node(inputs[side]).clone();
            inputs[side] = new.op(f.op.clone(), &[inputs[side]], &like);
            Node { op: inner.op.clone(), inputs, ..f.clone() }
        })
    };
    [("first", 0), ("second", 1)]
        .map(|(name, side)| {
            Hypothesis::new(ReasonKind::Function, format!("the function applied to the {name} operand, not to the result"), on(side))
        })
        .into()
}

/// `f(a) · b` as `f(a · b)`.
fn function_outside(cut: &Cut, at: usize) -> Option<Hypothesis> {
    let node = cut.nodes[at].clone();
    let side = (0..2).find(|&side| matches!(cut.node(node.inputs[side]).op, Op::Unary(op) if ACTIVATIONS.contains(&op)))?;
    let f = cut.node(node.inputs[side]).clone();
    let edited = cut.with_nodes_before(at, |new| {
        let mut inputs = node.inputs.clone();
        inputs[side] = f.inputs[0];
        let inner = new.op(node.op.clone(), &inputs, &node);
        Node { op: f.op.clone(), inputs: vec![inner], ..node.clone() }
    });
    Some(Hypothesis::new(ReasonKind::Function, "the function applied to the result, not to an operand", edited))
}

/// The node's value all zeros: a comparison that never holds, chosen from.
fn zero(cut: &Cut, at: usize) -> Cut {
    let x = cut.nodes[at].inputs[0];
    let like = cut.nodes[at].clone();
    cut.with_nodes_before(at, |new| {
        let nothing = new.literal(Literal::F32(0.0));
        Node { op: Op::Binary(BinaryOp::Mul), inputs: vec![x, nothing], ..like }
    })
}

fn binary(cut: &Cut, at: usize, op: BinaryOp) -> Vec<Hypothesis> {
    let node = &cut.nodes[at];
    let mut found = Vec::new();
    let mut with = |text: &str, cut: Cut| found.push(Hypothesis::new(ReasonKind::Function, text, cut));
    let result = match op {
        BinaryOp::Add => "sum",
        BinaryOp::Sub => "difference",
        BinaryOp::Mul => "product",
        BinaryOp::Div => "quotient",
        _ => "op",
    };
    for (side, name) in ["first", "second"].iter().enumerate() {
        let x = node.inputs[1 - side];
        if cut.node(x).shape == node.shape {
            let left_out = cut.node(node.inputs[side]).label.as_ref().map_or(String::new(), |label| format!(", {label},"));
            with(&format!("the {name} operand of a {result}{left_out} left out"), cut.with_alias(at, x));
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
            found.extend(function_outside(cut, at));
        }
        BinaryOp::Sub | BinaryOp::Div => {
            if op == BinaryOp::Sub {
                with("a sum for the difference", other(BinaryOp::Add));
            }
            let exchanged = Node { inputs: vec![node.inputs[1], node.inputs[0]], ..node.clone() };
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
        Node { inputs: vec![f.inputs[0], of_b], ..node }
    });
    Some(Hypothesis::new(ReasonKind::Swapped, "the function applied to the other operand", edited))
}
