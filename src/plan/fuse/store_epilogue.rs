//! `x · wᵀ + b` and `r + x · wᵀ` as one linear.

use crate::graph::BinaryOp;
use crate::plan::edit::Edit;
use crate::plan::{Buf, Elementwise, Epilogue, ExprOp, Kernel, Linear, Target, View};

/// A sum with a linear that nothing else reads becomes the linear's bias, where the other side is one row for all, or its residual, where
/// it has the linear's own rows. The linear moves to where the sum was, since the other side may be made between the two. Of two linears
/// the later one takes the earlier one's rows.
pub(super) fn add_to_linear(edit: &mut Edit<'_, '_>, _: &Target) {
    for at in 0..edit.len() {
        let Some(Kernel::Elementwise(sum)) = edit.kernel(at) else { continue };
        let Some([a, b]) = addends(sum) else { continue };
        let mut sides = [(a, b), (b, a)];
        sides.sort_by_key(|(linear, _)| std::cmp::Reverse(edit.writer(linear.buf).map(|w| w.0)));
        let fused = sides.iter().find_map(|(linear, other)| fused(edit, at, sum, linear, other));
        if let Some((linear_at, linear)) = fused {
            edit.replace(&[linear_at], at, Kernel::Linear(linear));
        }
    }
}

/// The two views of a plain sum.
fn addends(sum: &Elementwise) -> Option<[&View; 2]> {
    match (sum.expr.ops.as_slice(), sum.inputs.as_slice()) {
        ([ExprOp::Input(0), ExprOp::Input(1), ExprOp::Binary { op: BinaryOp::Add, dtype, .. }], [a, b]) if dtype.is_float() => {
            Some([&a.0, &b.0])
        }
        _ => None,
    }
}

fn fused(edit: &Edit<'_, '_>, sum_at: usize, sum: &Elementwise, x: &View, other: &View) -> Option<(usize, Linear)> {
    let (linear_at, Kernel::Linear(linear)) = edit.writer(x.buf)? else { return None };
    let Epilogue::Store { mut bias, mut residual, .. } = linear.epilogue else { return None };
    let whole = |view: &View| view.offset == 0 && view.is_row_major(&sum.dims);
    let len: usize = sum.dims.iter().product();
    let apart = edit.only_reader(x.buf) == Some(sum_at) && other.buf != x.buf;
    if !apart || !whole(x) || len != linear.rows.count * linear.n {
        return None;
    }
    if bias.is_none() && is_one_row(other, &sum.dims, linear) {
        bias = Some(other.buf);
    } else if residual.is_none() && whole(other) {
        residual = Some(other.buf);
    } else {
        return None;
    }
    let epilogue = Epilogue::Store { bias, residual, out: sum.out };
    Some((linear_at, Linear { epilogue, ..linear.clone() }))
}

/// Whether `view` gives each row of the linear the same `n` elements. Of a single row both readings are true; only a weight is a bias then.
fn is_one_row(view: &View, dims: &[usize], linear: &Linear) -> bool {
    let Some((&last, outer)) = dims.split_last() else { return false };
    let repeated = outer.iter().zip(&view.strides).all(|(&n, &stride)| n == 1 || stride == 0);
    let unit = view.strides[outer.len()] == 1 || last == 1;
    view.offset == 0 && last == linear.n && repeated && unit && (linear.rows.count > 1 || matches!(view.buf, Buf::Weight(_)))
}
