//! A step's heads with their pairs turned: by which pairs, how many of them, and by what angle a position, read off the values.

use std::f64::consts::{PI, TAU};

use super::{Context, Known, Target, What};
use crate::graph::RopeStyle;

/// Pairs of each head turned by an angle that grows with the position.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    pub x: String,
    pub style: RopeStyle,
    pub head_dim: usize,
    /// The first elements of a head that are turned.
    pub n_dims: usize,
    pub angles: Angles,
    /// Where the first row stands; `None` where no whole number fits.
    pub first: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Angles {
    /// `scale · base^(-2i / n_dims)` a position.
    Base { base: f64, scale: f64 },
    /// The same every row.
    Still,
    /// Pair 0 and 1 turn by these a position.
    Other(f64, f64),
    /// No angle a position.
    Unsteady,
}

const MAX_X: usize = 8;

pub(super) fn find(target: &Target<'_>, context: &Context<'_>) -> Option<What> {
    // Fewer rows do not say how fast a pair turns.
    if target.n_rows() < 2 {
        return None;
    }
    let mut other = None;
    for x in context.known.iter().filter(|k| k.values.len() == target.values.len()).take(MAX_X) {
        for head_dim in head_dims(target, context) {
            // A rotation of half a head is one of the whole head with pairs that stand still: fewer first.
            for n_dims in [head_dim / 4, head_dim / 2, head_dim / 4 * 3, head_dim].into_iter().filter(|d| *d >= 2 && d.is_multiple_of(2)) {
                for style in [RopeStyle::Interleaved, RopeStyle::Neox] {
                    // Two elements are one pair in either order.
                    if n_dims == 2 && style == RopeStyle::Neox {
                        continue;
                    }
                    match of(target, context, x, (head_dim, n_dims, style)) {
                        // Two small heads are a large one whose angles follow no base.
                        Some(found) if matches!(found.angles, Angles::Other(..) | Angles::Unsteady) => {
                            other.get_or_insert(found);
                        }
                        Some(found) => return Some(What::Rotation(found)),
                        None => {}
                    }
                }
            }
        }
    }
    other.map(What::Rotation)
}

fn head_dims(target: &Target<'_>, context: &Context<'_>) -> Vec<usize> {
    let own = if target.shape.rank() == 3 { vec![target.shape[2]] } else { Vec::new() };
    let mut dims: Vec<usize> = own.into_iter().chain(context.head_dims.iter().copied()).collect();
    dims.extend(dims.clone().iter().flat_map(|d| [d * 2, d / 2, d * 4]));
    let mut seen = Vec::new();
    dims.retain(|&d| {
        let is_new = d >= 2 && target.width().is_multiple_of(d) && !seen.contains(&d);
        seen.push(d);
        is_new
    });
    dims
}

/// The two elements of pair `i`.
fn pair(style: RopeStyle, n_dims: usize, i: usize) -> (usize, usize) {
    match style {
        RopeStyle::Interleaved => (2 * i, 2 * i + 1),
        RopeStyle::Neox => (i, i + n_dims / 2),
    }
}

fn of(target: &Target<'_>, context: &Context<'_>, x: &Known, (head_dim, n_dims, style): (usize, usize, RopeStyle)) -> Option<Rotation> {
    let (rows, width, n_pairs) = (target.n_rows(), target.width(), n_dims / 2);
    // For each row and pair, over all heads: the angle from x to the target.
    let mut angles = vec![vec![0.0; n_pairs]; rows];
    let mut turned = x.values.clone();
    for (t, angles) in angles.iter_mut().enumerate() {
        for (i, angle) in angles.iter_mut().enumerate() {
            let (p, q) = pair(style, n_dims, i);
            let at = |h: usize| (t * width + h * head_dim + p, t * width + h * head_dim + q);
            let (mut dot, mut cross) = (0.0, 0.0);
            for h in 0..width / head_dim {
                let (p, q) = at(h);
                dot += x.values[p] * target.values[p] + x.values[q] * target.values[q];
                cross += x.values[p] * target.values[q] - x.values[q] * target.values[p];
            }
            *angle = cross.atan2(dot);
            let (sin, cos) = angle.sin_cos();
            for h in 0..width / head_dim {
                let (p, q) = at(h);
                (turned[p], turned[q]) = (x.values[p] * cos - x.values[q] * sin, x.values[p] * sin + x.values[q] * cos);
            }
        }
    }
    target.rest(|i| turned[i])?;
    // With one head any two vectors of one length are a turn apart; then only steady angles say that this is a rotation.
    let (per_position, start): (Vec<f64>, Vec<f64>) = (0..n_pairs).map(|i| speed(&angles, i)).unzip();
    let bound = (50.0 * target.slack).max(1e-4);
    let is_steady = (0..n_pairs).all(|i| (0..rows).all(|t| wrapped(angles[t][i] - start[i] - per_position[i] * t as f64).abs() < bound));
    let is_named = is_steady || width / head_dim > 1;
    is_named.then(|| Rotation {
        x: x.name.clone(),
        style,
        head_dim,
        n_dims,
        angles: if is_steady { named(&per_position, n_dims, rows) } else { Angles::Unsteady },
        first: if is_steady { first_position(&per_position, &start, context.position as i64, bound) } else { None },
    })
}

fn wrapped(angle: f64) -> f64 {
    (angle + PI).rem_euclid(TAU) - PI
}

/// Radians a position of pair `i`, and its angle in the first row.
fn speed(angles: &[Vec<f64>], i: usize) -> (f64, f64) {
    let mean = |angles: &mut dyn Iterator<Item = f64>| {
        let (sin, cos) = angles.fold((0.0, 0.0), |(s, c), a| (s + a.sin(), c + a.cos()));
        f64::atan2(sin, cos)
    };
    let mut speed = mean(&mut angles.windows(2).map(|w| w[1][i] - w[0][i]));
    // Over all rows a slow pair's angle is known better than between two.
    let whole = angles[angles.len() - 1][i] - angles[0][i];
    let n = (angles.len() - 1) as f64;
    speed += wrapped(whole - speed * n) / n;
    (speed, angles[0][i])
}

fn named(speeds: &[f64], n_dims: usize, rows: usize) -> Angles {
    if speeds.iter().all(|s| s.abs() < 1e-6) {
        return Angles::Still;
    }
    let scale = speeds[0];
    // Angles that hardly change over the rows say little.
    let known: Vec<f64> = (1..speeds.len())
        .filter(|&i| (speeds[i] * rows as f64).abs() > 1e-3 && speeds[i] / scale > 0.0)
        .map(|i| -(speeds[i] / scale).ln() * n_dims as f64 / (2.0 * i as f64))
        .collect();
    let Some(&first) = known.first() else { return Angles::Other(scale, speeds.get(1).copied().unwrap_or_default()) };
    if known.iter().any(|ln| (ln - first).abs() > 0.02 * first.abs().max(0.1)) {
        return Angles::Other(scale, speeds[1]);
    }
    let base = first.exp();
    let power = 10f64.powf(base.log10().floor() - 2.0);
    Angles::Base { base: (base / power).round() * power, scale: if (scale - 1.0).abs() < 1e-3 { 1.0 } else { scale } }
}

/// The whole number p at which every pair's first angle is p times its speed.
fn first_position(speeds: &[f64], start: &[f64], position: i64, bound: f64) -> Option<i64> {
    let fits = |p: i64| speeds.iter().zip(start).all(|(s, a)| wrapped(a - s * p as f64).abs() < 4.0 * bound);
    let near = (0..=16).flat_map(|d| [position + d, position - d]);
    near.chain(0..=position).find(|&p| fits(p))
}
