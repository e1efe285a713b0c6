//! Variables of the environment that hold what nobody knows.

use crate::process::{Run, command, ended};
use crate::scratch::assert_contains;

fn with(name: &str, value: &str, args: &[&str]) -> Run {
    ended(command(args).env(name, value).output().unwrap())
}

#[test]
fn a_value_that_is_not_known_is_refused_by_every_command() {
    for (name, value, words) in [
        ("TL_PROFILE", "metla", "metal, dx12, webgpu"),
        ("TL_BACKEND", "cuda", "auto, metal, vulkan, dx12, cpu"),
        ("TL_CHECKS", "yes", "0 or 1"),
        ("TL_POISON", "on", "0 or 1"),
        ("TL_NO_SUBGROUPS", "true", "0 or 1"),
        ("TL_REQUIRE_GPU", "-1", "0 or 1"),
        ("TL_FAULT", "memory=many", "memory=BYTES, binding=BYTES or lost=RUNS"),
        ("TL_BACKND", "cpu", "TL_BACKEND is meant"),
    ] {
        for args in [&["doc"][..], &["devices"]] {
            assert_contains(with(name, value, args).refusal(2), &[name, words]);
        }
    }
}

#[test]
fn a_strange_name_is_said_and_does_no_harm() {
    let run = with("TL_KV_TYPE", "f16", &["doc"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(matches!(run.said()[..], [line] if line.contains("tl does not read TL_KV_TYPE")), "{run:?}");
    assert_eq!(with("TL_REFERENCE", "/nowhere", &["doc"]).said(), [""; 0]);
}

#[test]
fn empty_is_the_same_as_absent() {
    for name in ["TL_BACKEND", "TL_ADAPTER", "TL_PROFILE", "TL_CHECKS", "TL_FAULT", "TL_RULES", "TL_KERNELS"] {
        assert_eq!(with(name, "", &["devices"]).code, Some(0), "{name}");
    }
}
