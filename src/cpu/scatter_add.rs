//! `out = x` with updates added at given indices, in the order of the indices; out of range is dropped.

use crate::plan::ScatterAdd;

use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, step: &ScatterAdd) {
    let (x, indices, updates) = (ctx.read::<u32>(step.x), ctx.read::<i32>(step.indices), ctx.read::<u32>(step.updates));
    let (out, inner) = (ctx.out_slice::<u32>(step.out), step.inner);
    let total = step.outer * step.len * inner;
    out[..total].copy_from_slice(&x[..total]);
    // f32 sums of many updates would drift, so they are carried in f64; elements without updates keep their bits.
    let n = if step.dtype.is_float() { step.len * inner } else { 0 };
    let (mut sums, mut touched) = (vec![0.0f64; n], vec![false; n]);
    for o in 0..step.outer {
        let out = &mut out[o * step.len * inner..][..step.len * inner];
        for (j, &index) in indices[..step.count].iter().enumerate() {
            let Some(i) = usize::try_from(index).ok().filter(|&i| i < step.len) else { continue };
            let (row, updates) = (i * inner..(i + 1) * inner, &updates[(o * step.count + j) * inner..][..inner]);
            if step.dtype.is_float() {
                for ((sum, touched), &update) in sums[row.clone()].iter_mut().zip(&mut touched[row]).zip(updates) {
                    *sum += f64::from(f32::from_bits(update));
                    *touched = true;
                }
            } else {
                for (out, &update) in out[row].iter_mut().zip(updates) {
                    *out = out.wrapping_add(update);
                }
            }
        }
        for ((out, sum), touched) in out.iter_mut().zip(&mut sums).zip(&mut touched) {
            if std::mem::take(touched) {
                *out = ((f64::from(f32::from_bits(*out)) + std::mem::take(sum)) as f32).to_bits();
            }
        }
    }
}
