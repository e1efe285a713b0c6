//! The kernels of matrix units, on adapters that have none.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use std::sync::Arc;

use support::matrices::{OPS, emulated};
use tensorlogic::doctor::{Arithmetic, Case, Noise, cases, check};
use tensorlogic::gpu::{GpuExecutor, GpuOptions};
use tensorlogic::graph::{Binding, CompileOptions, Executor, Graph, RunArgs, Weight};
use tensorlogic::tensor::quant::Q4_0;
use tensorlogic::tensor::{DType, HostTensor, Quant};

fn open(edge: usize, planted: &[(&str, &str)]) -> Option<GpuExecutor> {
    let options = GpuOptions { allow_software: true, faults: emulated(edge, planted), ..GpuOptions::from_env() };
    match GpuExecutor::new(&options) {
        Ok(executor) if executor.gpu().caps.matrix_edge == 0 => {
            let gpu = executor.gpu();
            // Lavapipe has what it takes; WARP may not.
            let must = std::env::var("TL_REQUIRE_GPU").is_ok() && gpu.info.backend == wgpu::Backend::Vulkan;
            assert!(!must, "{} lacks f16 or subgroups of eight", gpu.describe());
            println!("skipped: {} lacks f16 or subgroups of eight", gpu.describe());
            None
        }
        Ok(executor) => Some(executor),
        Err(error) => {
            assert!(std::env::var("TL_REQUIRE_GPU").is_err(), "{error}");
            println!("skipped: {error}");
            None
        }
    }
}

/// Cases of many tokens whose names begin with one of `names`.
fn chosen(names: &[&str]) -> Vec<Case> {
    let is_chosen = |case: &Case| {
        let has_many = case.runs.iter().any(|run| run.inputs.first().is_some_and(|input| input.shape.dims()[0] > 8));
        has_many && names.iter().any(|name| case.name.starts_with(name))
    };
    cases(Arithmetic::Fast).into_iter().filter(is_chosen).collect()
}

fn failures(executor: &mut GpuExecutor, names: &[&str]) -> Vec<String> {
    let outcomes = chosen(names).into_iter().map(|case| check(&case, executor));
    outcomes.filter(|outcome| !outcome.passed()).map(|o| format!("{}: {:?} (bound {:?})", o.name, o.verdict, o.bound)).collect()
}

#[test]
fn matrices_of_both_edges_give_what_the_definition_gives() {
    // What differs between formats is not what differs between edges.
    for (edge, names) in [
        (8, ["linear", "gate", "attention", "block, q4_0", "block, 512 wide, interleaved"].as_slice()),
        (
            16,
            &[
                "linear f16",
                "linear q4_0",
                "gate",
                "attention",
                "block, f16",
                "block, biases in",
                "block, 512 wide, interleaved pairs, f16",
            ],
        ),
    ] {
        let Some(mut executor) = open(edge, &[]) else { return };
        let failures = failures(&mut executor, names);
        assert!(failures.is_empty(), "{edge} × {edge}:\n{}", failures.join("\n"));
        for part in OPS.into_iter().chain(["tile_store", "tile_gated", "tile_rope_store"]) {
            let fragment = format!("matrix/edge_{edge}");
            let ran = executor.kernels().iter().filter(|(name, _)| name.contains(part) && name.contains(&fragment)).count();
            assert!(ran > 0, "no {part} of {edge} × {edge} ran");
            println!("{ran} kernels of {part}, {edge} × {edge}");
        }
        // Workgroups share columns where matrices have an edge of 16.
        for part in ["tile_parts", "join_store", "join_gated", "join_rope_store"] {
            let ran = executor.kernels().iter().filter(|(name, _)| name.contains(part)).count();
            assert_eq!(ran > 0, edge == 16, "{ran} kernels of {part}, {edge} × {edge}");
        }
        let large = executor.kernels().iter().filter(|(_, text)| text.contains("const WIDE: u32 = 4u;")).count();
        assert_eq!(large > 0, edge == 16, "{large} kernels of large tiles");
    }
}

