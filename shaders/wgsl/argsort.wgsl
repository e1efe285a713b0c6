//! Indices that sort the last axis of x [rows, len], stable: an element's place is the number of those that come before it.
//! Grid: one invocation an element, folded over x and y; len² comparisons a row. Exact. Needs: nothing.

struct Step {
    len: u32,
    total: u32,
    descending: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [rows, len]
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [rows, len]
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

// An integer that orders as the value does; -0 before 0, as in the total order of floats.
fn key(word: u32) -> u32 {
    if INT {
        return word ^ 0x80000000u;
    }
    return word ^ select(0x80000000u, 0xffffffffu, (word & 0x80000000u) != 0u);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if at >= step.total {
        return;
    }
    let first = at / step.len * step.len;
    let own_index = at - first;
    let flip = select(0u, 0xffffffffu, step.descending != 0u);
    let own = key(x[at]) ^ flip;
    var place = 0u;
    for (var j = 0u; j < step.len; j++) {
        let other = key(x[first + j]) ^ flip;
        if other < own || (other == own && j < own_index) {
            place += 1u;
        }
    }
    out[first + place] = own_index;
}
