//! The segments of a run: contiguous rows of one sequence each, and where a kernel's cache holds the sequence. `Step` has the run's first word of
//! them, and where MANY that of the rows' segments.

struct Segment {
    first_row: u32,
    n_rows: u32,
    // Of the first row.
    position: u32,
    // The sequence's first entry of `pages`, and its first id of the history.
    table: u32,
    history: u32,
    // W and s.
    window: u32,
    sinks: u32,
    // Pages that hold sinks, and the entries of the other pages less 1.
    sink_pages: u32,
    page_mask: u32,
}

const SEGMENT_WORDS: u32 = 9u;

fn segment_at(index: u32) -> Segment {
    let word = step.segments + index * SEGMENT_WORDS;
    return Segment(
        run_u32(word), run_u32(word + 1u), run_u32(word + 2u), run_u32(word + 3u), run_u32(word + 4u), run_u32(word + 5u), run_u32(word + 6u),
        run_u32(word + 7u), run_u32(word + 8u),
    );
}

fn segment_of(row: u32) -> Segment {
    if MANY {
        return segment_at(run_u32(step.row_segments + row));
    }
    return segment_at(0u);
}
