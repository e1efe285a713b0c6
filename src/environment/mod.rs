//! The variables of the environment that choose how `tl` works: their names, what each may hold, and the one place that reads them. A value
//! that is unknown is refused and never taken for another.

use std::ffi::OsString;
use std::path::PathBuf;

/// What a variable may hold. Empty is the same as not set, except where it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// `0` or `1`.
    Flag,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Any text.
    Text,
    /// A file or folder; empty means that there is none.
    Path,
    /// `memory=BYTES`, `binding=BYTES` or `lost=RUNS`.
    Fault,
    /// Names with `-` before them: whoever owns the names reads them.
    Names,
}

/// A variable by its name.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    pub name: &'static str,
    pub holds: Holds,
}

const fn variable(name: &'static str, holds: Holds) -> Variable {
    Variable { name, holds }
}

pub const BACKEND: Variable = variable("TL_BACKEND", Holds::Choice(&["auto", "metal", "vulkan", "dx12", "cpu", "noop"]));
pub const ADAPTER: Variable = variable("TL_ADAPTER", Holds::Text);
pub const CACHE: Variable = variable("TL_CACHE", Holds::Path);
pub const CONFIG: Variable = variable("TL_CONFIG", Holds::Path);
pub const HISTORY: Variable = variable("TL_HISTORY", Holds::Path);
pub const REQUIRE_GPU: Variable = variable("TL_REQUIRE_GPU", Holds::Flag);
pub const PROFILE: Variable = variable("TL_PROFILE", Holds::Choice(&["metal", "dx12", "webgpu"]));
pub const CHECKS: Variable = variable("TL_CHECKS", Holds::Flag);
pub const POISON: Variable = variable("TL_POISON", Holds::Flag);
pub const NO_SUBGROUPS: Variable = variable("TL_NO_SUBGROUPS", Holds::Flag);
pub const RULES: Variable = variable("TL_RULES", Holds::Names);
pub const KERNELS: Variable = variable("TL_KERNELS", Holds::Names);
pub const FAULT: Variable = variable("TL_FAULT", Holds::Fault);

/// Every variable that `tl` reads.
pub const ALL: &[Variable] =
    &[BACKEND, ADAPTER, CACHE, CONFIG, HISTORY, REQUIRE_GPU, PROFILE, CHECKS, POISON, NO_SUBGROUPS, RULES, KERNELS, FAULT];

/// What the tests and benchmarks of this tree read. `tl` does not, and is run by them.
const OF_TESTS: &[&str] = &[
    "TL_REFERENCE",
    "TL_UPDATE",
    "TL_BLESS",
    "TL_CASE",
    "TL_FUZZ_SECONDS",
    "TL_FUZZ_SEED",
    "TL_BENCH_MODEL",
    "TL_BENCH_THREADS",
    "TL_BENCH_PRECISE",
];

/// A variable that holds what it may not, or a misspelt one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EnvironmentError(pub String);

impl Variable {
    /// What is set; `None` where nothing is, and where it is empty.
    ///
    /// # Errors
    /// When it is not what the variable may hold.
    pub fn text(self) -> Result<Option<String>, EnvironmentError> {
        self.checked(std::env::var_os(self.name))
    }

    /// Whether a flag is set to 1.
    ///
    /// # Errors
    /// When it is neither 0 nor 1.
    pub fn flag(self) -> Result<bool, EnvironmentError> {
        Ok(self.text()?.is_some_and(|value| value == "1"))
    }

    /// A file or folder: the outer `None` where the variable is not set, the inner one where it is empty.
    pub fn path(self) -> Option<Option<PathBuf>> {
        std::env::var_os(self.name).map(|path| (!path.is_empty()).then(|| PathBuf::from(path)))
    }

    fn checked(self, value: Option<OsString>) -> Result<Option<String>, EnvironmentError> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
        let (name, shown) = (self.name, value.to_string_lossy().into_owned());
        let wrong = |expected: &str| Err(EnvironmentError(format!("{name}={shown} is not known: set {expected}, or unset it")));
        let Ok(text) = value.into_string() else { return wrong("text in UTF-8") };
        let known = match self.holds {
            Holds::Flag => ["0", "1"].contains(&text.as_str()),
            Holds::Choice(choices) => choices.contains(&text.as_str()),
            Holds::Fault => fault(&text).is_some(),
            Holds::Text | Holds::Path | Holds::Names => true,
        };
        match self.holds {
            _ if known => Ok(Some(text)),
            Holds::Choice(choices) => wrong(&format!("one of {}", choices.join(", "))),
            Holds::Fault => wrong("memory=BYTES, binding=BYTES or lost=RUNS"),
            _ => wrong("0 or 1"),
        }
    }
}

