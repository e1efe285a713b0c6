//! Plots as SVG text: no dependency, no script, readable in a browser and in print.

mod axis;
mod decode;
mod roofline;
mod svg;

pub use decode::{Series, decode_over_context};
pub use roofline::roofline;
