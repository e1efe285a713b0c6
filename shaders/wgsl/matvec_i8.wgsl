//! y[n] = Σ_k x'[k] · w[n, k] for one token with eight-bit activations: x' from the prologue is quantized to d · a, a in -127..127, with
//! one f32 scale for 32 values, in workgroup memory. Integer dot products are exact; an epilogue takes the sums.
//! Buffers: x (prologue), weights (format), the epilogue's; see their fragments.
//! Grid: (blocks of SLOTS · PASSES rows, folded over x and y); WORKGROUP invocations, LANES for each ROWS rows.
//! Error: the rounding of activations, |e| ≤ max|x| / 254 for each value of a group.
//! Needs: packed integer dot products (core WGSL; emulated where the device has none).

// Words of the same place in neighbouring groups lie side by side, for neighbouring lanes; the padding keeps the eight places in
// different banks of workgroup memory.
const X_STRIDE: u32 = GROUPS + 4u;
var<workgroup> packed_x: array<u32, 8u * X_STRIDE>;
var<workgroup> x_scales: array<f32, GROUPS>;
// Sums of a over each half of a group.
var<workgroup> x_halves: array<i32, 2u * GROUPS>;

fn x_packed(group: u32) -> Packed {
    let lo = vec4(packed_x[group], packed_x[X_STRIDE + group], packed_x[2u * X_STRIDE + group], packed_x[3u * X_STRIDE + group]);
    let at = group + 4u * X_STRIDE;
    let hi = vec4(packed_x[at], packed_x[at + X_STRIDE], packed_x[at + 2u * X_STRIDE], packed_x[at + 3u * X_STRIDE]);
    return Packed(lo, hi);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = local % LANES;
    let first_slot = local / LANES * ROWS;
    var scale = 1.0;
    for (var pass_idx = 0u; pass_idx < PASSES; pass_idx++) {
        let block = (workgroup.x + workgroup.y * grid.x) * PASSES + pass_idx;
        var first_group: array<u32, ROWS>;
        // The first blocks of weights are asked for before the activations are made: nothing takes longer to arrive.
        var ahead: array<Block, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            // Rows past the end repeat the last one; the epilogue drops them.
            first_group[r] = (step.first_row + min(slot_row(block, first_slot + r), step.n - 1u)) * GROUPS;
            ahead[r] = load_block(first_group[r] + min(lane, GROUPS - 1u));
        }
        if pass_idx == 0u {
            let squares = quantize_row(local);
            if NORMED {
                scale = norm_scale(workgroup_sum(squares, local));
            } else {
                workgroupBarrier();
            }
        }
        var acc = vec4(0.0);
        for (var group = lane; group < GROUPS; group += LANES) {
            let a = x_packed(group);
            let a_scale = x_scales[group];
            let halves = vec2(x_halves[2u * group], x_halves[2u * group + 1u]);
            for (var r = 0u; r < ROWS; r++) {
                let b = ahead[r];
                if group + LANES < GROUPS {
                    ahead[r] = load_block(first_group[r] + group + LANES);
                }
                acc[r] += block_dot_i8(b, a, a_scale, halves);
            }
        }
        let total = lanes_sum(acc, local) * scale;
        if lane < ROWS {
            sums[first_slot + lane] = total[lane];
        }
        workgroupBarrier();
        finish(block, 0u, 1u, local);
        workgroupBarrier();
    }
}
