//! A format that nobody has: what would be `src/tensor/quant/z6_0.rs`, `src/gpu/quant/z6_0.rs` and `shaders/wgsl/quant/z6_0.wgsl`.

mod gpu;
mod tensor;

pub use gpu::LAYOUT;
pub use tensor::Z6_0 as FORMAT;

pub const FRAGMENT: &str = include_str!("z6_0.wgsl");
