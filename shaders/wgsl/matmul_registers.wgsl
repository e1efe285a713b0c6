//! out[t, n] = Σ_k x[t, k] · w[n, k] + bias[n] + residual[t, n] for many tokens, for adapters on which workgroup memory and barriers cost
//! more than registers: software ones. An invocation keeps ROWS × COLS sums and widens each group of its rows once for COLS tokens.
//! Grid: (blocks of WORKGROUP · ROWS rows, blocks of COLS tokens). Arithmetic: f32; relative error of a sum about 1e-6 of Σ |x w|.
//! Needs: nothing.
//! Expects: weight_values, group_quads, store

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let first_token = workgroup.y * COLS;
    let first_n = workgroup.x * WORKGROUP * ROWS + local;
    var acc: array<vec4<f32>, COLS>;
    for (var group = 0u; group < step.groups; group++) {
        var w: array<Values, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            let row = step.first_row + min(first_n + r * WORKGROUP, step.n - 1u);
            w[r] = weight_values(row * step.groups + group);
        }
        for (var c = 0u; c < COLS; c++) {
            let token = min(first_token + c, rows - 1u);
            let quads = group_quads(token, group, local);
            for (var i = 0u; i < 8u; i++) {
                for (var r = 0u; r < ROWS; r++) {
                    acc[c][r] += dot(w[r].v[i], quads[i]);
                }
            }
        }
    }
    for (var c = 0u; c < COLS; c++) {
        for (var r = 0u; r < ROWS; r++) {
            store(first_token + c, first_n + r * WORKGROUP, rows, acc[c][r]);
        }
    }
}
