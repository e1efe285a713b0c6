//! The key-value ring: R slots, of which the first `sinks` stay. Position p < s has slot p, any other s + (p - s) mod (R - s).

fn ring_slot(position: u32, sinks: u32, slots: u32) -> u32 {
    if position < sinks {
        return position;
    }
    return sinks + (position - sinks) % (slots - sinks);
}

// The position whose key lies in `slot` when `last` was written last, or -1 when none does.
fn ring_position(slot: u32, last: u32, sinks: u32, slots: u32) -> i32 {
    if slot > last {
        return -1;
    }
    if slot < sinks {
        return i32(slot);
    }
    return i32(last - (last - slot) % (slots - sinks));
}
