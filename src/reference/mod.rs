//! The definition of every op: one obvious loop each, sums in f64, one thread. For tests, doctor and trace, never for chat.
//!
//! Values are held as f64 and never rounded on the way, so that a graph run here is also the exact answer that `tl trace --reference exact`
//! compares with. Only what the program itself rounds is rounded: `Cast` to a narrower float, and caches in f16 or q8_0.

mod attention;
mod cache;
mod einsum;
mod elementwise;
mod embedding;
mod executor;
mod expert_linear;
mod gather;
mod layout;
mod linear;
mod random;
mod reduce;
mod rms_norm;
mod rope;
mod sample;
mod softmax;
mod value;

pub use executor::ReferenceExecutor;
pub use sample::{Choice, choose};
