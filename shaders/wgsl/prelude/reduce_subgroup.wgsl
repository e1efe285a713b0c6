//! Sums over LANES consecutive invocations and over the whole workgroup, with subgroups of SUBGROUP invocations.
//! LANES and WORKGROUP are multiples of SUBGROUP. The order is fixed: within a subgroup as the device does it, then by subgroup.

var<workgroup> subgroup_sums: array<vec4<f32>, WORKGROUP / SUBGROUP>;

// Every invocation of the LANES gets their sum. Uniform control flow only.
fn lanes_sum(v: vec4<f32>, local: u32) -> vec4<f32> {
    let own = subgroupAdd(v);
    if LANES == SUBGROUP {
        return own;
    }
    workgroupBarrier();
    if local % SUBGROUP == 0u {
        subgroup_sums[local / SUBGROUP] = own;
    }
    workgroupBarrier();
    let first = local / LANES * (LANES / SUBGROUP);
    var total = subgroup_sums[first];
    for (var i = 1u; i < LANES / SUBGROUP; i++) {
        total += subgroup_sums[first + i];
    }
    return total;
}

fn workgroup_sum(v: f32, local: u32) -> f32 {
    let own = subgroupAdd(v);
    workgroupBarrier();
    if local % SUBGROUP == 0u {
        subgroup_sums[local / SUBGROUP].x = own;
    }
    workgroupBarrier();
    var total = subgroup_sums[0].x;
    for (var i = 1u; i < WORKGROUP / SUBGROUP; i++) {
        total += subgroup_sums[i].x;
    }
    return total;
}

// Of each component.
fn workgroup_max(v: vec4<f32>, local: u32) -> vec4<f32> {
    let own = subgroupMax(v);
    workgroupBarrier();
    if local % SUBGROUP == 0u {
        subgroup_sums[local / SUBGROUP] = own;
    }
    workgroupBarrier();
    var largest = subgroup_sums[0];
    for (var i = 1u; i < WORKGROUP / SUBGROUP; i++) {
        largest = max(largest, subgroup_sums[i]);
    }
    return largest;
}
