//! Element types, shapes and host tensors. Nothing here knows a device or a file.

mod dtype;
mod host;
pub mod quant;
mod shape;

pub use dtype::DType;
pub use host::{HostData, HostTensor};
pub use quant::{Quant, QuantFormat};
pub use shape::{Shape, ShapeError};
