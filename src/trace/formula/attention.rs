//! Attention of queries, keys and values that are known, by the plain formula: whom a query sees, which heads belong together, the scale.

use super::{Context, Known, Target, What};
use crate::trace::names::StepName;

/// softmax(q · kᵀ · scale, masked) · v
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub q: String,
    pub k: String,
    pub v: String,
    pub mask: Mask,
    pub heads: Heads,
    pub scale: Scale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    Causal,
    None,
    /// One key more than the query's own position.
    OneMore,
    /// Not its own key.
    NotOwn,
    OwnAlone,
    FirstUnseen,
    /// The newest keys, and the first ones.
    Window {
        newest: usize,
        sinks: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// Neighbouring query heads read one key-value head.
    Grouped,
    /// Head h reads key-value head h mod G.
    InTurn,
    /// All read key-value head 0.
    First,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    RootOfHead,
    One,
    Head,
    RootOfWidth,
}

/// Multiplications of one whole check; above, some rows decide.
const MAX_MACS: usize = 200_000_000;
const MAX_WINDOWS: usize = 64;

struct Operands<'a> {
    q: &'a Known,
    k: &'a Known,
    v: &'a Known,
    n: usize,
    n_heads: usize,
    n_groups: usize,
    head_dim: usize,
}

pub(super) fn find(target: &Target<'_>, context: &Context<'_>) -> Option<What> {
    if context.position > 0 || target.n_rows() < 2 {
        return None;
    }
    operands(target, context).iter().find_map(|o| explained(target, context, o)).map(What::Attention)
}

/// Queries, keys and values that may be the target's, the rotated first.
fn operands<'a>(target: &Target<'_>, context: &'a Context<'_>) -> Vec<Operands<'a>> {
    let head_dim = if target.shape.rank() == 3 { Some(target.shape[2]) } else { context.head_dims.first().copied() };
    let Some(head_dim) = head_dim.filter(|&d| d > 0 && target.width().is_multiple_of(d)) else { return Vec::new() };
    let (n, layer) = (target.n_rows(), StepName::parse(&context.step).layer_idx);
    let of = |letter: char| {
        let mut found: Vec<&Known> = context
            .known
            .iter()
            .filter(|known| {
                let name = StepName::parse(&known.name);
                name.layer_idx == layer && name.step.starts_with(letter) && known.n_rows() == n && known.width().is_multiple_of(head_dim)
            })
            .collect();
        found.sort_by_key(|known| !known.name.contains("rope"));
        found
    };
    let mut all = Vec::new();
    // The last are keys and values that were exchanged.
    for (keys, values) in [('k', 'v'), ('v', 'k')] {
        for q in of('q').into_iter().filter(|q| q.width() == target.width()) {
            for k in of(keys) {
                for v in of(values).into_iter().filter(|v| v.width() == k.width()) {
                    let (n_heads, n_groups) = (q.width() / head_dim, k.width() / head_dim);
                    if n_heads.is_multiple_of(n_groups) {
                        all.push(Operands { q, k, v, n, n_heads, n_groups, head_dim });
                    }
                }
            }
        }
    }
    all
}

fn explained(target: &Target<'_>, context: &Context<'_>, o: &Operands<'_>) -> Option<Seen> {
    let mut masks = vec![Mask::Causal, Mask::None, Mask::OneMore, Mask::NotOwn, Mask::OwnAlone, Mask::FirstUnseen];
    for sinks in [0, context.cache.map_or(0, |c| c.sinks)] {
        masks.extend((2..o.n.min(MAX_WINDOWS)).map(|newest| Mask::Window { newest, sinks }));
    }
    let scales = [Scale::RootOfHead, Scale::One, Scale::Head, Scale::RootOfWidth];
    let heads = [Heads::Grouped, Heads::InTurn, Heads::First];
    let heads = &heads[..if o.n_groups == 1 { 1 } else { 3 }];
    // One thing that is other than usual before two.
    let mut tried: Vec<(usize, Mask, Heads, Scale)> = Vec::new();
    for (m, &mask) in masks.iter().enumerate() {
        for (h, &heads) in heads.iter().enumerate() {
            tried.extend(
                scales
                    .iter()
                    .enumerate()
                    .map(|(s, &scale)| (usize::from(m > 0) + usize::from(h > 0) + usize::from(s > 0), mask, heads, scale)),
            );
        }
    }
    tried.sort_by_key(|(n, ..)| *n);
    let found = tried.into_iter().filter(|(n, ..)| *n < 3).find(|&(_, mask, heads, scale)| fits(target, o, mask, heads, scale))?;
    let (_, mask, heads, scale) = found;
    let name = |known: &Known| known.name.clone();
    Some(Seen { q: name(o.q), k: name(o.k), v: name(o.v), mask, heads, scale })
}

