//! Joined sums of q, k and v are rotated and stored as `epilogue/rotated_pair` says.
//! Expects: joined, store_rotated

fn n_items() -> u32 {
    return step.n / 2u;
}

fn finish_item(token: u32, item: u32, rows: u32) {
    store_rotated(2u * item, token, joined(token, item));
}
