//! The checks of `tl doctor` themselves: they are well formed, and they find kernels that are broken on purpose. `tests/cpu.rs` and
//! `tests/gpu.rs` hold the backends to them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use support::faulty::{Fault, FaultyExecutor};
use tensorlogic::cpu::{CpuExecutor, CpuOptions};
use tensorlogic::doctor::{Arithmetic, Verdict, cases, check};
use tensorlogic::gpu::{Faults, GpuExecutor, GpuOptions, KernelFault};
use tensorlogic::graph::{Executor, Op, RopeStyle};
use tensorlogic::reference::ReferenceExecutor;

/// Runs every case and fails with the list of those that do not hold.
fn assert_all_hold(arithmetic: Arithmetic, executor: &mut dyn Executor) {
    let cases = cases(arithmetic);
    let n_cases = cases.len();
    let failures: Vec<String> = cases
        .iter()
        .map(|case| check(case, executor))
        .filter(|outcome| !outcome.passed())
        .map(|o| format!("{}: {:?} (bound {:?})", o.name, o.verdict, o.bound))
        .collect();
    assert!(failures.is_empty(), "{} of {n_cases} cases fail on {}:\n{}", failures.len(), executor.describe(), failures.join("\n"));
}

/// The cases themselves are well formed: the definition runs them all.
#[test]
fn the_reference_runs_every_case() {
    assert_all_hold(Arithmetic::Precise, &mut ReferenceExecutor::new());
}

/// The kernels of which a case fails, of those whose name begins with one of `among`. One that is refused is not found to be wrong.
fn failing(executor: &mut dyn Executor, among: &[&str]) -> BTreeSet<String> {
    let chosen = cases(Arithmetic::Precise).into_iter().filter(|case| among.iter().any(|op| case.kernel().starts_with(op)));
    chosen
        .filter(|case| {
            let outcome = check(case, executor);
            assert!(!matches!(outcome.verdict, Verdict::Error(_)), "{outcome:?}");
            !outcome.passed()
        })
        .map(|case| case.kernel())
        .collect()
}

/// Kernels that no fault below touches.
const SOUND: [&str; 4] = ["softmax", "concat", "gather", "einsum"];

fn found_alone(what: &str, executor: &mut dyn Executor, op: &str) {
    let among: Vec<&str> = SOUND.into_iter().chain([op]).collect();
    let found = failing(executor, &among);
    assert!(found.iter().any(|kernel| kernel.starts_with(op)), "{what}: not found");
    assert!(found.iter().all(|kernel| !SOUND.iter().any(|sound| kernel.starts_with(sound))), "{what}: {found:?}");
}

fn shader(op: &'static str, from: &'static str, to: &'static str) -> KernelFault {
    KernelFault { op, from, to }
}

#[test]
fn kernels_broken_on_a_gpu_are_found() {
    let faults = [
        (
            "the last group of a row left out",
            "linear q4_0",
            shader("matvec", "group < GROUPS; group += LANES", "group + 1u < GROUPS; group += LANES"),
        ),
        (
            "a row's own position left out",
            "attention",
            shader("attention", "view.n_sinks + p + 1u - view.recent", "view.n_sinks + p - view.recent"),
        ),
        ("sinks at the query's own position", "attention", shader("attention", "select(0u, ITEMS, turned && k < segment.sinks)", "0u")),
        ("a rotation backwards", "rope", shader("rope", "select(-other, other, second)", "select(other, -other, second)")),
        ("eps left out", "rms_norm", shader("rms_norm", " + run_f32(step.eps)", "")),
        ("ties to the highest id", "sample", shader("argmax_final", "part.y < best.y", "part.y > best.y")),
        ("min_p ignored", "sample", shader("sample", "unscaled(id) >= min_p", "unscaled(id) >= 0.0")),
        ("an embedding's last value missing", "embedding", shader("embedding", "if k < step.width {", "if k + 1u < step.width {")),
    ];
    for (what, op, fault) in faults {
        let faults = Faults { kernels: vec![fault], ..Faults::default() };
        let options = GpuOptions { precise: true, allow_software: true, faults, ..GpuOptions::from_env() };
        let mut executor = match GpuExecutor::new(&options) {
            Ok(executor) => executor,
            Err(error) => {
                assert!(std::env::var("TL_REQUIRE_GPU").is_err(), "{error}");
                println!("skipped: {error}");
                return;
            }
        };
        found_alone(what, &mut executor, op);
        let still_there = executor.kernels().iter().any(|(name, text)| name.starts_with(fault.op) && text.contains(fault.from));
        assert!(still_there, "{what}: no kernel of {} says `{}` any more; plant another fault", fault.op, fault.from);
    }
}

/// The same on the CPU, whose kernels are other ones: the graph is changed on its way to them.
#[test]
fn kernels_broken_on_the_cpu_are_found() {
    let faults: [(&str, &str, Fault); 5] = [
        (
            "projections a sixteenth too large",
            "linear q4_0",
            Fault::edit(|g, node, inputs| {
                (node.op == Op::Linear).then(|| {
                    let (y, factor) = (g.linear(inputs[0], inputs[1]).unwrap(), g.literal_f32(1.0625));
                    g.binary(tensorlogic::graph::BinaryOp::Mul, y, factor).unwrap()
                })
            }),
        ),
        (
            "attention that sees eight keys",
            "attention",
            Fault::edit(|g, node, inputs| {
                matches!(node.op, Op::Attention { .. }).then(|| {
                    let window = g.literal_i32(8);
                    g.attention(inputs[0], inputs[1], inputs[2], window).unwrap()
                })
            }),
        ),
        (
            "the other order of pairs",
            "rope",
            Fault::edit(|g, node, inputs| match node.op {
                Op::Rope { style, .. } => {
                    let other = if style == RopeStyle::Neox { RopeStyle::Interleaved } else { RopeStyle::Neox };
                    Some(g.rope(inputs[0], inputs[1], other).unwrap())
                }
                _ => None,
            }),
        ),
        (
            "eps left out",
            "rms_norm",
            Fault::edit(|g, node, inputs| {
                (node.op == Op::RmsNorm).then(|| {
                    let eps = g.literal_f32(0.0);
                    g.rms_norm(inputs[0], inputs[1], eps).unwrap()
                })
            }),
        ),
        (
            "the least likely token",
            "sample",
            Fault::edit(|g, node, inputs| {
                matches!(node.op, Op::Sample { .. }).then(|| {
                    let turned = g.unary(tensorlogic::graph::UnaryOp::Neg, inputs[0]).unwrap();
                    let inputs: Vec<_> = std::iter::once(turned).chain(inputs[1..].iter().copied()).collect();
                    g.add(node.op.clone(), &inputs).unwrap()
                })
            }),
        ),
    ];
    for (what, op, fault) in faults {
        let cpu = CpuExecutor::new(CpuOptions { precise: true, ..CpuOptions::default() });
        found_alone(what, &mut FaultyExecutor::of(cpu, fault), op);
    }
}
