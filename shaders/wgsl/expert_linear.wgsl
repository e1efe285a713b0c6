//! out[t, c, n] = Σ_k x[t, c, k] · w[ids[t, c], n, k] for each choice c of a token, of the experts' rows that are in this buffer; 0 for an id out of range.
//! Buffers: x (prologue), weights (format).
//! Grid: (blocks of SLOTS rows of an expert, choices folded over y and z); WORKGROUP invocations, LANES for each ROWS rows.
//! Arithmetic: f32; relative error of a sum about 1e-6 of Σ |x w|.
//! Needs: nothing; uses subgroups where there are any.
//! Expects: x_quad, hold, held_dot, lanes_sum

struct Step {
    rows: u32,
    dynamic: u32,
    // Rows of an expert.
    n: u32,
    n_experts: u32,
    n_chosen: u32,
    // Whether each choice has a row of x, or each token.
    each: u32,
    // The first of all experts' rows that is in this buffer, how many are, and where they begin there.
    first_row: u32,
    n_rows: u32,
    base_row: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, n_chosen]
@group(0) @binding(5) var<storage, read> ids: array<i32>;
// [T, n_chosen, n]
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let choice = workgroup.y + workgroup.z * grid.y;
    if choice >= rows_of_run(step.rows, step.dynamic) * step.n_chosen {
        return;
    }
    let id = bitcast<u32>(ids[choice]);
    let is_known = id < step.n_experts;
    let first_of_expert = select(0u, id, is_known) * step.n;
    let row_of_x = select(choice / step.n_chosen, choice, step.each != 0u);
    let lane = local % LANES;
    let first_slot = workgroup.x * SLOTS + local / LANES * ROWS;
    var first_group: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        // A row past the expert's or in another buffer has another one in its place, whose sum is dropped.
        let row = first_of_expert + min(first_slot + r, step.n - 1u) - step.first_row;
        first_group[r] = (select(0u, row, row < step.n_rows) + step.base_row) * GROUPS;
    }
    var acc: vec4<f32>;
    for (var group = lane; group < GROUPS; group += LANES) {
        var values: Values;
        for (var i = 0u; i < 8u; i++) {
            values.v[i] = x_quad(row_of_x, group * 8u + i);
        }
        for (var r = 0u; r < ROWS; r++) {
            acc[r] += held_dot(hold(first_group[r] + group), values);
        }
    }
    let total = lanes_sum(acc, local);
    if lane < ROWS {
        let slot = first_slot + lane;
        let is_here = first_of_expert + slot - step.first_row < step.n_rows;
        if slot < step.n && (is_here || !is_known) {
            out[choice * step.n + slot] = select(0.0, total[lane], is_known);
        }
    }
}
