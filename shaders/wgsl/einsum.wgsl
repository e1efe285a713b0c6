//! out[o…] = Σ_s a[o, s] · b[o, s] with any strides; without b the factors are 1.
//! Grid: one invocation an element of the output, folded over x and y. Arithmetic: f32, in index order; relative error about
//! (number of terms) · 6e-8 of Σ |a b|. Needs: nothing.

struct Step {
    count: u32,
    n_out: u32,
    n_sum: u32,
    a_offset: u32,
    b_offset: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    // Per dimension of the output, then of the sum: size, stride of a, stride of b.
    dims: array<vec4<i32>, 16>,
}
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if index >= step.count {
        return;
    }
    var a_first = i32(step.a_offset);
    var b_first = i32(step.b_offset);
    var rest = index;
    for (var i = step.n_out; i > 0u; i--) {
        let dim = step.dims[i - 1u];
        let at = i32(rest % u32(dim.x));
        rest /= u32(dim.x);
        a_first += at * dim.y;
        b_first += at * dim.z;
    }
    // All sum dimensions but the innermost one are counted together.
    var outer_len = 1u;
    for (var i = 0u; i + 1u < step.n_sum; i++) {
        outer_len *= u32(step.dims[step.n_out + i].x);
    }
    var inner = vec4(1, 0, 0, 0);
    if step.n_sum > 0u {
        inner = step.dims[step.n_out + step.n_sum - 1u];
    }
    var total = 0.0;
    for (var outer = 0u; outer < outer_len; outer++) {
        var a_at = a_first;
        var b_at = b_first;
        var left = outer;
        for (var i = step.n_sum; i > 1u; i--) {
            let dim = step.dims[step.n_out + i - 2u];
            let at = i32(left % u32(dim.x));
            left /= u32(dim.x);
            a_at += at * dim.y;
            b_at += at * dim.z;
        }
        var part = 0.0;
        for (var j = 0; j < inner.x; j++) {
            var term = a[a_at];
            if HAS_B {
                term *= b[b_at];
            }
            part += term;
            a_at += inner.y;
            b_at += inner.z;
        }
        total += part;
    }
    out[index] = total;
}
