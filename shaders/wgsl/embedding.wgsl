//! out[t] = table[ids[t]], widened to f32; an id out of range gives 0.
//! Grid: one invocation for each group of 32 values, folded over x and y.
//! Arithmetic: exact up to the product with the block's scale. Needs: nothing.
//! Expects: weight_values

struct Step {
    rows: u32,
    dynamic: u32,
    width: u32,
    // All rows of the table; the first in this buffer and their number.
    vocab: u32,
    first_row: u32,
    n_rows: u32,
    base_row: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T]
@group(0) @binding(2) var<storage, read> ids: array<i32>;
// [T, width]
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let groups = (step.width + 31u) / 32u;
    let index = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    let token = index / groups;
    let group = index % groups;
    if token >= rows_of_run(step.rows, step.dynamic) {
        return;
    }
    let id = bitcast<u32>(ids[token]);
    let is_known = id < step.vocab;
    let row = select(0u, id, is_known);
    if row < step.first_row || row >= step.first_row + step.n_rows {
        return;
    }
    let values = weight_values((row - step.first_row + step.base_row) * groups + group);
    for (var i = 0u; i < 32u; i++) {
        let k = group * 32u + i;
        if k < step.width {
            out[token * step.width + k] = select(0.0, values.v[i / 4u][i % 4u], is_known);
        }
    }
}
