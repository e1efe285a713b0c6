//! The activations of a group for all invocations of a workgroup that is one subgroup of eight: each loads a quad and hands it on.
//! Needs: subgroups of 8.
//! Expects: x_quad

fn group_quads(token: u32, group: u32, local: u32) -> array<vec4<f32>, 8> {
    let own = x_quad(token, group * 8u + local);
    return array<vec4<f32>, 8>(
        subgroupBroadcast(own, 0u),
        subgroupBroadcast(own, 1u),
        subgroupBroadcast(own, 2u),
        subgroupBroadcast(own, 3u),
        subgroupBroadcast(own, 4u),
        subgroupBroadcast(own, 5u),
        subgroupBroadcast(own, 6u),
        subgroupBroadcast(own, 7u),
    );
}
