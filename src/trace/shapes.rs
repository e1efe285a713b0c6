//! A step whose shape is not the reference's: other heads, another vocabulary, other tokens, or values that are stored transposed.

use crate::tensor::{HostTensor, Shape};

use super::pattern::{permuted, relative};
use super::reason::{Reason, ReasonKind};
use super::verdict::Verdict;

/// What a difference of shapes says. `tolerance` is what equal values may differ by.
pub(super) fn explained(name: &str, ours: &HostTensor, theirs: &HostTensor, tolerance: f64) -> (Verdict, Vec<Reason>) {
    let (here, there) = (&ours.shape, without_batch(&theirs.shape));
    let shapes = format!("the shapes differ: {here} here, {} in the reference", theirs.shape);
    if let Some(axes) = transposed(ours, theirs, &there, tolerance) {
        let text = format!(
            "the reference's {name} is stored transposed: read with its dimensions in the order {axes:?} its values are those here; write it as {here} ({shapes})"
        );
        return (Verdict::Reference, vec![Reason::new(ReasonKind::Reference, text)]);
    }
    let (n, m) = (here.dims().first(), there.first());
    let reason = match (here.dims(), there.as_slice()) {
        (&[a, h, d], &[b, g, e]) if a == b && h * d == g * e => {
            let text = format!(
                "another head count: {h} heads of {d} values here, {g} heads of {e} in the reference; compare `attention.head_count` of the file with the reference's ({shapes})"
            );
            Reason::new(ReasonKind::Heads, text)
        }
        (&[a, h, d], &[b, g, e]) if a == b && d == e => {
            Reason::new(ReasonKind::Heads, format!("another head count: {h} heads here, {g} in the reference ({shapes})"))
        }
        (&[a, v], &[b, w]) if a == b && name == "logits" => {
            Reason::new(ReasonKind::Vocabulary, format!("another vocabulary: {v} tokens here, {w} in the reference ({shapes})"))
        }
        _ if n != m && here.rank() == there.len() && here.dims().get(1..) == there.get(1..) => {
            let (n, m) = (n.copied().unwrap_or(0), m.copied().unwrap_or(0));
            Reason::new(
                ReasonKind::Tokens,
                format!("the reference has {m} tokens, here are {n}: feed the same ones, or leave --prompt out ({shapes})"),
            )
        }
        _ => Reason::new(ReasonKind::Where, format!("another width: {shapes}")),
    };
    let verdict = if reason.kind == ReasonKind::Tokens { Verdict::Tokens } else { Verdict::Program };
    (verdict, vec![reason])
}

fn without_batch(shape: &Shape) -> Vec<usize> {
    let n = shape.dims().iter().take_while(|&&d| d == 1).count().min(shape.rank().saturating_sub(1));
    shape.dims()[n..].to_vec()
}

/// The order of their dimensions in which their values are ours.
fn transposed(ours: &HostTensor, theirs: &HostTensor, dims: &[usize], tolerance: f64) -> Option<Vec<usize>> {
    if ours.len() != theirs.len() {
        return None;
    }
    let values = |t: &HostTensor| (0..t.len()).map(|i| t.value(i)).collect::<Vec<f64>>();
    let (ours_values, theirs_values) = (values(ours), values(theirs));
    let orders: &[&[usize]] = match dims.len() {
        2 => &[&[1, 0]],
        3 => &[&[1, 0, 2], &[0, 2, 1], &[2, 1, 0], &[1, 2, 0], &[2, 0, 1]],
        _ => return None,
    };
    let fits = |axes: &&&[usize]| relative(&permuted(&theirs_values, dims, axes), &ours_values) <= (4.0 * tolerance).clamp(1e-4, 0.2);
    orders.iter().find(fits).map(|axes| axes.to_vec())
}
