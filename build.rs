//! What `tl --version` says of a build: its commit, its target, and the backends that it has.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    println!("cargo::rustc-env=BUILD_TARGET={}", variable("TARGET"));
    let backends = match variable("CARGO_CFG_TARGET_OS").as_str() {
        "macos" | "ios" => "metal",
        "windows" => "vulkan, dx12",
        _ => "vulkan",
    };
    println!("cargo::rustc-env=BUILD_BACKENDS={backends}");
    // Only a release build looks for its commit: every other one would be compiled again after each commit.
    let commit = (variable("PROFILE") == "release").then(commit).flatten();
    println!("cargo::rustc-env=BUILD_COMMIT={}", commit.as_deref().unwrap_or("not known"));
}

/// The commit of the tree, and where it changes. None where this is no repository, as in a package from a registry.
fn commit() -> Option<String> {
    let root = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    let git = |args: &[&str]| {
        let output = Command::new("git").current_dir(&root).args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    // A package lies within another repository's folder at times, as a vendored one does.
    if std::fs::canonicalize(git(&["rev-parse", "--show-toplevel"])?).ok()? != std::fs::canonicalize(&root).ok()? {
        return None;
    }
    println!("cargo::rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    git(&["rev-parse", "--short=10", "HEAD"])
}
