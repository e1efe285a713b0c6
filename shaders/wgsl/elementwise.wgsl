//! out[i…] = expression(inputs, scalars): the function `value(index)` before this text is written from the plan's expression.
//! Buffers: inputs from binding 2 on, the output after them; each holds f32 or i32 in 32-bit words. Views have any strides.
//! Grid: one invocation an element, folded over x and y. Arithmetic: each op in f32 or wrapping i32, in order. Needs: nothing.
//! Expects: value

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if index < rows_of_run(step.outer, step.dynamic) * step.inner {
        out[index] = value(index);
    }
}
