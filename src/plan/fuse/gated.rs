//! `act(x · gateᵀ) · (x · upᵀ)` as one linear.

use crate::graph::{BinaryOp, UnaryOp};
use crate::plan::edit::Edit;
use crate::plan::{Elementwise, Epilogue, ExprOp, Kernel, Linear, Target, View};

/// A merged linear of no more rows than epilogues take, read by nothing but a product of its first half, activated, and its second half,
/// stores the product.
pub(super) fn gate_in_linear(edit: &mut Edit<'_, '_>, target: &Target) {
    for at in 0..edit.len() {
        let Some(Kernel::Linear(linear)) = edit.kernel(at) else { continue };
        let Epilogue::Store { bias: None, residual: None, out } = linear.epilogue else { continue };
        let Some(reader) = edit.only_reader(out) else { continue };
        let Some(Kernel::Elementwise(product)) = edit.kernel(reader) else { continue };
        let Some((act, gate, up)) = gated_product(product) else { continue };
        let half = linear.n / 2;
        let is_half = |view: &View, first: usize| {
            let window = View { buf: out, offset: first, strides: vec![linear.n as isize, 1] };
            window.reshaped(&[linear.rows.count, half], &product.dims).is_some_and(|w| w.reads_as(view, &product.dims))
        };
        let whole = product.dims.iter().product::<usize>() == linear.rows.count * half && linear.n == 2 * half;
        if linear.rows.count <= target.epilogue_rows && whole && is_half(gate, 0) && is_half(up, half) {
            let fused = Linear { epilogue: Epilogue::Gated { act, out: product.out }, ..linear.clone() };
            edit.replace(&[at], reader, Kernel::Linear(fused));
        }
    }
}

/// The activation and the two views of `act(gate) · up`, whichever way round.
fn gated_product(product: &Elementwise) -> Option<(UnaryOp, &View, &View)> {
    let ops = &product.expr.ops;
    let ExprOp::Binary { op: BinaryOp::Mul, a, b, .. } = *ops.last()? else { return None };
    let view = |x: u32| match ops[x as usize] {
        ExprOp::Input(i) => product.inputs.get(i as usize).map(|(view, _)| view),
        _ => None,
    };
    let activated = |x: u32| match ops[x as usize] {
        ExprOp::Unary { op, x, .. } if is_activation(op) => view(x).map(|view| (op, view)),
        _ => None,
    };
    let (act, gate, up) = match (activated(a), view(b), activated(b), view(a)) {
        (Some((act, gate)), Some(up), ..) | (.., Some((act, gate)), Some(up)) => (act, gate, up),
        _ => return None,
    };
    Some((act, gate, up))
}

fn is_activation(op: UnaryOp) -> bool {
    matches!(op, UnaryOp::Silu | UnaryOp::Gelu | UnaryOp::Relu | UnaryOp::Sigmoid | UnaryOp::Tanh)
}
