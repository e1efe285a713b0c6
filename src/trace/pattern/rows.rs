//! Faults of whole rows, one a token.

use super::super::reason::{Reason, ReasonKind};
use super::{Evidence, relative};

/// Row t holds the reference's row t + k, for all rows that have one.
pub(super) fn shifted(e: &Evidence<'_>) -> Option<Reason> {
    let rows = e.n_rows() as isize;
    for k in [-1, 1, -2, 2, -3, 3] {
        let pairs: Vec<(usize, usize)> =
            (0..rows).filter(|t| (0..rows).contains(&(t + k))).map(|t| (t as usize, (t + k) as usize)).collect();
        if pairs.len() < 2 {
            continue;
        }
        let (ours, theirs): (Vec<&[f64]>, Vec<&[f64]>) = pairs.iter().map(|&(t, u)| (e.row(&e.ours, t), e.row(&e.theirs, u))).unzip();
        let own: Vec<&[f64]> = pairs.iter().map(|&(t, _)| e.row(&e.theirs, t)).collect();
        if ours.concat() != own.concat() && own.concat() != theirs.concat() && e.close(&ours.concat(), &theirs.concat()) {
            let text = format!("shifted position: row t holds the reference's row t {} {}", if k < 0 { '-' } else { '+' }, k.abs());
            return Some(Reason::new(ReasonKind::Position, text));
        }
    }
    None
}

/// Some rows, not all, hold what stands in another row, or in the same row of another step.
pub(super) fn stale(e: &Evidence<'_>) -> Option<Reason> {
    let wrong = e.wrong_rows();
    if wrong.is_empty() || wrong.len() == e.n_rows() || e.width() < 2 {
        return None;
    }
    let same = |a: &[f64], b: &[f64]| a.iter().any(|&v| v != 0.0) && relative(a, b) < (8.0 * e.tolerance).max(1e-6);
    let from_row = |t: usize| {
        let row = e.row(&e.ours, t);
        (0..e.n_rows()).filter(|&u| u != t).find(|&u| same(row, e.row(&e.theirs, u)))
    };
    let found: Vec<(usize, usize)> = wrong.iter().filter_map(|&t| from_row(t).map(|u| (t, u))).collect();
    if found.len() == wrong.len() {
        let (t, u) = found[0];
        let text = format!("stale rows: {} hold another row's values; row {t} holds that of row {u}", count(&wrong, e.n_rows()));
        return Some(Reason::new(ReasonKind::StaleRows, text));
    }
    // Where the right rows are those of the step, too, the whole of it was passed on.
    if super::order::unchanged(e).is_some() {
        return None;
    }
    let from_step = |t: usize| {
        let row = e.row(&e.ours, t);
        e.our_steps.iter().find(|(_, values)| {
            values.len() == e.ours.len() && same(row, &(t * e.width()..(t + 1) * e.width()).map(|i| values.value(i)).collect::<Vec<_>>())
        })
    };
    let names: Vec<&str> = wrong.iter().filter_map(|&t| from_step(t).map(|(name, _)| *name)).collect();
    (names.len() == wrong.len()).then(|| {
        let text = format!(
            "stale rows: {} still hold the values of {}: a buffer was read before it was written",
            count(&wrong, e.n_rows()),
            names[0]
        );
        Reason::new(ReasonKind::StaleRows, text)
    })
}

/// Attention whose last row alone is right: every other query sees keys after its own.
pub(super) fn missing_mask(e: &Evidence<'_>) -> Option<Reason> {
    let (wrong, n) = (e.wrong_rows(), e.n_rows());
    let all_but_last = n > 1 && wrong.len() == n - 1 && !wrong.contains(&(n - 1));
    (e.is_attention && all_but_last).then(|| {
        Reason::new(ReasonKind::Mask, "missing mask: every row but the last is wrong, so that queries see keys after their own position")
    })
}

/// Rows of zeros.
pub(super) fn zero_rows(e: &Evidence<'_>) -> Option<Reason> {
    let zero: Vec<usize> =
        (0..e.n_rows()).filter(|&t| e.row(&e.ours, t).iter().all(|&v| v == 0.0) && e.row(&e.theirs, t).iter().any(|&v| v != 0.0)).collect();
    (!zero.is_empty() && zero.len() < e.n_rows())
        .then(|| Reason::new(ReasonKind::Zero, format!("{} are zero: they were never written", count(&zero, e.n_rows()))))
}

