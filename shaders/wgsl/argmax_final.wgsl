//! The id of the largest of all parts, the lowest on a tie; recorded in the history where there is one. Where the largest is NaN the id is -1,
//! where it is infinite -2 (`graph::NoChoice`).
//! Grid: one workgroup of one invocation. Exact. Needs: nothing.

struct Step {
    // The run's word of the id's position.
    position: u32,
    history_len: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [PARTS]: key of the value, id; key 0 where a part is empty
@group(0) @binding(2) var<storage, read> parts: array<vec2<u32>>;
// [history_len], written where HAS_HISTORY
@group(0) @binding(3) var<storage, read_write> history: array<u32>;
// [1]
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(1)
fn main() {
    var best = vec2(0u);
    for (var i = 0u; i < PARTS; i++) {
        let part = parts[i];
        if part.x > best.x || (part.x == best.x && part.y < best.y) {
            best = part;
        }
    }
    var id = best.y;
    if best.x > INFINITE_KEY {
        id = NO_CHOICE_NAN;
    } else if best.x == INFINITE_KEY || best.x <= LEAST_KEY {
        id = NO_CHOICE_INFINITE;
    }
    out[0] = id;
    if HAS_HISTORY {
        history[run_u32(step.position) % step.history_len] = id;
    }
}
