//! `Op::Sample`: repeat penalty, top-k, top-p, min-p, temperature, draw.
//!
//! Sources: penalty, Keskar et al., arXiv:1909.05858; top-k, Fan et al., arXiv:1805.04833; top-p, Holtzman et al., arXiv:1904.09751; min-p,
//! Nguyen et al., arXiv:2407.01082.

use std::cmp::Ordering;

use crate::graph::NoChoice;
use crate::graph::philox::sample_draw;

/// The id chosen, and how near the draw was to another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    pub id: usize,
    /// The smallest distance, in probability, from the draw to the bounds of the chosen id's interval; 1 when greedy.
    pub margin: f64,
}

/// Chooses from `logits`. `settings`: temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed, position. `recent`: the ids that
/// the penalty looks at.
///
/// # Errors
/// Where a logit is NaN, or the largest of them infinite: whatever id was given would be a guess.
pub fn choose(logits: &[f64], settings: &[f64], recent: &[i32]) -> Result<Choice, NoChoice> {
    let [temperature, top_k, top_p, min_p, penalty] = [0, 1, 2, 3, 4].map(|i| settings[i]);
    let (seed, position) = (settings[6] as i64 as u32, settings[7] as u32);
    let mut logits = logits.to_vec();
    let mut punished: Vec<usize> = recent.iter().filter_map(|&id| usize::try_from(id).ok()).filter(|&id| id < logits.len()).collect();
    punished.sort_unstable();
    punished.dedup();
    for id in punished {
        logits[id] = if logits[id] > 0.0 { logits[id] / penalty } else { logits[id] * penalty };
    }
    if logits.iter().any(|v| v.is_nan()) {
        return Err(NoChoice::Nan);
    }
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap_or(Ordering::Equal).then(a.cmp(&b)));
    if order.first().is_none_or(|&best| logits[best].is_infinite()) {
        return Err(NoChoice::Infinite);
    }
    if temperature == 0.0 {
        return Ok(Choice { id: order[0], margin: 1.0 });
    }
    if top_k > 0.0 {
        order.truncate((top_k as usize).max(1));
    }
    let max = logits[order[0]];
    if top_p < 1.0 {
        let total: f64 = order.iter().map(|&i| (logits[i] - max).exp()).sum();
        let mut sum = 0.0;
        let kept = order
            .iter()
            .take_while(|&&i| {
                let before = sum;
                sum += (logits[i] - max).exp() / total;
                before < top_p
            })
            .count();
        order.truncate(kept.max(1));
    }
    if min_p > 0.0 {
        order.retain(|&i| (logits[i] - max).exp() >= min_p);
    }
    order.sort_unstable();
    let weights: Vec<f64> = order.iter().map(|&i| ((logits[i] - max) / temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    let draw = f64::from(sample_draw(seed, position));
    let mut sum = 0.0;
    for (&id, w) in order.iter().zip(&weights) {
        let low = sum / total;
        sum += w;
        if sum / total > draw {
            return Ok(Choice { id, margin: (draw - low).min(sum / total - draw) });
        }
    }
    Ok(Choice { id: order[order.len() - 1], margin: 0.0 })
}
