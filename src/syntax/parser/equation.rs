//! Tensor equations and `learn`.

use super::*;

impl Parser<'_> {
    /// Whether an equation starts here, and what becomes of the indices its left side lacks: `Name[…] =` where the
    /// name is no variable. The text alone decides.
    pub(super) fn equation_projection(&mut self) -> Option<Projection> {
        let bracket = self.peek_at(1);
        let opens = bracket.kind == TokenKind::OpenBracket && !bracket.space_before;
        if !opens || self.scopes.is_variable(self.text_of(self.here())) {
            return None;
        }
        let close = self.partners[self.at + 1]?;
        let sign = self.tokens[close + 1];
        if sign.newline_before {
            return None;
        }
        if sign.kind == TokenKind::Assign {
            return Some(Projection::Sum);
        }
        if super::stmt::assignment(sign.kind).is_some() {
            let name = self.text_of(self.here());
            let error = Diagnostic::error(format!("`{}` after the equation's left side", self.text_of(sign.span))).at(sign.span);
            let error =
                error.reason(self.here(), format!("`{name}` is introduced by no `let` and is no parameter, so this is an equation"));
            self.report(error.hint(format!("write `=`: equations with one left side add up; or introduce `{name}` with `let`")));
            return Some(Projection::Sum);
        }
        if !self.pair_at(close + 1, TokenKind::Ident, TokenKind::Assign) {
            return None;
        }
        match self.text_of(sign.span) {
            "max" => Some(Projection::Max),
            "min" => Some(Projection::Min),
            "avg" => Some(Projection::Avg),
            _ => None,
        }
    }

    /// `Y[i] = W[i, k] X[k]`, whose left side and sign have been seen.
    pub(super) fn equation(&mut self, projection: Projection) -> StmtKind {
        let mode = Mode { equation: true, ..self.mode };
        self.within(mode, |parser| {
            parser.shadowing.clear();
            let name = parser.name();
            let indices = parser.index_args();
            if projection != Projection::Sum {
                parser.bump();
            }
            parser.bump();
            // The sign may be `+=`, which has been reported; a line may break after each.
            let value = parser.expr();
            StmtKind::Equation(Equation { name, indices, projection, value })
        })
    }

    /// Warns where an index has the name of a variable: the reader may take it for the variable's value.
    pub(super) fn warn_of_shadowing(&mut self, index: &Expr) {
        let ExprKind::Name(name) = &index.kind else { return };
        if !self.mode.equation || !self.scopes.is_variable(name) || self.shadowing.contains(name) {
            return;
        }
        self.shadowing.push(name.clone());
        let warning = Diagnostic::warning(format!("`{name}` is an index of this equation, not the variable `{name}`")).at(index.span);
        self.report(warning.hint(format!("write `({name})` for the variable's value, or rename the index")));
    }

    /// `learn { minimize Loss, over: [W], … }`.
    pub(super) fn learn(&mut self) -> StmtKind {
        enum Entry {
            Minimize(Expr),
            Option(FieldInit),
            Error,
        }
        let start = self.bump().span;
        let entries = self.entries("an entry of `learn`", |parser| {
            if parser.at_word("minimize") && parser.peek_at(1).kind != TokenKind::Colon {
                parser.bump();
                return Entry::Minimize(parser.expr());
            }
            if parser.at(TokenKind::Ident) && parser.peek_at(1).kind == TokenKind::Colon {
                let name = parser.name();
                parser.bump();
                return Entry::Option(FieldInit { name, value: parser.expr() });
            }
            let error = parser.expectation("`minimize` or an option with its value");
            parser.error(error.hint("such as `learn { minimize Loss, over: [W], epochs: 100 }`"));
            Entry::Error
        });
        let span = self.span_from(start);
        let mut objective = None;
        let mut options = Vec::new();
        for entry in entries {
            match entry {
                Entry::Minimize(value) if objective.is_none() => objective = Some(value),
                Entry::Minimize(value) => {
                    let error = Diagnostic::error("`minimize` twice in one `learn`").at(value.span);
                    self.report(error.hint("minimize the sum of both"));
                }
                Entry::Option(option) => options.push(option),
                Entry::Error => objective = objective.or_else(|| Some(self.error_expr(span))),
            }
        }
        self.no_repeats("option", options.iter().map(|option| &option.name));
        let objective = objective.unwrap_or_else(|| {
            self.report(Diagnostic::error("`learn` without `minimize`").at(span).hint("start it with `minimize Loss`"));
            self.error_expr(span)
        });
        StmtKind::Learn(Learn { objective, options })
    }
}
