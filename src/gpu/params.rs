//! The numbers of a run: its tokens and segments, scalars, places in caches, draws and rope rows.

use super::cache::history_len;
use super::lower::{DRAW_WORDS, RunShape, SEGMENT_WORDS, SegmentShape};
use super::recording::{Recording, RunCache};
use crate::graph::{PageTable, RopeRowsKind, RunArgs, rope_rows};
use crate::plan::Kernel;

/// What the grids of a run depend on.
pub fn shape_of(recording: &Recording, args: &RunArgs, caches: &[RunCache]) -> RunShape {
    let mut first_row = 0;
    let segments = args.segments.iter().map(|segment| {
        let shape = SegmentShape {
            first_row,
            n_rows: segment.n_tokens,
            positions: segment.caches.iter().map(|used| used.position).collect(),
            specs: caches.iter().map(|cache| cache.memory.spec).collect(),
            scalars: recording.plan.scalars.evaluate(&args.literals, segment),
        };
        first_row += segment.n_tokens;
        shape
    });
    RunShape::of(segments.collect())
}

/// The run's block as its kernels read it.
pub fn block_of(recording: &Recording, args: &RunArgs, caches: &[RunCache], shape: &RunShape) -> Vec<u32> {
    let (plan, layout) = (&recording.plan, &recording.layout);
    let mut block = vec![0; layout.n_words];
    let mut put = |first: usize, words: &mut dyn Iterator<Item = u32>| words.enumerate().for_each(|(i, word)| block[first + i] = word);
    put(0, &mut [shape.n_tokens, shape.segments.len(), shape.n_single].into_iter().map(|n| n as u32));
    put(layout.scalar(crate::plan::ScalarRef(0)), &mut shape.segments[0].scalars.iter().copied());
    if plan.segments > 1 {
        put(layout.row_segments, &mut args.rows().map(|(segment, _)| segment as u32));
    }
    for (c, (RunCache { memory, sequences }, rows)) in caches.iter().zip(&recording.rows_written).enumerate() {
        let cache = crate::graph::CacheIdx(c as u32);
        let mut place = layout.places(cache);
        for (s, (segment, &(sequence, table))) in shape.segments.iter().zip(sequences).enumerate() {
            let n_rows = rows.of_run(segment.n_rows);
            put(place, &mut (segment.positions[c]..segment.positions[c] + n_rows).map(|p| memory.first_row(table.place(p))));
            place += n_rows;
            let spec = &segment.specs[c];
            let words = [
                segment.first_row,
                n_rows,
                segment.positions[c],
                memory.first_entry(sequence),
                sequence * history_len(&memory.spec),
                spec.window,
                spec.sinks,
                spec.n_sink_pages(),
                PageTable::n_recent(spec) - 1,
            ];
            debug_assert_eq!(words.len(), SEGMENT_WORDS);
            put(layout.segments(cache) + s * SEGMENT_WORDS, &mut words.into_iter().map(|n| n as u32));
        }
    }
    for &(step, first) in layout.draws() {
        let Kernel::Sample(k) = &plan.steps[step].kernel else { continue };
        for (s, segment) in shape.segments.iter().enumerate().take(k.rows) {
            let history = k.history.map_or(0, |cache| {
                let RunCache { memory, sequences } = &caches[cache.0 as usize];
                sequences[s].0 * history_len(&memory.spec)
            });
            let settings = k.settings.iter().chain([&k.position]).map(|word| segment.scalars[word.0 as usize]);
            put(first + s * DRAW_WORDS, &mut settings.chain([history as u32]));
        }
    }
    for (rows, &offset) in plan.rope_rows.iter().zip(&recording.rope_offsets) {
        block.resize(offset as usize / 4, 0);
        for segment in &shape.segments {
            let window = match rows.kind {
                RopeRowsKind::Position => None,
                RopeRowsKind::SinkDelta(cache) => segment.specs.get(cache.0 as usize).map(|spec| spec.window),
            };
            let first = i64::from(segment.scalars[rows.first.0 as usize] as i32);
            let n_rows = rows.rows.of_run(segment.n_rows);
            block.extend(rope_rows(&rows.spec, first, n_rows, window).iter().map(|v| v.to_bits()));
        }
    }
    block
}
