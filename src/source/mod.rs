//! Source files and places in them.
//!
//! A [`Span`] is three numbers and says which bytes of which file it means; a [`SourceMap`] holds the files and turns
//! a span into a name, a line and a column when a diagnostic is shown.

mod lines;

use std::ops::Range;
use std::sync::Arc;

pub use lines::{Line, read_line, skip_line};

/// A file of a [`SourceMap`]: an index into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A half-open range of bytes of one file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(file: FileId, start: u32, end: u32) -> Span {
        Span { file, start, end }
    }

    /// The smallest span that holds both. The two lie in one file.
    pub fn to(self, other: Span) -> Span {
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The empty span at the end of this one.
    pub fn after(self) -> Span {
        Span { start: self.end, ..self }
    }

    /// The bytes as a range into the file's text.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}..{}", self.file.0, self.start, self.end)
    }
}

/// A line and a column, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    pub line: usize,
    pub column: usize,
}

/// The text of one file and where its lines start.
#[derive(Clone, Debug)]
pub struct SourceFile {
    name: Arc<str>,
    text: Arc<str>,
    line_starts: Vec<u32>,
}

impl SourceFile {
    fn new(name: &str, text: &str) -> SourceFile {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1);
        SourceFile { name: name.into(), text: text.into(), line_starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// The name as the user wrote it, or one such as `<repl>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many lines the file has: one more than its line breaks.
    pub fn line_count(&self) -> usize {
        self.line_starts.len()
    }

    /// The bytes of a line, counted from 0, its line break included; `None` past the last.
    pub fn line_range(&self, line: usize) -> Option<Range<usize>> {
        let start = *self.line_starts.get(line)? as usize;
        let end = self.line_starts.get(line + 1).map_or(self.text.len(), |next| *next as usize);
        Some(start..end)
    }

    /// The line, counted from 0, that holds a byte; the last one for a byte past the end.
    pub fn line_of(&self, byte: usize) -> usize {
        self.line_starts.partition_point(|start| *start as usize <= byte).saturating_sub(1)
    }

    /// The line and column of a byte, both from 1. A byte inside a character belongs to that character.
    pub fn location(&self, byte: usize) -> Location {
        let byte = byte.min(self.text.len());
        let line = self.line_of(byte);
        let start = self.line_starts[line] as usize;
        let column = self.text[start..].char_indices().take_while(|(at, ch)| start + at + ch.len_utf8() <= byte).count() + 1;
        Location { line: line + 1, column }
    }
}

/// The files of a program, in the order in which they were read.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    pub fn new() -> SourceMap {
        SourceMap::default()
    }

    /// Adds a file. Its name is only shown, never opened.
    pub fn add(&mut self, name: &str, text: &str) -> FileId {
        self.files.push(SourceFile::new(name, text));
        FileId(self.files.len() as u32 - 1)
    }

    /// The file of an id of this map.
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// The text a span covers; empty where the span is of no file of this map.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).and_then(|file| file.text().get(span.range())).unwrap_or("")
    }

    /// Where a span starts.
    pub fn location(&self, span: Span) -> Option<Location> {
        Some(self.file(span.file)?.location(span.start as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_count_lines_and_characters_from_one() {
        let mut map = SourceMap::new();
        let file = map.add("a.tl", "ab\n⊙x\n");
        let at = |start| map.location(Span::new(file, start, start)).map(|place| (place.line, place.column));
        assert_eq!(at(0), Some((1, 1)));
        assert_eq!(at(2), Some((1, 3)));
        assert_eq!(at(3), Some((2, 1)));
        assert_eq!(at(6), Some((2, 2)), "the operator takes three bytes and one column");
        assert_eq!(at(8), Some((3, 1)));
        assert_eq!(at(99), Some((3, 1)), "past the end is the end");
        assert_eq!(map.text(Span::new(file, 3, 6)), "⊙");
        assert_eq!(map.location(Span::new(FileId(7), 0, 0)), None);
    }
}
