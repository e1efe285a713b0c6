//! Plans as committed text.

use std::path::PathBuf;

/// Compares with `src/plan/snapshots/NAME.txt`; with `TL_UPDATE=1` writes it.
pub fn check(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/plan/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("TL_UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(expected == text, "{} differs; see what changed with TL_UPDATE=1 and git diff. The plan is now:\n{text}", path.display());
}
