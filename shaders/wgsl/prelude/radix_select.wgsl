//! The k-th logit [step.vocab] or maximum [step.n_maxima] of a row in the order of falling values, then rising ids, a digit of eight bits at a time: exact,
//! in four passes over the keys and four over the ids of ties.
//! Expects: order_key, logit, maximum

var<workgroup> bins: array<atomic<u32>, 256>;
var<workgroup> bin_sums: array<u32, 16>;
var<workgroup> digit: vec2<u32>;

// What is counted: keys of logits, ids of those whose key is given, keys of maxima.
const LOGITS: u32 = 0u;
const IDS: u32 = 1u;
const MAXIMA: u32 = 2u;

// An element is kept when it comes before or at (key, id) in the order of falling logits, then rising ids.
struct Bound {
    key: u32,
    id: u32,
}

fn key_of(x: f32) -> u32 {
    return order_key(bitcast<u32>(x));
}

fn within(bound: Bound, key: u32, id: u32) -> bool {
    return key > bound.key || (key == bound.key && id <= bound.id);
}

// The bin at a place in the order of counting: from the top, for ids from the bottom.
fn bin_at(place: u32, what: u32) -> u32 {
    return select(255u - place, place, what == IDS);
}

// Among the elements whose upper bits are `prefix` above `shift + 8`, the digit in which the count reaches `need`, and what is left to find
// in it.
fn select_digit(local: u32, prefix: u32, shift: u32, need: u32, what: u32, key: u32) -> vec2<u32> {
    for (var i = local; i < 256u; i += WORKGROUP) {
        atomicStore(&bins[i], 0u);
    }
    workgroupBarrier();
    let n = select(step.vocab, step.n_maxima, what == MAXIMA);
    for (var i = local; i < n; i += WORKGROUP) {
        var own = 0u;
        if what == MAXIMA {
            own = key_of(maximum(i));
        } else {
            own = key_of(logit(i));
        }
        let number = select(own, i, what == IDS);
        let matches = shift == 24u || (number >> (shift + 8u)) == prefix;
        if matches && (what != IDS || own == key) {
            atomicAdd(&bins[(number >> shift) & 255u], 1u);
        }
    }
    workgroupBarrier();
    for (var i = local; i < 16u; i += WORKGROUP) {
        var sum = 0u;
        for (var j = 0u; j < 16u; j++) {
            sum += atomicLoad(&bins[bin_at(i * 16u + j, what)]);
        }
        bin_sums[i] = sum;
    }
    workgroupBarrier();
    if local == 0u {
        var left = need;
        var sixteen = 0u;
        while sixteen < 15u && bin_sums[sixteen] < left {
            left -= bin_sums[sixteen];
            sixteen++;
        }
        var place = sixteen * 16u;
        while place < sixteen * 16u + 15u && atomicLoad(&bins[bin_at(place, what)]) < left {
            left -= atomicLoad(&bins[bin_at(place, what)]);
            place++;
        }
        digit = vec2(bin_at(place, what), left);
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
        let next = select_digit(local, id, 24u - 8u * pass_idx, left, IDS, key);
        id = (id << 8u) | next.x;
        left = next.y;
    }
    return id;
}

// The k-th largest key of LOGITS or MAXIMA, and how many of that key are among the first k.
fn kth(local: u32, k: u32, what: u32) -> vec2<u32> {
    var key = 0u;
    var left = k;
    for (var pass_idx = 0u; pass_idx < 4u; pass_idx++) {
        let next = select_digit(local, key, 24u - 8u * pass_idx, left, what, 0u);
        key = (key << 8u) | next.x;
        left = next.y;
    }
    return vec2(key, left);
}

fn top_k_bound(local: u32, k: u32) -> Bound {
    let last = kth(local, k, LOGITS);
    return Bound(last.x, nth_id(local, last.x, last.y));
}
