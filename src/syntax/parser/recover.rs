//! Reporting an error once, and finding the place where reading can go on.

use super::*;

impl Parser<'_> {
    /// Reports a syntax error at the next token, unless one was reported there already.
    pub(super) fn error(&mut self, diagnostic: Diagnostic) {
        // The lexer has reported unknown text.
        if self.reported_at != Some(self.at) && self.peek().kind != TokenKind::Unknown {
            self.diagnostics.push(diagnostic);
        }
        self.reported_at = Some(self.at);
    }

    /// Reports what is read well and means nothing, without a loss of place.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports that something else should stand here.
    pub(super) fn expected(&mut self, what: &str) {
        let error = self.expectation(what);
        self.error(error);
    }

    /// The error that something else should stand here. After the last token of a line it points behind that token.
    pub(super) fn expectation(&self, what: &str) -> Diagnostic {
        let next = self.peek();
        if next.kind == TokenKind::Eof || self.line_ended() {
            let found = if next.kind == TokenKind::Eof { "the end of the file" } else { "the end of the line" };
            let place = if self.at == 0 { next.span } else { self.last().after() };
            return Diagnostic::error(format!("expected {what}, found {found}")).at(place);
        }
        let found = match next.kind {
            TokenKind::Ident | TokenKind::Int | TokenKind::Float => format!("`{}`", self.text_of(next.span)),
            other => other.describe(),
        };
        Diagnostic::error(format!("expected {what}, found {found}")).at(next.span)
    }

    /// Goes to the end of the file after an error that leaves no place to go on.
    pub(super) fn give_up(&mut self) {
        self.at = self.tokens.len() - 1;
        self.reported_at = Some(self.at);
    }

    /// Skips the rest of a statement: to its `;`, the end of its line, or the brace that closes its block.
    pub(super) fn skip_statement(&mut self) {
        while !self.line_ended() && !matches!(self.peek().kind, TokenKind::Eof | TokenKind::Semicolon | TokenKind::CloseBrace) {
            self.skip_one();
        }
    }

    /// Skips inside brackets: to a comma or the closing bracket of these, or to where they must have ended.
    pub(super) fn skip_item(&mut self, closer: TokenKind) {
        while !self.brackets_end() && self.peek().kind != TokenKind::Comma && self.peek().kind != closer {
            self.skip_one();
        }
    }

    /// Whether brackets without a closing one end here: nothing inside `()` and `[]` starts so.
    pub(super) fn brackets_end(&self) -> bool {
        let next = self.peek();
        match next.kind {
            TokenKind::Eof | TokenKind::CloseBrace => true,
            _ => next.newline_before && self.declaration_starts(),
        }
    }

    /// Skips one token, or a bracket with all it holds.
    pub(super) fn skip_one(&mut self) {
        match self.partners[self.at] {
            Some(partner) => {
                self.at = partner + 1;
            }
            None => {
                self.bump();
            }
        }
    }

    /// Whether what starts here can only be a declaration or statement.
    pub(super) fn declaration_starts(&self) -> bool {
        use TokenKind::*;
        let second = self.peek_at(1);
        match self.peek().kind {
            Let | Struct | Import | While | For | Loop | Return | Break | Continue => true,
            Fn => second.kind == Ident,
            Ident => match self.text_of(self.here()) {
                "main" | "learn" => second.kind == OpenBrace,
                "test" | "bench" => second.kind == Ident && self.peek_at(2).kind == OpenBrace,
                "relation" | "entity" | "tensor" => second.kind == Ident && !second.newline_before,
                _ => false,
            },
            _ => false,
        }
    }
}
