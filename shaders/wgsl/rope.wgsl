//! Rotates the first n_dims of each head of x [T, H, D] by a table of (cos, sin). Source: Su et al., arXiv:2104.09864.
//! Grid: one invocation an element, folded over x and y. Arithmetic: f32; two products and a sum. Needs: nothing.

struct Step {
    rows: u32,
    dynamic: u32,
    n_heads: u32,
    head_dim: u32,
    n_dims: u32,
    // 1: pairs (i, i + n_dims / 2); 0: pairs (2i, 2i + 1).
    neox: u32,
    // x's view: offset and strides of T, H, D.
    offset: u32,
    stride_t: i32,
    stride_h: i32,
    stride_d: i32,
}
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [T, n_dims / 2]
@group(0) @binding(3) var<storage, read> table: array<vec2<f32>>;
// [T, H, D]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    let d = index % step.head_dim;
    let h = index / step.head_dim % step.n_heads;
    let t = index / step.head_dim / step.n_heads;
    if t >= rows_of_run(step.rows, step.dynamic) {
        return;
    }
    let head = i32(step.offset) + i32(t) * step.stride_t + i32(h) * step.stride_h;
    let own = x[u32(head + i32(d) * step.stride_d)];
    if d >= step.n_dims {
        out[index] = own;
        return;
    }
    let half = step.n_dims / 2u;
    let second = select((d & 1u) == 1u, d >= half, step.neox == 1u);
    let interleaved_partner = d ^ 1u;
    let neox_partner = select(d + half, d - min(d, half), d >= half);
    let partner = select(interleaved_partner, neox_partner, step.neox == 1u);
    let pair = select(d / 2u, d % half, step.neox == 1u);
    let other = x[u32(head + i32(partner) * step.stride_d)];
    let turn = table[t * half + pair];
    out[index] = own * turn.x + select(-other, other, second) * turn.y;
}
