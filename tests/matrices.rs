//! The kernels of matrix units, on adapters that have none.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use support::matrices::{OPS, emulated};
use tensorlogic::doctor::{Arithmetic, Case, cases, check};
use tensorlogic::gpu::{GpuExecutor, GpuOptions};

fn open(edge: usize, planted: &[(&str, &str)]) -> Option<GpuExecutor> {
    let options = GpuOptions { allow_software: true, faults: emulated(edge, planted), ..GpuOptions::from_env() };
    match GpuExecutor::new(&options) {
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
    for (edge, names) in [(8, ["linear", "gate", "attention"].as_slice()), (16, &["linear f16", "linear q4_0", "gate", "attention"])] {
        let Some(mut executor) = open(edge, &[]) else { return };
        let failures = failures(&mut executor, names);
        assert!(failures.is_empty(), "{edge} × {edge}:\n{}", failures.join("\n"));
        for op in OPS {
            let fragment = format!("matrix/edge_{edge}");
            let ran = executor.kernels().iter().filter(|(name, _)| name.starts_with(op) && name.contains(&fragment)).count();
            assert!(ran > 0, "no {op} of {edge} × {edge} ran");
            println!("{ran} kernels of {op}, {edge} × {edge}");
        }
    }
}

#[test]
fn mistakes_in_kernels_of_matrices_are_found() {
    for (edge, what, from, to) in [
        (8, "quarters of weights swapped", "let m01 = coopLoad<Right8>(&tiles[below]", "let m01 = coopLoad<Right8>(&tiles[beside]"),
        (8, "quarters of values swapped", "let m10 = coopLoadT<Right8>(&tiles[below]", "let m10 = coopLoadT<Right8>(&tiles[beside]"),
        (
            8,
            "a product left out",
            "coopMultiplyAdd(a.m11, b.m11, coopMultiplyAdd(a.m10, b.m01, sum.m11))",
            "coopMultiplyAdd(a.m11, b.m11, sum.m11)",
        ),
        (8, "the lower half left where the upper is", "coopStoreT(sum.m10, &sums[below]", "coopStoreT(sum.m10, &sums[first]"),
        (8, "a quad's last value not written", "tiles[first + 3u] = quad.w;", "tiles[first + 3u] = quad.z;"),
        (16, "weights by rows", "coopLoad<Right>", "coopLoadT<Right>"),
        (16, "up rows a block off", "select(0u, step.n / 2u, block >= WIDE / 2u)", "select(0u, step.n / 2u + 16u, block >= WIDE / 2u)"),
        (
            16,
            "the gate's factor as the gate",
            "activation(ACT, sum_of(i * 32u + local % 32u, local))",
            "sum_of(i * 32u + local % 32u, local)",
        ),
    ] {
        let Some(mut executor) = open(edge, &[(from, to)]) else { return };
        let found = failures(&mut executor, &["linear q4_0", "gate", "attention 2:2"]);
        assert!(!found.is_empty(), "{what}: not found");
        assert!(!found.iter().any(|f| f.contains("Error")), "{what}: {found:?}");
        let planted = OPS.iter().any(|op| executor.kernels().iter().any(|(name, _)| name.starts_with(op)));
        assert!(planted, "{what}: no kernel of matrices ran");
    }
}
