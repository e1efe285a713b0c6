//! out[0] = a scalar of the run. Grid: one invocation. Needs: nothing.

struct Step {
    // The run's word.
    value: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [1]
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(1)
fn main() {
    out[0] = run_u32(step.value);
}
