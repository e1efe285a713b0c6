//! y[t, n] = Σ_k x'[t, k] · w[n, k] for 2 to 8 tokens with the eight-bit activations that `quantize` made: a block of weights is read and taken apart
//! once for all tokens. LANES being that of one token's kernel, each sum is its sum in every bit.
//! Buffers: activations (`prelude/few_rows`), weights (format), the epilogue's; see their fragments.
//! Grid: (blocks of SLOTS · PASSES rows, folded over x and y); WORKGROUP invocations, LANES for each ROWS rows, 1 or 2; COLS tokens, 2, 4 or 8.
//! Error: as `matvec_i8`.
//! Needs: packed integer dot products (core WGSL; emulated where the device has none).
//! Expects: slot_row, load_block, activations, factors, block_dot, row_scale, lanes_sum, finish

fn first_group(block: u32, slot: u32) -> u32 {
    return (step.first_row + min(slot_row(block, slot), step.n - 1u)) * GROUPS;
}

// Adds up the sums of two tokens over their lanes, and leaves them to the epilogue.
fn leave(token: u32, acc: vec4<f32>, scales: vec2<f32>, first_slot: u32, local: u32) {
    let lane = local % LANES;
    let total = lanes_sum(acc, local) * scales.xxyy;
    if lane < 4u && lane % 2u < ROWS {
        sums[(token + lane / 2u) * SLOTS + first_slot + lane % 2u] = total[lane];
    }
}

// A token's products with the blocks of ROWS rows.
fn dots(b0: Block, b1: Block, token: u32, group: u32) -> vec2<f32> {
    let a = activations(token, group);
    let f = factors(a.q);
    var dots: vec2<f32>;
    dots.x = block_dot(b0, f, a.scale, a.halves);
    if ROWS > 1u {
        dots.y = block_dot(b1, f, a.scale, a.halves);
    }
    return dots;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let lane = local % LANES;
    let first_slot = local / LANES * ROWS;
    for (var pass_idx = 0u; pass_idx < PASSES; pass_idx++) {
        let block = (workgroup.x + workgroup.y * grid.x) * PASSES + pass_idx;
        // Rows past the end repeat the last one; the epilogue drops them.
        let g0 = first_group(block, first_slot);
        let g1 = first_group(block, first_slot + ROWS - 1u);
        // Blocks of weights are asked for a step early. Each is a variable of its own, as are the sums: drivers keep arrays in memory.
        let first = min(lane, GROUPS - 1u);
        var ahead0 = load_block(g0 + first);
        var ahead1 = load_block(g1 + first);
        var acc0: vec2<f32>;
        var acc1: vec2<f32>;
        var acc2: vec2<f32>;
        var acc3: vec2<f32>;
        var acc4: vec2<f32>;
        var acc5: vec2<f32>;
        var acc6: vec2<f32>;
        var acc7: vec2<f32>;
        for (var group = lane; group < GROUPS; group += LANES) {
            let b0 = ahead0;
            let b1 = ahead1;
            let next = min(group + LANES, GROUPS - 1u);
            ahead0 = load_block(g0 + next);
            if ROWS > 1u {
                ahead1 = load_block(g1 + next);
            }
            acc0 += dots(b0, b1, 0u, group);
            acc1 += dots(b0, b1, min(1u, rows - 1u), group);
            if COLS > 2u {
                acc2 += dots(b0, b1, min(2u, rows - 1u), group);
                acc3 += dots(b0, b1, min(3u, rows - 1u), group);
            }
            if COLS > 4u {
                acc4 += dots(b0, b1, min(4u, rows - 1u), group);
                acc5 += dots(b0, b1, min(5u, rows - 1u), group);
                acc6 += dots(b0, b1, min(6u, rows - 1u), group);
                acc7 += dots(b0, b1, min(7u, rows - 1u), group);
            }
        }
        leave(0u, vec4(acc0, acc1), vec2(row_scale(0u), row_scale(min(1u, rows - 1u))), first_slot, local);
        if COLS > 2u {
            leave(2u, vec4(acc2, acc3), vec2(row_scale(min(2u, rows - 1u)), row_scale(min(3u, rows - 1u))), first_slot, local);
        }
        if COLS > 4u {
            leave(4u, vec4(acc4, acc5), vec2(row_scale(min(4u, rows - 1u)), row_scale(min(5u, rows - 1u))), first_slot, local);
            leave(6u, vec4(acc6, acc7), vec2(row_scale(min(6u, rows - 1u)), row_scale(min(7u, rows - 1u))), first_slot, local);
        }
        workgroupBarrier();
        finish(block, 0u, rows, local);
        workgroupBarrier();
    }
}
