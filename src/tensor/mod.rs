//! Element types, shapes and host tensors. Nothing here knows a device or a file.

mod dtype;
mod finite;
mod host;
pub mod quant;
mod shape;

pub use dtype::DType;
pub use finite::first_nonfinite;
pub use host::{HostData, HostTensor};
pub use quant::{Quant, QuantFormat};
pub use shape::{Shape, ShapeError};
