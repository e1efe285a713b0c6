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

/// The sections as chapters of a page, in the order of a reader who begins: the section, its heading, and what it holds.
const CHAPTERS: &[(&str, &str, &str)] = &[
    ("tensor", "Tensors", "Making tensors, changing their shape, and reducing them along a dimension."),
    ("math", "Elementwise functions", "Of each element of a tensor; of single numbers, too."),
    ("nn", "Neural networks", "The parts of which models are made."),
    ("sampling", "Sampling", "From logits to a token."),
    ("model", "Models", "Loading, running and talking to models, and what an architecture's program uses."),
    ("system", "Values, text and files", "Lists, strings, conversions, input and output, and assertions."),
    (
        "earlier",
        "Names of the earlier implementation",
        "For programs that were written for it; `docs/compatibility.md` says which of them run.",
    ),
];

/// The whole library as a page in Markdown: a chapter for each section, with the definition of what is written in the language.
pub fn markdown() -> String {
    let entries = documentation();
    let mut sections: Vec<&str> = entries.iter().map(|e| e.section.as_str()).collect();
    sections.dedup();
    // A section without a chapter comes last, under its own name.
    let place = |section: &str| CHAPTERS.iter().position(|(s, _, _)| *s == section).unwrap_or(CHAPTERS.len());
    sections.sort_by_key(|section| place(section));
    let mut out = format!(
        "# The library\n\nThe {} functions that every program sees, as `tl doc` shows them one by one; `tl doc --markdown` writes this page. Any of them may be \
         called as a method of its first argument, `x.softmax()`. A signature that begins with a variable and a dot, such as `list.push(item)`, \
         is a method of such values alone. After `=` stands what is taken when the argument is left out. The definition of a function that is written in the \
         language stands below it; its text is in `src/lang/std`.\n",
        entries.len()
    );
    for section in sections {
        let (_, heading, holds) = CHAPTERS.get(place(section)).copied().unwrap_or((section, section, ""));
        out.push_str(&format!("\n## {heading}\n"));
        if !holds.is_empty() {
            out.push_str(&format!("\n{holds}\n"));
        }
        for entry in entries.iter().filter(|e| e.section == section) {
            out.push_str(&format!("\n### {}\n\n`{}`\n\n{}\n", entry.name, entry.signature, entry.doc));
            if let Some(source) = &entry.source {
                out.push_str(&format!("\n```text\n{source}\n```\n"));
            }
        }
    }
    out
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
    fn the_page_has_every_function_once() {
        let page = markdown();
        for entry in documentation() {
            let heading = format!("\n### {}\n\n`{}`\n", entry.name, entry.signature);
            assert_eq!(page.matches(&heading).count(), 1, "{}", entry.name);
        }
    }

    #[test]
    fn every_function_has_a_sentence() {
        for entry in documentation() {
            assert!(!entry.doc.is_empty(), "{} has no doc", entry.name);
        }
    }
}
