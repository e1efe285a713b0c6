//! Keys and values into the cache.

use crate::plan::CacheStore;

use super::rope::rotate;
use super::step::StepContext;

pub(super) fn run(ctx: &StepContext<'_>, step: &CacheStore) {
    let layers = ctx.kv_layers(step.cache, step.layer);
    let (k, v) = (step.k.as_ref().map(|v| ctx.strided(v)), step.v.as_ref().map(|v| ctx.strided(v)));
    let rope = step.k_rope.as_ref().map(|r| ctx.rope_rows(r));
    // Rows past the token count would overwrite positions that are still in view, so they are left out whatever `rows` says.
    let isa = ctx.isa;
    let n_tokens = step.rows.of_run(ctx.n_tokens);
    ctx.threads.run(n_tokens, |t| {
        let mut row = vec![0.0; step.head_dim];
        let (layer, place) = layers.of_row(t);
        for head in 0..step.n_kv_heads {
            if let Some(k) = &k {
                k.copy_row(&[t, head], &mut row);
                if let Some(rope) = &rope {
                    rotate(isa, &mut row, rope, t);
                }
                layer.store_key(head, place, &row);
            }
            if let Some(v) = &v {
                v.copy_row(&[t, head], &mut row);
                layer.store_value(head, place, &row);
            }
        }
    });
}
