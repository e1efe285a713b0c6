//! The id of the largest of all parts, the lowest on a tie; recorded in the history where there is one.
//! Grid: one workgroup of one invocation. Exact. Needs: nothing.

struct Step {
    // The run's word of the id's position.
    position: u32,
    history_len: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [PARTS]: value as bits, id
@group(0) @binding(2) var<storage, read> parts: array<vec2<u32>>;
// [history_len], written where HAS_HISTORY
@group(0) @binding(3) var<storage, read_write> history: array<u32>;
// [1]
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(1)
fn main() {
    var value = -3.4028234e38;
    var id = 0xffffffffu;
    for (var i = 0u; i < PARTS; i++) {
        let part = parts[i];
        let v = bitcast<f32>(part.x);
        if part.y != 0xffffffffu && (v > value || (v == value && part.y < id) || id == 0xffffffffu) {
            value = v;
            id = part.y;
        }
    }
    out[0] = id;
    if HAS_HISTORY {
        history[run_u32(step.position) % step.history_len] = id;
    }
}
