//! out[t, n] = Σ_k x[t, k] · w[n, k] + bias[n] + residual[t, n] for many tokens.
//! Buffers: x, weights (format), those of `epilogue/matrix`.
//! Grid: (tiles of 64 rows of w, tiles of 64 tokens), 16 × 16 invocations with 4 × 4 sums each. A group of 32 columns of both tiles is
//! widened once into workgroup memory. Arithmetic: f32; relative error of a sum about 1e-6 of Σ |x w|. Needs: 16 KiB of workgroup memory.
//! Expects: weight_values, store

// [T, K]
@group(0) @binding(2) var<storage, read> x: array<f32>;

// [32, 64] each: column by column of K.
var<workgroup> tile_w: array<f32, 2048>;
var<workgroup> tile_x: array<f32, 2048>;

fn x_or_zero(token: u32, k: u32) -> f32 {
    return select(0.0, x[token * step.k + min(k, step.k - 1u)], k < step.k);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let rows = rows_of_run(step.rows, step.dynamic);
    let first_n = workgroup.x * 64u;
    let first_t = workgroup.y * 64u;
    let own_n = local % 16u;
    let own_t = local / 16u;
    var acc: array<vec4<f32>, 4>;
    for (var group = 0u; group < step.groups; group++) {
        workgroupBarrier();
        if local < 64u {
            let row = step.first_row + min(first_n + local, step.n - 1u);
            let w = weight_values(row * step.groups + group);
            for (var i = 0u; i < 32u; i++) {
                tile_w[i * 64u + local] = w.v[i / 4u][i % 4u];
            }
        } else if local < 128u {
            let column = local - 64u;
            let token = min(first_t + column, rows - 1u);
            for (var i = 0u; i < 32u; i++) {
                tile_x[i * 64u + column] = x_or_zero(token, group * 32u + i);
            }
        }
        workgroupBarrier();
        for (var i = 0u; i < 32u; i++) {
            // Columns 16 apart, so that neighbours read neighbours.
            let at = i * 64u + own_n;
            let w = vec4(tile_w[at], tile_w[at + 16u], tile_w[at + 32u], tile_w[at + 48u]);
            let first = i * 64u + own_t * 4u;
            acc[0] += tile_x[first] * w;
            acc[1] += tile_x[first + 1u] * w;
            acc[2] += tile_x[first + 2u] * w;
            acc[3] += tile_x[first + 3u] * w;
        }
    }
    for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) {
            store(first_t + own_t * 4u + i, first_n + own_n + j * 16u, rows, acc[i][j]);
        }
    }
}
