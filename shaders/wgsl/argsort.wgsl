//! Indices that sort the last axis of x [rows, len], stable, NaN last in either direction: a bitonic network (Batcher, AFIPS 1968) in the form
//! in which every comparison moves the smaller element to the lower place, so that places past the end stay empty. Elements are compared by value and
//! then by index, so that no two are equal. One dispatch sorts blocks; then, for each twice as high a half of the network, one dispatch
//! a stride and one for all strides within blocks.
//! Grid: `blocks` workgroups a row, folded over x and y; an invocation has one comparison of each stage. Exact. Needs: nothing.
//! Expects: order_key

struct Step {
    len: u32,
    rows: u32,
    // Of BLOCK places in a row, which is padded to a power of two.
    blocks: u32,
    descending: u32,
    // Places that are merged, where FLIP; the distance of what is compared, where APART.
    height: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [rows, len]
@group(0) @binding(2) var<storage, read> x: array<u32>;
// [rows, len]
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

const BLOCK: u32 = 2u * WORKGROUP;

// Key, index; past the end what comes after everything.
var<workgroup> places: array<vec2<u32>, BLOCK>;

fn key_of(word: u32) -> u32 {
    let flip = select(0u, 0xffffffffu, step.descending != 0u);
    if INT {
        return word ^ 0x80000000u ^ flip;
    }
    let key = order_key(word);
    return select(key ^ flip, key, key == 0xffffffffu);
}

fn comes_after(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.x > b.x || (a.x == b.x && a.y > b.y);
}

// The lower place of comparison t where the halves of `height` places meet head to head, and the higher one.
fn flip_pair(t: u32, height: u32) -> vec2<u32> {
    let half = t % (height / 2u);
    let first = 2u * t / height * height;
    return vec2(first + half, first + height - half - 1u);
}

// The same for what is `stride` places apart.
fn stride_pair(t: u32, stride: u32) -> vec2<u32> {
    let first = t / stride * 2u * stride + t % stride;
    return vec2(first, first + stride);
}

fn compare_places(pair: vec2<u32>) {
    let a = places[pair.x];
    let b = places[pair.y];
    if comes_after(a, b) {
        places[pair.x] = b;
        places[pair.y] = a;
    }
}

fn compare_indices(first: u32, pair: vec2<u32>) {
    if pair.y < step.len {
        let i = out[first + pair.x];
        let j = out[first + pair.y];
        if comes_after(vec2(key_of(x[first + i]), i), vec2(key_of(x[first + j]), j)) {
            out[first + pair.x] = j;
            out[first + pair.y] = i;
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let own = workgroup.x + workgroup.y * grid.x;
    let row = own / step.blocks;
    let block = own % step.blocks;
    let first = row * step.len;
    // The grid may be larger than the rows.
    let len = select(0u, step.len, row < step.rows);
    if FLIP || APART {
        if len > 0u {
            let t = block * WORKGROUP + local;
            compare_indices(first, select(stride_pair(t, step.height), flip_pair(t, step.height), FLIP));
        }
    } else {
        for (var i = local; i < BLOCK; i += WORKGROUP) {
            let place = block * BLOCK + i;
            var index = place;
            places[i] = vec2(0xffffffffu);
            if place < len {
                if MERGE {
                    index = out[first + place];
                }
                places[i] = vec2(key_of(x[first + index]), index);
            }
        }
        workgroupBarrier();
        for (var height = select(2u, BLOCK, MERGE); height <= BLOCK; height *= 2u) {
            var stride = height / 4u;
            if MERGE {
                stride = height / 2u;
            } else {
                compare_places(flip_pair(local, height));
                workgroupBarrier();
            }
            for (; stride > 0u; stride /= 2u) {
                compare_places(stride_pair(local, stride));
                workgroupBarrier();
            }
        }
        for (var i = local; i < BLOCK; i += WORKGROUP) {
            let place = block * BLOCK + i;
            if place < len {
                out[first + place] = places[i].y;
            }
        }
    }
}
