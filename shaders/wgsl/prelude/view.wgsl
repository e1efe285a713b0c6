//! Which positions queries of a sequence see.

// What the queries from `first` to `last` see between them: the positions below `n_sinks`, and those from `recent` to `last`.
struct View {
    n_sinks: u32,
    recent: u32,
}

// `window`: a further limit on how far back queries see, 0 for none.
fn view_of(segment: Segment, first: u32, last: u32, window: u32) -> View {
    let least = select(0u, first + 1u - min(window, first + 1u), window != 0u);
    let in_window = first + 1u - min(segment.window - segment.sinks, first + 1u);
    let n_sinks = select(min(segment.sinks, last + 1u), 0u, least >= segment.sinks);
    return View(n_sinks, min(max(max(in_window, segment.sinks), least), last + 1u));
}

// Whether the query at p sees the key at k.
fn sees(segment: Segment, p: u32, k: i32, window: u32) -> bool {
    if k < 0 || u32(k) > p {
        return false;
    }
    let age = p - u32(k);
    return (age < segment.window - segment.sinks || u32(k) < segment.sinks) && (window == 0u || age < window);
}
