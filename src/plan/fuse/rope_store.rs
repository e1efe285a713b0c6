//! Queries rotated, keys rotated and stored, values stored: as the epilogue of the linear that makes them.

use crate::plan::edit::Edit;
use crate::plan::{CacheStore, Epilogue, Kernel, Linear, Rope, Target, View};

/// A merged linear of no more rows than epilogues take, read by nothing but the rotation of its first heads and the cache write of the others,
/// does both. Values that another linear makes, because their weight has another type, keep a cache write of their own. Whole heads alone are
/// rotated so.
pub(super) fn rotate_and_store_in_linear(edit: &mut Edit<'_, '_>, target: &Target) {
    for at in 0..edit.len() {
        let Some(Kernel::Linear(linear)) = edit.kernel(at) else { continue };
        let Epilogue::Store { residual: None, out, .. } = linear.epilogue else { continue };
        let &[a, b] = edit.private_readers(out) else { continue };
        let (rope_at, store_at) = if matches!(edit.kernel(a), Some(Kernel::Rope(_))) { (a, b) } else { (b, a) };
        let (Some(Kernel::Rope(rope)), Some(Kernel::CacheStore(store))) = (edit.kernel(rope_at), edit.kernel(store_at)) else { continue };
        let Some(has_v) = covers(linear, rope, store) else { continue };
        let new_at = rope_at.max(store_at);
        if linear.rows.count > target.epilogue_rows || !may_move(edit, rope, store, rope_at, store_at) {
            continue;
        }
        let Epilogue::Store { bias, .. } = linear.epilogue else { continue };
        let epilogue = Epilogue::RopeStore {
            bias,
            n_heads: rope.n_heads,
            n_kv_heads: store.n_kv_heads,
            head_dim: store.head_dim,
            has_v,
            rope: rope.rope,
            q_out: rope.out,
            cache: store.cache,
            layer: store.layer,
        };
        let fused = Kernel::Linear(Linear { epilogue, ..linear.clone() });
        if has_v {
            edit.replace(&[at, rope_at, store_at], new_at, fused);
        } else {
            // The write of the values stays; the linear takes the place of the rotation, before or after it.
            let values = Kernel::CacheStore(CacheStore { k: None, k_rope: None, ..store.clone() });
            edit.replace(&[at], rope_at, fused);
            edit.set(store_at, values);
        }
    }
}

/// Whether the linear's rows are the rotated queries, the keys rotated alike, and perhaps the values: `Some(has values)`.
fn covers(linear: &Linear, rope: &Rope, store: &CacheStore) -> Option<bool> {
    let Epilogue::Store { out, .. } = linear.epilogue else { return None };
    let (d, rows) = (store.head_dim, store.rows);
    let (k, v) = (store.k.as_ref()?, store.v.as_ref());
    let window = |view: &View, first: usize, n_heads: usize| {
        let expected = View { buf: out, offset: first * d, strides: vec![linear.n as isize, d as isize, 1] };
        expected.reads_as(view, &[rows.count, n_heads, d])
    };
    let (h, g) = (rope.n_heads, store.n_kv_heads);
    let same_rotation = store.k_rope == Some(rope.rope) && rope.rope.table != out && rope.rope.n_dims == d && rope.head_dim == d;
    let same_rows = linear.rows == rows && rope.rows == rows;
    if !(same_rotation && same_rows && window(&rope.x, 0, h) && window(k, h, g)) {
        return None;
    }
    match v {
        Some(v) if v.buf == out => (linear.n == (h + 2 * g) * d && window(v, h + g, g)).then_some(true),
        _ => (linear.n == (h + g) * d).then_some(false),
    }
}

/// Whether both may be done at either's place: nobody reads the queries before the later one, and no step between touches that layer of the
/// cache.
fn may_move(edit: &Edit<'_, '_>, rope: &Rope, store: &CacheStore, rope_at: usize, store_at: usize) -> bool {
    let layer = Some((store.cache, store.layer));
    let touches = |at: usize| edit.kernel(at).is_some_and(|k| k.cache_read() == layer || k.cache_written() == layer);
    let (first, last) = (rope_at.min(store_at), rope_at.max(store_at));
    edit.readers(rope.out).iter().all(|&r| r > last) && !(first + 1..last).any(touches)
}
