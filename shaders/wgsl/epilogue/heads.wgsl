//! Where the rows of q, k and v go: q to a buffer, k and v into the cache. The epilogue's `Step` has the heads and `places`.
//! Expects: row_of_token, pack_half

// [T, H, D]
@group(0) @binding(6) var<storage, read_write> q_out: array<f32>;
// [P, G, PAGE, D] in the cache's type
@group(0) @binding(7) var<storage, read_write> keys: array<u32>;
// [P, G, PAGE, D] in the cache's type
@group(0) @binding(8) var<storage, read_write> values: array<u32>;
// [(H + 2G) · D], read where HAS_BIAS
@group(0) @binding(9) var<storage, read> bias: array<f32>;

// Two neighbouring elements of a head of q, or of k or v where the cache is not in Q8_0: what an f16 cache packs into a word.
fn store_pair(head: u32, element: u32, token: u32, pair: vec2<f32>) {
    if head < step.n_heads {
        let at = (token * step.n_heads + head) * D + element;
        q_out[at] = pair.x;
        q_out[at + 1u] = pair.y;
        return;
    }
    let kv_head = (head - step.n_heads) % step.n_kv_heads;
    let at = row_of_token(step.places, token, kv_head) * D + element;
    if head < step.n_heads + step.n_kv_heads {
        if KV_F16 {
            keys[at / 2u] = pack_half(pair);
        } else {
            keys[at] = bitcast<u32>(pair.x);
            keys[at + 1u] = bitcast<u32>(pair.y);
        }
    } else if KV_F16 {
        values[at / 2u] = pack_half(pair);
    } else {
        values[at] = bitcast<u32>(pair.x);
        values[at + 1u] = bitcast<u32>(pair.y);
    }
}
