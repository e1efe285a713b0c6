//! A tile's rows are neighbouring rows of the weight; `finish_one` of another fragment takes their sums, 16 tokens × 16 rows at a time.
//! Expects: finish_one

// The used row of the weight for row r of a tile.
fn tile_row(tile: u32, r: u32) -> u32 {
    return min(tile * TILE_N + r, step.n - 1u);
}

// Two matrices of 16 tokens × 16 rows: those of blocks j and j + WIDE / 2 of the subgroup whose rows begin at own_n.
fn finish(low: Sum, high: Sum, tile: u32, own_n: u32, j: u32, first_t: u32, rows: u32, local: u32) {
    let first_n = tile * TILE_N + own_n + j * 16u;
    finish_one(low, first_n, first_t, rows, local);
    finish_one(high, first_n + WIDE * 8u, first_t, rows, local);
}
