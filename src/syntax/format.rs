//! `tl fmt`: one spacing and one indentation for every program.
//!
//! Line breaks stay where the author put them; what is between and in front of the words is ours. The tree of the
//! result is the tree of the source, and formatting it again changes nothing.

use super::dump;
use super::lexer::lex;
use super::parser::{Layout, parse_with_layout};
use super::token::{Token, TokenKind};
use crate::diag::{Diagnostic, any_error};
use crate::source::{FileId, Span};

/// Columns of one level of indentation.
const INDENT: usize = 4;

/// A program in the language's one layout, comments included. A program with errors stays as it is: they are
/// returned, with spans of `FileId(0)`.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let file = FileId(0);
    let (ast, diagnostics, layout) = parse_with_layout(file, text, &[]);
    if any_error(&diagnostics) {
        return Err(diagnostics);
    }
    let lexed = lex(file, text);
    let formatted =
        Formatter { text, tokens: &lexed.tokens, layout: &layout, out: String::new(), open: Vec::new(), indent: 0 }.run(&lexed.comments);
    let (again, diagnostics, _) = parse_with_layout(file, &formatted, &[]);
    if any_error(&diagnostics) || dump(&again) != dump(&ast) {
        // A program must never change its meaning under a formatter, whatever case the rules below have missed.
        let error = Diagnostic::error("the layout of this program cannot be changed without its meaning");
        return Err(vec![error.hint("please report it with the file; it was left as it is")]);
    }
    Ok(formatted)
}

struct Formatter<'a> {
    text: &'a str,
    /// With `Eof` at the end.
    tokens: &'a [Token],
    layout: &'a Layout,
    out: String,
    /// The open brackets: the index of each, and the indentation of the line it stands on.
    open: Vec<(usize, usize)>,
    /// The indentation of the line being written, in levels.
    indent: usize,
}

