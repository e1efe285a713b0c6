//! Text to tokens. Any text gives tokens; what is none becomes [`TokenKind::Unknown`] and a diagnostic.

use super::token::{SIGNS, Token, TokenKind};
use crate::diag::Diagnostic;
use crate::source::{FileId, Span};

/// The tokens of a file, the last of which is `Eof`, and what stands between them.
#[derive(Clone, Debug)]
pub struct Lexed {
    pub tokens: Vec<Token>,
    /// Comments in order, with their slashes, without the line break that ends a `//`.
    pub comments: Vec<Span>,
    pub diagnostics: Vec<Diagnostic>,
    /// The text ends inside a `/* */` comment.
    pub open_comment: bool,
}

/// Splits a text into tokens. Texts of 4 GiB and more are reported and cut, because spans count in 32 bits.
pub fn lex(file: FileId, text: &str) -> Lexed {
    let mut lexer =
        Lexer { file, text, at: 0, out: Lexed { tokens: Vec::new(), comments: Vec::new(), diagnostics: Vec::new(), open_comment: false } };
    if u32::try_from(text.len()).is_err() {
        let message = format!("the file holds {} bytes, more than the {} a program may have", text.len(), u32::MAX);
        lexer.out.diagnostics.push(Diagnostic::error(message).hint("split it and `import` the parts"));
        lexer.text = "";
    }
    lexer.run();
    lexer.out
}

/// Whether a name may start with this character.
pub fn starts_name(ch: char) -> bool {
    ch == '_' || ch.is_alphabetic()
}

/// Whether a name may go on with this character. `'` is a prime: `p'` is a name beside `p`.
pub fn continues_name(ch: char) -> bool {
    starts_name(ch) || ch == '\'' || ch.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&ch)
}

