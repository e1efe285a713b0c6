//! out[s] = x[r] with r the last row of the run's segment s, of x [T, len]; past the run's segments the row of the last one.
//! Grid: one invocation an element, folded over x and y. Words are moved unchanged. Needs: nothing.
//! Expects: segment_at

struct Step {
    n_segments: u32,
    len: u32,
    segments: u32,
    row_segments: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, len]
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [S, len]
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if at < step.n_segments * step.len {
        let segment = segment_at(min(at / step.len, run_u32(1u) - 1u));
        out[at] = x[(segment.first_row + segment.n_rows - 1u) * step.len + at % step.len];
    }
}
