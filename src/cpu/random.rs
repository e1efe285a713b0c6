//! Pseudo-random values that depend on the seed and their index alone.

use crate::graph::RandomKind;
use crate::graph::philox::{philox4x32, unit};
use crate::plan::{Buf, ScalarRef};

use super::step::StepContext;

const UNIT: f64 = 1.0 / (1 << 24) as f64;

pub(super) fn run(ctx: &StepContext<'_>, kind: RandomKind, seed: ScalarRef, out: Buf, len: usize) {
    let key = [ctx.scalar_bits(seed), 0];
    for (i, out) in ctx.out_slice::<f32>(out)[..len].chunks_mut(4).enumerate() {
        let words = philox4x32([i as u32, 0, 0, 0], key);
        let values = match kind {
            RandomKind::Uniform => words.map(unit),
            RandomKind::Normal => {
                let ([a, b], [c, d]) = (normal_pair(words[0], words[1]), normal_pair(words[2], words[3]));
                [a, b, c, d]
            }
        };
        out.copy_from_slice(&values[..out.len()]);
    }
}

/// Box-Muller: two independent normal values out of two words.
fn normal_pair(a: u32, b: u32) -> [f32; 2] {
    let (u1, u2) = ((f64::from(a >> 8) + 1.0) * UNIT, f64::from(b >> 8) * UNIT);
    let radius = (-2.0 * u1.ln()).sqrt();
    let (sin, cos) = (2.0 * std::f64::consts::PI * u2).sin_cos();
    [(radius * cos) as f32, (radius * sin) as f32]
}
