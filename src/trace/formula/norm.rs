//! The norm of a step with a weight of the file, or with one that is fitted column by column.

use super::{Context, Known, Target, What};

/// `x / sqrt(mean(x²) + eps) · weight`, or with the mean subtracted first.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    pub x: String,
    pub subtracts_mean: bool,
    /// Values that are normed together: the whole row, or a head.
    pub over: usize,
    pub eps: f64,
    pub weight: String,
}

const EPS: [f64; 8] = [1e-5, 1e-6, 1e-8, 0.0, 1e-12, 1e-4, 1e-3, 1e-2];
/// Fewer rows say nothing of a weight with as many unknowns as columns.
const MIN_ROWS: usize = 3;

pub(super) fn find(target: &Target<'_>, context: &Context<'_>) -> Option<What> {
    for x in context.known.iter().filter(|k| k.values.len() == target.values.len()) {
        let heads = context.head_dims.iter().copied().filter(|&d| d < target.width() && target.width().is_multiple_of(d));
        for over in std::iter::once(target.width()).chain(heads) {
            for subtracts_mean in [false, true] {
                if let Some(found) = of(target, context, x, over, subtracts_mean) {
                    return Some(What::Norm(found));
                }
            }
        }
    }
    None
}

fn of(target: &Target<'_>, context: &Context<'_>, x: &Known, over: usize, subtracts_mean: bool) -> Option<Norm> {
    let mut best: Option<(f64, Norm)> = None;
    let eps_tried = context.eps.iter().copied().chain(EPS.into_iter().filter(|e| !context.eps.contains(e)));
    for eps in eps_tried {
        let normed = normed(&x.values, over, subtracts_mean, eps);
        let Some((rest, weight)) = weight_of(target, context, &normed, over) else { continue };
        if best.as_ref().is_none_or(|(least, _)| rest < 0.25 * least) {
            best = Some((rest, Norm { x: x.name.clone(), subtracts_mean, over, eps, weight }));
        }
    }
    best.map(|(_, norm)| norm)
}

fn normed(values: &[f64], over: usize, subtracts_mean: bool, eps: f64) -> Vec<f64> {
    let mut out = Vec::with_capacity(values.len());
    for group in values.chunks(over.max(1)) {
        let mean = if subtracts_mean { group.iter().sum::<f64>() / group.len() as f64 } else { 0.0 };
        let square = group.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / group.len() as f64;
        let by = 1.0 / (square + eps).sqrt();
        out.extend(group.iter().map(|v| (v - mean) * by));
    }
    out
}

/// What of the target the normed values leave, and with which weight.
fn weight_of(target: &Target<'_>, context: &Context<'_>, normed: &[f64], over: usize) -> Option<(f64, String)> {
    if let Some(rest) = target.rest(|i| normed[i]) {
        return Some((rest, "no weight".to_owned()));
    }
    let weights = context.weights.iter().filter(|w| w.shape.dims() == [over]);
    for weight in weights {
        let Ok(bytes) = weight.source.bytes() else { continue };
        let mut values = vec![0.0f32; over];
        weight.dtype.dequantize(&bytes, &mut values);
        let forms: [(&str, fn(f64) -> f64); 3] = [("", |w| w), ("1 + ", |w| 1.0 + w), ("the square of ", |w| w * w)];
        for (form, f) in forms {
            if let Some(rest) = target.rest(|i| normed[i] * f(values[i % over].into())) {
                return Some((rest, format!("{form}{}", weight.name)));
            }
        }
    }
    let n = target.values.len() / over;
    if n < MIN_ROWS {
        return None;
    }
    let fitted: Vec<f64> = (0..over)
        .map(|j| {
            let (product, square) =
                (0..n).map(|t| t * over + j).fold((0.0, 0.0), |(p, s), i| (p + target.values[i] * normed[i], s + normed[i] * normed[i]));
            product / square
        })
        .collect();
    let rest = target.rest(|i| normed[i] * fitted[i % over])?;
    let mean = fitted.iter().sum::<f64>() / over as f64;
    let is_constant = fitted.iter().all(|w| (w - mean).abs() < 1e-4 * mean.abs());
    let weight = if is_constant { format!("{mean:.6}") } else { "a weight that the file does not hold".to_owned() };
    Some((rest, weight))
}
