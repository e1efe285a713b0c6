//! Programs with errors. The expected ones stand in the source: `// Error: 3-8 message` above a line says that this
//! line has an error from column 3 up to column 8, and `// Hint: text` after it what the error advises.
//! `// Error: 7:3-8 message` names another line.

use std::fs;
use std::path::Path;

use tensorlogic::diag::Color;
use tensorlogic::source::SourceMap;
use tensorlogic::syntax::parse;

#[test]
fn every_error_of_a_file_is_reported_where_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/syntax/errors");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "the fixtures are in {}", folder.display());
    for path in files {
        compare(&path);
    }
}

fn compare(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let mut sources = SourceMap::new();
    let file = sources.add(&path.file_name().unwrap().to_string_lossy(), &text);
    let (_, diagnostics) = parse(file, &text);
    let mut found = Vec::new();
    for diagnostic in &diagnostics {
        let span = diagnostic.span().unwrap();
        let start = sources.location(span).unwrap();
        let end = sources.location(span.after()).unwrap();
        let end = if end.line == start.line { end.column } else { start.column };
        found.push(format!("{}:{}-{end} {}", start.line, start.column, diagnostic.message));
        found.extend(diagnostic.hints.iter().map(|hint| format!("hint {hint}")));
    }
    let shown: String = diagnostics.iter().map(|diagnostic| diagnostic.render(&sources, Color::Never)).collect();
    assert_eq!(found, expected(&text), "{}:\n{shown}", path.display());
}

/// The errors that the comments of a fixture announce, in their order.
fn expected(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut errors = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(error) = line.strip_prefix("// Error: ") {
            let place = error.split(' ').next().unwrap_or_default();
            let below = lines[at..].iter().position(|line| !line.starts_with("//")).map_or(lines.len(), |below| at + below) + 1;
            errors.push(if place.contains(':') { error.to_owned() } else { format!("{below}:{error}") });
        } else if let Some(hint) = line.strip_prefix("// Hint: ") {
            errors.push(format!("hint {hint}"));
        }
    }
    errors
}
