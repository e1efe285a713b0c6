//! The k-th of `punished` [step.vocab] in the order of falling logits, then rising ids, a digit of eight bits at a time: exact, in four passes
//! over the keys and four over the ids of ties.

var<workgroup> bins: array<atomic<u32>, 256>;
var<workgroup> digit: vec2<u32>;

// An element is kept when it comes before or at (key, id) in the order of falling logits, then rising ids.
struct Bound {
    key: u32,
    id: u32,
}

fn key_of(x: f32) -> u32 {
    let word = bitcast<u32>(x + 0.0);
    return word ^ select(0x80000000u, 0xffffffffu, (word & 0x80000000u) != 0u);
}

fn within(bound: Bound, key: u32, id: u32) -> bool {
    return key > bound.key || (key == bound.key && id <= bound.id);
}

// Among the elements whose upper bits are `prefix` above `shift + 8`, the digit in which the count from the top (or, for ids, from the
// bottom) reaches `need`, and what is left to find in it. `by_id` counts ids of elements whose key is `key`.
fn select_digit(local: u32, prefix: u32, shift: u32, need: u32, by_id: bool, key: u32) -> vec2<u32> {
    for (var i = local; i < 256u; i += WORKGROUP) {
        atomicStore(&bins[i], 0u);
    }
    workgroupBarrier();
    for (var i = local; i < step.vocab; i += WORKGROUP) {
        let own = key_of(punished[i]);
        let number = select(own, i, by_id);
        let matches = shift == 24u || (number >> (shift + 8u)) == prefix;
        if matches && (!by_id || own == key) {
            atomicAdd(&bins[(number >> shift) & 255u], 1u);
        }
    }
    workgroupBarrier();
    if local == 0u {
        var left = need;
        var found = select(0u, 255u, by_id);
        for (var i = 0u; i < 256u; i++) {
            let bin = select(255u - i, i, by_id);
            let count = atomicLoad(&bins[bin]);
            if count >= left {
                found = bin;
                break;
            }
            left -= count;
        }
        digit = vec2(found, left);
    }
    workgroupBarrier();
    let result = digit;
    workgroupBarrier();
    return result;
}

// The bound of the first `need` ids of key `key`.
fn nth_id(local: u32, key: u32, need: u32) -> u32 {
    var id = 0u;
    var left = need;
    for (var pass_idx = 0u; pass_idx < 4u; pass_idx++) {
        let next = select_digit(local, id, 24u - 8u * pass_idx, left, true, key);
        id = (id << 8u) | next.x;
        left = next.y;
    }
    return id;
}

fn top_k_bound(local: u32, k: u32) -> Bound {
    var key = 0u;
    var left = k;
    for (var pass_idx = 0u; pass_idx < 4u; pass_idx++) {
        let next = select_digit(local, key, 24u - 8u * pass_idx, left, false, 0u);
        key = (key << 8u) | next.x;
        left = next.y;
    }
    return Bound(key, nth_id(local, key, left));
}
