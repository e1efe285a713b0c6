//! Sampling among the k largest logits where k is at most MOST_KEPT: the k-th largest maximum of a group is no more than the k-th largest
//! logit, so only the groups that reach it are read again.
//! Expects: kth, key_of, within, unscaled, drawn_number, logit, maximum, min_p_of, temperature_of

// Groups, and elements, that workgroup memory holds; ties may bring more.
const CANDIDATES: u32 = 512u;
const MOST_KEPT: u32 = 256u;
var<workgroup> n_listed: atomic<u32>;
var<workgroup> n_found: u32;
var<workgroup> groups: array<u32, CANDIDATES>;
// Key and id.
var<workgroup> list: array<vec2<u32>, CANDIDATES>;
// Ids in the order of falling logits, then in that of ids.
var<workgroup> ranked: array<u32, MOST_KEPT>;
var<workgroup> sorted: array<u32, MOST_KEPT>;
var<workgroup> weights: array<f32, MOST_KEPT>;

// The id of element j of a group.
fn id_in_group(group: u32, j: u32) -> u32 {
    return group / step.slice * step.slice * step.each + group % step.slice + j * step.slice;
}

// What was listed since the last call, for all invocations alike.
fn take_listed(local: u32) -> u32 {
    workgroupBarrier();
    if local == 0u {
        n_found = atomicExchange(&n_listed, 0u);
    }
    return workgroupUniformLoad(&n_found);
}

// Ranks the k largest, and says how many there are; 0 where workgroup memory does not hold what might be among them.
fn rank_candidates(local: u32, k: u32) -> u32 {
    var least = 0u;
    if k < step.n_maxima {
        least = kth(local, k, MAXIMA).x;
    }
    for (var i = local; i < step.n_maxima; i += WORKGROUP) {
        if key_of(maximum(i)) >= least {
            let at = atomicAdd(&n_listed, 1u);
            if at < CANDIDATES {
                groups[at] = i;
            }
        }
    }
    let n_groups = take_listed(local);
    if n_groups > CANDIDATES {
        return 0u;
    }
    for (var i = local; i < n_groups * step.each; i += WORKGROUP) {
        let id = id_in_group(groups[i / step.each], i % step.each);
        if id < step.vocab {
            let key = key_of(logit(id));
            if key >= least {
                let at = atomicAdd(&n_listed, 1u);
                if at < CANDIDATES {
                    list[at] = vec2(key, id);
                }
            }
        }
    }
    let n = take_listed(local);
    if n > CANDIDATES {
        return 0u;
    }
    for (var i = local; i < n; i += WORKGROUP) {
        let own = list[i];
        var rank = 0u;
        for (var j = 0u; j < n; j++) {
            rank += select(0u, 1u, within(Bound(own.x, own.y), list[j].x, list[j].y));
        }
        // Each counted itself.
        if rank <= k {
            ranked[rank - 1u] = own.y;
        }
    }
    workgroupBarrier();
    return min(n, k);
}

// How many of the first n make up top_p of their mass, one at least.
fn top_p_count(local: u32, n: u32, top_p: f32) -> u32 {
    for (var i = local; i < n; i += WORKGROUP) {
        weights[i] = unscaled(ranked[i]);
    }
    workgroupBarrier();
    if local == 0u {
        var total = 0.0;
        for (var i = 0u; i < n; i++) {
            total += weights[i];
        }
        var before = weights[0];
        var count = 1u;
        while count < n && before < total * top_p {
            before += weights[count];
            count++;
        }
        n_found = count;
    }
    return workgroupUniformLoad(&n_found);
}

// Draws among the first n, in the order of their ids.
fn draw_ranked(local: u32, n: u32) {
    let min_p = min_p_of(own_row);
    let temperature = temperature_of(own_row);
    for (var i = local; i < n; i += WORKGROUP) {
        let id = ranked[i];
        var place = 0u;
        for (var j = 0u; j < n; j++) {
            place += select(0u, 1u, ranked[j] < id);
        }
        sorted[place] = id;
        weights[place] = select(0.0, exp_f32(max((logit(id) - greatest) / temperature, -87.0)), unscaled(id) >= min_p);
    }
    workgroupBarrier();
    if local == 0u {
        var total = 0.0;
        for (var i = 0u; i < n; i++) {
            total += weights[i];
        }
        let target_sum = drawn_number() * total;
        var before = 0.0;
        for (var i = 0u; i < n && before <= target_sum; i++) {
            if weights[i] > 0.0 {
                atomicStore(&chosen, sorted[i]);
                before += weights[i];
            }
        }
    }
}
