//! Sums over LANES consecutive invocations and over the whole workgroup, in workgroup memory: what adapters without subgroups use.
//! LANES and WORKGROUP are powers of two. The order is fixed: a tree of halves.

var<workgroup> lane_values: array<vec4<f32>, WORKGROUP>;

// Every invocation of the LANES gets their sum. Uniform control flow only.
fn lanes_sum(v: vec4<f32>, local: u32) -> vec4<f32> {
    workgroupBarrier();
    lane_values[local] = v;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local % LANES < half {
            lane_values[local] += lane_values[local + half];
        }
    }
    workgroupBarrier();
    return lane_values[local - local % LANES];
}

fn workgroup_sum(v: f32, local: u32) -> f32 {
    workgroupBarrier();
    lane_values[local].x = v;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            lane_values[local].x += lane_values[local + half].x;
        }
    }
    workgroupBarrier();
    return lane_values[0].x;
}

// Of each component.
fn workgroup_max(v: vec4<f32>, local: u32) -> vec4<f32> {
    workgroupBarrier();
    lane_values[local] = v;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            lane_values[local] = max(lane_values[local], lane_values[local + half]);
        }
    }
    workgroupBarrier();
    return lane_values[0];
}
