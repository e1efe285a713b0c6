//! Parts of attention that another dispatch joins.

// [T, H, max_splits, D + 2]: unnormalized sums, then maximum and sum of weights
@group(0) @binding(6) var<storage, read_write> parts: array<f32>;

// Whether this workgroup is to join the parts.
fn last_to_arrive(counter: u32, n: u32, local: u32) -> bool {
    return false;
}
