//! Joined sums are stored as `epilogue/matrix` says.
//! Expects: joined, store

fn n_items() -> u32 {
    return (step.n + 1u) / 2u;
}

fn finish_item(token: u32, item: u32, rows: u32) {
    let sums = joined(token, item);
    store(token, 2u * item, rows, sums.x);
    store(token, 2u * item + 1u, rows, sums.y);
}
