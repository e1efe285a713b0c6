//! Diagnostics as text: a picture of the source, or one line.

use std::ops::Range;

use codespan_reporting::diagnostic as picture;
use codespan_reporting::files::{Error as FilesError, Files};
use codespan_reporting::term;
use codespan_reporting::term::termcolor::{Ansi, NoColor};

use super::{Diagnostic, Severity};
use crate::source::{FileId, SourceFile, SourceMap};

/// Whether the text carries ANSI colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    Never,
    Always,
}

impl Diagnostic {
    /// The message, the source lines with carets under them, and the hints. Ends with a line break.
    pub fn render(&self, sources: &SourceMap, color: Color) -> String {
        let shown = self.to_picture(sources);
        let config = term::Config::default();
        let mut out = Vec::new();
        let drawn = match color {
            Color::Always => term::emit_to_write_style(&mut Ansi::new(&mut out), &config, sources, &shown),
            Color::Never => term::emit_to_write_style(&mut NoColor::new(&mut out), &config, sources, &shown),
        };
        if drawn.is_err() {
            return self.one_line(sources) + "\n";
        }
        let text = String::from_utf8_lossy(&out);
        // An empty line follows each picture; callers that want one between two put it there.
        let mut text: String = text.trim_end().lines().map(|line| format!("{}\n", line.trim_end())).collect();
        if color == Color::Always {
            text.push_str("\u{1b}[0m");
        }
        text
    }

    /// `file:line:column: error: message`, for editors and logs. No line break at the end.
    pub fn one_line(&self, sources: &SourceMap) -> String {
        let message = format!("{}: {}", self.severity.name(), self.message);
        match self.span().and_then(|span| Some((sources.file(span.file)?.name(), sources.location(span)?))) {
            Some((name, place)) => format!("{name}:{}:{}: {message}", place.line, place.column),
            None => message,
        }
    }

    fn to_picture(&self, sources: &SourceMap) -> picture::Diagnostic<FileId> {
        let severity = match self.severity {
            Severity::Error => picture::Severity::Error,
            Severity::Warning => picture::Severity::Warning,
            Severity::Note => picture::Severity::Note,
        };
        let labels = self.labels.iter().filter_map(|label| {
            let range = on_characters(sources.file(label.span.file)?, label.span.range());
            let style = if label.primary { picture::LabelStyle::Primary } else { picture::LabelStyle::Secondary };
            Some(picture::Label::new(style, label.span.file, range).with_message(&label.message))
        });
        let labels = labels.collect();
        let notes = self.hints.iter().map(|hint| format!("hint: {hint}")).collect();
        picture::Diagnostic::new(severity).with_message(&self.message).with_labels(labels).with_notes(notes)
    }
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// The range within the text and on character boundaries, so that a span of unsound origin still draws.
fn on_characters(file: &SourceFile, range: Range<usize>) -> Range<usize> {
    let text = file.text();
    let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = floor(range.start);
    start..floor(range.end).max(start)
}

impl<'a> Files<'a> for SourceMap {
    type FileId = FileId;
    type Name = &'a str;
    type Source = &'a str;

    fn name(&'a self, id: FileId) -> Result<&'a str, FilesError> {
        Ok(self.file(id).ok_or(FilesError::FileMissing)?.name())
    }

    fn source(&'a self, id: FileId) -> Result<&'a str, FilesError> {
        Ok(self.file(id).ok_or(FilesError::FileMissing)?.text())
    }

    fn line_index(&'a self, id: FileId, byte: usize) -> Result<usize, FilesError> {
        Ok(self.file(id).ok_or(FilesError::FileMissing)?.line_of(byte))
    }

    fn line_range(&'a self, id: FileId, line: usize) -> Result<Range<usize>, FilesError> {
        let file = self.file(id).ok_or(FilesError::FileMissing)?;
        file.line_range(line).ok_or(FilesError::LineTooLarge { given: line, max: file.line_count() - 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;

    fn example() -> (SourceMap, Diagnostic) {
        let mut map = SourceMap::new();
        let file = map.add("attention.tl", "fn f() {\n    q @ k\n}\n");
        let diagnostic = Diagnostic::error("cannot multiply (4, 64) by (32, 64): inner sizes 64 and 32 differ")
            .label(Span::new(file, 13, 18), "q is (4, 64), k is (32, 64)")
            .hint("write `q @ transpose(k)`");
        (map, diagnostic)
    }

    #[test]
    fn an_error_is_a_picture_of_the_source() {
        let (map, diagnostic) = example();
        let expected = "\
error: cannot multiply (4, 64) by (32, 64): inner sizes 64 and 32 differ
  ┌─ attention.tl:2:5
  │
2 │     q @ k
  │     ^^^^^ q is (4, 64), k is (32, 64)
  │
  = hint: write `q @ transpose(k)`
";
        assert_eq!(diagnostic.render(&map, Color::Never), expected);
        assert!(diagnostic.render(&map, Color::Always).contains("\u{1b}["));
    }

    #[test]
    fn the_one_line_form_names_the_place() {
        let (map, diagnostic) = example();
        let expected = "attention.tl:2:5: error: cannot multiply (4, 64) by (32, 64): inner sizes 64 and 32 differ";
        assert_eq!(diagnostic.one_line(&map), expected);
        assert_eq!(Diagnostic::note("taking the cpu").one_line(&map), "note: taking the cpu");
    }

    #[test]
    fn a_span_outside_its_file_or_inside_a_character_still_draws() {
        let mut map = SourceMap::new();
        let file = map.add("a.tl", "⊙");
        for (start, end) in [(1, 2), (2, 9), (9, 1), (0, 0)] {
            let shown = Diagnostic::error("odd").at(Span::new(file, start, end)).render(&map, Color::Never);
            assert!(shown.starts_with("error: odd\n"), "{shown}");
        }
        let lost = Diagnostic::error("lost").at(Span::new(FileId(9), 0, 1));
        assert_eq!(lost.render(&map, Color::Never), "error: lost\n");
    }
}
