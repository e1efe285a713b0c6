//! Reduces parts of the middle of x [outer, len, inner]: sum, mean, max, min, product, or the lowest index of an extremum. Long lines are reduced
//! part by part, then what came of the parts, so that no loop is long and sums are trees. NaN is the extremum where there is one.
//! Grid: one workgroup for each (outer, part, inner), folded over x and y; 64 invocations take every 64th element of the part, then a tree of halves.
//! Arithmetic: f32 or wrapping i32, fixed order; relative error of a sum about 1e-6 of Σ |x|. Needs: nothing.

struct Step {
    // 0 sum, 1 mean, 2 max, 3 min, 4 product.
    op: u32,
    // Of what is reduced here: elements of a line, or candidates.
    len: u32,
    inner: u32,
    // Of the output: outer · parts · inner.
    count: u32,
    // Elements of a part, and parts of a line.
    part: u32,
    parts: u32,
    // Elements of a line of x, and those that a mean is of.
    line_len: u32,
    mean_len: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [outer, line_len, inner]
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [outer, parts, inner]
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
// [outer, len, inner], read where CANDIDATES: indices into lines of x, of which the best is wanted
@group(0) @binding(4) var<storage, read> candidates: array<u32>;

var<workgroup> floats: array<f32, 64>;
var<workgroup> ints: array<i32, 64>;
var<workgroup> indices: array<u32, 64>;

fn combine_f32(a: f32, b: f32) -> f32 {
    switch step.op {
        case 2u: { return max_f32(a, b); }
        case 3u: { return min_f32(a, b); }
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
    } else {
        let nan = is_nan(bitcast<f32>(a));
        if nan || is_nan(bitcast<f32>(b)) {
            return nan && (i < j || !is_nan(bitcast<f32>(b)));
        }
    }
    let better = select(greater, less, step.op == 3u);
    let worse = select(less, greater, step.op == 3u);
    return better || (!worse && i < j);
}

// Where no element changes an extremum: the first one counts twice.
fn is_extremum() -> bool {
    return (step.op == 2u || step.op == 3u) && step.len > 0u;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = min(workgroup.x + workgroup.y * grid.x, step.count - 1u);
    let i = at % step.inner;
    let begin = at / step.inner % step.parts * step.part;
    let outer = at / step.inner / step.parts;
    let end = min(begin + step.part, step.len);
    let first = outer * step.line_len * step.inner + i;
    if INDEX {
        var best = begin;
        if CANDIDATES {
            best = candidates[(outer * step.len + begin) * step.inner + i];
        }
        for (var j = begin + local; j < end; j += 64u) {
            var own = j;
            if CANDIDATES {
                own = candidates[(outer * step.len + j) * step.inner + i];
            }
            if beats(x[first + own * step.inner], own, x[first + best * step.inner], best) {
                best = own;
            }
        }
        indices[local] = best;
    } else if INT {
        var value = select(0, 1, step.op == 4u);
        if is_extremum() {
            value = bitcast<i32>(x[first + begin * step.inner]);
        }
        for (var j = begin + local; j < end; j += 64u) {
            value = combine_i32(value, bitcast<i32>(x[first + j * step.inner]));
        }
        ints[local] = value;
    } else {
        var value = select(0.0, 1.0, step.op == 4u);
        if is_extremum() {
            value = bitcast<f32>(x[first + begin * step.inner]);
        }
        for (var j = begin + local; j < end; j += 64u) {
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
            out[at] = indices[0];
        } else if INT {
            out[at] = bitcast<u32>(ints[0]);
        } else {
            let value = floats[0];
            out[at] = bitcast<u32>(select(value, value / f32(step.mean_len), step.op == 1u));
        }
    }
}
