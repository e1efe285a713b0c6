//! Activations in eight bits, four values an invocation, with subgroups of at least 8.
//! Expects: x_quad, weigh

// Words of the same place in neighbouring groups lie side by side, for neighbouring lanes; the padding keeps the eight places in
// different banks of workgroup memory.
const X_STRIDE: u32 = GROUPS + 4u;
var<workgroup> packed_x: array<u32, 8u * X_STRIDE>;
var<workgroup> x_scales: array<f32, GROUPS>;
// Sums of a over each half of a group.
var<workgroup> x_halves: array<i32, 2u * GROUPS>;

fn activations(group: u32) -> Activations {
    let lo = vec4(packed_x[group], packed_x[X_STRIDE + group], packed_x[2u * X_STRIDE + group], packed_x[3u * X_STRIDE + group]);
    let at = group + 4u * X_STRIDE;
    let hi = vec4(packed_x[at], packed_x[at + X_STRIDE], packed_x[at + 2u * X_STRIDE], packed_x[at + 3u * X_STRIDE]);
    return Activations(Packed(lo, hi), x_scales[group], vec2(x_halves[2u * group], x_halves[2u * group + 1u]));
}

// Quantizes the row into workgroup memory. Returns this invocation's part of the sum of squares before the norm's weight.
fn quantize_row(local: u32) -> f32 {
    var squares = 0.0;
    for (var first = 0u; first < K / 4u; first += WORKGROUP) {
        // Eight neighbours share a group; those past the end repeat the last quad and write nothing.
        let inside = first + local < K / 4u;
        let quad = min(first + local, K / 4u - 1u);
        let raw = x_quad(0u, quad);
        let v = weigh(raw, quad);
        squares += select(0.0, dot(raw, raw), inside);
        // Bits of magnitudes order as the magnitudes do, with inf and NaN above all numbers: a group that holds one gets such a scale.
        let size = bitcast<vec4<u32>>(v) & vec4(0x7fffffffu);
        var most_bits = max(max(size.x, size.y), max(size.z, size.w));
        most_bits = max(most_bits, subgroupShuffleXor(most_bits, 1u));
        most_bits = max(most_bits, subgroupShuffleXor(most_bits, 2u));
        most_bits = max(most_bits, subgroupShuffleXor(most_bits, 4u));
        let most = bitcast<f32>(most_bits);
        let q = vec4<i32>(round(v * select(0.0, 127.0 / most, most > 1e-30)));
        var sum = q.x + q.y + q.z + q.w;
        sum += subgroupShuffleXor(sum, 1u);
        sum += subgroupShuffleXor(sum, 2u);
        if inside {
            let group = quad / 8u;
            packed_x[quad % 8u * X_STRIDE + group] = pack4xI8(q);
            if quad % 4u == 0u {
                x_halves[quad / 4u] = sum;
            }
            if quad % 8u == 0u {
                x_scales[group] = most / 127.0;
            }
        }
    }
    return squares;
}
