//! y = Σ + bias + residual.

struct Step {
    // The bucket of tokens, and whether fewer may be true.
    rows: u32,
    dynamic: u32,
    // Rows of the weight that are used, and the first of them.
    n: u32,
    first_row: u32,
    // The run's word of the norm's eps.
    eps: u32,
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

var<workgroup> sums: array<f32, SLOTS * COLS>;

fn slot_row(block: u32, slot: u32) -> u32 {
    return block * SLOTS + slot;
}

fn finish(block: u32, first_token: u32, rows: u32, local: u32) {
    for (var i = local; i < SLOTS * COLS; i += WORKGROUP) {
        let row = block * SLOTS + i % SLOTS;
        let token = first_token + i / SLOTS;
        if row < step.n && token < rows {
            let column = step.out_first + row;
            let at = token * step.out_width + column;
            var y = sums[i];
            if HAS_BIAS {
                y += bias[column];
            }
            if HAS_RESIDUAL {
                y += residual[at];
            }
            out[at] = y;
        }
    }
}
