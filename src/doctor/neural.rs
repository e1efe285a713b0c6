//! RMS norm and rotary positions.

use std::sync::Arc;

use crate::graph::{RopeRowsKind, RopeScaling, RopeSpec, RopeStyle};
use crate::tensor::{DType, HostTensor};

use super::case::{Bound, Case, weight};
use super::noise::Noise;

pub fn cases(cases: &mut Vec<Case>) {
    let mut noise = Noise::new(5);
    for (rows, width) in [(1, 1), (1, 32), (2, 33), (5, 256), (33, 127), (1, 4096), (3, 2048)] {
        let w = weight(&mut noise, "norm", [width], DType::F32);
        cases.push(Case::of(format!("rms_norm {rows}x{width}"), Bound::Relative(1e-5), vec![noise.f32([rows, width])], |g, i| {
            let (w, eps) = (g.weight(w), g.literal_f32(1e-5));
            vec![g.rms_norm(i[0], w, eps).expect("a weight of the width")]
        }));
    }
    let small = HostTensor::f32([1, 64], (0..64).map(|i| 1e-4 * (i as f32 - 31.5)).collect());
    cases.push(Case::of("rms_norm of small values", Bound::Relative(1e-5), vec![small, noise.f32([64])], |g, i| {
        let eps = g.literal_f32(1e-6);
        vec![g.rms_norm(i[0], i[1], eps).expect("a weight of the width")]
    }));
    for style in [RopeStyle::Interleaved, RopeStyle::Neox] {
        for (t, h, d, n_dims) in [(1, 1, 2, 2), (3, 5, 16, 16), (33, 4, 64, 64), (2, 7, 80, 32)] {
            let name = format!("rope {style:?}, {t}x{h}x{d}, {n_dims} rotated").to_lowercase();
            cases.push(Case::of(name, Bound::Relative(1e-6), vec![noise.f32([t, h, d])], |g, i| {
                let spec = RopeSpec { n_dims, base: 10000.0, scaling: RopeScaling::None, factors: Vec::new() };
                let first = g.literal_i32(32000);
                let rows = g.rope_rows(Arc::new(spec), RopeRowsKind::Position, first, t);
                vec![g.rope(i[0], rows, style).expect("heads that fit")]
            }));
        }
    }
}
