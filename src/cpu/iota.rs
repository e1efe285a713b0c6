//! `0, 1, 2, …`

use crate::plan::Buf;

use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, out: Buf, len: usize) {
    for (i, out) in ctx.out_slice::<i32>(out)[..len].iter_mut().enumerate() {
        *out = i as i32;
    }
}
