//! The numbers of a run: token count, positions, scalars, places in caches and rope rows.

use super::cache::Cache;
use super::lower::HEADER_WORDS;
use super::recording::Recording;
use crate::graph::{RopeRowsKind, RunArgs, rope_rows};

/// The plan's scalars, and the run's block as its kernels read it.
pub fn of_run(recording: &Recording, args: &RunArgs, caches: &[&Cache]) -> (Vec<u32>, Vec<u32>) {
    let plan = &recording.plan;
    let scalars = plan.scalars.evaluate(&args.literals, &args.segments[0]);
    let mut block: Vec<u32> = vec![0; HEADER_WORDS];
    block[0] = args.n_tokens() as u32;
    for (word, cache) in block[1..].iter_mut().zip(args.caches()) {
        *word = cache.position as u32;
    }
    block.extend(&scalars);
    for ((cache, used), rows) in caches.iter().zip(args.caches()).zip(&recording.rows_written) {
        let end = block.len() + rows.count;
        block.extend(cache.rows(used.position, rows.of_run(args.n_tokens())));
        block.resize(end, 0);
    }
    for (rows, &offset) in plan.rope_rows.iter().zip(&recording.rope_offsets) {
        let window = match rows.kind {
            RopeRowsKind::Position => None,
            RopeRowsKind::SinkDelta(cache) => plan.options.caches.get(cache.0 as usize).map(|c| c.window),
        };
        let first = i64::from(scalars[rows.first.0 as usize] as i32);
        let values = rope_rows(&rows.spec, first, rows.rows.of_run(args.n_tokens()), window);
        block.resize(offset as usize / 4, 0);
        block.extend(values.iter().map(|v| v.to_bits()));
    }
    (scalars, block)
}
