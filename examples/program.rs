//! A TensorLogic program inside a program of your own: tensors in, tensors out, computed on the GPU or the CPU.
//!
//! ```console
//! $ cargo run --release --example program
//! weights: [2.000, -1.000]
//! largest error: 0.000
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it gets")]

use std::error::Error;

use tensorlogic::engine::{Backend, DeviceRequest, Program};
use tensorlogic::tensor::HostTensor;

/// Fits a line through points by gradient descent.
const TEXT: &str = r#"
let rate = 0.5
let turns = 100

fn errors(x: float[N, C], y: float[N], weights: float[C]) -> float[N] {
    einsum("nc,c->n", x, weights) - y
}

fn fit(x: float[N, C], y: float[N]) -> float[C] {
    let weights = zeros([C])
    for turn in 0..turns {
        weights = weights - rate * einsum("nc,n->c", x, errors(x, y, weights)) / N
    }
    weights
}
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let backend = Backend::open(&DeviceRequest::default())?;
    let mut program = Program::run("fit.tl", TEXT, &backend)?;

    // Points of y = 2 x0 - x1, by rows.
    let points = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]];
    let x = HostTensor::f32([4, 2], points.concat());
    let y = HostTensor::f32([4], points.iter().map(|[x0, x1]| 2.0 * x0 - x1).collect());

    let weights = program.call("fit", &[x.clone(), y.clone()])?;
    println!("weights: [{:.3}, {:.3}]", weights.value(0), weights.value(1));
    let errors = program.call("errors", &[x, y, (*weights).clone()])?;
    let largest = (0..errors.len()).map(|i| errors.value(i).abs()).fold(0.0, f64::max);
    println!("largest error: {largest:.3}");
    Ok(())
}
