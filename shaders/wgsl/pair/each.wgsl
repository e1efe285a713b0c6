//! Neighbouring pairs of groups of a row, group by group.
//! Expects: load_block

// The first of AT_ONCE pairs.
alias Pairs = u32;

fn load_pairs(first: u32) -> Pairs {
    return first;
}

fn load_pair(pairs: Pairs, i: u32) -> Pair {
    let group = 2u * (pairs + i);
    return Pair(load_block(group), load_block(group + 1u));
}