/// Which rows and columns are wrong, where not all are.
pub(super) fn where_wrong(e: &Evidence<'_>) -> Option<Reason> {
    let (rows, width) = (e.n_rows(), e.width());
    let bound = (20.0 * e.tolerance).max(1e-6) * super::rms(e.theirs.iter().copied());
    let wrong: Vec<usize> = (0..e.ours.len())
        .filter(|&i| e.ours[i] != e.theirs[i] && ((e.ours[i] - e.theirs[i]).abs() > bound || !e.ours[i].is_finite()))
        .collect();
    if wrong.is_empty() || wrong.len() * 10 > e.ours.len() * 9 {
        return None;
    }
    if wrong.len() == 1 {
        let i = wrong[0];
        let text = format!("one value alone is wrong: row {}, column {}: {:.6} for {:.6}", i / width, i % width, e.ours[i], e.theirs[i]);
        return Some(Reason::new(ReasonKind::Where, text));
    }
    let mut columns: Vec<usize> = wrong.iter().map(|i| i % width).collect();
    columns.sort_unstable();
    columns.dedup();
    let wrong_rows = e.wrong_rows();
    if !wrong_rows.is_empty() && wrong_rows.len() * 2 <= rows {
        return Some(Reason::new(ReasonKind::Where, format!("only {} are wrong", count(&wrong_rows, rows))));
    }
    (columns.len() * 2 <= width).then(|| {
        let text = format!(
            "only {} of {width} columns are wrong: {}; of a projection they are rows of its weight",
            columns.len(),
            ranges(&columns)
        );
        Reason::new(ReasonKind::Where, text)
    })
}

/// `rows 3, 5 to 8 (5 of 12)`
fn count(rows: &[usize], n: usize) -> String {
    format!("row{} {} ({} of {n})", if rows.len() == 1 { "" } else { "s" }, ranges(rows), rows.len())
}

/// `3, 5 to 8, …`: at most six runs.
fn ranges(sorted: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &v in sorted {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == v => run.1 = v,
            _ => runs.push((v, v)),
        }
    }
    let shown: Vec<String> = runs.iter().take(6).map(|&(a, b)| if a == b { a.to_string() } else { format!("{a} to {b}") }).collect();
    format!("{}{}", shown.join(", "), if runs.len() > 6 { ", …" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{map, noise};
    use super::*;
    use crate::tensor::HostTensor;

    fn rows_from(x: &HostTensor, source: impl Fn(usize) -> usize) -> HostTensor {
        let (width, values) = (x.shape[1], x.as_f32().unwrap());
        map(x, |i, _| values[source(i / width) * width + i % width])
    }

    #[test]
    fn a_shift_is_told_from_one_stale_row() {
        let x = noise(&[6, 8], 1);
        let late = rows_from(&x, |t| t.saturating_sub(1));
        let reason = shifted(&Evidence::new(&late, &x, 1e-6)).unwrap();
        assert_eq!((reason.kind, reason.text.as_str()), (ReasonKind::Position, "shifted position: row t holds the reference's row t - 1"));
        let one = rows_from(&x, |t| if t == 4 { 1 } else { t });
        assert!(shifted(&Evidence::new(&one, &x, 1e-6)).is_none());
        let reason = stale(&Evidence::new(&one, &x, 1e-6)).unwrap();
        assert_eq!(reason.text, "stale rows: row 4 (1 of 6) hold another row's values; row 4 holds that of row 1");
    }

    #[test]
    fn rows_of_another_step_are_recognized() {
        let (x, other) = (noise(&[6, 8], 1), noise(&[6, 8], 2));
        let old = other.as_f32().unwrap();
        let mixed = map(&x, |i, v| if i >= 40 { old[i] } else { v });
        let reason = stale(&Evidence { our_steps: vec![("blk.0.ffn_norm", &other)], ..Evidence::new(&mixed, &x, 1e-6) }).unwrap();
        assert!(reason.text.starts_with("stale rows: row 5 (1 of 6) still hold the values of blk.0.ffn_norm"), "{reason}");
    }

    #[test]
    fn all_but_the_last_row_of_attention_say_mask() {
        let x = noise(&[6, 8], 1);
        let spread = map(&x, |i, v| if i < 40 { v * 0.5 + 0.1 } else { v });
        let attention = |ours| missing_mask(&Evidence { is_attention: true, ..Evidence::new(ours, &x, 1e-6) });
        assert_eq!(attention(&spread).unwrap().kind, ReasonKind::Mask);
        assert!(missing_mask(&Evidence::new(&spread, &x, 1e-6)).is_none(), "not attention");
        assert!(attention(&map(&x, |_, v| v * 0.5)).is_none(), "the last row, too");
    }

    #[test]
    fn zero_rows_and_places_are_listed() {
        let x = noise(&[6, 8], 1);
        let reason = zero_rows(&Evidence::new(&map(&x, |i, v| if i / 8 > 3 { 0.0 } else { v }), &x, 1e-6)).unwrap();
        assert_eq!(reason.text, "rows 4 to 5 (2 of 6) are zero: they were never written");
        let one = map(&x, |i, v| if i == 13 { v + 1.0 } else { v });
        assert!(where_wrong(&Evidence::new(&one, &x, 1e-6)).unwrap().text.starts_with("one value alone is wrong: row 1, column 5"));
        let columns = map(&x, |i, v| if [2, 3].contains(&(i % 8)) { v + 1.0 } else { v });
        let reason = where_wrong(&Evidence::new(&columns, &x, 1e-6)).unwrap();
        assert!(reason.text.starts_with("only 2 of 8 columns are wrong: 2 to 3"), "{reason}");
        assert!(where_wrong(&Evidence::new(&map(&x, |_, v| v + 1.0), &x, 1e-6)).is_none());
    }
}
