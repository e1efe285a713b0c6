//! Keys and values that the cache cannot hold, for its type or for its length: what is lost is no fault of the program, nor of the kernels.

use crate::graph::KvType;
use crate::tensor::HostTensor;

use super::cut::Cut;
use super::measure::measure;
use super::reason::{Reason, ReasonKind};
use super::record::Trace;

/// The largest f16, and the smallest of full precision.
const F16_MAX: f64 = 65504.0;
const F16_MIN_NORMAL: f64 = 6.1e-5;

/// Whether the step gives the reference's values once keys and values are kept in f32, and what they are.
pub(super) fn explained(trace: &Trace, step: usize, theirs: &HostTensor, tolerance: f64) -> Option<Reason> {
    let cut = Cut::of(trace, step, |_| true)?;
    let kv_type = cut.kv_type().filter(|t| *t != KvType::F32)?;
    let ours = &trace.steps[step].values;
    let error_of = |cut: &Cut| {
        let exact = cut.evaluate().ok().filter(|e| e.len() == theirs.len())?;
        Some((measure(&exact, theirs).worst_row_rms, measure(&exact, ours).worst_row_rms))
    };
    let (rounded, from_ours) = error_of(&cut)?;
    let (wide, _) = error_of(&cut.with_f32_caches()?)?;
    // What agrees in f32 and not in the cache's type is lost by the type.
    if wide > tolerance || rounded < 4.0 * wide && rounded <= tolerance {
        return None;
    }
    let of_inputs = || trace.steps[step].inputs.iter().map(|&i| &trace.steps[i]);
    let largest = |s: &super::record::Step| s.stats.max.abs().max(s.stats.min.abs());
    let past = of_inputs().filter(|s| largest(s) > F16_MAX).max_by(|a, b| largest(a).total_cmp(&largest(b)));
    let below = of_inputs().filter(|s| largest(s) > 0.0 && largest(s) < F16_MIN_NORMAL).min_by(|a, b| largest(a).total_cmp(&largest(b)));
    let why = match (past, below) {
        (Some(s), _) if kv_type == KvType::F16 => {
            format!("{} reaches {:.3e}, f16 ends at 65504", s.name, largest(s))
        }
        (_, Some(s)) if kv_type == KvType::F16 => {
            format!("{} is {:.1e} at most, f16 has full precision from 6.1e-5 on and nothing below 6e-8", s.name, largest(s))
        }
        // The definition with this cache gives what the backend gave: the rounding is the type's.
        _ if from_ours <= tolerance => "the definition with this cache gives the values of this run".to_owned(),
        _ => return None,
    };
    let name = match kv_type {
        KvType::F16 => "f16",
        KvType::Q8_0 => "q8_0",
        KvType::F32 => "f32",
    };
    let text = format!(
        "the cache keeps keys and values in {name}, which does not hold them ({why}): with `--kv f32` the step gives the reference's values"
    );
    Some(Reason::new(ReasonKind::CacheType, text))
}

/// Whether the step gives the reference's values once the cache holds all tokens of the run.
pub(super) fn too_short(cut: &Cut, theirs: &HostTensor, slack: f64) -> Option<Reason> {
    let (long, spec) = cut.with_long_caches()?;
    let exact = long.evaluate().ok().filter(|e| e.len() == theirs.len())?;
    (measure(&exact, theirs).worst_row_rms <= slack).then(|| {
        let text = format!(
            "the cache is shorter than the run: of {} tokens queries see a window of the {} newest keys, and the first {}; with a longer one the step \
             gives the reference's values; see `--ctx` and the file's context_length",
            cut.n_tokens,
            spec.window - spec.sinks,
            spec.sinks
        );
        Reason::new(ReasonKind::Mask, text)
    })
}
