//! Keys rotated on their way into the cache.

use crate::plan::edit::Edit;
use crate::plan::{CacheStore, Kernel, Target, View};

/// A rotation that only a cache write reads, as its keys, is done by the write.
pub(super) fn rotate_keys_while_storing(edit: &mut Edit<'_, '_>, _: &Target) {
    for at in 0..edit.len() {
        let Some(Kernel::CacheStore(store)) = edit.kernel(at) else { continue };
        let (Some(k), None) = (&store.k, &store.k_rope) else { continue };
        let Some((rope_at, Kernel::Rope(rope))) = edit.writer(k.buf) else { continue };
        let dims = [store.rows.count, store.n_kv_heads, store.head_dim];
        let same_dims = dims == [rope.rows.count, rope.n_heads, rope.head_dim];
        let only_keys = edit.only_reader(k.buf) == Some(at) && store.v.as_ref().is_none_or(|v: &View| v.buf != k.buf);
        if only_keys && same_dims && k.offset == 0 && k.is_row_major(&dims) {
            let store = CacheStore { k: Some(rope.x.clone()), k_rope: Some(rope.rope), ..store.clone() };
            edit.replace(&[rope_at], at, Kernel::CacheStore(store));
        }
    }
}
