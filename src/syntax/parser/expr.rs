//! Expressions with operators, from loose to tight: `or`, `and`, `not`, comparisons, `..`, sums, products, unary `-`,
//! `**`, `as`.

use super::*;

/// How tightly an operator binds; a larger one binds tighter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Not,
    Compare,
    Range,
    Sum,
    Product,
    Unary,
}

impl Level {
    /// What the right operand of a left-associative operator may hold.
    fn tighter(self) -> Level {
        match self {
            Level::Or => Level::And,
            Level::And => Level::Not,
            Level::Not => Level::Compare,
            Level::Compare => Level::Range,
            Level::Range => Level::Sum,
            Level::Sum => Level::Product,
            Level::Product | Level::Unary => Level::Unary,
        }
    }
}

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Expr {
        self.binary(Level::Or)
    }

    /// An expression without `or`, `and` and `not`, as a rule's condition is.
    pub(super) fn comparison(&mut self) -> Expr {
        self.binary(Level::Compare)
    }

    fn binary(&mut self, min: Level) -> Expr {
        self.nested(error_expr, |parser| parser.binary_inner(min))
    }

    fn binary_inner(&mut self, min: Level) -> Expr {
        let mut left = if self.at(TokenKind::Not) { self.not(min) } else { self.unary() };
        let mut last_op = None;
        while let Some((op, level)) = self.operator().filter(|(_, level)| *level >= min) {
            let op_span = if op == Operator::Binary(BinaryOp::Juxtapose) { self.last().after() } else { self.bump().span };
            self.check_operator(op, last_op, &left, op_span);
            let right = self.binary(level.tighter());
            let span = left.span.to(right.span);
            let (left_box, right) = (Box::new(left), Box::new(right));
            let kind = match op {
                Operator::Binary(op) => ExprKind::Binary { op, op_span, left: left_box, right },
                Operator::Range => ExprKind::Range { start: left_box, end: right },
            };
            left = Expr::new(kind, span);
            last_op = Some(op);
            if !self.link() {
                break;
            }
        }
        left
    }

    /// `not x`, which is looser than a comparison.
    fn not(&mut self, min: Level) -> Expr {
        let start = self.bump().span;
        if min > Level::Not {
            let error = Diagnostic::error("`not` after an operator that binds tighter").at(start);
            self.report(error.hint("put it in parentheses: `a == (not b)`"));
        }
        let operand = Box::new(self.binary(Level::Not));
        Expr::new(ExprKind::Unary { op: UnaryOp::Not, operand }, self.span_from(start))
    }

    /// `-x`, looser than `**` and tighter than a product.
    fn unary(&mut self) -> Expr {
        if !self.at(TokenKind::Minus) {
            return self.power();
        }
        self.nested(error_expr, |parser| {
            let start = parser.bump().span;
            let operand = Box::new(parser.unary());
            Expr::new(ExprKind::Unary { op: UnaryOp::Neg, operand }, parser.span_from(start))
        })
    }

    /// `a ** b`, from right to left; its right side may have a sign.
    fn power(&mut self) -> Expr {
        let base = self.conversion();
        if !self.at(TokenKind::Pow) {
            return base;
        }
        let op_span = self.bump().span;
        self.nested(error_expr, |parser| {
            let right = Box::new(parser.unary());
            let span = base.span.to(right.span);
            Expr::new(ExprKind::Binary { op: BinaryOp::Pow, op_span, left: Box::new(base), right }, span)
        })
    }

    /// `x as T`.
    fn conversion(&mut self) -> Expr {
        let mut value = self.postfix();
        while self.eat(TokenKind::As) {
            let ty = self.ty();
            let span = value.span.to(ty.span);
            value = Expr::new(ExprKind::As { value: Box::new(value), ty }, span);
            if !self.link() {
                break;
            }
        }
        value
    }

    /// The infix operator that is here, with its level.
    fn operator(&self) -> Option<(Operator, Level)> {
        if self.line_ended() {
            return None;
        }
        let (op, level) = match self.peek().kind {
            TokenKind::Or | TokenKind::OrOr => (BinaryOp::Or, Level::Or),
            TokenKind::And | TokenKind::AndAnd => (BinaryOp::And, Level::And),
            TokenKind::EqEq => (BinaryOp::Eq, Level::Compare),
            TokenKind::NotEq => (BinaryOp::Ne, Level::Compare),
            TokenKind::Less => (BinaryOp::Lt, Level::Compare),
            TokenKind::LessEq => (BinaryOp::Le, Level::Compare),
            TokenKind::Greater => (BinaryOp::Gt, Level::Compare),
            TokenKind::GreaterEq => (BinaryOp::Ge, Level::Compare),
            TokenKind::DotDot => return Some((Operator::Range, Level::Range)),
            TokenKind::Plus => (BinaryOp::Add, Level::Sum),
            TokenKind::Minus => (BinaryOp::Sub, Level::Sum),
            TokenKind::Star => (BinaryOp::Mul, Level::Product),
            TokenKind::Slash => (BinaryOp::Div, Level::Product),
            TokenKind::Percent => (BinaryOp::Rem, Level::Product),
            TokenKind::At => (BinaryOp::MatMul, Level::Product),
            TokenKind::CircleDot => (BinaryOp::Hadamard, Level::Product),
            // Two values side by side multiply in an equation, on one line or inside parentheses.
            TokenKind::Ident | TokenKind::OpenParen if self.mode.equation && !self.mode.index => (BinaryOp::Juxtapose, Level::Product),
            _ => return None,
        };
        Some((Operator::Binary(op), level))
    }

    /// Reports an operator that may not follow `last` without parentheses.
    fn check_operator(&mut self, op: Operator, last: Option<Operator>, left: &Expr, op_span: Span) {
        match (last, op) {
            (Some(Operator::Binary(first)), Operator::Binary(second)) if first.is_comparison() && second.is_comparison() => {
                let middle = match &left.kind {
                    ExprKind::Binary { right, .. } => self.text_of(right.span),
                    _ => "b",
                };
                let chain = self.text_of(left.span);
                let error = Diagnostic::error("comparisons do not chain").label(op_span, "a second comparison");
                self.report(error.hint(format!("write `{chain} and {middle} {} …`", second.symbol())));
            }
            (Some(Operator::Range), Operator::Range) => {
                let error = Diagnostic::error("`..` twice in one range").at(op_span);
                self.report(error.hint("a range has a start and an end: `0..n`; for a step write `range(0, n, 2)`"));
            }
            (_, Operator::Range) if self.touches(TokenKind::Assign) => {
                let error = Diagnostic::error("`..=` is no operator").at(op_span.to(self.here()));
                self.report(error.hint("a range ends before its end: write `a..b + 1`"));
                self.bump();
            }
            (Some(Operator::Binary(BinaryOp::Div)), Operator::Binary(BinaryOp::Juxtapose)) => {
                let divided = self.text_of(left.span);
                let error = Diagnostic::error("a product without a sign after `/`").at(self.here());
                self.report(error.hint(format!("write `({divided}) …` or put the divisor in parentheses: `a / (b c)`")));
            }
            _ => {}
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Binary(BinaryOp),
    Range,
}

pub(super) fn error_expr(span: Span) -> Expr {
    Expr::new(ExprKind::Error, span)
}
