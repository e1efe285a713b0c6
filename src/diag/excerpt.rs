//! The part of a file that a picture shows, where its lines are too long to show whole.

use std::ops::Range;

use codespan_reporting::files::{Error, Files};

use super::Diagnostic;
use crate::source::{FileId, SourceFile, SourceMap, Span};

/// Bytes of a line that is shown whole. A program's lines are shorter; one of a file that is no program may be all of it.
const LINE_BYTES_MAX: usize = 500;
/// Bytes of a longer line that are shown before the first label in it, and in all.
const BEFORE: usize = 60;
const SHOWN: usize = 240;
const CUT: &str = "…";

/// Source files with their long lines cut around the labels. Line and column are those of the whole file.
pub(super) struct Excerpt {
    sources: SourceMap,
    /// By file, line and bytes: what was cut at the start of the line, in characters.
    cuts: Vec<(FileId, usize, usize)>,
}

impl Excerpt {
    /// The files that the labels are in and the diagnostic with its labels moved; `None` where no labelled line is long.
    pub fn of(diagnostic: &Diagnostic, sources: &SourceMap) -> Option<(Excerpt, Diagnostic)> {
        let is_long = |span: Span| {
            let file = sources.file(span.file)?;
            let ends = [span.start, span.end].map(|at| file.line_range(file.line_of(at as usize)).map_or(0, |line| line.len()));
            Some(ends.into_iter().any(|len| len > LINE_BYTES_MAX))
        };
        if !diagnostic.labels.iter().any(|label| is_long(label.span).unwrap_or(false)) {
            return None;
        }
        let mut excerpt = Excerpt { sources: SourceMap::new(), cuts: Vec::new() };
        let mut moved = diagnostic.clone();
        let mut files: Vec<FileId> = diagnostic.labels.iter().map(|label| label.span.file).collect();
        files.sort_unstable();
        files.dedup();
        for id in files {
            let Some(file) = sources.file(id) else { continue };
            let old: Vec<Span> = diagnostic.labels.iter().map(|label| label.span).filter(|span| span.file == id).collect();
            let (text, cuts, places) = cut_lines(file, &old);
            let new = excerpt.sources.add(file.name(), &text);
            excerpt.cuts.extend(cuts.into_iter().map(|(line, n)| (new, line, n)));
            let spans = places.into_iter().map(|range| Span::new(new, range.start as u32, range.end as u32));
            let labels = moved.labels.iter_mut().zip(&diagnostic.labels).filter(|(_, label)| label.span.file == id);
            labels.zip(spans).for_each(|((label, _), span)| label.span = span);
        }
        Some((excerpt, moved))
    }

    pub fn sources(&self) -> &SourceMap {
        &self.sources
    }
}

/// A file's text with its long lines cut, the characters that are left out at the start of each, and where the spans are in it.
fn cut_lines(file: &SourceFile, spans: &[Span]) -> (String, Vec<(usize, usize)>, Vec<Range<usize>>) {
    let (mut text, mut cuts) = (String::new(), Vec::new());
    let mut places: Vec<Range<usize>> = vec![0..0; spans.len()];
    for nr in 0..file.line_count() {
        let Some(line) = file.line_range(nr) else { continue };
        let whole = &file.text()[line.clone()];
        let body = whole.trim_end_matches(['\n', '\r']);
        let starts = spans.iter().map(|span| span.start as usize).filter(|at| line.contains(at));
        let shown = if body.len() <= LINE_BYTES_MAX {
            0..body.len()
        } else {
            let first = starts.min().unwrap_or(line.start) - line.start;
            let from = boundary(body, first.saturating_sub(BEFORE));
            from..boundary(body, (from + SHOWN).min(body.len()))
        };
        let begin = text.len();
        if shown.start > 0 {
            text.push_str(CUT);
            cuts.push((nr, body[..shown.start].chars().count().saturating_sub(CUT.chars().count())));
        }
        let shift = text.len();
        text.push_str(&body[shown.clone()]);
        let end = text.len();
        if shown.end < body.len() {
            text.push_str(CUT);
        }
        text.push_str(&whole[body.len()..]);
        let is_last = nr + 1 == file.line_count();
        let moved = |at: usize| {
            let inside = line.contains(&at) || is_last && at >= line.end;
            inside.then(|| if at < line.start + shown.start { begin } else { (at - line.start - shown.start + shift).min(end) })
        };
        for (place, span) in places.iter_mut().zip(spans) {
            place.start = moved(span.start as usize).unwrap_or(place.start);
            place.end = moved(span.end as usize).unwrap_or(place.end);
        }
    }
    (text, cuts, places)
}

/// The next start of a character from a byte on.
fn boundary(text: &str, at: usize) -> usize {
    (at..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
}

impl<'a> Files<'a> for Excerpt {
    type FileId = FileId;
    type Name = &'a str;
    type Source = &'a str;

    fn name(&'a self, id: FileId) -> Result<&'a str, Error> {
        Files::name(&self.sources, id)
    }

    fn source(&'a self, id: FileId) -> Result<&'a str, Error> {
        Files::source(&self.sources, id)
    }

    fn line_index(&'a self, id: FileId, byte: usize) -> Result<usize, Error> {
        Files::line_index(&self.sources, id, byte)
    }

    fn line_range(&'a self, id: FileId, line: usize) -> Result<Range<usize>, Error> {
        Files::line_range(&self.sources, id, line)
    }

    fn column_number(&'a self, id: FileId, line: usize, byte: usize) -> Result<usize, Error> {
        let cut = self.cuts.iter().find(|(file, nr, _)| (*file, *nr) == (id, line)).map_or(0, |cut| cut.2);
        Ok(Files::column_number(&self.sources, id, line, byte)? + cut)
    }
}
