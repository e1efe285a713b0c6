//! The ids that the histories of a run's sequences hold at the positions of its rows; 0 for rows past them.

use crate::graph::CacheIdx;
use crate::plan::Buf;

use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, cache: CacheIdx, out: Buf, count: usize) {
    let out = &mut ctx.out_slice::<i32>(out)[..count];
    out.fill(0);
    for (s, segment) in ctx.segments.iter().enumerate() {
        let used = ctx.cache(cache, s);
        for (t, out) in out.iter_mut().skip(segment.first_row).take(segment.n_rows).enumerate() {
            *out = used.history().recorded(used.position + t);
        }
    }
}
