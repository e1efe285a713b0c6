//! Patterns: what `let`, `for` and the arms of `match` bind.

use super::*;

impl Parser<'_> {
    /// The target of `let` and `for`: a name, `_`, or a tuple of them.
    pub(super) fn binding(&mut self, what: &str) -> Pattern {
        self.nested(error_pattern, |parser| {
            let start = parser.here();
            let kind = if parser.at(TokenKind::OpenParen) {
                PatternKind::Tuple(parser.list(TokenKind::CloseParen, "a name", |parser| parser.binding("a name")).0)
            } else if parser.at(TokenKind::Ident) {
                parser.name_pattern()
            } else {
                parser.expected(what);
                PatternKind::Error
            };
            Pattern { kind, span: parser.span_from(start) }
        })
    }

    /// The pattern of an arm: one, or several with `|` between them.
    pub(super) fn pattern(&mut self) -> Pattern {
        self.nested(error_pattern, |parser| {
            let start = parser.here();
            let first = parser.single_pattern();
            if !parser.at(TokenKind::Bar) {
                return first;
            }
            let mut choices = vec![first];
            while parser.eat(TokenKind::Bar) {
                choices.push(parser.single_pattern());
            }
            if let Some(binder) = choices.iter().find(|choice| binds(choice)) {
                let error = Diagnostic::error("a pattern with `|` binds a name").at(binder.span);
                parser.report(error.hint("write one arm for each, or `_`"));
            }
            Pattern { kind: PatternKind::Any(choices), span: parser.span_from(start) }
        })
    }

    fn single_pattern(&mut self) -> Pattern {
        let start = self.here();
        let kind = match self.peek().kind {
            _ if self.line_ended() => self.no_pattern(),
            TokenKind::OpenParen => PatternKind::Tuple(self.list(TokenKind::CloseParen, "a pattern", Self::pattern).0),
            TokenKind::Ident => self.name_pattern(),
            TokenKind::True | TokenKind::False => PatternKind::Literal(Literal::Bool(self.bump().kind == TokenKind::True)),
            TokenKind::Nothing => {
                self.bump();
                PatternKind::Literal(Literal::None)
            }
            TokenKind::Str => {
                let span = self.bump().span;
                PatternKind::Literal(Literal::Str(self.string_at(span)))
            }
            TokenKind::Float => PatternKind::Literal(Literal::Float(self.float_token())),
            TokenKind::Minus if self.peek_at(1).kind == TokenKind::Float => {
                self.bump();
                PatternKind::Literal(Literal::Float(-self.float_token()))
            }
            TokenKind::Int | TokenKind::Minus => match self.signed_int() {
                Some(first) if self.eat(TokenKind::DotDot) => match self.signed_int() {
                    Some(end) => PatternKind::Range(first, end),
                    None => PatternKind::Error,
                },
                Some(value) => PatternKind::Literal(Literal::Int(value)),
                None => PatternKind::Error,
            },
            _ => self.no_pattern(),
        };
        Pattern { kind, span: self.span_from(start) }
    }

    fn name_pattern(&mut self) -> PatternKind {
        let name = self.name();
        if &*name.name == "_" { PatternKind::Wildcard } else { PatternKind::Name(name) }
    }

    fn signed_int(&mut self) -> Option<i64> {
        let negative = self.eat(TokenKind::Minus);
        if !self.at(TokenKind::Int) {
            self.expected("an integer");
            return None;
        }
        let span = self.bump().span;
        let value = self.int_at(span);
        Some(if negative { -value } else { value })
    }

    fn float_token(&mut self) -> f64 {
        let span = self.bump().span;
        self.float_at(span)
    }

    fn no_pattern(&mut self) -> PatternKind {
        let error =
            self.expectation("a pattern").hint("a number, a string, `true`, `none`, a range `0..10`, a name, `_`, or a tuple of them");
        self.error(error);
        PatternKind::Error
    }

    /// Notes the names a pattern binds as variables.
    pub(super) fn declare_pattern(&mut self, pattern: &Pattern) {
        match &pattern.kind {
            PatternKind::Name(name) => self.declare(name),
            PatternKind::Tuple(parts) => parts.iter().for_each(|part| self.declare_pattern(part)),
            _ => {}
        }
    }
}

fn error_pattern(span: Span) -> Pattern {
    Pattern { kind: PatternKind::Error, span }
}

fn binds(pattern: &Pattern) -> bool {
    match &pattern.kind {
        PatternKind::Name(_) => true,
        PatternKind::Tuple(parts) => parts.iter().any(binds),
        _ => false,
    }
}
