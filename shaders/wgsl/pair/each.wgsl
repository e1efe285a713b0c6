//! Two neighbouring groups of a row, one after the other.

fn load_pair(pair: u32) -> Pair {
    return Pair(load_block(2u * pair), load_block(2u * pair + 1u));
}
