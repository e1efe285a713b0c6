//! out = x; out[o, indices[j], i] += updates[o, j, i] in the order of j; an index out of range is dropped.
//! Grid: one invocation an element of x: no atomics, so the order is fixed. Where SORTED it finds its updates in the sorted indices and takes
//! CHUNK of them, later dispatches the next; else it walks all of them. Arithmetic: f32, sums of runs first, or wrapping i32.
//! Needs: nothing.

struct Step {
    len: u32,
    inner: u32,
    count: u32,
    total: u32,
    // Updates of an element that earlier dispatches took.
    done: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [outer, len, inner]
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [count]
@group(0) @binding(3) var<storage, read> indices: array<i32>;
// [outer, count, inner]
@group(0) @binding(4) var<storage, read> updates: array<u32>;
// [outer, len, inner]
@group(0) @binding(5) var<storage, read_write> out: array<u32>;
// [count], read where SORTED: the places of the indices in rising order
@group(0) @binding(6) var<storage, read> order: array<u32>;

// Updates that are summed before they are added to the others.
const RUN: u32 = 64u;

// The first place in the order whose index is not below `row`.
fn first_of(row: i32) -> u32 {
    var low = 0u;
    var high = step.count;
    while low < high {
        let middle = (low + high) / 2u;
        if indices[order[middle]] < row {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (workgroup.x + workgroup.y * grid.x) * 64u + local;
    if at >= step.total {
        return;
    }
    let row = i32(at / step.inner % step.len);
    let first = at / step.inner / step.len * step.count * step.inner + at % step.inner;
    var place = 0u;
    var end = step.count;
    var word = x[at];
    if SORTED {
        place = first_of(row) + step.done;
        end = min(place + CHUNK, step.count);
        if step.done > 0u {
            word = out[at];
        }
    }
    var int_sum = bitcast<i32>(word);
    var sum = 0.0;
    var run_sum = 0.0;
    var taken = 0u;
    for (; place < end; place++) {
        var j = place;
        if SORTED {
            j = order[place];
            if indices[j] != row {
                break;
            }
        }
        if indices[j] == row {
            let update = updates[first + j * step.inner];
            int_sum += bitcast<i32>(update);
            run_sum += bitcast<f32>(update);
            taken++;
            if taken % RUN == 0u {
                sum += run_sum;
                run_sum = 0.0;
            }
        }
    }
    if INT {
        out[at] = bitcast<u32>(int_sum);
    } else {
        // Without updates the word stays as it is, -0 as well.
        out[at] = select(bitcast<u32>(bitcast<f32>(word) + (sum + run_sum)), word, taken == 0u);
    }
}
