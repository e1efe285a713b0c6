//! Eight-bit products four at a time, by packed dot products.

alias Factors = Packed;

fn factors(a: Packed) -> Factors {
    return a;
}

// Σ q · a over each half of a group.
fn dot_halves(q: Packed, a: Factors) -> vec2<i32> {
    let lo = dot4I8Packed(q.lo.x, a.lo.x) + dot4I8Packed(q.lo.y, a.lo.y) + dot4I8Packed(q.lo.z, a.lo.z) + dot4I8Packed(q.lo.w, a.lo.w);
    let hi = dot4I8Packed(q.hi.x, a.hi.x) + dot4I8Packed(q.hi.y, a.hi.y) + dot4I8Packed(q.hi.z, a.hi.z) + dot4I8Packed(q.hi.w, a.hi.w);
    return vec2(lo, hi);
}
