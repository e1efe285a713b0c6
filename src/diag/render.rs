//! Diagnostics as text: a picture of the source, or one line.

use std::ops::Range;

use codespan_reporting::diagnostic as picture;
use codespan_reporting::files::{Error as FilesError, Files};
use codespan_reporting::term;
use codespan_reporting::term::termcolor::{Ansi, NoColor};

use super::excerpt::Excerpt;
use super::{Diagnostic, Severity};
use crate::source::{FileId, SourceFile, SourceMap};

/// Diagnostics of one text that are drawn: after a first fault, the later ones are often its consequences.
const MOST_SHOWN: usize = 20;

/// Characters of a message that are shown. A message may quote the program, which may be one endless word.
const MESSAGE_CHARS_MAX: usize = 1000;

/// The pictures of the first diagnostics of a text, and a line that says how many errors follow.
pub fn pictures(diagnostics: &[Diagnostic], sources: &SourceMap, color: Color) -> Vec<String> {
    let mut shown: Vec<String> = diagnostics.iter().take(MOST_SHOWN).map(|diagnostic| diagnostic.render(sources, color)).collect();
    match diagnostics.len().saturating_sub(MOST_SHOWN) {
        0 => {}
        1 => shown.push("error: 1 more is not shown\n".to_owned()),
        n => shown.push(format!("error: {n} more are not shown; mend these first\n")),
    }
    shown
}

/// Whether the text carries ANSI colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    Never,
    Always,
}

impl Diagnostic {
    /// The message, the source lines with carets under them, and the hints. Ends with a line break.
    pub fn render(&self, sources: &SourceMap, color: Color) -> String {
        let drawn = match Excerpt::of(self, sources) {
            Some((excerpt, moved)) => draw(&excerpt, &moved.to_picture(excerpt.sources()), color),
            None => draw(sources, &self.to_picture(sources), color),
        };
        let Some(out) = drawn else {
            return self.one_line(sources) + "\n";
        };
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
        let message = format!("{}: {}", self.severity.name(), short(&self.message));
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
            Some(picture::Label::new(style, label.span.file, range).with_message(short(&label.message)))
        });
        let labels = labels.collect();
        let notes = self.hints.iter().map(|hint| format!("hint: {}", short(hint))).collect();
        picture::Diagnostic::new(severity).with_message(short(&self.message)).with_labels(labels).with_notes(notes)
    }
}

fn draw<'a, F: Files<'a, FileId = FileId>>(files: &'a F, shown: &picture::Diagnostic<FileId>, color: Color) -> Option<Vec<u8>> {
    let config = term::Config::default();
    let mut out = Vec::new();
    let drawn = match color {
        Color::Always => term::emit_to_write_style(&mut Ansi::new(&mut out), &config, files, shown),
        Color::Never => term::emit_to_write_style(&mut NoColor::new(&mut out), &config, files, shown),
    };
    drawn.is_ok().then_some(out)
}

/// A message without its middle where it is long.
fn short(message: &str) -> String {
    let n_chars = message.chars().count();
    if n_chars <= MESSAGE_CHARS_MAX {
        return message.to_owned();
    }
    let half = MESSAGE_CHARS_MAX / 2;
    let (start, end): (String, String) = (message.chars().take(half).collect(), message.chars().skip(n_chars - half).collect());
    format!("{start} … {end}")
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
    fn a_long_line_is_cut_around_its_label_and_keeps_its_column() {
        let mut map = SourceMap::new();
        let file = map.add("long.tl", &format!("let a = 1\n{}⊙ $ {}\nlet b = 2\n", "x ".repeat(5000), "y ".repeat(5000)));
        let at = "let a = 1\n".len() + 10_000 + '⊙'.len_utf8() + 1;
        let shown = Diagnostic::error("odd").at(Span::new(file, at as u32, at as u32 + 1)).render(&map, Color::Never);
        assert!(shown.len() < 1000 && shown.contains("long.tl:2:10003") && shown.contains("⊙ $ y"), "{shown}");
        let (line, carets) = (shown.lines().nth(3), shown.lines().nth(4));
        let column = |text: Option<&str>, c: char| text.and_then(|text| text.chars().position(|x| x == c));
        assert_eq!(column(line, '$'), column(carets, '^'), "{shown}");
        // A label over lines, from a short one to a long one.
        let shown = Diagnostic::error("odd").at(Span::new(file, 4, at as u32)).render(&map, Color::Never);
        assert!(shown.len() < 1500 && shown.contains("long.tl:1:5"), "{shown}");
    }

    #[test]
    fn many_errors_are_counted_and_a_long_message_is_cut() {
        let (map, diagnostic) = example();
        let shown = pictures(&vec![diagnostic.clone(); 5000], &map, Color::Never);
        assert_eq!((shown.len(), &shown[20][..]), (21, "error: 4980 more are not shown; mend these first\n"));
        assert_eq!(pictures(&[diagnostic], &map, Color::Never).len(), 1);
        let long = Diagnostic::error("a".repeat(1 << 20)).hint("é".repeat(1 << 20));
        assert!(long.render(&map, Color::Never).len() < 4000 && long.one_line(&map).len() < 2000);
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
