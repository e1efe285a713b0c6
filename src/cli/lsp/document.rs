//! A text as an editor sees it: lines and columns, words, and where names are introduced.

use std::ops::Range;

use serde_json::{Value, json};

use tensorlogic::source::FileId;
use tensorlogic::syntax::{Token, TokenKind, lex};

/// A program that an editor has open.
pub struct Document {
    pub text: String,
    tokens: Vec<Token>,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
}

/// What a name is introduced as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Function,
    Struct,
    Variable,
}

/// A name where it is introduced.
#[derive(Clone, Debug)]
pub struct Declaration {
    pub kind: Kind,
    /// Bytes of the name.
    pub name: Range<usize>,
    /// The line of it, as it is written, without its block.
    pub line: String,
}

impl Document {
    pub fn new(text: String) -> Document {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Document { tokens: lex(FileId(0), &text).tokens, lines, text }
    }

    /// The byte of a position: `line` and `character` from 0 on, the latter in 16-bit units as the protocol has it. Past the end of its line
    /// it is that end.
    pub fn byte(&self, position: &Value) -> Option<usize> {
        let line = usize::try_from(position["line"].as_u64()?).ok()?;
        let units = usize::try_from(position["character"].as_u64()?).ok()?;
        let start = *self.lines.get(line)?;
        let end = self.lines.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let mut left = units;
        let past = self.text[start..end].char_indices().find(|(_, c)| {
            let fits = left >= c.len_utf16();
            left -= if fits { c.len_utf16() } else { 0 };
            !fits
        });
        Some(past.map_or(end, |(at, _)| start + at))
    }

    pub fn position(&self, byte: usize) -> Value {
        let line = self.lines.partition_point(|&start| start <= byte) - 1;
        let character: usize = self.text[self.lines[line]..byte].chars().map(char::len_utf16).sum();
        json!({"line": line, "character": character})
    }

    pub fn range(&self, range: Range<usize>) -> Value {
        json!({"start": self.position(range.start), "end": self.position(range.end)})
    }

    pub fn whole(&self) -> Value {
        self.range(0..self.text.len())
    }

    /// The name that a place is in, or at the end of.
    pub fn name_at(&self, byte: usize) -> Option<Range<usize>> {
        let touches = |token: &&Token| token.kind == TokenKind::Ident && token.span.range().start <= byte && byte <= token.span.range().end;
        self.tokens.iter().find(touches).map(|token| token.span.range())
    }

    /// Every name that is introduced, in the order of the text.
    pub fn declarations(&self) -> Vec<Declaration> {
        let mut found = Vec::new();
        for (i, token) in self.tokens.iter().enumerate() {
            let next = i + 1;
            match token.kind {
                TokenKind::Fn => {
                    let named = self.kind(next) == TokenKind::Ident;
                    if named {
                        found.push(self.declaration(Kind::Function, next));
                    }
                    self.parameters(next + usize::from(named), &mut found);
                }
                TokenKind::Struct if self.kind(next) == TokenKind::Ident => found.push(self.declaration(Kind::Struct, next)),
                TokenKind::Let | TokenKind::For => self.pattern(next, &mut found),
                TokenKind::Ident if &self.text[token.span.range()] == "tensor" && self.kind(next) == TokenKind::Ident => {
                    found.push(self.declaration(Kind::Variable, next));
                }
                _ => {}
            }
        }
        found
    }

    /// Where a name is introduced that is used at a place: the last variable of that name before it, else a function or a struct anywhere.
    pub fn definition(&self, name: &str, used_at: usize) -> Option<Declaration> {
        let mut named = self.declarations();
        named.retain(|declaration| &self.text[declaration.name.clone()] == name);
        let before = named.iter().rposition(|d| d.kind == Kind::Variable && d.name.start <= used_at);
        let at = before.or_else(|| named.iter().position(|d| d.kind != Kind::Variable))?;
        Some(named.swap_remove(at))
    }

