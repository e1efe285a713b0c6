//! Writes keys or values [T, G, D] of any strides into one layer of the cache, keys rotated on the way where ROTATE.
//! Grid: one invocation for each UNIT elements of a head, folded over x and y. Elements past D are stored as 0.
//! Arithmetic: that of rope, then the cache's rounding. Needs: nothing.
//! Expects: kv_store, row_of_token

struct Step {
    rows: u32,
    dynamic: u32,
    n_kv_heads: u32,
    head_dim: u32,
    n_dims: u32,
    // 1: pairs (i, i + n_dims / 2); 0: pairs (2i, 2i + 1).
    neox: u32,
    // x's view: offset and strides of T, G, D.
    offset: u32,
    stride_t: i32,
    stride_h: i32,
    stride_d: i32,
    // The run's first word of where its tokens go.
    places: u32,
    // G · the positions of all pages
    kv_rows: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [T, n_dims / 2], read where ROTATE
@group(0) @binding(3) var<storage, read> table: array<vec2<f32>>;

fn element(head: i32, t: u32, d: u32) -> f32 {
    if d >= step.head_dim {
        return 0.0;
    }
    let own = x[u32(head + i32(d) * step.stride_d)];
    if ROTATE {
        if d < step.n_dims {
            return rotated(head, t, d, own);
        }
    }
    return own;
}

fn rotated(head: i32, t: u32, d: u32, own: f32) -> f32 {
    let half = step.n_dims / 2u;
    let neox = step.neox == 1u;
    let second = select((d & 1u) == 1u, d >= half, neox);
    let partner = select(d ^ 1u, select(d + half, d - min(d, half), d >= half), neox);
    let turn = table[t * half + select(d / 2u, d % half, neox)];
    let other = x[u32(head + i32(partner) * step.stride_d)];
    return own * turn.x + select(-other, other, second) * turn.y;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    let units = D_PAD / UNIT;
    let unit = index % units;
    let g = index / units % step.n_kv_heads;
    let t = index / units / step.n_kv_heads;
    if t >= rows_of_run(step.rows, step.dynamic) {
        return;
    }
    let head = i32(step.offset) + i32(t) * step.stride_t + i32(g) * step.stride_h;
    var v: array<f32, UNIT>;
    for (var i = 0u; i < UNIT; i++) {
        v[i] = element(head, t, unit * UNIT + i);
    }
    kv_store(row_of_token(step.places, t, g), unit, v);
}
