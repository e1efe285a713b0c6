//! A plan for a person: as text, as a picture, and what of it was not fused and why.

mod dot;
mod text;
mod unfused;

pub use dot::{dot, kernel_name};
pub use text::text;
pub use unfused::{Unfused, unfused};
