//! The place in the token list, and the line-break rule.

use super::*;

impl<'a> Parser<'a> {
    /// The token to read next, whatever line it stands on.
    pub(super) fn peek(&self) -> Token {
        self.tokens[self.at]
    }

    /// The token `ahead` places on; `Eof` past the end.
    pub(super) fn peek_at(&self, ahead: usize) -> Token {
        self.tokens[(self.at + ahead).min(self.tokens.len() - 1)]
    }

    /// Whether a line break ends the statement before the next token.
    pub(super) fn line_ended(&self) -> bool {
        let next = self.peek();
        self.mode.newlines && next.newline_before && self.joined != self.at && !next.kind.joins_line_above()
    }

    /// Whether the next token is of this kind and belongs to the statement.
    pub(super) fn at(&self, kind: TokenKind) -> bool {
        self.peek().kind == kind && !self.line_ended()
    }

    /// Whether the next token is of this kind and touches the one before it.
    pub(super) fn touches(&self, kind: TokenKind) -> bool {
        let next = self.peek();
        next.kind == kind && !next.space_before
    }

    /// Reads one token. A line may break after one that asks for more.
    pub(super) fn bump(&mut self) -> Token {
        let token = self.peek();
        if token.kind != TokenKind::Eof {
            self.at += 1;
        }
        if token.kind.joins_next_line() {
            self.joined = self.at;
        }
        token
    }

    pub(super) fn eat(&mut self, kind: TokenKind) -> bool {
        let found = self.at(kind);
        if found {
            self.bump();
        }
        found
    }

    /// Reads a token that must be here; `after` says what it follows, for the message.
    pub(super) fn expect(&mut self, kind: TokenKind, after: &str) -> bool {
        let found = self.eat(kind);
        if !found {
            self.expected(&format!("{} {after}", kind.describe()));
        }
        found
    }

    /// Reads a name that must be here; `what` names its use. Where there is none the name is empty.
    pub(super) fn expect_name(&mut self, what: &str) -> Ident {
        if self.at(TokenKind::Ident) {
            return self.name();
        }
        self.expected(what);
        Ident::new("", Span { end: self.here().start, ..self.here() })
    }

    /// Reads the name that is here.
    pub(super) fn name(&mut self) -> Ident {
        let span = self.bump().span;
        Ident { name: self.name_of(span), span }
    }

    /// The place of the next token.
    pub(super) fn here(&self) -> Span {
        self.peek().span
    }

    /// The place of the token read last.
    pub(super) fn last(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    /// From `start` to the token read last.
    pub(super) fn span_from(&self, start: Span) -> Span {
        Span { end: self.last().end.max(start.start), ..start }
    }

    /// Whether the next token is this word, which is no keyword.
    pub(super) fn at_word(&self, word: &str) -> bool {
        self.at(TokenKind::Ident) && self.text_of(self.here()) == word
    }

    /// Reads `mut` before a name: two names on one line, which stand side by side as a product in an equation alone.
    pub(super) fn eat_mut(&mut self) -> bool {
        let next = self.peek_at(1);
        let found = self.at_word("mut") && next.kind == TokenKind::Ident && !next.newline_before && !self.mode.equation;
        if found {
            self.bump();
        }
        found
    }

    /// Whether the tokens `ahead` and the one after it are of these kinds and touch.
    pub(super) fn pair_at(&self, index: usize, first: TokenKind, second: TokenKind) -> bool {
        let token = |at: usize| self.tokens.get(at).copied();
        token(index).is_some_and(|token| token.kind == first)
            && token(index + 1).is_some_and(|token| token.kind == second && !token.space_before)
    }
}

/// For each opening bracket the index of the one that closes it. A closing bracket that fits an outer one closes all
/// that is open inside it, whose partner stays unknown.
pub(super) fn partners(tokens: &[Token]) -> Vec<Option<usize>> {
    let mut partners = vec![None; tokens.len()];
    let mut open: Vec<usize> = Vec::new();
    // How many of each kind are open, so that a stray closer costs no search.
    let mut counts = [0usize; 3];
    let slot = |closer: TokenKind| match closer {
        TokenKind::CloseParen => 0,
        TokenKind::CloseBracket => 1,
        _ => 2,
    };
    for (at, token) in tokens.iter().enumerate() {
        if let Some(closer) = token.kind.closer() {
            counts[slot(closer)] += 1;
            open.push(at);
        } else if token.kind.is_closer() && counts[slot(token.kind)] > 0 {
            while let Some(opening) = open.pop() {
                let closer = tokens[opening].kind.closer().unwrap_or(TokenKind::Eof);
                counts[slot(closer)] -= 1;
                if closer == token.kind {
                    partners[opening] = Some(at);
                    break;
                }
            }
        }
    }
    partners
}
