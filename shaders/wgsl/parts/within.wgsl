//! Parts of attention that the last workgroup to arrive joins, in the same dispatch.
//! Needs: memory that is coherent between workgroups, and barriers that order it for the whole device.

// [T, H, max_splits, D + 2]: unnormalized sums, then maximum and sum of weights
@group(0) @binding(6) @coherent var<storage, read_write> parts: array<f32>;
// [T, H / GROUP]: workgroups that have arrived; 0 before and after a dispatch.
@group(0) @binding(8) var<storage, read_write> arrivals: array<atomic<u32>>;

var<workgroup> n_arrived: u32;

// Whether all `n` workgroups of a counter have written their parts, and this one came last.
fn last_to_arrive(counter: u32, n: u32, local: u32) -> bool {
    storageBarrier();
    if local == 0u {
        n_arrived = atomicAdd(&arrivals[counter], 1u) + 1u;
        if n_arrived == n {
            atomicStore(&arrivals[counter], 0u);
        }
    }
    let last = workgroupUniformLoad(&n_arrived) == n;
    storageBarrier();
    return last;
}
