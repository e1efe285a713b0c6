//! What follows a value: calls, methods, fields, indices and `?`.

use super::*;

impl Parser<'_> {
    pub(super) fn postfix(&mut self) -> Expr {
        let mut value = self.primary();
        while !self.line_ended() {
            let next = self.peek();
            value = match next.kind {
                TokenKind::OpenParen if !next.space_before => self.call(value),
                TokenKind::OpenBracket if !next.space_before => self.index(value),
                // In an equation a value and parentheses are a product.
                TokenKind::OpenParen if self.spaced_bracket(&value) && !self.mode.equation => {
                    self.space_before_bracket("a call", &value, "(…)");
                    self.call(value)
                }
                TokenKind::OpenBracket if self.spaced_bracket(&value) => {
                    self.space_before_bracket("an index", &value, "[…]");
                    self.index(value)
                }
                TokenKind::Dot if !self.at_normalized_mark() => self.member(value),
                TokenKind::Question => self.query(value),
                _ => break,
            };
            if !self.link() {
                break;
            }
        }
        value
    }

    fn call(&mut self, callee: Expr) -> Expr {
        let start = callee.span;
        let args = self.args();
        Expr::new(ExprKind::Call { callee: Box::new(callee), args }, self.span_from(start))
    }

    fn index(&mut self, base: Expr) -> Expr {
        let start = base.span;
        let args = self.index_args();
        Expr::new(ExprKind::Index { base: Box::new(base), args }, self.span_from(start))
    }

    /// Whether a bracket after a space, on the same line, can only be meant as this value's.
    fn spaced_bracket(&self, value: &Expr) -> bool {
        let callable = matches!(value.kind, ExprKind::Name(_) | ExprKind::Path(..) | ExprKind::Field { .. });
        callable && !self.peek().newline_before
    }

    fn space_before_bracket(&mut self, what: &str, value: &Expr, bracket: &str) {
        let name = self.text_of(value.span);
        let error = Diagnostic::error(format!("{what} has no space before its bracket")).at(self.here());
        self.report(error.hint(format!("write `{name}{bracket}`")));
    }

    /// `.name`, or `.name(…)` for a method.
    fn member(&mut self, base: Expr) -> Expr {
        self.bump();
        let start = base.span;
        let next = self.peek();
        if !(next.kind == TokenKind::Ident || next.kind.is_keyword()) || self.line_ended() {
            let error = self.expectation("a name after `.`");
            let text = self.text_of(base.span);
            self.error(match (&base.kind, next.kind) {
                (ExprKind::Literal(Literal::Int(_)), _) => error.hint(format!("a float has a digit after its dot: `{text}.0`")),
                (_, TokenKind::Int) => error.hint(format!("an element is `{text}[{}]`", self.text_of(next.span))),
                _ => error,
            });
            if next.kind == TokenKind::Int {
                self.bump();
            }
            return self.error_expr(self.span_from(start));
        }
        let name = self.name();
        let base = Box::new(base);
        if self.touches(TokenKind::OpenParen) {
            let args = self.args();
            return Expr::new(ExprKind::Method { receiver: base, name, args }, self.span_from(start));
        }
        Expr::new(ExprKind::Field { base, name }, self.span_from(start))
    }

    /// `?` after a relation's atom or an equation's left side.
    fn query(&mut self, value: Expr) -> Expr {
        let mark = self.bump().span;
        let asked = match &value.kind {
            ExprKind::Call { callee, .. } => matches!(callee.kind, ExprKind::Name(_)),
            ExprKind::Index { base, .. } => matches!(base.kind, ExprKind::Name(_)),
            _ => false,
        };
        if !asked {
            let error = Diagnostic::error("`?` asks a relation").at(mark);
            self.report(error.hint("write it after an atom: `Ancestor(alice, x)?`; a choice is `if c { a } else { b }`"));
        }
        let span = value.span.to(mark);
        Expr::new(ExprKind::Query(Box::new(value)), span)
    }

    /// The arguments of a call, from `(` on.
    fn args(&mut self) -> Vec<Arg> {
        let (args, _) = self.list(TokenKind::CloseParen, "an argument", Self::arg);
        let named = args.iter().position(|arg| arg.name.is_some()).unwrap_or(args.len());
        if let Some(positional) = args[named..].iter().find(|arg| arg.name.is_none()) {
            let error = Diagnostic::error("a positional argument after a named one").at(positional.span);
            let error = error.reason(args[named].span, "the named one");
            self.report(error.hint("name it too, or put it before the named ones"));
        }
        self.no_repeats("argument", args.iter().filter_map(|arg| arg.name.as_ref()));
        args
    }

    fn arg(&mut self) -> Arg {
        let start = self.here();
        let sign = self.peek_at(1).kind;
        let named = self.at(TokenKind::Ident) && (sign == TokenKind::Assign || sign == TokenKind::Colon && !self.at_path());
        let name = named.then(|| {
            let name = self.name();
            if self.bump().kind == TokenKind::Assign {
                self.layout.named.push(self.at - 1);
            }
            name
        });
        let is_mut = self.eat_mut();
        let value = self.expr();
        Arg { name, is_mut, value, span: self.span_from(start) }
    }

    /// The entries of an index, from `[` on.
    pub(super) fn index_args(&mut self) -> Vec<IndexArg> {
        self.list_in(self.mode.indexing(), TokenKind::CloseBracket, "an index", Self::index_arg).0
    }

    fn index_arg(&mut self) -> IndexArg {
        let start = self.here();
        let first = (!self.at(TokenKind::Colon)).then(|| self.expr());
        let kind = match first {
            Some(Expr { kind: ExprKind::Name(name), span }) if self.at_normalized_mark() => {
                self.bump();
                IndexArgKind::Normalized(Ident { name, span })
            }
            Some(position) if !self.at(TokenKind::Colon) => {
                self.warn_of_shadowing(&position);
                IndexArgKind::At(position)
            }
            start => {
                let end = self.slice_part();
                let step = self.slice_part();
                IndexArgKind::Slice { start, end, step }
            }
        };
        IndexArg { kind, span: self.span_from(start) }
    }

    /// What follows a colon of a slice, if that colon and a value are there.
    fn slice_part(&mut self) -> Option<Expr> {
        if !self.eat(TokenKind::Colon) {
            return None;
        }
        let absent = matches!(self.peek().kind, TokenKind::Colon | TokenKind::Comma | TokenKind::CloseBracket);
        (!absent).then(|| self.expr())
    }

    /// Whether the `.` of `p'.` is here: in an equation's index, before `,` or `]`.
    fn at_normalized_mark(&self) -> bool {
        let ends = matches!(self.peek_at(1).kind, TokenKind::Comma | TokenKind::CloseBracket);
        self.mode.equation && self.mode.index && self.at(TokenKind::Dot) && ends
    }

    /// Whether a name with `::` after it is here. Inside an index those are two colons.
    pub(super) fn at_path(&self) -> bool {
        let colons = self.pair_at(self.at + 1, TokenKind::Colon, TokenKind::Colon) && !self.peek_at(1).space_before;
        colons && !self.mode.index && self.pair_at(self.at + 2, TokenKind::Colon, TokenKind::Ident)
    }
}
