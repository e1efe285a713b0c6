//! One row of a tensor, by an index known only at run time; out of range it is clamped.

use crate::plan::{Buf, ScalarRef};

use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, x: Buf, index: ScalarRef, out: Buf, (n_rows, len): (usize, usize)) {
    let index = ctx.scalar_i32(index).clamp(0, i32::try_from(n_rows.max(1) - 1).unwrap_or(i32::MAX)) as usize;
    if n_rows > 0 {
        ctx.out_slice::<u32>(out)[..len].copy_from_slice(&ctx.read::<u32>(x)[index * len..][..len]);
    }
}
