//! Floats in the order in which they are sorted and chosen, as integers: by value, 0 and -0 alike, NaN above all.

// Keys of -inf and inf.
const LEAST_KEY: u32 = 0x007fffffu;
const INFINITE_KEY: u32 = 0xff800000u;

// What stands for an id where there is none to choose: `graph::NoChoice`.
const NO_CHOICE_NAN: u32 = 0xffffffffu;
const NO_CHOICE_INFINITE: u32 = 0xfffffffeu;

// The key of a float by its bits; no float has the key 0.
fn order_key(word: u32) -> u32 {
    let bits = select(word, 0u, word == 0x80000000u);
    let key = bits ^ select(0x80000000u, 0xffffffffu, (bits & 0x80000000u) != 0u);
    return select(key, 0xffffffffu, (bits & 0x7fffffffu) > 0x7f800000u);
}
