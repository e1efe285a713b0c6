//! Indices that sort each row, stable. NaN sorts after all numbers, in either direction.

use std::cmp::Ordering;
use std::sync::{Mutex, PoisonError};

use crate::plan::Buf;
use crate::tensor::DType;

use super::step::StepContext;
use super::threads::Threads;

/// Elements that one task sorts: longer rows are sorted in pieces on all threads, between which an interrupt is seen.
const PIECE: usize = 1 << 18;

pub(super) fn run(ctx: &StepContext<'_>, x: Buf, out: Buf, (rows, len): (usize, usize), descending: bool, dtype: DType) {
    if len == 0 {
        return;
    }
    let (x, out) = (ctx.read::<u32>(x), ctx.out(out));
    let by = |x: &[u32], a: i32, b: i32| {
        let (a, b) = (x[a as usize], x[b as usize]);
        if dtype.is_float() {
            return compare(f32::from_bits(a), f32::from_bits(b), descending);
        }
        let order = (a as i32).cmp(&(b as i32));
        if descending { order.reverse() } else { order }
    };
    // SAFETY: each row is written by one task, or by this thread alone.
    let row_of = |row: usize| -> &mut [i32] { unsafe { out.range_mut(row * len, len) } };
    if len <= 2 * PIECE {
        return ctx.threads.run(rows, |row| {
            let (x, order) = (&x[row * len..][..len], row_of(row));
            order.iter_mut().enumerate().for_each(|(i, index)| *index = i as i32);
            order.sort_by(|&a, &b| by(x, a, b));
        });
    }
    for row in 0..rows {
        let x = &x[row * len..][..len];
        sort_long(ctx.threads, row_of(row), &|a, b| by(x, a, b));
    }
}

/// Sorts pieces, then merges pairs of them until one is left.
fn sort_long(threads: &Threads, order: &mut [i32], by: &(impl Fn(i32, i32) -> Ordering + Sync)) {
    order.iter_mut().enumerate().for_each(|(i, index)| *index = i as i32);
    let pieces: Vec<Mutex<&mut [i32]>> = order.chunks_mut(PIECE).map(Mutex::new).collect();
    threads.run(pieces.len(), |i| {
        pieces[i].lock().unwrap_or_else(PoisonError::into_inner).sort_by(|&a, &b| by(a, b));
    });
    drop(pieces);
    let mut sorted = vec![0; order.len()];
    let mut width = PIECE;
    while width < order.len() && !threads.is_interrupted() {
        let targets: Vec<Mutex<&mut [i32]>> = sorted.chunks_mut(2 * width).map(Mutex::new).collect();
        let pairs: Vec<&[i32]> = order.chunks(2 * width).collect();
        threads.run(pairs.len(), |i| {
            let (first, second) = pairs[i].split_at(width.min(pairs[i].len()));
            merge(first, second, &mut targets[i].lock().unwrap_or_else(PoisonError::into_inner), by);
        });
        drop(targets);
        order.copy_from_slice(&sorted);
        width *= 2;
    }
}

/// Of equals the first list's come first.
fn merge(first: &[i32], second: &[i32], into: &mut [i32], by: &impl Fn(i32, i32) -> Ordering) {
    let (mut i, mut j) = (0, 0);
    for slot in into {
        let is_second = i == first.len() || j < second.len() && by(second[j], first[i]) == Ordering::Less;
        let (from, at) = if is_second { (second, &mut j) } else { (first, &mut i) };
        *slot = from[*at];
        *at += 1;
    }
}

fn compare(a: f32, b: f32, descending: bool) -> Ordering {
    match a.partial_cmp(&b) {
        Some(order) if descending => order.reverse(),
        Some(order) => order,
        None => a.is_nan().cmp(&b.is_nan()),
    }
}
