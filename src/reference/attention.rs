//! `Op::Attention`: softmax(q · kᵀ · scale) · v over the keys that each query sees. Source: Vaswani et al., arXiv:1706.03762; grouped
//! queries, arXiv:2305.13245; sinks, arXiv:2309.17453.

use crate::graph::RopeStyle;
use crate::tensor::DType;

use super::cache::Cache;
use super::rope::rotate;
use super::value::Value;

/// `q [T, H, D]`, of which the first `rows` are true. `window` 0: none but the cache's. `sink`: style, dimensions and rows of the second rotation. `cap` bounds
/// the scores by tanh; `null_logits [H]` join the sums of the softmax.
#[allow(clippy::too_many_arguments, reason = "the op's operands")]
pub fn attention(
    q: &Value,
    cache: &Cache,
    layer: usize,
    position: usize,
    rows: usize,
    scale: f64,
    window: usize,
    sink: Option<(RopeStyle, usize, &Value)>,
    cap: Option<f64>,
    null_logits: Option<&Value>,
) -> Value {
    let (n_heads, d) = (q.shape[1], q.shape[2]);
    let group = n_heads / cache.spec.n_kv_heads;
    let mut out = vec![0.0; q.data.len()];
    for t in 0..rows.min(q.shape[0]) {
        let p = position + t;
        for h in 0..n_heads {
            let at = (t * n_heads + h) * d;
            let query = &q.data[at..at + d];
            let mut against_sinks = query.to_vec();
            if let Some((style, n_dims, rows)) = sink {
                rotate(&mut against_sinks, &rows.data[t * n_dims..(t + 1) * n_dims], style, n_dims);
            }
            let seen: Vec<usize> = (0..=p).filter(|&k| cache.spec.sees(p, k) && (window == 0 || k + window > p)).collect();
            let scores: Vec<f64> = seen
                .iter()
                .map(|&k| {
                    let query = if k < cache.spec.sinks { &against_sinks[..] } else { query };
                    cache.key(layer, k, h / group).iter().zip(query).map(|(a, b)| a * b).sum::<f64>() * scale
                })
                .map(|score| cap.map_or(score, |cap| cap * (score / cap).tanh()))
                .collect();
            let null = null_logits.map(|logits| logits.data[h]);
            let max = scores.iter().copied().chain(null).fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
            let total = weights.iter().sum::<f64>() + null.map_or(0.0, |null| (null - max).exp());
            for (&k, w) in seen.iter().zip(&weights) {
                for (o, v) in out[at..at + d].iter_mut().zip(cache.value(layer, k, h / group)) {
                    *o += w / total * v;
                }
            }
        }
    }
    Value::new(q.shape.clone(), DType::F32, out)
}
