//! The eight-bit activations of one row in workgroup memory, as `quantize_workgroup` makes them.
//! Expects: words, of_words

// Two for each group: the quants of its halves.
var<workgroup> packed_x: array<Words, 2u * GROUPS>;
// Scale; sums of the quants of both halves, as bits.
var<workgroup> packed_scales: array<vec4<u32>, GROUPS>;

fn keep_half(token: u32, group: u32, half: u32, packed: vec4<u32>) {
    packed_x[2u * group + half] = of_words(packed);
}

fn keep_group(token: u32, group: u32, scale: f32, halves: vec2<i32>) {
    packed_scales[group] = vec4(bitcast<u32>(scale), bitcast<vec2<u32>>(halves), 0u);
}

fn activations(token: u32, group: u32) -> Activations {
    let s = packed_scales[group];
    return Activations(Packed(words(packed_x[2u * group]), words(packed_x[2u * group + 1u])), bitcast<f32>(s.x), bitcast<vec2<i32>>(s.yz));
}
