//! The rows of q, k and v: bias, rotation of q and k, q to a buffer and k and v into the cache. A block of SLOTS rows holds both elements
//! of each rotated pair, and lies in one head; for a cache in Q8_0 it holds whole blocks of 32 elements. Source of the rotation: Su et al.,
//! arXiv:2104.09864.
//! Expects: store_pair, magnitude_bits, f16_scale, row_of_token

struct Step {
    // The bucket of tokens, and whether fewer may be true.
    rows: u32,
    dynamic: u32,
    // Rows of the weight that are used, and the first of them.
    n: u32,
    first_row: u32,
    // The run's word of the norm's eps.
    eps: u32,
    // H and G.
    n_heads: u32,
    n_kv_heads: u32,
    // The run's first word of where its tokens go.
    places: u32,
    // G · the positions of all pages
    kv_rows: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, N_DIMS / 2] of (cos, sin), two a word
@group(0) @binding(10) var<uniform> table: array<vec4<f32>, TABLE>;

var<workgroup> sums: array<f32, SLOTS * COLS>;
// Keys and values before they are quantized.
var<workgroup> unpacked: array<f32, SLOTS * COLS>;

// The row of a slot. With NEOX pairs (i, i + N_DIMS / 2) the second half of a block's slots are the partners of the first.
fn slot_row(block: u32, slot: u32) -> u32 {
    let first = block * SLOTS;
    let within = first % D;
    let head = first / D;
    if NEOX && within < N_DIMS && head < step.n_heads + step.n_kv_heads {
        let half = SLOTS / 2u;
        return head * D + within / 2u + slot % half + select(0u, N_DIMS / 2u, slot >= half);
    }
    return first + slot;
}

fn sum_with_bias(block: u32, column: u32, slot: u32) -> f32 {
    var y = sums[column * SLOTS + slot];
    if HAS_BIAS {
        y += bias[min(slot_row(block, slot), step.n - 1u)];
    }
    return y;
}

// The rotated value of a slot of a rotated head.
fn rotated(block: u32, column: u32, token: u32, slot: u32) -> f32 {
    let element = slot_row(block, slot) % D;
    var partner = slot ^ 1u;
    var second = (slot & 1u) == 1u;
    var pair = element / 2u;
    if NEOX {
        let half = SLOTS / 2u;
        second = slot >= half;
        partner = select(slot + half, slot - half, second);
        pair = element % (N_DIMS / 2u);
    }
    let at = token * (N_DIMS / 2u) + pair;
    let both = table[at >> 1u];
    let turn = select(both.xy, both.zw, (at & 1u) == 1u);
    let a = sum_with_bias(block, column, slot);
    let b = sum_with_bias(block, column, partner);
    return a * turn.x + select(-b, b, second) * turn.y;
}

// A thread takes two neighbours of one head: what an f16 cache packs into a word.
fn finish(block: u32, first_token: u32, rows: u32, local: u32) {
    for (var i = local; i < SLOTS / 2u * COLS; i += WORKGROUP) {
        let slot = i % (SLOTS / 2u) * 2u;
        let column = i / (SLOTS / 2u);
        let token = first_token + column;
        let row = slot_row(block, slot);
        if row < step.n && token < rows {
            let head = row / D;
            let element = row % D;
            var pair = vec2(0.0);
            if head < step.n_heads + step.n_kv_heads && element < N_DIMS {
                pair = vec2(rotated(block, column, token, slot), rotated(block, column, token, slot + 1u));
            } else {
                pair = vec2(sum_with_bias(block, column, slot), sum_with_bias(block, column, slot + 1u));
            }
            if KV_Q8_0 && head >= step.n_heads {
                unpacked[column * SLOTS + slot] = pair.x;
                unpacked[column * SLOTS + slot + 1u] = pair.y;
            } else {
                store_pair(head, element, token, pair);
            }
        }
    }
    if KV_Q8_0 {
        workgroupBarrier();
        for (var i = local; i < SLOTS / 4u * COLS; i += WORKGROUP) {
            store_word(block, i % (SLOTS / 4u), i / (SLOTS / 4u), first_token, rows);
        }
    }
}

// Four elements of a block of Q8_0; the first of a block's threads stores its scale, too. The type's rules are those of `kv/q8_0_store`.
fn store_word(block: u32, word: u32, column: u32, first_token: u32, rows: u32) {
    let first = word / 8u * 32u;
    let row = slot_row(block, first);
    let token = first_token + column;
    let head = row / D;
    if row >= step.n || token >= rows || head < step.n_heads {
        return;
    }
    let of_block = column * SLOTS + first;
    var most_bits = 0u;
    for (var i = 0u; i < 32u; i++) {
        most_bits = max(most_bits, magnitude_bits(unpacked[of_block + i]));
    }
    let most = bitcast<f32>(most_bits);
    let inverse = select(0.0, 127.0 / most, most > 1e-30);
    let at = of_block + word % 8u * 4u;
    let x = vec4(unpacked[at], unpacked[at + 1u], unpacked[at + 2u], unpacked[at + 3u]) * inverse;
    let quants = pack4xI8(vec4<i32>(sign(x) * floor(abs(x) + 0.5)));
    let scale = f16_scale(most / 127.0);
    let kv_row = row_of_token(step.places, token, (head - step.n_heads) % step.n_kv_heads);
    let unit = row % D / 32u;
    let quants_at = kv_row * (D / 4u) + unit * 8u + word % 8u;
    let scale_at = step.kv_rows * (D / 4u) + kv_row * (D / 32u) + unit;
    if head < step.n_heads + step.n_kv_heads {
        keys[quants_at] = quants;
        if word % 8u == 0u {
            keys[scale_at] = scale;
        }
    } else {
        values[quants_at] = quants;
        if word % 8u == 0u {
            values[scale_at] = scale;
        }
    }
}
