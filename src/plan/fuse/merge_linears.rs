//! Linears of one value as one dispatch.

use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::Weight;
use crate::plan::edit::Edit;
use crate::plan::{Buf, Epilogue, Kernel, Linear, PlacedId, Target, View};

/// Linears of one value whose weights follow one another in a placement become one, where every reader of their results can read a window of
/// the common rows instead. They keep apart where one is asked for, or where a kernel wants it contiguous.
pub(super) fn merge_linears(edit: &mut Edit<'_, '_>, _: &Target) {
    let mut groups: HashMap<(Buf, PlacedId), Vec<usize>> = HashMap::new();
    for at in 0..edit.len() {
        if let Some(Kernel::Linear(linear)) = edit.kernel(at)
            && part(edit, linear).is_some()
        {
            groups.entry((linear.x, linear.weight)).or_default().push(at);
        }
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort_unstable();
    for mut group in groups {
        group.sort_by_key(|&at| linear_at(edit, at).map(|l| l.first_row));
        for run in runs(edit, &group) {
            merge(edit, &run);
        }
    }
}

fn linear_at<'e>(edit: &'e Edit<'_, '_>, at: usize) -> Option<&'e Linear> {
    match edit.kernel(at) {
        Some(Kernel::Linear(linear)) => Some(linear),
        _ => None,
    }
}

/// The result and bias of a linear that may be merged.
fn part(edit: &Edit<'_, '_>, linear: &Linear) -> Option<(Buf, Option<Buf>)> {
    let Epilogue::Store { bias, residual: None, out } = linear.epilogue else { return None };
    let plain_bias = bias.is_none_or(|b| matches!(b, Buf::Weight(_)));
    let readers = edit.private_readers(out);
    let window = Window { n: linear.n, row_len: linear.n, first: 0, buf: out };
    let movable = !readers.is_empty() && readers.iter().all(|&r| edit.kernel(r).is_some_and(|k| rewritten(k, out, &window).is_some()));
    (linear.norm.is_none() && plain_bias && movable).then_some((out, bias))
}

/// The longest stretches of `group` that can be one linear: adjacent rows, equal counts, all with a bias or none.
fn runs(edit: &Edit<'_, '_>, group: &[usize]) -> Vec<Vec<usize>> {
    let mut runs: Vec<Vec<usize>> = Vec::new();
    for &at in group {
        let joins = runs.last().and_then(|run| run.last()).is_some_and(|&before| match (linear_at(edit, before), linear_at(edit, at)) {
            (Some(a), Some(b)) => a.first_row + a.n == b.first_row && a.rows == b.rows && has_bias(a) == has_bias(b),
            _ => false,
        });
        match runs.last_mut() {
            Some(run) if joins => run.push(at),
            _ => runs.push(vec![at]),
        }
    }
    runs.retain(|run| run.len() > 1);
    runs
}

fn has_bias(linear: &Linear) -> bool {
    matches!(linear.epilogue, Epilogue::Store { bias: Some(_), .. })
}

fn merge(edit: &mut Edit<'_, '_>, run: &[usize]) {
    let parts: Vec<Linear> = run.iter().filter_map(|&at| linear_at(edit, at).cloned()).collect();
    let Some(first) = parts.first().cloned() else { return };
    let n: usize = parts.iter().map(|p| p.n).sum();
    let merged = edit.draft.value(first.rows.count * n);
    let mut biases: Vec<Arc<Weight>> = Vec::new();
    let mut start = 0;
    for linear in &parts {
        let Some((out, bias)) = part(edit, linear) else { return };
        let window = Window { n: linear.n, row_len: n, first: start, buf: merged };
        start += linear.n;
        for reader in edit.readers(out).to_vec() {
            if let Some(kernel) = edit.kernel(reader).and_then(|kernel| rewritten(kernel, out, &window)) {
                edit.set(reader, kernel);
            }
        }
        if let Some(Buf::Weight(id)) = bias {
            biases.extend(edit.draft.placements.get(id).parts.iter().cloned());
        }
    }
    let bias = (!biases.is_empty()).then(|| Buf::Weight(edit.draft.placements.dense(&biases)));
    let epilogue = Epilogue::Store { bias, residual: None, out: merged };
    let at = run.iter().copied().min().unwrap_or(run[0]);
    edit.replace(run, at, Kernel::Linear(Linear { n, epilogue, ..first }));
}

/// `n` columns from `first` on of rows of `row_len`.
struct Window {
    n: usize,
    row_len: usize,
    first: usize,
    buf: Buf,
}

/// `kernel` with its views of `value` turned into views of the window, or `None` where it reads the value otherwise.
fn rewritten(kernel: &Kernel, value: Buf, window: &Window) -> Option<Kernel> {
    let mut kernel = kernel.clone();
    let mut views = 0;
    for (view, dims) in kernel.views_mut() {
        if view.buf == value {
            *view = moved(view, &dims, window)?;
            views += 1;
        }
    }
    // Where the window is the value itself, a view of it reads as before; anything else that still names the value is no view.
    let left = kernel.reads().iter().filter(|&&b| b == value).count();
    (left == if window.buf == value { views } else { 0 } && views > 0).then_some(kernel)
}

/// A view of row-major `[rows, n]` as one of the window: strides of whole rows follow the new row length, others stay within a row.
fn moved(view: &View, dims: &[usize], window: &Window) -> Option<View> {
    if window.n == 0 {
        return None;
    }
    let n = window.n as isize;
    let row_len = window.row_len as isize;
    let (row, column) = (view.offset / window.n, view.offset % window.n);
    let (mut low, mut high) = (column as isize, column as isize);
    let mut strides = Vec::with_capacity(dims.len());
    for (&size, &stride) in dims.iter().zip(&view.strides) {
        if size <= 1 {
            strides.push(0);
        } else if stride % n == 0 {
            strides.push(stride / n * row_len);
        } else {
            let reach = (size as isize - 1) * stride;
            low += reach.min(0);
            high += reach.max(0);
            strides.push(stride);
        }
    }
    let within_row = low >= 0 && high < n;
    within_row.then(|| View { buf: window.buf, offset: row * window.row_len + window.first + column, strides })
}
