//! Faults that leave each value as it is and put it elsewhere.

use super::super::reason::{Reason, ReasonKind};
use super::{Evidence, relative};
use crate::tensor::HostTensor;
use crate::trace::measure::rms;

/// The step holds what the reference calls another step.
pub(super) fn swapped(e: &Evidence<'_>) -> Option<Reason> {
    let same = |(_, values): &&(&str, &HostTensor)| {
        values.len() == e.ours.len() && e.close(&e.ours, &(0..values.len()).map(|i| values.value(i)).collect::<Vec<_>>())
    };
    // All zeros equal all zeros; that says nothing.
    let found = e.their_steps.iter().filter(|_| e.ours.iter().any(|&v| v != 0.0)).find(same)?;
    Some(Reason::new(ReasonKind::Swapped, format!("swapped: these are the reference's values of {}", found.0)))
}

/// The step holds what an earlier step of ours holds, and should not.
pub(super) fn unchanged(e: &Evidence<'_>) -> Option<Reason> {
    let same = |(_, values): &&(&str, &HostTensor)| {
        values.len() == e.ours.len() && e.close(&e.ours, &(0..values.len()).map(|i| values.value(i)).collect::<Vec<_>>())
    };
    let found = e.our_steps.iter().rev().filter(|_| e.ours.iter().any(|&v| v != 0.0)).find(same)?;
    let text = format!("unchanged: these are the values of {} still; what follows it was left out, or added nothing", found.0);
    Some(Reason::new(ReasonKind::Function, text))
}

/// Equal after the dimensions are read in another order.
pub(super) fn transposed(e: &Evidence<'_>) -> Option<Reason> {
    let mut shapes: Vec<Vec<usize>> = vec![e.shape.to_vec()];
    shapes.push(vec![e.n_rows(), e.width()]);
    for &d in e.head_dims.iter().filter(|&&d| d > 0 && e.width().is_multiple_of(d)) {
        shapes.push(vec![e.n_rows(), e.width() / d, d]);
    }
    // Values may also lie in another order than their shape says.
    let stored =
        |dims: &Vec<usize>| orders(dims.len()).iter().map(|axes| axes.iter().map(|&a| dims[a]).collect()).collect::<Vec<Vec<usize>>>();
    shapes.retain(|s| (2..=3).contains(&s.len()));
    shapes.extend(shapes.clone().iter().flat_map(stored));
    for dims in &shapes {
        for axes in orders(dims.len()) {
            let read = permuted(&e.theirs, dims, axes);
            if read != e.theirs && e.close(&e.ours, &read) {
                let text = format!("transposed: these are the reference's values of {dims:?} with the dimensions in the order {axes:?}");
                return Some(Reason::new(ReasonKind::Transposed, text));
            }
        }
    }
    None
}

fn orders(rank: usize) -> &'static [&'static [usize]] {
    match rank {
        2 => &[&[1, 0]],
        _ => &[&[1, 0, 2], &[0, 2, 1], &[2, 1, 0], &[1, 2, 0], &[2, 0, 1]],
    }
}

/// The values of a tensor of these dimensions with the dimensions in the order `axes`.
pub(in super::super) fn permuted(values: &[f64], dims: &[usize], axes: &[usize]) -> Vec<f64> {
    let strides = crate::tensor::Shape::from(dims).strides();
    let (out_dims, out_strides): (Vec<usize>, Vec<usize>) = axes.iter().map(|&a| (dims[a], strides[a])).unzip();
    let mut index = vec![0; dims.len()];
    let mut out = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        out.push(values[index.iter().zip(&out_strides).map(|(i, s)| i * s).sum::<usize>()]);
        for d in (0..index.len()).rev() {
            index[d] += 1;
            if index[d] < out_dims[d] {
                break;
            }
            index[d] = 0;
        }
    }
    out
}

/// Column j holds the reference's column j + k, for all columns that have one.
pub(super) fn columns_shifted(e: &Evidence<'_>) -> Option<Reason> {
    let width = e.width() as isize;
    for k in [-1, 1, -2, 2, -3, 3, -4, 4] {
        if width < 4 * k {
            continue;
        }
        let kept: Vec<isize> = (0..width).filter(|j| (0..width).contains(&(j + k))).collect();
        let columns = |values: &[f64], by: isize| {
            (0..e.n_rows())
                .flat_map(|t| kept.iter().map(move |j| (t, j)))
                .map(|(t, j)| e.row(values, t)[(j + by) as usize])
                .collect::<Vec<f64>>()
        };
        let (ours, theirs, own) = (columns(&e.ours, 0), columns(&e.theirs, k), columns(&e.theirs, 0));
        if theirs != own && e.close(&ours, &theirs) {
            let text = format!(
                "columns are shifted: column j holds the reference's column j {} {}; of logits the vocabulary is shifted",
                if k < 0 { '-' } else { '+' },
                k.abs()
            );
            return Some(Reason::new(ReasonKind::Vocabulary, text));
        }
    }
    None
}

