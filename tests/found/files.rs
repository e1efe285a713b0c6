//! Model files that hold more than a program reads, that lack numbers it needs, and files that are no model.

mod kinds;
mod positions;
mod unused;

use std::path::Path;

use crate::support::difference;
use crate::support::programs::Mode;

/// Twelve tokens of the fixtures' vocabulary.
const TOKENS: [i32; 12] = [1, 40, 77, 266, 12, 5, 90, 281, 150, 33, 264, 7];

/// f32 on the CPU: what is held here does not depend on the backend.
fn logits(model: &Path) -> Result<Vec<f32>, String> {
    Mode::precise(false).logits(model, &TOKENS, TOKENS.len())
}

/// The largest difference of two models' logits.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    difference(a, b).1
}
