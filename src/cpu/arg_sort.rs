//! Indices that sort each row, stable. NaN sorts after all numbers, in either direction.

use std::cmp::Ordering;

use crate::plan::Buf;
use crate::tensor::DType;

use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, x: Buf, out: Buf, (rows, len): (usize, usize), descending: bool, dtype: DType) {
    if len == 0 {
        return;
    }
    let (x, out) = (ctx.read::<u32>(x), ctx.out(out));
    ctx.threads.run(rows, |row| {
        let x = &x[row * len..][..len];
        // SAFETY: the row is this task's alone.
        let order: &mut [i32] = unsafe { out.range_mut(row * len, len) };
        for (i, index) in order.iter_mut().enumerate() {
            *index = i as i32;
        }
        order.sort_by(|&a, &b| {
            let (a, b) = (x[a as usize], x[b as usize]);
            if dtype.is_float() {
                return compare(f32::from_bits(a), f32::from_bits(b), descending);
            }
            let order = (a as i32).cmp(&(b as i32));
            if descending { order.reverse() } else { order }
        });
    });
}

fn compare(a: f32, b: f32, descending: bool) -> Ordering {
    match a.partial_cmp(&b) {
        Some(order) if descending => order.reverse(),
        Some(order) => order,
        None => a.is_nan().cmp(&b.is_nan()),
    }
}
