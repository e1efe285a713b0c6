//! A plan for a person: as a picture, and what of it was not fused and why. Its text is `Plan`'s own `Display`.

mod dot;
mod unfused;

pub use dot::{dot, kernel_name};
pub use unfused::{Unfused, unfused};
