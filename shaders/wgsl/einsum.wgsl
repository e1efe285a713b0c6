//! out[o…, p] = Σ_s a[o, s] · b[o, s] with any strides over part p of the terms; without b the factors are 1.
//! Grid: one invocation for each element of the output and part, folded over x and y. Arithmetic: f32, in index order, sums of runs first;
//! relative error about (a run's terms + runs) · 6e-8 of Σ |a b|. Needs: nothing.

struct Step {
    count: u32,
    n_out: u32,
    n_sum: u32,
    a_offset: u32,
    b_offset: u32,
    // Terms of a part, parts, and terms in all.
    part: u32,
    parts: u32,
    terms: u32,
    // Per dimension of the output, then of the sum: size, stride of a, stride of b.
    dims: array<vec4<i32>, 16>,
}
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

// Terms that are summed before they are added to the others.
const RUN: u32 = 256u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if index >= step.count * step.parts {
        return;
    }
    var a_first = i32(step.a_offset);
    var b_first = i32(step.b_offset);
    var rest = index / step.parts;
    for (var i = step.n_out; i > 0u; i--) {
        let dim = step.dims[i - 1u];
        let at = i32(rest % u32(dim.x));
        rest /= u32(dim.x);
        a_first += at * dim.y;
        b_first += at * dim.z;
    }
    // All sum dimensions but the innermost one are counted together.
    var inner = vec4(1, 0, 0, 0);
    if step.n_sum > 0u {
        inner = step.dims[step.n_out + step.n_sum - 1u];
    }
    let inner_len = u32(inner.x);
    let begin = index % step.parts * step.part;
    let end = min(begin + step.part, step.terms);
    var total = 0.0;
    for (var term = begin; term < end;) {
        let j = term % inner_len;
        var a_at = a_first + i32(j) * inner.y;
        var b_at = b_first + i32(j) * inner.z;
        var left = term / inner_len;
        for (var i = step.n_sum; i > 1u; i--) {
            let dim = step.dims[step.n_out + i - 2u];
            let at = i32(left % u32(dim.x));
            left /= u32(dim.x);
            a_at += at * dim.y;
            b_at += at * dim.z;
        }
        let n = min(min(inner_len - j, end - term), RUN);
        var run_sum = 0.0;
        for (var i = 0u; i < n; i++) {
            var product = a[a_at];
            if HAS_B {
                product *= b[b_at];
            }
            run_sum += product;
            a_at += inner.y;
            b_at += inner.z;
        }
        total += run_sum;
        term += n;
    }
    out[index] = total;
}