/// Most columns of a step whose order is looked for: each is held against all others.
const MAX_COLUMNS: usize = 4096;

/// Every column is some column of the reference, not always its own: the rows of a weight are in another order.
pub(super) fn columns_permuted(e: &Evidence<'_>) -> Option<Reason> {
    let width = e.width();
    let is_told = || columns_shifted(e).or_else(|| rope_order(e)).or_else(|| heads_permuted(e)).is_some();
    if !(2..=MAX_COLUMNS).contains(&width) || e.n_rows() < 3 || is_told() {
        return None;
    }
    let column = |values: &[f64], j: usize| (0..e.n_rows()).map(|t| e.row(values, t)[j]).collect::<Vec<f64>>();
    let ours: Vec<Vec<f64>> = (0..width).map(|j| column(&e.ours, j)).collect();
    let theirs: Vec<Vec<f64>> = (0..width).map(|j| column(&e.theirs, j)).collect();
    // By their first values, so that few are compared.
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| theirs[a][0].total_cmp(&theirs[b][0]));
    let slack = |v: f64| 1e-4 * v.abs() + 8.0 * e.tolerance * rms(theirs.iter().map(|c| c[0]));
    let source = |j: usize| {
        if e.close(&ours[j], &theirs[j]) {
            return Some(j);
        }
        let (first, by) = (ours[j][0], slack(ours[j][0]));
        let from = order.partition_point(|&i| theirs[i][0] < first - by);
        order[from..].iter().copied().take_while(|&i| theirs[i][0] <= first + by).find(|&i| e.close(&ours[j], &theirs[i]))
    };
    let sources: Vec<usize> = (0..width).map(source).collect::<Option<_>>()?;
    let mut used = vec![false; width];
    if sources.iter().any(|&i| std::mem::replace(&mut used[i], true)) {
        return None;
    }
    let moved: Vec<String> = sources.iter().enumerate().filter(|(j, i)| j != *i).take(4).map(|(j, i)| format!("{j} holds {i}")).collect();
    (!moved.is_empty()).then(|| {
        let text = format!(
            "columns are in another order (column {}, …): the rows of a weight are permuted, as for another number of heads or the other pairs of RoPE",
            moved.join(", ")
        );
        Reason::new(ReasonKind::HeadOrder, text)
    })
}

/// Equal after the pairs of each head are regrouped between (2i, 2i + 1) and (i, i + D / 2).
pub(super) fn rope_order(e: &Evidence<'_>) -> Option<Reason> {
    for &d in e.head_dims.iter().filter(|&&d| d >= 4 && d % 2 == 0 && e.width().is_multiple_of(d)) {
        let half = d / 2;
        let to_halves: Vec<f64> = regrouped(&e.theirs, d, |i| if i < half { 2 * i } else { 2 * (i - half) + 1 });
        let to_neighbours: Vec<f64> = regrouped(&e.theirs, d, |i| if i % 2 == 0 { i / 2 } else { half + i / 2 });
        for (read, theirs, ours) in [(to_halves, "neighbours", "halves"), (to_neighbours, "halves", "neighbours")] {
            if read != e.theirs && e.close(&e.ours, &read) {
                let text = format!(
                    "RoPE order: each head of {d} is grouped in pairs of {ours}, the reference's in pairs of {theirs}: the rows of a weight \
                     are in the other order (interleaved is 2i and 2i + 1, NEOX is i and i + {half})"
                );
                return Some(Reason::new(ReasonKind::RopeOrder, text));
            }
        }
    }
    None
}

/// Element `i` of each head is what stood at `from(i)`.
fn regrouped(values: &[f64], head_dim: usize, from: impl Fn(usize) -> usize) -> Vec<f64> {
    values.chunks(head_dim).flat_map(|head| (0..head.len()).map(|i| head[from(i)]).collect::<Vec<_>>()).collect()
}

