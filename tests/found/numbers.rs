//! Numbers of the language: what programs compute is the same on every backend, and as the definition says.

use tensorlogic::cpu::{CpuExecutor, CpuOptions};
use tensorlogic::gpu::{GpuExecutor, GpuOptions};
use tensorlogic::lang::{Interp, Options, SharedExecutor};
use tensorlogic::reference::ReferenceExecutor;

use crate::printed::Printed;
use crate::support::gpu_is_there;

/// What a program prints on an executor.
fn printed(program: &str, executor: SharedExecutor) -> String {
    let out = Printed::default();
    let mut interp = Interp::new(Options { executor: Some(executor), out: Some(Box::new(out.clone())), ..Options::default() }).unwrap();
    if let Err(errors) = interp.run_source("numbers.tl", program, None) {
        panic!("{program}\n{errors:?}");
    }
    out.take()
}

/// The definition, and each backend of this machine.
fn executors() -> Vec<(&'static str, SharedExecutor)> {
    let mut executors: Vec<(&'static str, SharedExecutor)> = vec![
        ("reference", SharedExecutor::new(ReferenceExecutor::new())),
        ("cpu", SharedExecutor::new(CpuExecutor::new(CpuOptions { precise: true, ..CpuOptions::default() }))),
    ];
    if gpu_is_there() {
        let options = GpuOptions { precise: true, allow_software: true, ..GpuOptions::from_env() };
        executors.push(("gpu", SharedExecutor::new(GpuExecutor::new(&options).unwrap())));
    }
    executors
}

fn check(program: &str, expected: &str) {
    for (name, executor) in executors() {
        assert_eq!(printed(program, executor).trim(), expected, "on {name}:\n{program}");
    }
}

/// What is added is zero, but only a device knows, so that the division runs there.
#[test]
fn true_division_of_int_tensors() {
    check(
        "let n = cast(rand([4]) * 0.0, int32)
         print((arange(4) + n) / 4, ([1, 2, 0, -1] + n) / 0 > 1e30, [6, 7, 8, -9] / ([2, 2, 3, 2] + n))
         let z = ([0, 0, 0, 0] + n) / 0
         print(z == z)",
        "[0.00, 0.25, 0.50, 0.75] float32[4] [true, true, false, false] bool[4] [3.0000, 3.5000, 2.6667, -4.5000] float32[4]\n\
         [false, false, false, false] bool[4]",
    );
}

#[test]
fn division_of_ints_floors_as_remainders_do() {
    check(
        "let n = cast(rand([1]) * 0.0, int32)
         let a = arange(-9, 10) + n
         for b in [-4, -3, -1, 1, 2, 5] {
             let q = div(a, b + n)
             let r = a % (b + n)
             assert(all(q * b + r == a))
             if b > 0 { assert(all(r >= 0) and all(r < b)) } else { assert(all(r <= 0) and all(r > b)) }
         }
         print(div([-7, 7, -7, 7] + n, [3, 3, -3, -3] + n), ([-7, 7, -7, 7] + n) % ([3, 3, -3, -3] + n))
         print(div([-7.5, 7.5] + n, 2), ([-7.5, 7.5] + n) % 2, div([5, 6] + n, [0, 4] + n))",
        "[-3, 2, 2, -3] int32[4] [2, 1, -1, -2] int32[4]\n[-4.0, 3.0] float32[2] [0.5, 1.5] float32[2] [0, 1] int32[2]",
    );
}

#[test]
fn the_stream_of_random_numbers_is_the_same_everywhere() {
    let program = "let a = rand([3])\nlet b = rand([3])\nassert(any(a != b))\nprint(a, b)\nseed(3)\nprint(rand([2]), next_seed())";
    let all: Vec<String> = executors().into_iter().map(|(_, executor)| printed(program, executor)).collect();
    assert!(all.iter().all(|text| *text == all[0]), "{all:?}");
    assert_eq!(all[0], printed(program, executors().remove(0).1), "another run of the program");
}