/// Tiles differ with the number of rows, the order of a sum does not: other rows of a run do not show in a row's bits.
#[test]
fn a_row_has_the_same_bits_in_all_runs_of_nine_to_128_rows() {
    let Some(mut executor) = open(16, &[]) else { return };
    let (n, k, q4_0) = (40, 1024, DType::Quant(Quant(&Q4_0)));
    let mut noise = Noise::new(3);
    let w = Arc::new(Weight::new("w", [n, k], q4_0, Arc::new(noise.weight_bytes(q4_0, n * k))));
    let x = noise.f32([100, k]).as_f32().unwrap().to_vec();
    let mut bits_of = |first: usize, n_rows: usize| {
        let mut graph = Graph::default();
        let input = graph.input([n_rows, k], DType::F32);
        let w = graph.weight(w.clone());
        let y = graph.linear(input, w).unwrap();
        let program = executor.compile(&graph, &[y], &CompileOptions { fuse: true, caches: Vec::new() }).unwrap();
        let rows = HostTensor::f32([n_rows, k], x[first * k..(first + n_rows) * k].to_vec());
        let args = RunArgs { inputs: vec![Binding::Host(Arc::new(rows))], ..RunArgs::default() };
        let y = executor.run_ahead(program, &args).unwrap().remove(0);
        executor.read(&y).unwrap().as_f32().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<u32>>()
    };
    let all = bits_of(0, 100);
    for (first, n_rows) in [(0, 9), (7, 16), (20, 30), (36, 64)] {
        assert_eq!(bits_of(first, n_rows), all[first * n..(first + n_rows) * n], "{n_rows} rows from {first} on");
    }
}

#[test]
fn mistakes_in_kernels_of_matrices_are_found() {
    let both = "coopMultiplyAdd(a.m11, b.m11, coopMultiplyAdd(a.m10, b.m01, sum.m11))";
    let (of_weights, of_values) = ("let m01 = coopLoad<Right8>(&tiles[below]", "let m10 = coopLoadT<Right8>(&tiles[below]");
    let (up_rows, gate) = ("select(0u, step.n / 2u, block >= WIDE / 2u)", "activation(ACT, sum_of(i * 32u + local % 32u, local))");
    let (shared, wide) = ("linear q4_0 67x1152, 31 rows", "block, 512 wide, interleaved pairs, f16");
    for (edge, case, what, from, to) in [
        (8, "linear q4_0", "a quarter of weights read twice", of_weights, "let m01 = coopLoad<Right8>(&tiles[beside]"),
        (8, "attention 2:2", "a quarter of values read twice", of_values, "let m10 = coopLoadT<Right8>(&tiles[beside]"),
        (8, "linear q4_0", "a product left out", both, "coopMultiplyAdd(a.m11, b.m11, sum.m11)"),
        (8, "linear q4_0", "one half over the other", "coopStoreT(sum.m10, &sums[below]", "coopStoreT(sum.m10, &sums[first]"),
        (8, "linear q4_0", "a quad's last value not written", "tiles[first + 3u] = quad.w;", "tiles[first + 3u] = quad.z;"),
        (8, "block, f16", "a rotation backwards", "vec2(-pair.y, pair.x)", "vec2(pair.y, -pair.x)"),
        (8, "block, f16", "another head's slots", "% step.n_kv_heads;", "% step.n_kv_heads ^ 1u;"),
        (16, "block, biases in", "a bias for two rows", "bias[row + 1u]", "bias[row]"),
        (16, "linear q4_0", "weights by rows", "coopLoad<Right>", "coopLoadT<Right>"),
        (16, shared, "columns of another share", "let begin = share * share_groups;", "let begin = share / 2u * share_groups;"),
        (16, shared, "a share left out", "i < SHARES; i++", "i + 1u < SHARES; i++"),
        (16, shared, "another token's sums", "parts[(share * step.rows + token)", "parts[(share * step.rows + (token ^ 1u))"),
        (16, "gate q4_0 2x40x1024", "gate for up", "joined(token, item + step.n / 4u)", "joined(token, item)"),
        (16, wide, "a pair of another row", "store_rotated(2u * item, token,", "store_rotated(2u * (item ^ 1u), token,"),
        (16, "gate", "up rows a block off", up_rows, "select(0u, step.n / 2u + 16u, block >= WIDE / 2u)"),
        (16, "gate", "no activation", gate, "sum_of(i * 32u + local % 32u, local)"),
    ] {
        let Some(mut executor) = open(edge, &[(from, to)]) else { return };
        let found = failures(&mut executor, &[case]);
        assert!(!found.is_empty(), "{what}: not found");
        assert!(!found.iter().any(|f| f.contains("Error")), "{what}: {found:?}");
        let ran = OPS.iter().any(|op| executor.kernels().iter().any(|(name, _)| name.starts_with(op)));
        assert!(ran, "{what}: no kernel of matrices ran");
    }
}
