//! Rows of activations x', from the prologue, in eight bits for the kernels of a few rows: groups of 32 as d · a, a in -127..127, just as the kernels
//! of one row quantize it, WORKGROUP being theirs, in whose order the norm's squares add up.
//! Buffers: x (prologue), x_quants [T, 2, K / 32] of four words, x_groups [T, K / 32] and [T] of two words: see `prelude/few_rows`.
//! Grid: (parts of a row, 1 where there is a norm; rows); WORKGROUP invocations.
//! Error: the rounding of activations, |e| ≤ max|x'| / 254 for each value of a group. Needs: K a multiple of 32.
//! Expects: quantize_row, norm_scale, workgroup_sum

struct Step {
    // The bucket of tokens, and whether fewer may be true.
    rows: u32,
    dynamic: u32,
    // The run's word of the norm's eps.
    eps: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(6) var<storage, read_write> x_quants: array<u32>;
@group(0) @binding(7) var<storage, read_write> x_groups: array<vec2<u32>>;

fn word_at(token: u32, group: u32, half: u32) -> u32 {
    return ((token * 2u + half) * GROUPS + group) * 4u;
}

fn keep_word(token: u32, quad: u32, word: u32) {
    x_quants[word_at(token, quad / 8u, quad / 4u % 2u) + quad % 4u] = word;
}

fn keep_half(token: u32, group: u32, half: u32, packed: vec4<u32>) {
    let at = word_at(token, group, half);
    x_quants[at] = packed.x;
    x_quants[at + 1u] = packed.y;
    x_quants[at + 2u] = packed.z;
    x_quants[at + 3u] = packed.w;
}

fn keep_group(token: u32, group: u32, scale: f32, halves: vec2<i32>) {
    let both = bitcast<vec2<u32>>(halves);
    x_groups[token * GROUPS + group] = vec2(bitcast<u32>(scale), (both.x & 0xffffu) | (both.y << 16u));
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let token = workgroup.y;
    let squares = quantize_row(token, workgroup.x, grid.x, local);
    var scale = 1.0;
    if NORMED {
        scale = norm_scale(workgroup_sum(squares, local));
    }
    if local == 0u && workgroup.x == 0u {
        x_groups[step.rows * GROUPS + token] = vec2(bitcast<u32>(scale), 0u);
    }
}
