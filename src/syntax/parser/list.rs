//! What stands between brackets, separated by commas.

use super::*;

impl Parser<'_> {
    /// Reads `(a, b)` or its like from the opening bracket on. The flag says that a comma stood before the closing one.
    pub(super) fn list<T>(&mut self, closer: TokenKind, what: &str, item: impl FnMut(&mut Self) -> T) -> (Vec<T>, bool) {
        self.list_in(self.mode.bracketed(), closer, what, item)
    }

    /// The same in a mode of its own.
    pub(super) fn list_in<T>(&mut self, mode: Mode, closer: TokenKind, what: &str, mut item: impl FnMut(&mut Self) -> T) -> (Vec<T>, bool) {
        let open = self.bump();
        self.within(mode, |parser| {
            let mut items = Vec::new();
            let mut trailing_comma = false;
            while !parser.eat(closer) {
                if parser.brackets_end() {
                    parser.never_closed(open);
                    break;
                }
                if parser.at(TokenKind::Comma) {
                    parser.expected(&format!("{what} before `,`"));
                    parser.bump();
                    continue;
                }
                items.push(item(parser));
                trailing_comma = parser.eat(TokenKind::Comma);
                if parser.at(TokenKind::OpenBrace) && !trailing_comma {
                    // `fn f(x {`: the brace opens the body, so that its errors are found too.
                    parser.never_closed(open);
                    break;
                }
                if !trailing_comma && !parser.at(closer) && !parser.brackets_end() {
                    let error = parser.expectation(&format!("`,` or {}", closer.describe())).reason(open.span, "opened here");
                    let hint = parser.foreign_in_list();
                    parser.error(if hint.is_empty() { error } else { error.hint(hint) });
                    parser.skip_item(closer);
                    trailing_comma = parser.eat(TokenKind::Comma);
                }
            }
            (items, trailing_comma)
        })
    }

    pub(super) fn never_closed(&mut self, open: Token) {
        let closer = open.kind.closer().map_or(String::new(), TokenKind::describe);
        let error = Diagnostic::error(format!("{} is never closed", open.kind.describe())).at(open.span);
        self.error(error.reason(self.here(), format!("{closer} is missing before this")));
    }

    /// Reads `{ … }` whose entries stand on lines of their own or behind commas, from the opening brace on.
    pub(super) fn entries<T>(&mut self, what: &str, mut entry: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let open = self.bump();
        self.within(Mode::STATEMENT, |parser| {
            let mut entries = Vec::new();
            loop {
                parser.joined = parser.at;
                if parser.eat(TokenKind::CloseBrace) {
                    break;
                }
                if parser.peek().kind == TokenKind::Eof {
                    parser.never_closed(open);
                    break;
                }
                let before = parser.at;
                parser.layout.starts.push(before);
                entries.push(entry(parser));
                let separated = parser.eat(TokenKind::Comma) || parser.line_ended() || parser.peek().kind == TokenKind::CloseBrace;
                if !separated {
                    parser.expected(&format!("`,`, `}}` or a line break after {what}"));
                    parser.skip_entry();
                }
                if parser.at == before {
                    // Nothing of it could be read, and what stands here starts no entry: a closing bracket, say.
                    parser.bump();
                }
            }
            entries
        })
    }

    /// Skips to the end of a line or behind the next comma.
    fn skip_entry(&mut self) {
        while !self.line_ended() && !matches!(self.peek().kind, TokenKind::Eof | TokenKind::CloseBrace) {
            if self.eat(TokenKind::Comma) {
                break;
            }
            self.skip_one();
        }
    }
}