/// Each head is some head of the reference, not always its own.
pub(super) fn heads_permuted(e: &Evidence<'_>) -> Option<Reason> {
    for &d in e.head_dims.iter().filter(|&&d| d >= 2 && e.width().is_multiple_of(d)) {
        let n_heads = e.width() / d;
        if n_heads < 2 {
            continue;
        }
        let head =
            |values: &[f64], h: usize| (0..e.n_rows()).flat_map(|t| e.row(values, t)[h * d..(h + 1) * d].to_vec()).collect::<Vec<f64>>();
        let theirs: Vec<Vec<f64>> = (0..n_heads).map(|h| head(&e.theirs, h)).collect();
        // Its own first: two heads that read one key-value head may be equal.
        let source = |h: usize| {
            let ours = head(&e.ours, h);
            std::iter::once(h).chain(0..n_heads).find(|&g| relative(&ours, &theirs[g]) < (8.0 * e.tolerance).max(1e-6))
        };
        let Some(sources) = (0..n_heads).map(source).collect::<Option<Vec<usize>>>() else { continue };
        if sources.iter().enumerate().all(|(h, &g)| h == g) {
            continue;
        }
        let mut seen = sources.clone();
        seen.sort_unstable();
        seen.dedup();
        let shown: Vec<String> = sources.iter().take(16).map(usize::to_string).collect();
        let text = format!("heads are out of order: head 0, 1, … hold the reference's {}", shown.join(", "));
        let kind = if seen.len() == n_heads { ReasonKind::HeadOrder } else { ReasonKind::HeadGroups };
        return Some(Reason::new(kind, text));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::noise;
    use super::*;

    fn tensor(shape: &[usize], values: Vec<f64>) -> HostTensor {
        HostTensor::f32(shape, values.into_iter().map(|v| v as f32).collect())
    }

    fn values(t: &HostTensor) -> Vec<f64> {
        (0..t.len()).map(|i| t.value(i)).collect()
    }

    fn kind(pattern: fn(&Evidence<'_>) -> Option<Reason>, ours: &HostTensor, theirs: &HostTensor) -> Option<ReasonKind> {
        pattern(&Evidence { head_dims: vec![8], ..Evidence::new(ours, theirs, 1e-6) }).map(|r| r.kind)
    }

    #[test]
    fn a_transposition_of_two_or_three_dimensions_is_seen() {
        let x = noise(&[6, 4], 1);
        let turned = tensor(&[6, 4], permuted(&values(&x), &[6, 4], &[1, 0]));
        assert_eq!(kind(transposed, &turned, &x), Some(ReasonKind::Transposed));
        let x = noise(&[3, 2, 8], 1);
        let turned = tensor(&[3, 2, 8], permuted(&values(&x), &[3, 2, 8], &[1, 0, 2]));
        assert_eq!(kind(transposed, &turned, &x), Some(ReasonKind::Transposed));
        assert_eq!(kind(transposed, &x, &x), None);
        assert_eq!(kind(transposed, &noise(&[3, 2, 8], 2), &x), None);
    }

    #[test]
    fn both_orders_of_pairs_are_seen() {
        let x = noise(&[3, 2, 8], 1);
        let halves = tensor(&[3, 2, 8], regrouped(&values(&x), 8, |i| if i < 4 { 2 * i } else { 2 * (i - 4) + 1 }));
        let reason = rope_order(&Evidence { head_dims: vec![8], ..Evidence::new(&halves, &x, 1e-6) }).unwrap();
        assert!(reason.text.contains("in pairs of halves, the reference's in pairs of neighbours"), "{reason}");
        let reason = rope_order(&Evidence { head_dims: vec![8], ..Evidence::new(&x, &halves, 1e-6) }).unwrap();
        assert!(reason.text.contains("in pairs of neighbours, the reference's in pairs of halves"), "{reason}");
        assert_eq!(kind(rope_order, &x, &x), None);
    }

    #[test]
    fn an_order_of_heads_is_told_from_a_wrong_grouping() {
        let x = noise(&[3, 4, 8], 1);
        let from = |sources: [usize; 4]| {
            let v = values(&x);
            tensor(&[3, 4, 8], (0..96).map(|i| v[i / 32 * 32 + sources[i % 32 / 8] * 8 + i % 8]).collect())
        };
        assert_eq!(kind(heads_permuted, &from([1, 0, 3, 2]), &x), Some(ReasonKind::HeadOrder));
        assert_eq!(kind(heads_permuted, &from([0, 1, 0, 1]), &x), Some(ReasonKind::HeadGroups));
        assert_eq!(kind(heads_permuted, &x, &x), None);
    }

    #[test]
    fn any_order_of_columns_is_told_from_columns_that_are_lost() {
        let x = noise(&[3, 8], 1);
        let from = |sources: [usize; 8]| {
            let v = values(&x);
            tensor(&[3, 8], (0..24).map(|i| v[i / 8 * 8 + sources[i % 8]]).collect())
        };
        let reason = columns_permuted(&Evidence::new(&from([0, 3, 2, 1, 4, 7, 5, 6]), &x, 1e-6)).unwrap();
        assert!(reason.text.contains("(column 1 holds 3, 3 holds 1, 5 holds 7, 6 holds 5, …)"), "{reason}");
        assert_eq!(kind(columns_permuted, &from([0, 3, 2, 3, 4, 7, 5, 6]), &x), None, "one is there twice");
        assert_eq!(kind(columns_permuted, &x, &x), None);
    }

    #[test]
    fn another_steps_values_are_recognized() {
        let (gate, up) = (noise(&[3, 8], 1), noise(&[3, 8], 2));
        let steps = vec![("gate", &gate), ("up", &up)];
        let reason = swapped(&Evidence { their_steps: steps, ..Evidence::new(&up, &gate, 1e-6) }).unwrap();
        assert_eq!(reason.text, "swapped: these are the reference's values of up");
        let reason = unchanged(&Evidence { our_steps: vec![("up", &up)], ..Evidence::new(&up, &gate, 1e-6) }).unwrap();
        assert!(reason.text.starts_with("unchanged: these are the values of up still"), "{reason}");
        assert_eq!(kind(unchanged, &up, &gate), None);
    }
}
