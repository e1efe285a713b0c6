//! Lines of a stream that nobody vouches for: a line without end does not fill the memory.

use std::io::{BufRead, Result};

/// What a line was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its line break.
    Text(String),
    /// Longer than allowed. The rest of it is still to come: see [`skip_line`].
    TooLong,
    /// The byte of the line that begins no character.
    NotText { at: usize },
    /// Nothing follows.
    End,
}

/// The next line, of at most `most_bytes`.
///
/// # Errors
/// Those of the stream.
pub fn read_line(stream: &mut impl BufRead, most_bytes: usize) -> Result<Line> {
    let mut bytes = Vec::new();
    loop {
        let buffered = stream.fill_buf()?;
        let at_end = buffered.is_empty();
        let line_break = buffered.iter().position(|&b| b == b'\n');
        let part = &buffered[..line_break.unwrap_or(buffered.len())];
        if bytes.len() + part.len() > most_bytes {
            return Ok(Line::TooLong);
        }
        bytes.extend_from_slice(part);
        let used = part.len() + usize::from(line_break.is_some());
        stream.consume(used);
        if at_end && bytes.is_empty() {
            return Ok(Line::End);
        }
        if at_end || line_break.is_some() {
            break;
        }
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Line::Text(text),
        Err(error) => Line::NotText { at: error.utf8_error().valid_up_to() },
    })
}

/// Passes over what is left of a line.
///
/// # Errors
/// Those of the stream.
pub fn skip_line(stream: &mut impl BufRead) -> Result<()> {
    loop {
        let buffered = stream.fill_buf()?;
        let line_break = buffered.iter().position(|&b| b == b'\n');
        let used = line_break.map_or(buffered.len(), |at| at + 1);
        let is_over = line_break.is_some() || buffered.is_empty();
        stream.consume(used);
        if is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Read, repeat};

    #[test]
    fn lines_come_as_they_are_or_say_what_is_wrong_with_them() {
        let text = |s: &str| Line::Text(s.to_owned());
        let mut stream = BufReader::with_capacity(3, &b"ab\r\n\n0123456789\nx\xFFy\nlast"[..]);
        let mut next = || read_line(&mut stream, 5).unwrap();
        assert_eq!([next(), next(), next()], [text("ab"), text(""), Line::TooLong]);
        skip_line(&mut stream).unwrap();
        let mut next = || read_line(&mut stream, 5).unwrap();
        assert_eq!([next(), next(), next(), next()], [Line::NotText { at: 1 }, text("last"), Line::End, Line::End]);
    }

    #[test]
    fn a_line_without_end_is_refused_at_once() {
        let mut stream = BufReader::new(repeat(b'a'));
        assert_eq!(read_line(&mut stream, 100_000).unwrap(), Line::TooLong);
        skip_line(&mut BufReader::new(repeat(b'a').take(1 << 20))).unwrap();
    }
}
