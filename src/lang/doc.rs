//! The library as `tl doc` shows it: what is built in, and what is written in the language.

use crate::source::{SourceMap, Span};
use crate::syntax::ast::StmtKind;
use crate::syntax::parse;

use super::{builtins, stdlib};

/// One function of the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocEntry {
    /// `softmax`, or `list.push` for a method of one kind of value.
    pub name: String,
    /// `tensor`, `math`, `nn`, `sampling`, `model` or `system`.
    pub section: String,
    pub signature: String,
    pub doc: String,
    /// The definition, where it is written in the language.
    pub source: Option<String>,
}

/// Every function of the library, by section and name.
pub fn documentation() -> Vec<DocEntry> {
    let mut entries: Vec<DocEntry> = builtins::table()
        .map(|b| DocEntry { name: b.name.into(), section: b.section.into(), signature: b.shown(), doc: b.doc.into(), source: None })
        .collect();
    for (module, text) in stdlib::PRELUDE {
        let mut sources = SourceMap::new();
        let file = sources.add(module, text);
        let (ast, _) = parse(file, text);
        for stmt in &ast.stmts {
            if let StmtKind::Fn(function) = &stmt.kind
                && let Some(name) = &function.name
            {
                let whole = Span::new(file, function.head.start, function.body.span.end);
                entries.push(DocEntry {
                    name: name.name.to_string(),
                    section: (*module).into(),
                    signature: sources.text(function.head).trim().trim_start_matches("fn ").into(),
                    doc: function.doc.as_deref().unwrap_or_default().trim().into(),
                    source: Some(sources.text(whole).into()),
                });
            }
        }
    }
    entries.sort_by(|a, b| (&a.section, &a.name).cmp(&(&b.section, &b.name)));
    entries
}

/// The entries of a name: a function's, and those of methods that are called so.
pub fn lookup(name: &str) -> Vec<DocEntry> {
    // A method is shown behind a variable, as `model.forward`, and known as `Model.forward`.
    let is_called = |e: &DocEntry| e.name.eq_ignore_ascii_case(name) || e.name.rsplit('.').next() == Some(name);
    documentation().into_iter().filter(is_called).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_the_language_shows_its_definition() {
        let entries = lookup("swiglu");
        assert_eq!(entries.len(), 1);
        assert!(entries[0].signature.starts_with("swiglu(x: float[..., C]"), "{}", entries[0].signature);
        assert!(entries[0].source.as_ref().is_some_and(|s| s.contains("silu(linear(x, gate))")));
        assert!(entries[0].doc.contains("projected down"), "{}", entries[0].doc);
    }

    #[test]
    fn every_function_has_a_sentence() {
        for entry in documentation() {
            assert!(!entry.doc.is_empty(), "{} has no doc", entry.name);
        }
    }
}
