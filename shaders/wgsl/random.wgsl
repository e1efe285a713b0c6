//! Pseudo-random f32: element i is word i mod 4 of Philox with counter (i / 4, 0, 0, 0) and key (seed, 0). Normal values pair the words
//! (0, 1) and (2, 3) by Box-Muller (Ann. Math. Statist. 29, 1958).
//! Grid: one invocation for each four elements, folded over x and y. Arithmetic: uniform exact; normal within 1e-5. Needs: nothing.
//! Expects: unit, philox

struct Step {
    len: u32,
    // The run's word of the seed.
    seed: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [len]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

fn normal_pair(a: u32, b: u32) -> vec2<f32> {
    let radius = sqrt(-2.0 * log(f32((a >> 8u) + 1u) * 5.9604644775390625e-8));
    // The angle is reduced exactly before the product with 2π: sine and cosine are accurate near 0 alone.
    let turn = unit(b);
    let quarter = round(turn * 4.0);
    let angle = (turn - quarter * 0.25) * 6.283185307179586;
    let c = cos(angle);
    let s = sin(angle);
    let q = u32(quarter) & 3u;
    let cosine = select(select(c, -s, q == 1u), select(-c, s, q == 3u), q >= 2u);
    let sine = select(select(s, c, q == 1u), select(-s, -c, q == 3u), q >= 2u);
    return radius * vec2(cosine, sine);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let four = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if four * 4u >= step.len {
        return;
    }
    let words = philox(vec4(four, 0u, 0u, 0u), vec2(run_u32(step.seed), 0u));
    var values = vec4(unit(words.x), unit(words.y), unit(words.z), unit(words.w));
    if NORMAL {
        values = vec4(normal_pair(words.x, words.y), normal_pair(words.z, words.w));
    }
    for (var i = 0u; i < 4u; i++) {
        if four * 4u + i < step.len {
            out[four * 4u + i] = values[i];
        }
    }
}
