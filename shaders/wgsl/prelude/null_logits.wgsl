//! One more score of each head in the sum of the softmax, without a value: what it leaves to the keys.

// [H], read where HAS_NULL
@group(0) @binding(10) var<storage, read> null_logits: array<f32>;

// The share of all weights that a head's keys have, by their largest score and the sum of their weights relative to it.
fn share_of_keys(head: u32, largest: f32, total: f32) -> f32 {
    if HAS_NULL {
        let logit = null_logits[head];
        let most = max(largest, logit);
        let keys = total * exp_f32(max(largest - most, -80.0));
        return keys / (keys + exp_f32(max(logit - most, -80.0)));
    }
    return 1.0;
}
