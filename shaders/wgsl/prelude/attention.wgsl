//! What both kernels of attention share: their numbers, where keys lie, and queries as they are and rotated against sinks.
//! Expects: tanh_f32

struct Step {
    rows: u32,
    dynamic: u32,
    n_heads: u32,
    // The run's words of scale, window, segments and the segments of rows.
    scale: u32,
    window: u32,
    segments: u32,
    row_segments: u32,
    // G · the positions of all pages
    kv_rows: u32,
    head_dim: u32,
    // Rotation of the query against sinks; n_dims 0: none.
    n_dims: u32,
    neox: u32,
    max_splits: u32,
    // H / G
    group: u32,
    // The run's word of the cap, where CAPPED.
    cap: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [T, H, D]
@group(0) @binding(2) var<storage, read> q: array<f32>;
// [T, H, D]
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
// [T, n_dims / 2], read where n_dims is not 0
@group(0) @binding(7) var<storage, read> sink_table: array<vec2<f32>>;

// The row of the first head at the beginning of each page, by sequence and entry (`graph::PageTable`)
@group(0) @binding(9) var<storage, read> pages: array<u32>;

const LOWEST: f32 = -1e30;

// The row of a key-value head at a position that is held.
fn row_of(segment: Segment, position: u32, g: u32) -> u32 {
    let page = position / PAGE;
    let entry = select(segment.sink_pages + (page & segment.page_mask), page, page < segment.sink_pages);
    return pages[segment.table + entry] + g * PAGE + position % PAGE;
}

// Whether a score is NaN or inf: what a key makes that the cache's type cannot hold. -inf is a score as any other.
fn has_no_weight(score: f32) -> bool {
    let bits = bitcast<u32>(score);
    return bitcast<i32>(score) >= 0x7f800000 || bits > 0xff800000u;
}

// A score within the model's cap.
fn capped(score: f32) -> f32 {
    if CAPPED {
        let cap = run_f32(step.cap);
        return cap * tanh_f32(score / cap);
    }
    return score;
}

fn query_element(first: u32, d: u32) -> f32 {
    return select(0.0, q[first + min(d, step.head_dim - 1u)], d < step.head_dim);
}

fn sink_element(first: u32, t: u32, d: u32) -> f32 {
    let own = query_element(first, d);
    if d >= step.n_dims {
        return own;
    }
    let half = step.n_dims / 2u;
    let neox = step.neox == 1u;
    let second = select((d & 1u) == 1u, d >= half, neox);
    let partner = select(d ^ 1u, select(d + half, d - min(d, half), d >= half), neox);
    let turn = sink_table[t * half + select(d / 2u, d % half, neox)];
    let other = query_element(first, partner);
    return own * turn.x + select(-other, other, second) * turn.y;
}
