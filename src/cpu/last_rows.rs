//! The last row of each segment of a run; places past the segments hold that of the last one.

use crate::plan::Buf;

use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, x: Buf, out: Buf, (n_rows, n_segments, len): (usize, usize, usize)) {
    if n_rows == 0 || len == 0 {
        return;
    }
    let x = ctx.read::<u32>(x);
    let last_segment = ctx.segments.len().saturating_sub(1);
    for (s, out) in ctx.out_slice::<u32>(out)[..n_segments * len].chunks_exact_mut(len).enumerate() {
        let segment = &ctx.segments[s.min(last_segment)];
        let row = (segment.first_row + segment.n_rows).saturating_sub(1).min(n_rows - 1);
        out.copy_from_slice(&x[row * len..][..len]);
    }
}
