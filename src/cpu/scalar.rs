//! A scalar of the parameter block as a tensor of one element.

use crate::plan::{Buf, ScalarRef};

use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, value: ScalarRef, out: Buf) {
    ctx.out_slice::<u32>(out)[0] = ctx.scalar_bits(value);
}
