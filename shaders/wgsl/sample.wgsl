//! Chooses an id from each row of logits [S, V] after `punish`: top-k, top-p, min-p, temperature, draw. Sources: Fan et al., arXiv:1805.04833; Holtzman et al.,
//! arXiv:1904.09751; Nguyen et al., arXiv:2407.01082; Salmon et al., SC 2011 (Philox).
//! Few candidates are ranked in workgroup memory (prelude/candidates). Among many, thresholds are found exactly, as a pair (logit, id), by radix
//! selection and bisection. Sums have a fixed order. Where a logit is NaN the id is -1, where the largest is infinite -2 (`graph::NoChoice`).
//! Grid: a workgroup for each row; those that are greedy are left out. Arithmetic: f32; the id is the definition's but within 1e-5 of a boundary. Needs: nothing.
//! Expects: workgroup_max, id_in_group, order_key, key_of, within, workgroup_sum, nth_id, unit, philox, rank_candidates, top_p_count
//! Expects: draw_ranked, top_k_bound, is_greedy, temperature_of, top_k_of, top_p_of, min_p_of, seed_of, position_of, place_in_history

struct Step {
    vocab: u32,
    history_len: u32,
    // Groups of `punish`, those of a slice, and elements of a group.
    n_maxima: u32,
    slice: u32,
    each: u32,
    draws: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [S, n_maxima]: the largest logit of each group
@group(0) @binding(2) var<storage, read> maxima: array<f32>;
// [S, V]: logits after the penalty
@group(0) @binding(3) var<storage, read> punished: array<f32>;
// [sequences, history_len], written where HAS_HISTORY
@group(0) @binding(4) var<storage, read_write> history: array<u32>;
// [S]
@group(0) @binding(5) var<storage, read_write> out: array<u32>;
var<workgroup> chunk_sums: array<f32, WORKGROUP>;
var<workgroup> chosen: atomic<u32>;
var<workgroup> greatest: f32;
// 0, or what stands for the id where there is none to choose.
var<workgroup> no_choice: u32;

// The row of this workgroup.
var<private> own_row: u32;

fn logit(id: u32) -> f32 {
    return punished[own_row * step.vocab + id];
}

fn maximum(group: u32) -> f32 {
    return maxima[own_row * step.n_maxima + group];
}

// Gives `no_choice`.
fn find_greatest(local: u32) -> u32 {
    var value = -3.4028234e38;
    var nans = 0.0;
    for (var i = local; i < step.n_maxima; i += WORKGROUP) {
        let own = maximum(i);
        if is_nan(own) {
            nans = 1.0;
        } else {
            value = max(value, own);
        }
    }
    let most = workgroup_max(vec4(value, nans, 0.0, 0.0), local);
    value = most.x;
    if local == 0u {
        greatest = value;
        atomicStore(&chosen, 0xffffffffu);
        atomicStore(&n_listed, 0u);
    }
    workgroupBarrier();
    for (var i = local; i < step.n_maxima; i += WORKGROUP) {
        if maximum(i) == value {
            for (var j = 0u; j < step.each; j++) {
                let id = id_in_group(i, j);
                if id < step.vocab && logit(id) == value {
                    atomicMin(&chosen, id);
                }
            }
        }
    }
    workgroupBarrier();
    if local == 0u {
        // Nothing equals the greatest where all are -inf.
        let infinite = order_key(bitcast<u32>(value)) == INFINITE_KEY || atomicLoad(&chosen) == 0xffffffffu;
        no_choice = select(select(0u, NO_CHOICE_INFINITE, infinite), NO_CHOICE_NAN, most.y > 0.0);
    }
    return workgroupUniformLoad(&no_choice);
}

fn unscaled(id: u32) -> f32 {
    let x = logit(id) - greatest;
    return select(0.0, exp_f32(max(x, -87.0)), x > -87.0);
}

// Σ e^(logit - max) over kept elements whose key is above `key`; all of them where `all`.
fn mass_above(local: u32, bound: Bound, key: u32, all: bool) -> f32 {
    var sum = 0.0;
    for (var i = local; i < step.vocab; i += WORKGROUP) {
        let own = key_of(logit(i));
        if within(bound, own, i) && (all || own > key) {
            sum += unscaled(i);
        }
    }
    return workgroup_sum(sum, local);
}

fn top_p_bound(local: u32, bound: Bound, top_p: f32) -> Bound {
    let limit = mass_above(local, bound, 0u, true) * top_p;
    // The least key whose elements have less than `limit` before them.
    var key = 0u;
    for (var bit = 32u; bit > 0u; bit--) {
        // All keys up to this one have too much before them.
        let probe = key | ((1u << (bit - 1u)) - 1u);
        if mass_above(local, bound, probe, false) >= limit {
            key |= 1u << (bit - 1u);
        }
    }
    if key <= bound.key {
        key = bound.key;
    }
    let before = mass_above(local, bound, key, false);
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

fn drawn_number() -> f32 {
    return unit(philox(vec4(position_of(own_row), 0u, 0u, 0u), vec2(seed_of(own_row), 0u)).x);
}

// Draws among all that the bound keeps, in the order of their ids.
fn draw(local: u32, bound: Bound) {
    let min_p = min_p_of(own_row);
    let temperature = temperature_of(own_row);
    let each = (step.vocab + WORKGROUP - 1u) / WORKGROUP;
    var sum = 0.0;
    for (var id = local * each; id < min((local + 1u) * each, step.vocab); id++) {
        if within(bound, key_of(logit(id)), id) && unscaled(id) >= min_p {
            sum += exp_f32(max((logit(id) - greatest) / temperature, -87.0));
        }
    }
    chunk_sums[local] = sum;
    workgroupBarrier();
    if local == 0u {
        var total = 0.0;
        var last_full = 0u;
        for (var i = 0u; i < WORKGROUP; i++) {
            total += chunk_sums[i];
            last_full = select(last_full, i, chunk_sums[i] > 0.0);
        }
        let target_sum = drawn_number() * total;
        var before = 0.0;
        var chunk = 0u;
        while chunk < last_full && before + chunk_sums[chunk] <= target_sum {
            before += chunk_sums[chunk];
            chunk++;
        }
        for (var id = chunk * each; id < min((chunk + 1u) * each, step.vocab); id++) {
            if within(bound, key_of(logit(id)), id) && unscaled(id) >= min_p {
                atomicStore(&chosen, id);
                before += exp_f32(max((logit(id) - greatest) / temperature, -87.0));
                if before > target_sum {
                    break;
                }
            }
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = workgroup.x;
    if is_greedy(row) {
        return;
    }
    own_row = row;
    let refused = find_greatest(local);
    if refused == 0u && temperature_of(row) > 0.0 {
        let k = u32(clamp(top_k_of(row), 0, i32(step.vocab)));
        let top_p = top_p_of(row);
        var n = 0u;
        if k > 0u && k <= MOST_KEPT {
            n = rank_candidates(local, k);
        }
        if n > 0u {
            if top_p < 1.0 {
                n = top_p_count(local, n, top_p);
            }
            draw_ranked(local, n);
        } else {
            var bound = Bound(0u, 0xffffffffu);
            if k > 0u && k < step.vocab {
                bound = top_k_bound(local, k);
            }
            if top_p < 1.0 {
                bound = top_p_bound(local, bound, top_p);
            }
            draw(local, bound);
        }
    }
    workgroupBarrier();
    if local == 0u {
        let id = select(atomicLoad(&chosen), refused, refused != 0u);
        out[row] = id;
        if HAS_HISTORY {
            history[place_in_history(row, position_of(row))] = id;
        }
    }
}
