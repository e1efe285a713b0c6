//! Text that comes in pieces, broken between words at the width of a terminal.

/// Holds the last word back until it is whole, and puts a line break in place of the space before a word that does not fit.
pub struct Wrap {
    columns: usize,
    /// Where the next character goes.
    column: usize,
    /// The space before the word that is held back, and the word.
    gap: String,
    word: String,
    /// Between ``` marks lines stay as they are, since they may be copied.
    in_code: bool,
}

impl Wrap {
    pub fn new(columns: usize) -> Self {
        Wrap { columns, column: 0, gap: String::new(), word: String::new(), in_code: false }
    }

    /// What can be shown now.
    pub fn push(&mut self, piece: &str) -> String {
        let mut out = String::new();
        for c in piece.chars() {
            match c {
                '\n' => {
                    self.end_word(&mut out);
                    self.gap.clear();
                    out.push(c);
                    self.column = 0;
                }
                ' ' | '\t' => {
                    self.end_word(&mut out);
                    self.gap.push(c);
                }
                c => {
                    self.word.push(c);
                    // Scripts without spaces may break at every character.
                    if width(c) == 2 {
                        self.end_word(&mut out);
                    }
                }
            }
        }
        out
    }

    /// The word that was held back.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        self.end_word(&mut out);
        out
    }

    fn end_word(&mut self, out: &mut String) {
        if self.word.is_empty() {
            return;
        }
        if self.word.starts_with("```") {
            self.in_code = !self.in_code;
        }
        let columns = |text: &str| text.chars().map(width).sum::<usize>();
        let (gap, word) = (columns(&self.gap), columns(&self.word));
        if self.column == 0 || self.in_code || self.column + gap + word <= self.columns {
            out.push_str(&self.gap);
            self.column += gap + word;
        } else {
            out.push('\n');
            self.column = word;
        }
        out.push_str(&self.word);
        self.gap.clear();
        self.word.clear();
    }
}

/// Columns of a character: two for those of East Asian scripts and for pictures.
fn width(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(columns: usize, pieces: &[&str]) -> String {
        let mut wrap = Wrap::new(columns);
        let shown: String = pieces.iter().map(|piece| wrap.push(piece)).collect();
        shown + &wrap.finish()
    }

    #[test]
    fn lines_break_between_words() {
        let text = "the quick brown fox jumps";
        assert_eq!(wrapped(10, &[text]), "the quick\nbrown fox\njumps");
        let pieces: Vec<String> = text.chars().map(String::from).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        assert_eq!(wrapped(10, &pieces), "the quick\nbrown fox\njumps");
        assert_eq!(wrapped(100, &[text]), text);
    }

    #[test]
    fn what_has_no_break_stays_whole() {
        assert_eq!(wrapped(4, &["incomprehensible it"]), "incomprehensible\nit");
        assert_eq!(wrapped(12, &["  indented line here"]), "  indented\nline here");
        assert_eq!(wrapped(8, &["a b\n\nc"]), "a b\n\nc");
        let code = "```\nlet x = rand([2, 3], seed: 7)\n```\nand so on and on";
        assert_eq!(wrapped(10, &[code]), "```\nlet x = rand([2, 3], seed: 7)\n```\nand so on\nand on");
        assert_eq!(wrapped(6, &["こんにちは"]), "こんに\nちは");
    }
}
