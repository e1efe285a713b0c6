//! The eight-bit activations of one row in workgroup memory, as `quantize_subgroup` makes them.

// Words of the same place in neighbouring groups lie side by side, for neighbouring lanes; the padding keeps the eight places in
// different banks of workgroup memory.
const X_STRIDE: u32 = GROUPS + 4u;
var<workgroup> packed_x: array<u32, 8u * X_STRIDE>;
var<workgroup> x_scales: array<f32, GROUPS>;
// Sums of a over each half of a group.
var<workgroup> x_halves: array<vec2<i32>, GROUPS>;

fn keep_word(token: u32, quad: u32, word: u32) {
    packed_x[quad % 8u * X_STRIDE + quad / 8u] = word;
}

fn keep_group(token: u32, group: u32, scale: f32, halves: vec2<i32>) {
    x_scales[group] = scale;
    x_halves[group] = halves;
}

fn activations(token: u32, group: u32) -> Activations {
    let lo = vec4(packed_x[group], packed_x[X_STRIDE + group], packed_x[2u * X_STRIDE + group], packed_x[3u * X_STRIDE + group]);
    let at = group + 4u * X_STRIDE;
    let hi = vec4(packed_x[at], packed_x[at + X_STRIDE], packed_x[at + 2u * X_STRIDE], packed_x[at + 3u * X_STRIDE]);
    return Activations(Packed(lo, hi), x_scales[group], x_halves[group]);
}
