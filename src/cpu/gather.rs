//! Elements along an axis at given indices; out of range gives 0.

use crate::plan::Gather;

use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, step: &Gather) {
    let (x, indices, out) = (ctx.read::<u32>(step.x), ctx.read::<i32>(step.indices), ctx.out_slice::<u32>(step.out));
    let inner = step.inner;
    for o in 0..step.outer {
        for (j, &index) in indices[..step.count].iter().enumerate() {
            let out = &mut out[(o * step.count + j) * inner..][..inner];
            match usize::try_from(index).ok().filter(|&i| i < step.len) {
                Some(i) => out.copy_from_slice(&x[(o * step.len + i) * inner..][..inner]),
                None => out.fill(0),
            }
        }
    }
}
