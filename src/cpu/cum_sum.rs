//! Running sums along the middle of `[outer, len, inner]`; f32 sums are carried in f64.

use crate::plan::Cumulate;

use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, step: &Cumulate) {
    let (x, out) = (ctx.read::<u32>(step.x), ctx.out_slice::<u32>(step.out));
    for o in 0..step.outer {
        for i in 0..step.inner {
            let (mut float, mut int) = (0.0f64, 0i32);
            for j in 0..step.len {
                let at = (o * step.len + j) * step.inner + i;
                out[at] = if step.dtype.is_float() {
                    float += f64::from(f32::from_bits(x[at]));
                    (float as f32).to_bits()
                } else {
                    int = int.wrapping_add(x[at] as i32);
                    int as u32
                };
            }
        }
    }
}
