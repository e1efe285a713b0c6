//! Where a run's keys and values go: pages of PAGE positions, in each of which the heads follow one another.

// The row of a head for the run's token: from word `places` on the run says where the first head's row is.
fn row_of_token(places: u32, token: u32, head: u32) -> u32 {
    return run_u32(places + token) + head * PAGE;
}
