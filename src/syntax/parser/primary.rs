//! Values that stand by themselves: literals, names, brackets, records, functions, `if` and `match`.

use super::*;
use crate::syntax::literal::{float_value, int_value, string_value};

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> Expr {
        let start = self.here();
        if self.line_ended() {
            return self.no_value();
        }
        let kind = match self.peek().kind {
            TokenKind::Int => {
                self.bump();
                ExprKind::Literal(Literal::Int(self.int_at(start)))
            }
            TokenKind::Float => {
                self.bump();
                ExprKind::Literal(Literal::Float(self.float_at(start)))
            }
            TokenKind::Str => {
                self.bump();
                ExprKind::Literal(Literal::Str(self.string_at(start)))
            }
            TokenKind::True | TokenKind::False => ExprKind::Literal(Literal::Bool(self.bump().kind == TokenKind::True)),
            TokenKind::Nothing => {
                self.bump();
                ExprKind::Literal(Literal::None)
            }
            TokenKind::Ident => self.name_or_record(),
            TokenKind::OpenParen => {
                let (mut items, trailing_comma) = self.list(TokenKind::CloseParen, "a value", Self::expr);
                match items.pop() {
                    Some(item) if items.is_empty() && !trailing_comma => ExprKind::Paren(Box::new(item)),
                    last => {
                        items.extend(last);
                        ExprKind::Tuple(items)
                    }
                }
            }
            TokenKind::OpenBracket => ExprKind::List(self.list(TokenKind::CloseBracket, "an element", Self::expr).0),
            TokenKind::OpenBrace if !self.mode.head => ExprKind::Block(self.block()),
            TokenKind::Fn => {
                self.bump();
                if self.at(TokenKind::Ident) {
                    let error = Diagnostic::error("a function as a value has no name").at(self.here());
                    self.report(error.hint("write `fn(x) { … }`, or declare it as a statement"));
                    self.bump();
                }
                ExprKind::Fn(self.function(start, None, None))
            }
            TokenKind::If => self.if_expr(),
            TokenKind::Match => self.match_expr(),
            TokenKind::Star if self.mode.equation && self.mode.index => {
                self.bump();
                ExprKind::Unstored(self.expect_name("an index after `*`"))
            }
            TokenKind::Unknown => {
                self.bump();
                // `!c` is one fault: what follows the sign is not looked at.
                self.reported_at = Some(self.at);
                ExprKind::Error
            }
            TokenKind::Dot if self.peek_at(1).kind == TokenKind::Int => {
                let error = self.expectation("an expression").hint("a float has a digit before its dot: `0.5`");
                self.error(error);
                self.bump();
                self.bump();
                ExprKind::Error
            }
            _ => return self.no_value(),
        };
        Expr::new(kind, self.span_from(start))
    }

    fn no_value(&mut self) -> Expr {
        if self.peek().newline_before && self.declaration_starts() {
            // `let a = 1 +` and then a declaration: the value is missing on the line above.
            self.joined = usize::MAX;
        }
        let error = self.expectation("an expression");
        let hint = match self.peek().kind {
            _ if self.line_ended() => "",
            TokenKind::Plus => "a sign `+` is not written; to count up write `x += 1`",
            TokenKind::Star | TokenKind::Slash | TokenKind::At | TokenKind::Pow | TokenKind::Percent | TokenKind::CircleDot => {
                "an operator ends the line before, it does not start one"
            }
            TokenKind::While | TokenKind::For | TokenKind::Loop => "a loop has no value: put it on a line of its own",
            TokenKind::Else => "`else` stands after the `}` of an `if`",
            TokenKind::Let | TokenKind::Return | TokenKind::Break | TokenKind::Continue => "put the statement on a line of its own",
            _ => "",
        };
        self.error(if hint.is_empty() { error } else { error.hint(hint) });
        // What starts the next line is read as a statement of its own, also behind an operator.
        self.joined = usize::MAX;
        self.error_expr(self.last().after())
    }

    /// `x`, `f16::zeros`, `Point { x: 1 }`.
    fn name_or_record(&mut self) -> ExprKind {
        if let Some(kind) = self.foreign_value() {
            return kind;
        }
        let path = self.at_path();
        let name = self.name();
        if path {
            self.bump();
            self.bump();
            return ExprKind::Path(name, self.name());
        }
        if self.mode.head || !self.at(TokenKind::OpenBrace) {
            return ExprKind::Name(name.name);
        }
        let fields = self.entries("a field", Self::field_init);
        self.no_repeats("field", fields.iter().map(|field| &field.name));
        ExprKind::Struct { name, fields }
    }

    fn field_init(&mut self) -> FieldInit {
        let name = self.expect_name("a field's name");
        if self.eat(TokenKind::Colon) {
            return FieldInit { name, value: self.expr() };
        }
        let value = Expr::new(ExprKind::Name(name.name.clone()), name.span);
        FieldInit { name, value }
    }

    /// `if a { … } else if b { … } else { … }`.
    fn if_expr(&mut self) -> ExprKind {
        let mut branches = Vec::new();
        loop {
            self.bump();
            let cond = self.head();
            branches.push(Branch { cond, body: self.body("the condition") });
            if let Some(word) = ["elif", "elsif", "elseif"].into_iter().find(|word| self.at_word(word)) {
                let error = Diagnostic::error(format!("`{word}` is no word of the language")).at(self.here());
                self.report(error.hint("write `else if … { … }`"));
                continue;
            }
            if !self.eat(TokenKind::Else) {
                return ExprKind::If { branches, otherwise: None };
            }
            if !self.at(TokenKind::If) {
                let otherwise = Some(self.body("`else`"));
                return ExprKind::If { branches, otherwise };
            }
        }
    }

    /// `match x { 0 => …, n if n > 3 => …, _ => … }`.
    fn match_expr(&mut self) -> ExprKind {
        self.bump();
        let subject = Box::new(self.head());
        let arms = if self.brace_opens("what is matched") { self.entries("an arm", Self::arm) } else { Vec::new() };
        ExprKind::Match { subject, arms }
    }

    fn arm(&mut self) -> Arm {
        let start = self.here();
        self.scopes.enter();
        let pattern = self.pattern();
        self.declare_pattern(&pattern);
        let guard = self.eat(TokenKind::If).then(|| self.expr());
        let body = if !self.expect(TokenKind::FatArrow, "after the pattern") {
            Block { stmts: Vec::new(), value: None, span: self.last().after() }
        } else if self.at(TokenKind::OpenBrace) {
            self.block()
        } else {
            Block::of_one(self.statement())
        };
        self.scopes.leave();
        Arm { pattern, guard, body, span: self.span_from(start) }
    }

    /// The value of the integer token there; 0 after a report where it has none.
    pub(super) fn int_at(&mut self, span: Span) -> i64 {
        int_value(self.text_of(span), span).unwrap_or_else(|error| {
            self.report(error);
            0
        })
    }

    pub(super) fn float_at(&mut self, span: Span) -> f64 {
        float_value(self.text_of(span), span).unwrap_or_else(|error| {
            self.report(error);
            0.0
        })
    }

    pub(super) fn string_at(&mut self, span: Span) -> Arc<str> {
        string_value(self.text_of(span), span, &mut self.diagnostics).into()
    }
}
