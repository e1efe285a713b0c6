//! Running sums along the middle of x [outer, len, inner] by blocks of BLOCK elements: with SUMS the sum of each block, else the running sums
//! within each block, on top of those of the blocks before it. Sums of short runs, and sums of those, keep the error small without relying on
//! the order of operations, which fast math may change. Source: Blelloch, "Prefix sums and their applications" (CMU-CS-90-190).
//! Grid: one invocation for each (outer, block, inner), folded over x and y. Arithmetic: f32 or wrapping i32; relative error about
//! 2e-6 · log(len) of Σ |x|. Needs: nothing.

struct Step {
    len: u32,
    inner: u32,
    blocks: u32,
    // outer · blocks · inner
    count: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [outer, len, inner]
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [outer, blocks, inner], read where HAS_BASE: running sums of the blocks' sums
@group(0) @binding(3) var<storage, read> base: array<u32>;
// [outer, len, inner], [outer, blocks, inner] where SUMS
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

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
    let block = index / step.inner % step.blocks;
    let outer = index / step.inner / step.blocks;
    let first = (outer * step.len + block * BLOCK) * step.inner + index % step.inner;
    let n = min(BLOCK, step.len - block * BLOCK);
    var float_base = 0.0;
    var int_sum = 0;
    if HAS_BASE {
        if block > 0u {
            let word = base[index - step.inner];
            float_base = bitcast<f32>(word);
            int_sum = bitcast<i32>(word);
        }
    }
    var float_sum = 0.0;
    for (var j = 0u; j < n; j++) {
        let at = first + j * step.inner;
        int_sum += bitcast<i32>(x[at]);
        float_sum += bitcast<f32>(x[at]);
        if !SUMS {
            out[at] = select(bitcast<u32>(float_base + float_sum), bitcast<u32>(int_sum), INT);
        }
    }
    if SUMS {
        out[index] = select(bitcast<u32>(float_sum), bitcast<u32>(int_sum), INT);
    }
}
