//! Chooses an id from logits [V]: repeat penalty, top-k, top-p, min-p, temperature, draw. Sources: Keskar et al., arXiv:1909.05858 (penalty);
//! Fan et al., arXiv:1805.04833; Holtzman et al., arXiv:1904.09751; Nguyen et al., arXiv:2407.01082; Salmon et al., SC 2011 (Philox).
//! Thresholds are found exactly, as a pair (logit, id), by radix selection and bisection; sums have a fixed order.
//! Grid: one workgroup. Arithmetic: f32; the id is the definition's but within 1e-5 of a boundary. Needs: nothing.

struct Step {
    vocab: u32,
    history_len: u32,
    // The run's words.
    temperature: u32,
    top_k: u32,
    top_p: u32,
    min_p: u32,
    repeat_penalty: u32,
    repeat_last_n: u32,
    seed: u32,
    position: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [V]
@group(0) @binding(2) var<storage, read> logits: array<f32>;
// [V]: logits after the penalty
@group(0) @binding(3) var<storage, read_write> punished: array<f32>;
// [history_len], used where HAS_HISTORY
@group(0) @binding(4) var<storage, read_write> history: array<u32>;
// [1]
@group(0) @binding(5) var<storage, read_write> out: array<u32>;
const CANDIDATES: u32 = 256u;
var<workgroup> n_listed: atomic<u32>;
var<workgroup> list: array<u32, CANDIDATES>;
var<workgroup> sorted: array<u32, CANDIDATES>;
var<workgroup> chunk_sums: array<f32, WORKGROUP>;
var<workgroup> chosen: atomic<u32>;
var<workgroup> greatest: f32;

fn penalize(local: u32) {
    for (var i = local; i < step.vocab; i += WORKGROUP) {
        punished[i] = logits[i];
    }
    storageBarrier();
    if HAS_HISTORY {
        let position = run_u32(step.position);
        let n = min(min(u32(max(run_i32(step.repeat_last_n), 0)), position), step.history_len);
        let penalty = run_f32(step.repeat_penalty);
        for (var j = local; j < n; j += WORKGROUP) {
            let id = history[(position - 1u - j) % step.history_len];
            if id < step.vocab {
                // From the logit itself, so that an id that occurs twice is punished once.
                let x = logits[id];
                punished[id] = select(x * penalty, x / penalty, x > 0.0);
            }
        }
    }
    storageBarrier();
}

fn find_greatest(local: u32) {
    var value = -3.4028234e38;
    for (var i = local; i < step.vocab; i += WORKGROUP) {
        value = max(value, punished[i]);
    }
    value = workgroup_max(vec4(value), local).x;
    if local == 0u {
        greatest = value;
        atomicStore(&chosen, 0xffffffffu);
    }
    workgroupBarrier();
    for (var i = local; i < step.vocab; i += WORKGROUP) {
        if punished[i] == value {
            atomicMin(&chosen, i);
        }
    }
    workgroupBarrier();
}

// Lists the kept ids in rising order where they fit, and says how many there are; 0: walk the whole vocabulary.
fn list_candidates(local: u32, bound: Bound, k: u32) -> u32 {
    if k == 0u || k > CANDIDATES {
        return 0u;
    }
    if local == 0u {
        atomicStore(&n_listed, 0u);
    }
    workgroupBarrier();
    for (var i = local; i < step.vocab; i += WORKGROUP) {
        if within(bound, key_of(punished[i]), i) {
            let at = atomicAdd(&n_listed, 1u);
            if at < CANDIDATES {
                list[at] = i;
            }
        }
    }
    workgroupBarrier();
    let n = min(atomicLoad(&n_listed), CANDIDATES);
    for (var i = local; i < n; i += WORKGROUP) {
        var place = 0u;
        for (var j = 0u; j < n; j++) {
            place += select(0u, 1u, list[j] < list[i]);
        }
        sorted[place] = list[i];
    }
    workgroupBarrier();
    return n;
}

fn candidate(i: u32, n_candidates: u32) -> u32 {
    return select(i, sorted[min(i, CANDIDATES - 1u)], n_candidates > 0u);
}

fn unscaled(id: u32) -> f32 {
    let x = punished[id] - greatest;
    return select(0.0, exp_f32(max(x, -87.0)), x > -87.0);
}

// Σ e^(logit - max) over kept elements whose key is above `key`; all of them where `all`.
fn mass_above(local: u32, n: u32, n_candidates: u32, bound: Bound, key: u32, all: bool) -> f32 {
    var sum = 0.0;
    for (var i = local; i < n; i += WORKGROUP) {
        let id = candidate(i, n_candidates);
        let own = key_of(punished[id]);
        if within(bound, own, id) && (all || own > key) {
            sum += unscaled(id);
        }
    }
    return workgroup_sum(sum, local);
}

fn top_p_bound(local: u32, n: u32, n_candidates: u32, bound: Bound, top_p: f32) -> Bound {
    let limit = mass_above(local, n, n_candidates, bound, 0u, true) * top_p;
    // The least key whose elements have less than `limit` before them.
    var key = 0u;
    for (var bit = 32u; bit > 0u; bit--) {
        // All keys up to this one have too much before them.
        let probe = key | ((1u << (bit - 1u)) - 1u);
        if mass_above(local, n, n_candidates, bound, probe, false) >= limit {
            key |= 1u << (bit - 1u);
        }
    }
    if key <= bound.key {
        key = bound.key;
    }
    let before = mass_above(local, n, n_candidates, bound, key, false);
    // Ties share one weight; each but the first has the earlier ones before it.
    let word = key ^ select(0x80000000u, 0xffffffffu, (key & 0x80000000u) == 0u);
    let weight = exp_f32(max(bitcast<f32>(word) - greatest, -87.0));
    let wanted = ceil((limit - before) / weight);
    let n_ties = u32(clamp(wanted, 1.0, f32(step.vocab)));
    let id = nth_id(local, key, n_ties);
    if key == bound.key {
        return Bound(key, min(id, bound.id));
    }
    return Bound(key, id);
}

fn draw(local: u32, n: u32, n_candidates: u32, bound: Bound) {
    let min_p = run_f32(step.min_p);
    let temperature = run_f32(step.temperature);
    let each = (n + WORKGROUP - 1u) / WORKGROUP;
    var sum = 0.0;
    for (var i = local * each; i < min((local + 1u) * each, n); i++) {
        let id = candidate(i, n_candidates);
        if within(bound, key_of(punished[id]), id) && unscaled(id) >= min_p {
            sum += exp_f32(max((punished[id] - greatest) / temperature, -87.0));
        }
    }
    chunk_sums[local] = sum;
    workgroupBarrier();
    if local == 0u {
        var total = 0.0;
        for (var i = 0u; i < WORKGROUP; i++) {
            total += chunk_sums[i];
        }
        let seed = vec2(run_u32(step.seed), 0u);
        let target_sum = unit(philox(vec4(run_u32(step.position), 0u, 0u, 0u), seed).x) * total;
        var before = 0.0;
        var chunk = WORKGROUP;
        var last_full = 0u;
        for (var i = 0u; i < WORKGROUP; i++) {
            if chunk_sums[i] > 0.0 {
                last_full = i;
            }
        }
        for (var i = 0u; i < WORKGROUP; i++) {
            if before + chunk_sums[i] > target_sum {
                chunk = i;
                break;
            }
            before += chunk_sums[i];
        }
        chunk = select(chunk, last_full, chunk == WORKGROUP);
        for (var i = chunk * each; i < min((chunk + 1u) * each, n); i++) {
            let id = candidate(i, n_candidates);
            if within(bound, key_of(punished[id]), id) && unscaled(id) >= min_p {
                atomicStore(&chosen, id);
                before += exp_f32(max((punished[id] - greatest) / temperature, -87.0));
                if before > target_sum {
                    break;
                }
            }
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
    penalize(local);
    find_greatest(local);
    if run_f32(step.temperature) > 0.0 {
        var bound = Bound(0u, 0xffffffffu);
        let k = u32(clamp(run_i32(step.top_k), 0, i32(step.vocab)));
        if k > 0u && k < step.vocab {
            bound = top_k_bound(local, k);
        }
        let n_candidates = list_candidates(local, bound, k);
        let n = select(step.vocab, n_candidates, n_candidates > 0u);
        let top_p = run_f32(step.top_p);
        if top_p < 1.0 {
            bound = top_p_bound(local, n, n_candidates, bound, top_p);
        }
        draw(local, n, n_candidates, bound);
    }
    workgroupBarrier();
    if local == 0u {
        let id = atomicLoad(&chosen);
        out[0] = id;
        if HAS_HISTORY {
            history[run_u32(step.position) % step.history_len] = id;
        }
    }
}
