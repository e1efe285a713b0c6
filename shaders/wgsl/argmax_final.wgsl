//! The id of the largest of all parts of each row, the lowest on a tie; recorded in the history where there is one. Where the largest is NaN the id is -1,
//! where it is infinite -2 (`graph::NoChoice`).
//! Grid: a workgroup of one invocation for each row. Exact. Needs: nothing.
//! Expects: is_greedy, position_of, place_in_history

struct Step {
    history_len: u32,
    draws: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [S, PARTS]: key of the value, id; key 0 where a part is empty
@group(0) @binding(2) var<storage, read> parts: array<vec2<u32>>;
// [sequences, history_len], written where HAS_HISTORY
@group(0) @binding(3) var<storage, read_write> history: array<u32>;
// [S]
@group(0) @binding(4) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>) {
    let row = workgroup.x;
    if !is_greedy(row) {
        return;
    }
    var best = vec2(0u);
    for (var i = 0u; i < PARTS; i++) {
        let part = parts[row * PARTS + i];
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
    out[row] = id;
    if HAS_HISTORY {
        history[place_in_history(row, position_of(row))] = id;
    }
}
