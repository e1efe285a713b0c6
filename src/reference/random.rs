//! `Op::Random`: Philox by element; see `graph::philox`.

use std::f64::consts::TAU;

use crate::graph::RandomKind;
use crate::graph::philox::{philox4x32, unit};

/// Element `i` is word `i mod 4` of counter `(i / 4, 0, 0, 0)` and key `(seed, 0)`. Normal values pair words (0, 1) and (2, 3) by Box-Muller.
pub fn random(kind: RandomKind, seed: u32, len: usize) -> Vec<f64> {
    (0..len)
        .map(|i| {
            let words = philox4x32([(i / 4) as u32, 0, 0, 0], [seed, 0]);
            let lane = i % 4;
            match kind {
                RandomKind::Uniform => f64::from(unit(words[lane])),
                RandomKind::Normal => {
                    let (a, b) = (words[lane & !1], words[lane | 1]);
                    let radius = (-2.0 * (f64::from((a >> 8) + 1) / 16_777_216.0).ln()).sqrt();
                    let angle = TAU * f64::from(unit(b));
                    radius * if lane % 2 == 0 { angle.cos() } else { angle.sin() }
                }
            }
        })
        .collect()
}
