//! `out = x` with updates added at given indices, in the order of the indices; out of range is dropped.

use crate::plan::ScatterAdd;

use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, step: &ScatterAdd) {
    let (x, indices, updates) = (ctx.read::<u32>(step.x), ctx.read::<i32>(step.indices), ctx.read::<u32>(step.updates));
    let (out, inner) = (ctx.out_slice::<u32>(step.out), step.inner);
    let total = step.outer * step.len * inner;
    out[..total].copy_from_slice(&x[..total]);
    for o in 0..step.outer {
        for (j, &index) in indices[..step.count].iter().enumerate() {
            let Some(i) = usize::try_from(index).ok().filter(|&i| i < step.len) else { continue };
            let out = &mut out[(o * step.len + i) * inner..][..inner];
            for (out, &update) in out.iter_mut().zip(&updates[(o * step.count + j) * inner..][..inner]) {
                *out = if step.dtype.is_float() {
                    (f32::from_bits(*out) + f32::from_bits(update)).to_bits()
                } else {
                    out.wrapping_add(update)
                };
            }
        }
    }
}