    fn kind(&self, at: usize) -> TokenKind {
        self.tokens.get(at).map_or(TokenKind::Eof, |token| token.kind)
    }

    fn declaration(&self, kind: Kind, at: usize) -> Declaration {
        let name = self.tokens[at].span.range();
        let line = self.lines[self.lines.partition_point(|&start| start <= name.start) - 1];
        let rest = &self.text[line..];
        let end = rest.find('\n').unwrap_or(rest.len());
        Declaration { kind, name, line: rest[..end].trim().trim_end_matches('{').trim_end().to_owned() }
    }

    /// `x`, `mut x` or `(a, b)` behind `let` or `for`.
    fn pattern(&self, at: usize, found: &mut Vec<Declaration>) {
        match self.kind(at) {
            TokenKind::OpenParen => {
                let until = (at..self.tokens.len()).take_while(|&i| self.kind(i) != TokenKind::CloseParen);
                found.extend(until.filter(|&i| self.kind(i) == TokenKind::Ident).map(|i| self.declaration(Kind::Variable, i)));
            }
            TokenKind::Ident => {
                let is_mut = &self.text[self.tokens[at].span.range()] == "mut" && self.kind(at + 1) == TokenKind::Ident;
                found.push(self.declaration(Kind::Variable, at + usize::from(is_mut)));
            }
            _ => {}
        }
    }

    /// The names between the brackets of a function: each stands behind the bracket, a comma or `mut`.
    fn parameters(&self, at: usize, found: &mut Vec<Declaration>) {
        if self.kind(at) != TokenKind::OpenParen {
            return;
        }
        let mut depth = 0;
        for i in at..self.tokens.len() {
            match self.kind(i) {
                TokenKind::OpenParen | TokenKind::OpenBracket | TokenKind::OpenBrace => depth += 1,
                TokenKind::CloseParen | TokenKind::CloseBracket | TokenKind::CloseBrace => depth -= 1,
                TokenKind::Ident if depth == 1 => {
                    let begins = |i: usize| matches!(self.kind(i), TokenKind::OpenParen | TokenKind::Comma);
                    let is_mut = |i: usize| self.kind(i) == TokenKind::Ident && &self.text[self.tokens[i].span.range()] == "mut";
                    let is_keyword = is_mut(i) && self.kind(i + 1) == TokenKind::Ident;
                    if (begins(i - 1) && !is_keyword) || is_mut(i - 1) {
                        found.push(self.declaration(Kind::Variable, i));
                    }
                }
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "let ä = \"𝒳\" + name\nfn f(x: float[T, C], mut w, n = 3) -> float {\n    let (a, b) = (x, w)\n    for i in 0..n { a }\n}\n";

    #[test]
    fn positions_count_in_units_of_16_bits() {
        let document = Document::new(TEXT.to_owned());
        // Behind the letter of two units stand a quote, ` + `, and the name.
        let byte = TEXT.find("name").unwrap();
        let position = document.position(byte);
        assert_eq!(position, json!({"line": 0, "character": 15}));
        assert_eq!(document.byte(&position), Some(byte));
        assert_eq!(document.byte(&json!({"line": 0, "character": 99})), TEXT.find('\n'));
        assert_eq!(document.byte(&json!({"line": 99, "character": 0})), None);
        assert_eq!(document.byte(&json!({"line": 5, "character": 0})), Some(TEXT.len()));
    }

    #[test]
    fn names_are_found_where_they_are_introduced() {
        let document = Document::new(TEXT.to_owned());
        let names: Vec<&str> = document.declarations().iter().map(|d| &TEXT[d.name.clone()]).collect();
        assert_eq!(names, ["ä", "f", "x", "w", "n", "a", "b", "i"]);
        assert_eq!(document.definition("f", 0).unwrap().line, "fn f(x: float[T, C], mut w, n = 3) -> float");
        assert_eq!(document.definition("a", TEXT.len()).unwrap().kind, Kind::Variable);
        assert!(document.definition("T", TEXT.len()).is_none());
    }
}
