//! Sums that `matmul_cooperative` left in SHARES parts, each over a share of the columns, added up in order; `epilogue/join_store`, `join_gated` or
//! `join_rope_store` says what becomes of them.
//! Grid: an invocation for two neighbouring rows of the weight and a token, folded over x and y. Arithmetic: f32, fixed order. Needs: nothing.
//! Expects: n_items, finish_item

// [SHARES, T, n / 2], n rounded up to an even number
@group(0) @binding(2) var<storage, read> parts: array<vec2<f32>>;

// The sums of a token with rows 2 · pair and 2 · pair + 1.
fn joined(token: u32, pair: u32) -> vec2<f32> {
    let width = (step.n + 1u) / 2u;
    let at = token * width + pair;
    var sum = parts[at];
    for (var i = 1u; i < SHARES; i++) {
        sum += parts[i * step.rows * width + at];
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let index = (workgroup.x + workgroup.y * grid.x) * WORKGROUP + local;
    let token = index / n_items();
    if token < rows {
        finish_item(token, index % n_items(), rows);
    }
}
