//! What this adapter's memory can deliver to a kernel. JOB 0 fills `data` with numbers without a pattern, as memory that holds zeros alone
//! may be compressed on its way; 1 reads every vector once and keeps nothing; 2 copies the first half of each workgroup's vectors to the second.
//! Grid: (len / EACH / 256, folded over x and y), EACH vectors an invocation, 256 apart. Arithmetic: bitwise. Needs: nothing.

struct Step {
    // Workgroups in x.
    width: u32,
}
@group(0) @binding(1) var<uniform> step: Step;
// [len], a multiple of 256 · EACH
@group(0) @binding(2) var<storage, read_write> data: array<vec4<u32>>;
// [1]: written where all bits of the data cancel out, which is never.
@group(0) @binding(3) var<storage, read_write> out: array<u32>;

// A bijection of the 32-bit numbers whose bits look random (the finalizer of MurmurHash3).
fn mixed(v: vec4<u32>) -> vec4<u32> {
    let a = (v ^ (v >> vec4(16u))) * 0x85ebca6bu;
    let b = (a ^ (a >> vec4(13u))) * 0xc2b2ae35u;
    return b ^ (b >> vec4(16u));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = (workgroup.y * step.width + workgroup.x) * (256u * EACH) + local;
    var bits = vec4(0xffffffffu);
    for (var i = 0u; i < EACH; i++) {
        let at = first + i * 256u;
        if JOB == 0u {
            data[at] = mixed(vec4(0u, 1u, 2u, 3u) + 4u * at);
        } else if JOB == 1u {
            bits &= data[at];
        } else if i < EACH / 2u {
            data[at + EACH / 2u * 256u] = data[at];
        }
    }
    if JOB == 1u && all(bits == vec4(0xffffffffu)) {
        out[0] = bits.x;
    }
}
