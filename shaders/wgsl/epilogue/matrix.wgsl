//! Numbers and output of the kernels for many tokens: y = Σ + bias + residual.

struct Step {
    // The bucket of tokens, and whether fewer may be true.
    rows: u32,
    dynamic: u32,
    // Rows of the weight that are used, and the first of them.
    n: u32,
    first_row: u32,
    k: u32,
    // Groups of 32 in a row of the weight, padded.
    groups: u32,
    // Width of the output and the first column written.
    out_width: u32,
    out_first: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, out_width]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
// [out_width], read where HAS_BIAS
@group(0) @binding(7) var<storage, read> bias: array<f32>;
// [T, out_width], read where HAS_RESIDUAL
@group(0) @binding(8) var<storage, read> residual: array<f32>;

fn store(token: u32, row: u32, rows: u32, sum: f32) {
    if token < rows && row < step.n {
        let column = step.out_first + row;
        let at = token * step.out_width + column;
        var y = sum;
        if HAS_BIAS {
            y += bias[column];
        }
        if HAS_RESIDUAL {
            y += residual[at];
        }
        out[at] = y;
    }
}
