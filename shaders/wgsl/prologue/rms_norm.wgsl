//! Activations under RMS norm: x / sqrt(mean(x²) + eps) · weight; K is a multiple of 32. Source: Zhang and Sennrich, arXiv:1910.07467.

// [T, K / 4]
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
// [K / 4]
@group(0) @binding(5) var<storage, read> norm_weight: array<vec4<f32>>;

var<workgroup> inverse_rms: array<f32, COLS>;

fn prepare(first_token: u32, rows: u32, local: u32) {
    for (var c = 0u; c < COLS; c++) {
        let first = min(first_token + c, rows - 1u) * (K / 4u);
        var squares = 0.0;
        for (var i = local; i < K / 4u; i += WORKGROUP) {
            let v = x[first + i];
            squares += dot(v, v);
        }
        let total = workgroup_sum(squares, local);
        if local == 0u {
            inverse_rms[c] = 1.0 / sqrt(total / f32(K) + run_f32(step.eps));
        }
    }
    workgroupBarrier();
}

fn load_x(column: u32, token: u32, group: u32) -> Values {
    let at = token * (K / 4u) + group * 8u;
    let scale = inverse_rms[column];
    var out: Values;
    for (var i = 0u; i < 8u; i++) {
        out.v[i] = x[at + i] * scale * norm_weight[group * 8u + i];
    }
    return out;
}
