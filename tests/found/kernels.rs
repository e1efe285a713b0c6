//! Kernels on every backend of this machine: NaN, lines longer than an adapter's loops, and what an adapter cannot bind.

mod limits;
mod long;
mod nan;

use tensorlogic::doctor::{Case, check};

use crate::support::backends;

/// Holds cases to the reference on each backend, computed precisely.
fn assert_hold(cases: &[Case]) {
    for backend in backends() {
        let mut executor = (backend.open)(true);
        for case in cases {
            let outcome = check(case, &mut *executor);
            assert!(outcome.passed(), "{} on {}: {:?}, bound {:?}", outcome.name, backend.name, outcome.verdict, outcome.bound);
        }
    }
}