struct Lexer<'a> {
    file: FileId,
    text: &'a str,
    at: usize,
    out: Lexed,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) {
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        let mut newline_before = true;
        loop {
            let before = self.at;
            newline_before |= self.skip_space();
            let start = self.at;
            let kind = self.token();
            let token = Token { kind, span: self.span_from(start), newline_before, space_before: start > before || newline_before };
            self.out.tokens.push(token);
            if kind == TokenKind::Eof {
                break;
            }
            newline_before = false;
        }
    }

    /// Skips white space and comments; says whether a line break was among them.
    fn skip_space(&mut self) -> bool {
        let mut newline = false;
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                let start = self.at;
                self.at += rest.find('\n').unwrap_or(rest.len());
                self.out.comments.push(self.span_from(start));
            } else if rest.starts_with("/*") {
                newline |= self.block_comment();
            } else {
                match rest.chars().next() {
                    Some(ch) if ch.is_whitespace() => {
                        newline |= ch == '\n';
                        self.at += ch.len_utf8();
                    }
                    _ => return newline,
                }
            }
        }
    }

    /// A `/* */` comment, which may hold others; says whether a line break is in it.
    fn block_comment(&mut self) -> bool {
        let start = self.at;
        let mut depth = 0usize;
        while self.at < self.text.len() {
            let rest = self.rest();
            if rest.starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    break;
                }
            } else {
                self.at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        let span = self.span_from(start);
        if depth > 0 {
            self.out.open_comment = true;
            let opening = Span { end: span.start + 2, ..span };
            self.out.diagnostics.push(Diagnostic::error("comment is never closed").at(opening).hint("end it with `*/`"));
        }
        self.out.comments.push(span);
        self.text[start..self.at].contains('\n')
    }

    fn token(&mut self) -> TokenKind {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return TokenKind::Eof };
        if first.is_ascii_digit() {
            return self.number();
        }
        if first == '"' {
            return self.string();
        }
        if starts_name(first) {
            let word = self.take_while(continues_name);
            return TokenKind::keyword(word).unwrap_or(TokenKind::Ident);
        }
        if let Some((sign, kind)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            self.at += sign.len();
            return *kind;
        }
        self.unknown(first)
    }

    /// Digits, with `_` between them; a float has a dot and a digit after it, or an exponent. `0x` starts a
    /// hexadecimal integer.
    fn number(&mut self) -> TokenKind {
        let start = self.at;
        if self.rest().starts_with("0x") {
            self.at += 2;
            self.take_while(|ch| ch.is_ascii_alphanumeric() || ch == '_');
            return TokenKind::Int;
        }
        let mut kind = TokenKind::Int;
        self.digits();
        if self.rest().starts_with('.') && self.digit_at(self.at + 1) {
            kind = TokenKind::Float;
            self.at += 1;
            self.digits();
        }
        if self.rest().starts_with(['e', 'E']) {
            let signed = self.text[self.at + 1..].starts_with(['+', '-']) as usize;
            if self.digit_at(self.at + 1 + signed) {
                kind = TokenKind::Float;
                self.at += 1 + signed;
                self.digits();
            }
        }
        let end = self.at;
        if self.rest().chars().next().is_some_and(starts_name) {
            let letters = self.take_while(continues_name);
            let number = &self.text[start..end];
            let hint = match letters {
                "e" | "E" => format!("an exponent needs digits: `{number}{letters}0`"),
                _ => format!("write `{number} * {letters}` for a product"),
            };
            let error = Diagnostic::error(format!("`{letters}` directly after the number `{number}`"));
            self.out.diagnostics.push(error.at(Span { start: end as u32, ..self.span_from(start) }).hint(hint));
            return TokenKind::Unknown;
        }
        kind
    }

    fn digits(&mut self) {
        self.take_while(|ch| ch.is_ascii_digit() || ch == '_');
    }

    fn digit_at(&self, at: usize) -> bool {
        self.text.as_bytes().get(at).is_some_and(u8::is_ascii_digit)
    }

    /// A string ends on its line, so that a forgotten quote spoils one line and not the file.
    fn string(&mut self) -> TokenKind {
        let start = self.at;
        self.at += 1;
        while let Some(ch) = self.rest().chars().next() {
            match ch {
                '\n' => break,
                '"' => {
                    self.at += 1;
                    return TokenKind::Str;
                }
                '\\' => {
                    self.at += 1;
                    self.at += self.rest().chars().next().filter(|next| *next != '\n').map_or(0, char::len_utf8);
                }
                _ => self.at += ch.len_utf8(),
            }
        }
        let error = Diagnostic::error("string is not closed before the end of its line");
        self.out.diagnostics.push(error.at(self.span_from(start)).hint("close it with `\"`; a line break inside is written `\\n`"));
        TokenKind::Str
    }

    /// A run of characters that start no token, reported once.
    fn unknown(&mut self, first: char) -> TokenKind {
        let start = self.at;
        self.at += first.len_utf8();
        if matches!(first, '!' | '&' | '\'') {
            self.take_while(|ch| ch == first);
        } else {
            let foreign = |ch: char| {
                ch == first
                    || !ch.is_whitespace() && !ch.is_ascii() && !starts_name(ch) && !SIGNS.iter().any(|(sign, _)| sign.starts_with(ch))
            };
            self.take_while(foreign);
        }
        let visible = |ch: char| if ch.is_control() { ch.escape_default().to_string() } else { ch.to_string() };
        let text: String = self.text[start..self.at].chars().map(visible).collect();
        let error = Diagnostic::error(format!("`{text}` is no part of the language")).at(self.span_from(start));
        self.out.diagnostics.push(match first {
            '!' => error.hint("write `not x`"),
            '&' => error.hint("write `and`"),
            '^' => error.hint("a power is `x ** 2`"),
            '~' => error.hint("write `not x`"),
            '#' => error.hint("a comment starts with `//`"),
            '\\' => error.hint("a line goes on after an operator, and inside brackets"),
            '−' => error.hint("write `-`"),
            '≤' => error.hint("write `<=`"),
            '≥' => error.hint("write `>=`"),
            '≠' => error.hint("write `!=`"),
            '\'' => error.hint("a string stands in double quotes: `\"…\"`"),
            '⋅' | '·' | '×' => error.hint("write `*`"),
            '“' | '”' | '„' => error.hint("a string stands in straight quotes: `\"…\"`"),
            _ => error,
        });
        TokenKind::Unknown
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|ch| !keep(ch)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn span_from(&self, start: usize) -> Span {
        Span::new(self.file, start as u32, self.at as u32)
    }
}
