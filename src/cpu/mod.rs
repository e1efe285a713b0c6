//! The CPU backend: the plan that a GPU runs, on threads and vector instructions that are chosen at run time.
//!
//! Weights stay in their files' bytes. Every op has a file of its own name, every block format one under `quant`. All that a step computes is
//! cut into tasks whose size and order of sums depend on the step alone, so that results have the same bits for any number of threads.

mod arg_sort;
mod attention;
mod bandwidth;
mod buffer;
mod cache;
mod cache_append;
mod concat;
mod cum_sum;
mod einsum;
mod elementwise;
mod embedding;
mod executor;
mod gather;
mod iota;
mod isa;
mod last_rows;
mod linear;
mod operands;
mod quant;
mod random;
mod recorded_ids;
mod reduce;
mod rms_norm;
mod rope;
mod sample;
mod scalar;
mod scatter_add;
mod select_row;
mod softmax;
mod step;
mod tensors;
#[cfg(test)]
mod testing;
mod threads;
mod transpose;
mod vector;
mod weights;

pub use executor::{CpuExecutor, CpuOptions, TARGET};
pub use isa::Isa;
