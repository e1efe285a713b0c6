//! Reduces the middle of x [outer, len, inner]: sum, mean, max, min, product, or the lowest index of an extremum.
//! Grid: one workgroup for each (outer, inner), folded over x and y; 64 invocations take every 64th element, then a tree of halves.
//! Arithmetic: f32 or wrapping i32, fixed order; relative error of a sum about 1e-6 of Σ |x|. Needs: nothing.

struct Step {
    // 0 sum, 1 mean, 2 max, 3 min, 4 product.
    op: u32,
    len: u32,
    inner: u32,
    count: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [outer, len, inner]
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [outer, inner]
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

var<workgroup> floats: array<f32, 64>;
var<workgroup> ints: array<i32, 64>;
var<workgroup> indices: array<u32, 64>;

fn combine_f32(a: f32, b: f32) -> f32 {
    switch step.op {
        case 2u: { return max(a, b); }
        case 3u: { return min(a, b); }
        case 4u: { return a * b; }
        default: { return a + b; }
    }
}

fn combine_i32(a: i32, b: i32) -> i32 {
    switch step.op {
        case 2u: { return max(a, b); }
        case 3u: { return min(a, b); }
        case 4u: { return a * b; }
        default: { return a + b; }
    }
}

// Whether (a, index i) comes before (b, index j) as an extremum.
fn beats(a: u32, i: u32, b: u32, j: u32) -> bool {
    var greater = bitcast<f32>(a) > bitcast<f32>(b);
    var less = bitcast<f32>(a) < bitcast<f32>(b);
    if INT {
        greater = bitcast<i32>(a) > bitcast<i32>(b);
        less = bitcast<i32>(a) < bitcast<i32>(b);
    }
    let better = select(greater, less, step.op == 3u);
    let worse = select(less, greater, step.op == 3u);
    return better || (!worse && i < j);
}

fn identity_f32() -> f32 {
    switch step.op {
        case 2u: { return -3.4028234e38; }
        case 3u: { return 3.4028234e38; }
        case 4u: { return 1.0; }
        default: { return 0.0; }
    }
}

fn identity_i32() -> i32 {
    switch step.op {
        case 2u: { return -2147483647 - 1; }
        case 3u: { return 2147483647; }
        case 4u: { return 1; }
        default: { return 0; }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let line = min(workgroup.x + workgroup.y * grid.x, step.count - 1u);
    let first = line / step.inner * step.len * step.inner + line % step.inner;
    if INDEX {
        var best = min(local, step.len - 1u);
        for (var j = local; j < step.len; j += 64u) {
            if beats(x[first + j * step.inner], j, x[first + best * step.inner], best) {
                best = j;
            }
        }
        indices[local] = best;
    } else if INT {
        var value = identity_i32();
        for (var j = local; j < step.len; j += 64u) {
            value = combine_i32(value, bitcast<i32>(x[first + j * step.inner]));
        }
        ints[local] = value;
    } else {
        var value = identity_f32();
        for (var j = local; j < step.len; j += 64u) {
            value = combine_f32(value, bitcast<f32>(x[first + j * step.inner]));
        }
        floats[local] = value;
    }
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            if INDEX {
                let other = indices[local + half];
                if beats(x[first + other * step.inner], other, x[first + indices[local] * step.inner], indices[local]) {
                    indices[local] = other;
                }
            } else if INT {
                ints[local] = combine_i32(ints[local], ints[local + half]);
            } else {
                floats[local] = combine_f32(floats[local], floats[local + half]);
            }
        }
    }
    if local == 0u {
        if INDEX {
            out[line] = indices[0];
        } else if INT {
            out[line] = bitcast<u32>(ints[0]);
        } else {
            let value = floats[0];
            out[line] = bitcast<u32>(select(value, value / f32(step.len), step.op == 1u));
        }
    }
}
