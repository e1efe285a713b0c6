//! Rotary position embedding: the angles, made on the host in f64.
//!
//! Source: Su et al., RoFormer (arXiv:2104.09864). Scaling: linear (arXiv:2306.15595), Llama 3.1's, YaRN (arXiv:2309.00071),
//! LongRoPE (arXiv:2402.13753).

use std::f64::consts::PI;
use std::hash::{Hash, Hasher};

/// Which elements of a head form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RopeStyle {
    /// `(2i, 2i + 1)`: what GGUF llama files hold.
    Interleaved,
    /// `(i, i + n_dims / 2)`.
    Neox,
}

/// How the frequencies of a model were stretched beyond its first training length.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    None,
    Linear {
        factor: f64,
    },
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_len: f64,
    },
    Yarn {
        factor: f64,
        original_len: f64,
        /// On cos and sin.
        attn_factor: f64,
        beta_fast: f64,
        beta_slow: f64,
        /// 1 is the paper's: how much of the unscaled frequencies is kept where the ramp keeps them.
        ext_factor: f64,
        /// Whether the ends of the ramp are whole dimensions.
        truncate: bool,
    },
    /// `RopeSpec::factors` are the divisors of sequences of up to `original_len` tokens, `long` those of longer ones.
    LongRope {
        /// On cos and sin.
        attn_factor: f64,
        original_len: f64,
        long: Vec<f32>,
    },
}

/// What the angles of a model are made from.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeSpec {
    /// Rotated elements of a head; even.
    pub n_dims: usize,
    pub base: f64,
    pub scaling: RopeScaling,
    /// Divisors of the frequencies, `n_dims / 2` of them, or empty (`rope_freqs.weight`).
    pub factors: Vec<f32>,
}

// The specification is compared and hashed by its bits: it stands in plan keys, and NaN is refused when it is read.
impl Eq for RopeSpec {}

impl Hash for RopeSpec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.n_dims.hash(state);
        self.base.to_bits().hash(state);
        std::mem::discriminant(&self.scaling).hash(state);
        self.factors.len().hash(state);
    }
}

impl RopeSpec {
    /// The angles in a sequence of `len` tokens, where these depend on it (`RopeScaling::LongRope`).
    pub fn for_len(&self, len: usize) -> Option<RopeSpec> {
        match &self.scaling {
            RopeScaling::LongRope { original_len, long, .. } if len as f64 > *original_len => {
                Some(RopeSpec { factors: long.clone(), ..self.clone() })
            }
            _ => None,
        }
    }

    /// Radians a position for pair `i`, and the factor on cos and sin.
    fn frequency(&self, i: usize) -> (f64, f64) {
        let plain = self.base.powf(-2.0 * i as f64 / self.n_dims as f64);
        let freq = self.factors.get(i).map_or(plain, |&f| plain / f64::from(f));
        match &self.scaling {
            RopeScaling::None => (freq, 1.0),
            &RopeScaling::Linear { factor } => (freq / factor, 1.0),
            &RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_len } => {
                let wavelength = 2.0 * PI / freq;
                let smooth = (original_len / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                (freq * (smooth.clamp(0.0, 1.0) * (1.0 - 1.0 / factor) + 1.0 / factor), 1.0)
            }
            &RopeScaling::Yarn { factor, original_len, attn_factor, beta_fast, beta_slow, ext_factor, truncate } => {
                let dim_of = |turns: f64| self.n_dims as f64 * (original_len / (turns * 2.0 * PI)).ln() / (2.0 * self.base.ln());
                let (low, high) = (dim_of(beta_fast), dim_of(beta_slow));
                let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
                let (low, high) = (low.max(0.0), high.min(self.n_dims as f64 - 1.0));
                let ramp = ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                let kept = (1.0 - ramp) * ext_factor;
                (freq * kept + freq / factor * (1.0 - kept), attn_factor)
            }
            &RopeScaling::LongRope { attn_factor, .. } => (freq, attn_factor),
        }
    }
}

/// `n` rows of `n_dims / 2` pairs (cos, sin), row-major, for positions `first, first + 1, …` (`Op::RopeRows`). With `sink_window` W
/// row `t` is for `min(p, W - 1) - p` instead of `p`, without the factor on cos and sin: the query has it already.
pub fn rope_rows(spec: &RopeSpec, first: i64, n: usize, sink_window: Option<usize>) -> Vec<f32> {
    let pairs = spec.n_dims / 2;
    let frequencies: Vec<_> = (0..pairs).map(|i| spec.frequency(i)).collect();
    let mut rows = Vec::with_capacity(n * pairs * 2);
    for p in first..first + n as i64 {
        let angle_position = sink_window.map_or(p, |w| p.min(w as i64 - 1) - p);
        for &(freq, scale) in &frequencies {
            let (sin, cos) = (angle_position as f64 * freq).sin_cos();
            let scale = if sink_window.is_some() { 1.0 } else { scale };
            rows.extend([(cos * scale) as f32, (sin * scale) as f32]);
        }
    }
    rows
}
