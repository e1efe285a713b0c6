//! The largest of each part of each row of logits [S, V] and its lowest id: the first half of greedy sampling. NaN counts as the largest, so that it is seen.
//! Grid: (PARTS, rows), workgroups of 256. Rows that are not greedy are left out. Exact. Needs: nothing.
//! Expects: order_key, is_greedy

struct Step {
    vocab: u32,
    history_len: u32,
    draws: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [S, V]
@group(0) @binding(2) var<storage, read> logits: array<u32>;
// [S, PARTS]: key of the value, id; key 0 where a part is empty
@group(0) @binding(3) var<storage, read_write> parts: array<vec2<u32>>;

var<workgroup> best_keys: array<u32, 256>;
var<workgroup> best_ids: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = workgroup.y;
    if !is_greedy(row) {
        return;
    }
    var key = 0u;
    var id = 0u;
    for (var i = workgroup.x * 256u + local; i < step.vocab; i += PARTS * 256u) {
        let own = order_key(logits[row * step.vocab + i]);
        if own > key {
            key = own;
            id = i;
        }
    }
    best_keys[local] = key;
    best_ids[local] = id;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            let other = best_keys[local + half];
            let own = best_keys[local];
            if other > own || (other == own && best_ids[local + half] < best_ids[local]) {
                best_keys[local] = other;
                best_ids[local] = best_ids[local + half];
            }
        }
    }
    if local == 0u {
        parts[row * PARTS + workgroup.x] = vec2(best_keys[0], best_ids[0]);
    }
}
