//! y[n] = Σ_k x'[k] · w[n, k] for one token with eight-bit activations: x' from the prologue is quantized to d · a, a in -127..127, with
//! one f32 scale for 32 values, in workgroup memory. Integer dot products are exact; an epilogue takes the sums.
//! Buffers: x (prologue), weights (format), the epilogue's; see their fragments.
//! Grid: (blocks of SLOTS · PASSES rows, folded over x and y); WORKGROUP invocations, LANES for each ROWS rows.
//! Error: the rounding of activations, |e| ≤ max|x| / 254 for each value of a group.
//! Needs: packed integer dot products (core WGSL; emulated where the device has none).

var<workgroup> packed_x: array<vec4<u32>, GROUPS * 2u>;
// Scale; sums of the two halves of a group, as bits.
var<workgroup> packed_scales: array<vec4<u32>, GROUPS>;

fn quantize_group(group: u32) {
    let values = load_x(0u, 0u, group);
    var largest = vec4(0.0);
    for (var i = 0u; i < 8u; i++) {
        largest = max(largest, abs(values.v[i]));
    }
    let most = max(max(largest.x, largest.y), max(largest.z, largest.w));
    let inverse = select(0.0, 127.0 / most, most > 1e-30);
    var words: array<u32, 8>;
    var halves = vec2(0);
    for (var i = 0u; i < 8u; i++) {
        let q = vec4<i32>(round(values.v[i] * inverse));
        words[i] = pack4xI8(q);
        let part = q.x + q.y + q.z + q.w;
        halves += select(vec2(0, part), vec2(part, 0), i < 4u);
    }
    packed_x[group * 2u] = vec4(words[0], words[1], words[2], words[3]);
    packed_x[group * 2u + 1u] = vec4(words[4], words[5], words[6], words[7]);
    packed_scales[group] = vec4(bitcast<u32>(most / 127.0), bitcast<u32>(halves.x), bitcast<u32>(halves.y), 0u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    prepare(0u, 1u, local);
    for (var group = local; group < GROUPS; group += WORKGROUP) {
        quantize_group(group);
    }
    workgroupBarrier();
    let lane = local % LANES;
    let first_slot = local / LANES * ROWS;
    for (var pass_idx = 0u; pass_idx < PASSES; pass_idx++) {
        let block = (workgroup.x + workgroup.y * grid.x) * PASSES + pass_idx;
        var first_group: array<u32, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            // Rows past the end repeat the last one; the epilogue drops them.
            first_group[r] = (step.first_row + min(slot_row(block, first_slot + r), step.n - 1u)) * GROUPS;
        }
        var acc = vec4(0.0);
        for (var group = lane; group < GROUPS; group += LANES) {
            let a = Packed(packed_x[group * 2u], packed_x[group * 2u + 1u]);
            let s = packed_scales[group];
            let halves = vec2(bitcast<i32>(s.y), bitcast<i32>(s.z));
            for (var r = 0u; r < ROWS; r++) {
                acc[r] += weight_dot_i8(first_group[r] + group, a, bitcast<f32>(s.x), halves);
            }
        }
        let total = lanes_sum(acc, local);
        if lane < ROWS {
            sums[first_slot + lane] = total[lane];
        }
        workgroupBarrier();
        finish(block, 0u, 1u, local);
        workgroupBarrier();
    }
}
