//! A norm folded into the linears that follow it.

use crate::plan::edit::Edit;
use crate::plan::{Kernel, Linear, Target};

/// A norm that only linears read, of few rows, is computed by each of them: reading a row again costs less than a dispatch.
pub(super) fn norm_in_linear(edit: &mut Edit<'_, '_>, target: &Target) {
    for at in 0..edit.len() {
        let Some(Kernel::Norm(norm)) = edit.kernel(at) else { continue };
        let norm = norm.clone();
        let readers = edit.private_readers(norm.out).to_vec();
        let takes_norm = |&reader: &usize| match edit.kernel(reader) {
            Some(Kernel::Linear(linear)) => {
                let once = linear_reads_once(linear, norm.out);
                once && linear.norm.is_none() && linear.k == norm.width && linear.rows == norm.rows
            }
            _ => false,
        };
        if norm.rows.count > target.norm_prologue_rows || readers.is_empty() || !readers.iter().all(takes_norm) {
            continue;
        }
        for reader in readers {
            let Some(Kernel::Linear(linear)) = edit.kernel(reader) else { continue };
            let fused = Linear { x: norm.x, norm: Some((norm.weight, norm.eps)), ..linear.clone() };
            edit.replace(&[at], reader, Kernel::Linear(fused));
        }
    }
}

/// Whether the value is the linear's `x` and nothing else of it.
fn linear_reads_once(linear: &Linear, value: crate::plan::Buf) -> bool {
    linear.x == value && Kernel::Linear(linear.clone()).reads().iter().filter(|&&b| b == value).count() == 1
}
