//! A step times a weight of the file. A few columns and rows decide; the definition's loops over all of them would take too long.

use half::{bf16, f16};

use super::{Context, Known, Target, What};
use crate::graph::Weight;

/// `x · wᵀ`, with a change of w's form and a bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    pub x: String,
    pub weight: String,
    /// ` rounded to bf16`, ` transposed`, or nothing.
    pub form: &'static str,
    /// The bias, or nothing.
    pub bias: Option<String>,
}

const MAX_X: usize = 12;
const MAX_WEIGHTS: usize = 40;
const COLUMNS: usize = 24;
const ROWS: usize = 6;

/// Some rows of a weight.
struct Sampled {
    columns: Vec<usize>,
    rows: Vec<Vec<f32>>,
}

pub(super) fn find(target: &Target<'_>, context: &Context<'_>) -> Option<What> {
    let (n, t) = (target.width(), target.n_rows());
    let columns: Vec<usize> = spread(n, COLUMNS);
    let rows: Vec<usize> = spread(t, ROWS);
    for x in context.known.iter().filter(|x| x.n_rows() == t).take(MAX_X) {
        let k = x.width();
        let weights = context.weights.iter().filter(|w| w.shape.dims() == [n, k]);
        for weight in weights.take(MAX_WEIGHTS) {
            let Some(sampled) = sample(weight, &columns) else { continue };
            let forms: [(&'static str, fn(f32) -> f32); 3] =
                [("", |w| w), (" rounded to bf16", |w| bf16::from_f32(w).to_f32()), (" rounded to f16", |w| f16::from_f32(w).to_f32())];
            for (form, f) in forms {
                if let Some(bias) = fits(target, context, x, &sampled, &rows, f) {
                    return Some(What::Projection(Projection { x: x.name.clone(), weight: weight.name.clone(), form, bias }));
                }
            }
            if n == k
                && let Some(turned) = sample_turned(weight, &columns)
                && let Some(bias) = fits(target, context, x, &turned, &rows, |w| w)
            {
                return Some(What::Projection(Projection { x: x.name.clone(), weight: weight.name.clone(), form: " transposed", bias }));
            }
        }
    }
    None
}

fn spread(n: usize, most: usize) -> Vec<usize> {
    let taken = n.min(most);
    (0..taken).map(|i| i * n / taken.max(1)).collect()
}

fn sample(weight: &Weight, columns: &[usize]) -> Option<Sampled> {
    let bytes = weight.source.bytes().ok()?;
    let row_bytes = bytes.len() / weight.shape[0].max(1);
    let row = |&c: &usize| {
        let mut values = vec![0.0f32; weight.shape[1]];
        weight.dtype.dequantize(bytes.get(c * row_bytes..(c + 1) * row_bytes)?, &mut values);
        Some(values)
    };
    Some(Sampled { columns: columns.to_vec(), rows: columns.iter().map(row).collect::<Option<_>>()? })
}

/// Columns of the weight in the place of its rows.
fn sample_turned(weight: &Weight, columns: &[usize]) -> Option<Sampled> {
    // A large square weight would be widened whole.
    if weight.shape.len() > 4 << 20 {
        return None;
    }
    let bytes = weight.source.bytes().ok()?;
    let n = weight.shape[0];
    let mut all = vec![0.0f32; n * n];
    weight.dtype.dequantize(&bytes, &mut all);
    let rows = columns.iter().map(|&c| (0..n).map(|k| all[k * n + c]).collect()).collect();
    Some(Sampled { columns: columns.to_vec(), rows })
}

/// `Some(None)` without a bias, `Some(name)` with one; `None` where it does not fit.
fn fits(
    target: &Target<'_>,
    context: &Context<'_>,
    x: &Known,
    w: &Sampled,
    rows: &[usize],
    f: impl Fn(f32) -> f32,
) -> Option<Option<String>> {
    let (n, k) = (target.width(), x.width());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for &t in rows {
        for (&c, row) in w.columns.iter().zip(&w.rows) {
            ours.push(row.iter().zip(&x.values[t * k..]).map(|(&w, x)| f64::from(f(w)) * x).sum::<f64>());
            theirs.push(target.values[t * n + c]);
        }
    }
    let close = |ours: &[f64]| super::relative(ours, &theirs) <= target.slack;
    if close(&ours) {
        return Some(None);
    }
    // One addend a column, from rows enough to tell.
    if rows.len() < 3 {
        return None;
    }
    let width = w.columns.len();
    let addend = |c: usize| (0..rows.len()).map(|t| theirs[t * width + c] - ours[t * width + c]).sum::<f64>() / rows.len() as f64;
    let addends: Vec<f64> = (0..width).map(addend).collect();
    let with: Vec<f64> = ours.iter().enumerate().map(|(i, v)| v + addends[i % width]).collect();
    close(&with).then(|| {
        let is_it = |bias: &&std::sync::Arc<Weight>| {
            let Ok(bytes) = bias.source.bytes() else { return false };
            let mut values = vec![0.0f32; n];
            bias.dtype.dequantize(&bytes, &mut values);
            let scale = addends.iter().map(|a| a.abs()).fold(0.0, f64::max);
            w.columns.iter().zip(&addends).all(|(&c, a)| (f64::from(values[c]) - a).abs() < 1e-2 * scale)
        };
        let bias = context.weights.iter().filter(|b| b.shape.dims() == [n]).find(is_it);
        Some(bias.map_or("a bias that the file does not hold".to_owned(), |b| b.name.clone()))
    })
}

/// Whether the difference has the size that rounding the weight to its type leaves: the reference's weight has more bits than the file's.
/// Each weight is off by a step of its type over √12, as rounding errors are.
pub(super) fn rounded_weight(theirs: &Target<'_>, ours: &Target<'_>, context: &Context<'_>, p: &Projection) -> Option<String> {
    let x = context.known.iter().find(|x| x.name == p.x)?;
    let weight = context.weights.iter().find(|w| w.name == p.weight)?;
    let (n, k) = (theirs.width(), x.width());
    let sampled = sample(weight, &spread(n, COLUMNS))?;
    let (step_of, held) = rounding(&sampled)?;
    let (mut expected, mut actual) = (0.0, 0.0);
    for t in spread(theirs.n_rows(), ROWS) {
        for (&c, row) in sampled.columns.iter().zip(&sampled.rows) {
            let of = |(w, x): (&f32, &f64)| step_of(*w).powi(2) / 12.0 * x * x;
            expected += row.iter().zip(&x.values[t * k..]).map(of).sum::<f64>();
            let d = theirs.values[t * n + c] - ours.values[t * n + c];
            actual += d * d;
        }
    }
    let ratio = (actual / expected).sqrt();
    (0.6..1.6).contains(&ratio).then(|| {
        format!(
            "{} is rounded in this file and not in the reference: every number of it is {held}, and the difference is {ratio:.2} times what that \
             rounding leaves",
            p.weight
        )
    })
}

/// The distance between the numbers that a weight may hold, near one of them, and what they are; `None` where it may hold any f32.
fn rounding(sampled: &Sampled) -> Option<(Box<dyn Fn(f32) -> f64>, String)> {
    let values = || sampled.rows.iter().flatten().copied();
    let largest = values().map(f32::abs).fold(0.0, f32::max);
    // Whole multiples of a power of two, of which fewer than 256 either way come up to the largest.
    let steps = (0..8).map(|bits| largest.log2().floor().exp2() / (1 << bits) as f32);
    if let Some(step) = steps.into_iter().find(|step| values().all(|w| (w / step).fract() == 0.0)).filter(|step| *step > 0.0) {
        return Some((Box::new(move |_| f64::from(step)), format!("a multiple of {step}")));
    }
    let relative = |bits: i32| move |w: f32| if w == 0.0 { 0.0 } else { f64::from(w.abs()).log2().floor().exp2() * 2f64.powi(-bits) };
    let all = |round: fn(f32) -> f32| values().all(|w| round(w) == w);
    if all(|w| bf16::from_f32(w).to_f32()) {
        Some((Box::new(relative(7)), "a bf16 number".to_owned()))
    } else if all(|w| f16::from_f32(w).to_f32()) {
        Some((Box::new(relative(10)), "an f16 number".to_owned()))
    } else {
        None
    }
}