fn fits(target: &Target<'_>, o: &Operands<'_>, mask: Mask, heads: Heads, scale: Scale) -> bool {
    let agrees = |rows: &[usize]| {
        let (ours, theirs): (Vec<Vec<f64>>, Vec<Vec<f64>>) = rows
            .iter()
            .map(|&t| (row(o, t, mask, heads, scale), target.values[t * target.width()..(t + 1) * target.width()].to_vec()))
            .unzip();
        super::relative(&ours.concat(), &theirs.concat()) <= target.slack
    };
    let some = [0, 1, o.n / 2, o.n - 1];
    let is_cheap = o.n * o.n * o.n_heads * o.head_dim <= MAX_MACS;
    agrees(&some) && (!is_cheap || agrees(&(0..o.n).collect::<Vec<usize>>()))
}

fn sees(mask: Mask, t: usize, s: usize) -> bool {
    match mask {
        Mask::Causal => s <= t,
        Mask::None => true,
        Mask::OneMore => s <= t + 1,
        Mask::NotOwn => s < t || t == 0 && s == 0,
        Mask::OwnAlone => s == t,
        Mask::FirstUnseen => s <= t && (s > 0 || t == 0),
        Mask::Window { newest, sinks } => s <= t && (s + newest > t || s < sinks),
    }
}

/// What the heads of token t read.
fn row(o: &Operands<'_>, t: usize, mask: Mask, heads: Heads, scale: Scale) -> Vec<f64> {
    let d = o.head_dim;
    let factor = match scale {
        Scale::RootOfHead => 1.0 / (d as f64).sqrt(),
        Scale::One => 1.0,
        Scale::Head => 1.0 / d as f64,
        Scale::RootOfWidth => 1.0 / ((d * o.n_heads) as f64).sqrt(),
    };
    let mut out = vec![0.0; o.n_heads * d];
    for (h, out) in out.chunks_mut(d).enumerate() {
        let g = match heads {
            Heads::Grouped => h / (o.n_heads / o.n_groups),
            Heads::InTurn => h % o.n_groups,
            Heads::First => 0,
        };
        let key = |s: usize| (s * o.n_groups + g) * d..(s * o.n_groups + g + 1) * d;
        let query = &o.q.values[(t * o.n_heads + h) * d..(t * o.n_heads + h + 1) * d];
        let scores: Vec<(usize, f64)> = (0..o.n)
            .filter(|&s| sees(mask, t, s))
            .map(|s| (s, query.iter().zip(&o.k.values[key(s)]).map(|(a, b)| a * b).sum::<f64>() * factor))
            .collect();
        let most = scores.iter().map(|(_, v)| *v).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|(_, v)| (v - most).exp()).sum();
        for (s, score) in scores {
            let weight = (score - most).exp() / sum;
            out.iter_mut().zip(&o.v.values[key(s)]).for_each(|(out, v)| *out += weight * v);
        }
    }
    out
}

/// Whether the first query reads more than its own value: keys after it are seen.
pub(super) fn first_query_sees_more(values: &[f64], context: &Context<'_>, seen: &Seen, slack: f64) -> bool {
    let find = |name: &str| context.known.iter().find(|k| k.name == name);
    let (Some(q), Some(v)) = (find(&seen.q), find(&seen.v)) else { return false };
    let (n_values, width) = (q.width(), v.width());
    let Some(head_dim) = context.head_dims.iter().copied().find(|&d| d > 0 && width.is_multiple_of(d) && n_values.is_multiple_of(d)) else {
        return false;
    };
    let per_group = n_values / width.max(1);
    let own: Vec<f64> = (0..n_values).map(|i| v.values[(i / head_dim / per_group.max(1)) * head_dim + i % head_dim]).collect();
    values.len() >= n_values && super::relative(&values[..n_values], &own) > 20.0 * slack
}