impl Formatter<'_> {
    fn run(mut self, comments: &[Span]) -> String {
        let mut comments = comments.iter().copied().peekable();
        let mut end = 0;
        for at in 0..self.tokens.len() {
            let start = self.tokens[at].span.start;
            while let Some(comment) = comments.next_if(|comment| comment.start < start) {
                self.comment(comment, end, at);
                end = comment.end;
            }
            if self.tokens[at].kind == TokenKind::Eof {
                break;
            }
            self.token(at, end);
            end = self.tokens[at].span.end;
        }
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out
    }

    /// Writes a comment; `end` is where the piece before it ends and `next` the token after it.
    fn comment(&mut self, comment: Span, end: u32, next: usize) {
        let breaks = self.breaks(end, comment.start);
        let indent = if self.tokens[next].kind.is_closer() { self.inside() } else { self.line_indent(next) };
        if breaks > 0 || self.out.is_empty() {
            let blank = breaks > 1 && !self.after_opener();
            self.new_line(indent, blank);
        } else if !self.after_bracket() {
            self.out.push(' ');
        }
        self.out.push_str(self.text[comment.range()].trim_end());
    }

    fn token(&mut self, at: usize, end: u32) {
        let token = self.tokens[at];
        let breaks = self.breaks(end, token.span.start);
        let before = (at > 0).then(|| self.tokens[at - 1]);
        let after_comment = before.map_or(end > 0, |before| before.span.end != end);
        let joins = token.kind == TokenKind::Else && !after_comment;
        if self.out.is_empty() || (breaks > 0 && !joins) {
            let blank = breaks > 1 && !self.after_opener() && !token.kind.is_closer();
            self.new_line(self.line_indent(at), blank);
        } else if after_comment || self.spaced(at) {
            self.out.push(' ');
        }
        if token.kind.is_closer() {
            self.open.pop();
        } else if token.kind.closer().is_some() {
            self.open.push((at, self.indent));
        }
        self.out.push_str(&self.text[token.span.range()]);
    }

    fn new_line(&mut self, indent: usize, blank: bool) {
        if !self.out.is_empty() {
            self.out.push_str(if blank { "\n\n" } else { "\n" });
        }
        self.indent = indent;
        self.out.extend(std::iter::repeat_n(' ', indent * INDENT));
    }

    /// The level of a line that starts with this token.
    fn line_indent(&self, at: usize) -> usize {
        let kind = self.tokens[at].kind;
        if kind.is_closer() {
            return self.open.last().map_or(0, |(_, indent)| *indent);
        }
        let in_brackets = self.open.last().is_some_and(|(open, _)| self.tokens[*open].kind != TokenKind::OpenBrace);
        let starts =
            self.layout.starts.binary_search(&at).is_ok() || matches!(kind, TokenKind::Else | TokenKind::Semicolon | TokenKind::Eof);
        // A statement's second line is set off; inside brackets the bracket's level does that.
        self.inside() + usize::from(!starts && !in_brackets)
    }

    /// The level of what stands inside the innermost bracket.
    fn inside(&self) -> usize {
        self.open.last().map_or(0, |(_, indent)| indent + 1)
    }

    /// Line breaks of the source between two places.
    fn breaks(&self, from: u32, to: u32) -> usize {
        self.text[from as usize..to as usize].matches('\n').count()
    }

    fn after_opener(&self) -> bool {
        self.out.ends_with(['(', '[', '{'])
    }

    fn after_bracket(&self) -> bool {
        self.out.ends_with(['(', '['])
    }

    /// Whether a space stands before this token, which is not the first of its line.
    fn spaced(&self, at: usize) -> bool {
        use TokenKind::*;
        let token = self.tokens[at];
        let before = self.tokens[at - 1];
        // Brackets, commas and dots first: they decide for what is beside them.
        match (before.kind, token.kind) {
            (OpenParen | OpenBracket, _) | (_, CloseParen | CloseBracket | Comma | Semicolon) => return false,
            (Comma | Semicolon, _) => return true,
            (OpenBrace, _) | (_, OpenBrace | CloseBrace) => return true,
            (Dot | DotDot, _) | (_, Dot | DotDot) => return false,
            (_, Question) => return !self.ends_value(at - 1),
            (Colon, Colon) => return false,
            (Colon, _) => return !self.in_index() && !self.is_path(at - 1),
            (_, Colon) => return false,
            // A space before a bracket says that it is no call or index.
            (Fn, OpenParen) => return false,
            (Ident, OpenParen) if at > 1 && self.tokens[at - 2].kind == Fn => return false,
            (_, OpenParen | OpenBracket) if self.ends_value(at - 1) => return token.space_before,
            _ => {}
        }
        if self.is_named(at) || self.is_named(at - 1) {
            return false;
        }
        if self.is_arrow(at - 1) {
            return false;
        }
        if at > 1 && self.is_arrow(at - 2) {
            return true;
        }
        if self.is_prefix(at - 1) {
            return false;
        }
        if self.is_projection(at) {
            return false;
        }
        // `t[i + 1]` and `Image[x+dx]` are both good: in an index a sign has a space on both sides or on none.
        if self.in_index() && self.is_sign(token.kind) && !self.is_prefix(at) {
            return token.space_before;
        }
        if self.in_index() && self.is_sign(before.kind) {
            return before.space_before;
        }
        true
    }

    /// Whether the innermost bracket is a square one.
    fn in_index(&self) -> bool {
        self.open.last().is_some_and(|(open, _)| self.tokens[*open].kind == TokenKind::OpenBracket)
    }

    fn is_sign(&self, kind: TokenKind) -> bool {
        matches!(kind, TokenKind::Plus | TokenKind::Minus | TokenKind::Star | TokenKind::Slash)
    }

    /// Whether a value ends with this token, so that what follows cannot be its first sign.
    fn ends_value(&self, at: usize) -> bool {
        use TokenKind::*;
        matches!(
            self.tokens[at].kind,
            Ident | Int | Float | Str | True | False | Nothing | CloseParen | CloseBracket | CloseBrace | Question
        )
    }

    /// Whether this token is a sign in front of a value: `-x`, `*t`.
    fn is_prefix(&self, at: usize) -> bool {
        let sign = matches!(self.tokens[at].kind, TokenKind::Minus | TokenKind::Star);
        sign && (at == 0 || !self.ends_value(at - 1) || self.starts_statement(at))
    }

    /// Whether a statement or entry starts with this token: `-b` on a line of its own.
    fn starts_statement(&self, at: usize) -> bool {
        self.layout.starts.binary_search(&at).is_ok()
    }

    /// Whether this token is the `<` of an arrow.
    fn is_arrow(&self, at: usize) -> bool {
        self.layout.arrows.binary_search(&at).is_ok()
    }

    /// Whether this token is the `=` of a named argument.
    fn is_named(&self, at: usize) -> bool {
        self.layout.named.binary_search(&at).is_ok()
    }

    /// Whether this is a colon of `f16::zeros`.
    fn is_path(&self, at: usize) -> bool {
        let touching = |first: usize| {
            let pair = self.tokens.get(first..first + 2);
            pair.is_some_and(|pair| pair.iter().all(|token| token.kind == TokenKind::Colon) && !pair[1].space_before)
        };
        touching(at) || at > 0 && touching(at - 1)
    }

    /// Whether this is the `=` of `max=`, `min=` or `avg=`.
    fn is_projection(&self, at: usize) -> bool {
        let word = |token: Token| matches!(&self.text[token.span.range()], "max" | "min" | "avg");
        let [bracket, name, sign] = self.tokens[at.saturating_sub(2)..=at] else { return false };
        let touches = sign.kind == TokenKind::Assign && !sign.space_before;
        touches && name.kind == TokenKind::Ident && word(name) && bracket.kind == TokenKind::CloseBracket && !name.newline_before
    }
}