/// The name and the number of a `TL_FAULT`.
pub fn fault(text: &str) -> Option<(&str, u64)> {
    let (name, number) = text.split_once('=')?;
    Some((name, number.parse().ok()?)).filter(|(name, _)| ["memory", "binding", "lost"].contains(name))
}

/// Checks every variable whose name begins with `TL_`, and returns a sentence for each that nothing reads.
///
/// # Errors
/// When a variable has a value that is not allowed, or a name that is a misspelling of a known one.
pub fn check() -> Result<Vec<String>, EnvironmentError> {
    check_all(std::env::vars_os())
}

fn check_all(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Vec<String>, EnvironmentError> {
    let mut unread = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("TL_")) else { continue };
        if OF_TESTS.contains(&name) {
            continue;
        }
        if let Some(variable) = ALL.iter().find(|variable| variable.name == name) {
            if !matches!(variable.holds, Holds::Path) {
                variable.checked(Some(value))?;
            }
        } else if let Some(near) = ALL.iter().find(|variable| is_near(variable.name, name)) {
            return Err(EnvironmentError(format!("{name} is not known: {} is meant? set that, or unset {name}", near.name)));
        } else {
            let known: Vec<&str> = ALL.iter().map(|variable| variable.name).collect();
            unread.push(format!("tl does not read {name}; its variables are {}", known.join(", ")));
        }
    }
    Ok(unread)
}

/// Whether two names differ by at most two letters that are changed, left out or added.
fn is_near(a: &str, b: &str) -> bool {
    const MOST: usize = 2;
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()] <= MOST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, value: &str) -> Result<Vec<String>, String> {
        check_all([(name.into(), value.into())].into_iter()).map_err(|e| e.0)
    }

    #[test]
    fn values_are_known_or_refused_with_what_is_known() {
        for (name, value) in [
            ("TL_PROFILE", "metal"),
            ("TL_PROFILE", ""),
            ("TL_CHECKS", "1"),
            ("TL_POISON", "0"),
            ("TL_FAULT", "memory=12"),
            ("TL_FAULT", ""),
            ("TL_CACHE", "yes"),
            ("TL_REFERENCE", "/tmp"),
            ("TL_CASE", "matmul"),
            ("PATH", "x"),
        ] {
            assert_eq!(checked(name, value), Ok(vec![]), "{name}={value}");
        }
        for (name, value, words) in [
            ("TL_PROFILE", "metla", "metal, dx12, webgpu"),
            ("TL_BACKEND", "cuda", "auto, metal, vulkan, dx12, cpu"),
            ("TL_CHECKS", "yes", "0 or 1"),
            ("TL_POISON", "2", "0 or 1"),
            ("TL_REQUIRE_GPU", "true", "0 or 1"),
            ("TL_FAULT", "memory=many", "memory=BYTES, binding=BYTES or lost=RUNS"),
            ("TL_FAULT", "lots=1", "memory=BYTES, binding=BYTES or lost=RUNS"),
        ] {
            let refused = checked(name, value).unwrap_err();
            assert!(refused.starts_with(&format!("{name}={value} is not known")) && refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_misspelt_name_is_refused_and_a_strange_one_is_named() {
        for (name, near) in
            [("TL_BACKND", "TL_BACKEND"), ("TL_KERNEL", "TL_KERNELS"), ("TL_CHECK", "TL_CHECKS"), ("TL_BACKEDN", "TL_BACKEND")]
        {
            assert!(checked(name, "1").unwrap_err().contains(near), "{name}");
        }
        let unread = checked("TL_KV_TYPE", "f16").unwrap();
        assert!(unread[0].contains("tl does not read TL_KV_TYPE") && unread[0].contains("TL_BACKEND"), "{unread:?}");
    }
}
