//! y[t, n] = Σ_k x'[t, k] · w[n, k] for 2 to 8 tokens, with x' from the prologue and an epilogue on the sums: a group of weights is read once for all
//! tokens. LANES being that of one token's kernel (`matvec`), each sum of plain floats is its sum in every bit; of blocks a compiler may take the widening
//! apart otherwise where tokens share it (Mesa's does).
//! Buffers: x (prologue), weights (format), the epilogue's; see their fragments.
//! Grid: (blocks of SLOTS · PASSES rows, folded over x and y); WORKGROUP invocations, LANES for each ROWS rows, 1 or 2; COLS tokens, 2, 4 or 8.
//! Arithmetic: f32; relative error of a sum about 1e-6 of Σ |x w|.
//! Needs: nothing; uses subgroups where there are any.
//! Expects: slot_row, x_quad, weigh, hold, held_dot, norm_scale, lanes_sum, finish

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

// A token's products with the groups of ROWS rows; its squares are added up beside.
fn dots(w0: Held, w1: Held, token: u32, group: u32, squares: ptr<function, f32>) -> vec2<f32> {
    var values: Values;
    for (var i = 0u; i < 8u; i++) {
        let v = x_quad(token, group * 8u + i);
        *squares += dot(v, v);
        values.v[i] = weigh(v, group * 8u + i);
    }
    var dots: vec2<f32>;
    dots.x = held_dot(w0, values);
    if ROWS > 1u {
        dots.y = held_dot(w1, values);
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
        // Each is a variable of its own: drivers keep arrays in memory.
        var acc0: vec2<f32>;
        var acc1: vec2<f32>;
        var acc2: vec2<f32>;
        var acc3: vec2<f32>;
        var acc4: vec2<f32>;
        var acc5: vec2<f32>;
        var acc6: vec2<f32>;
        var acc7: vec2<f32>;
        var squares0 = 0.0;
        var squares1 = 0.0;
        var squares2 = 0.0;
        var squares3 = 0.0;
        var squares4 = 0.0;
        var squares5 = 0.0;
        var squares6 = 0.0;
        var squares7 = 0.0;
        for (var group = lane; group < GROUPS; group += LANES) {
            let w0 = hold(g0 + group);
            let w1 = hold(g1 + group);
            acc0 += dots(w0, w1, 0u, group, &squares0);
            acc1 += dots(w0, w1, min(1u, rows - 1u), group, &squares1);
            if COLS > 2u {
                acc2 += dots(w0, w1, min(2u, rows - 1u), group, &squares2);
                acc3 += dots(w0, w1, min(3u, rows - 1u), group, &squares3);
            }
            if COLS > 4u {
                acc4 += dots(w0, w1, min(4u, rows - 1u), group, &squares4);
                acc5 += dots(w0, w1, min(5u, rows - 1u), group, &squares5);
                acc6 += dots(w0, w1, min(6u, rows - 1u), group, &squares6);
                acc7 += dots(w0, w1, min(7u, rows - 1u), group, &squares7);
            }
        }
        var low = vec4(squares0, squares1, squares2, squares3);
        var high = vec4(squares4, squares5, squares6, squares7);
        if NORMED {
            low = lanes_sum(low, local);
            if COLS > 4u {
                high = lanes_sum(high, local);
            }
        }
        leave(0u, vec4(acc0, acc1), vec2(norm_scale(low.x), norm_scale(low.y)), first_slot, local);
        if COLS > 2u {
            leave(2u, vec4(acc2, acc3), vec2(norm_scale(low.z), norm_scale(low.w)), first_slot, local);
        }
        if COLS > 4u {
            leave(4u, vec4(acc4, acc5), vec2(norm_scale(high.x), norm_scale(high.y)), first_slot, local);
            leave(6u, vec4(acc6, acc7), vec2(norm_scale(high.z), norm_scale(high.w)), first_slot, local);
        }
        workgroupBarrier();
        finish(block, 0u, rows, local);
        workgroupBarrier();
    }
}
