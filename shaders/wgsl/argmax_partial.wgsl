//! The largest of each part of logits [V] and its lowest id: the first half of greedy sampling.
//! Grid: PARTS workgroups of 256. Exact. Needs: nothing.

struct Step {
    vocab: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [V]
@group(0) @binding(2) var<storage, read> logits: array<f32>;
// [PARTS]: value as bits, id
@group(0) @binding(3) var<storage, read_write> parts: array<vec2<u32>>;

var<workgroup> best_values: array<f32, 256>;
var<workgroup> best_ids: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    var value = -3.4028234e38;
    var id = 0xffffffffu;
    for (var i = workgroup.x * 256u + local; i < step.vocab; i += PARTS * 256u) {
        let v = logits[i];
        if v > value || id == 0xffffffffu {
            value = v;
            id = i;
        }
    }
    best_values[local] = value;
    best_ids[local] = id;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            let v = best_values[local + half];
            let i = best_ids[local + half];
            let own = best_values[local];
            if i != 0xffffffffu && (v > own || (v == own && i < best_ids[local]) || best_ids[local] == 0xffffffffu) {
                best_values[local] = v;
                best_ids[local] = i;
            }
        }
    }
    if local == 0u {
        parts[workgroup.x] = vec2(bitcast<u32>(best_values[0]), best_ids[0]);
    }
}
