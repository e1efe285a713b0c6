//! Relations, entities and rules. A fact reads as a call and a query is an expression's suffix.

use super::*;

impl Parser<'_> {
    /// `relation Parent(x, y)`.
    pub(super) fn relation(&mut self) -> StmtKind {
        self.bump();
        let name = self.name();
        let params = if self.at(TokenKind::OpenParen) {
            self.list(TokenKind::CloseParen, "a name", |parser| parser.expect_name("a name for the relation's argument")).0
        } else {
            let error = self.expectation("`(` after the relation's name");
            self.error(error.hint(format!("name its arguments: `relation {}(x, y)`", name.name)));
            Vec::new()
        };
        StmtKind::Relation(RelationDecl { name, params })
    }

    /// `entity alice, bob`.
    pub(super) fn entities(&mut self) -> StmtKind {
        self.bump();
        let mut names = vec![self.name()];
        while self.eat(TokenKind::Comma) {
            names.push(self.expect_name("an entity's name after `,`"));
        }
        self.no_repeats("entity", names.iter());
        StmtKind::Entity(names)
    }

    /// Whether a rule starts here: an atom with an arrow after it. Anywhere else `<-` is less than a negative.
    pub(super) fn at_rule(&self) -> bool {
        let bracket = self.peek_at(1);
        let opens = bracket.kind == TokenKind::OpenParen && !bracket.space_before;
        let Some(close) = self.partners.get(self.at + 1).copied().flatten().filter(|_| opens) else { return false };
        self.pair_at(close + 1, TokenKind::Less, TokenKind::Minus) && !self.tokens[close + 1].newline_before
    }

    /// `Ancestor(x, z) <- Ancestor(x, y), Parent(y, z)`.
    pub(super) fn rule(&mut self) -> StmtKind {
        let head = self.postfix();
        let head_span = head.span;
        self.layout.arrows.push(self.at);
        let arrow = self.bump().span;
        let arrow = arrow.to(self.bump().span);
        self.joined = self.at;
        let mut body = Vec::new();
        loop {
            body.extend(self.condition(arrow));
            if !self.eat(TokenKind::Comma) {
                break;
            }
        }
        match head.as_atom() {
            Some(head) => StmtKind::Rule(Rule { head, body }),
            None => {
                let error = Diagnostic::error("a rule's head is no atom").at(head_span);
                self.report(error.hint("write a relation with its terms: `Ancestor(x, z) <- …`"));
                StmtKind::Error
            }
        }
    }

    fn condition(&mut self, arrow: Span) -> Option<Condition> {
        let negated = self.eat(TokenKind::Not);
        let value = self.comparison();
        let span = value.span;
        match value.kind {
            ExprKind::Error => return None,
            ExprKind::Binary { op, .. } if op.is_comparison() && !negated => return Some(Condition::Compare(value)),
            _ => {}
        }
        let atom = value.as_atom();
        if atom.is_none() {
            let error = Diagnostic::error("a rule's condition is neither an atom nor a comparison").at(span);
            let error = error.reason(arrow, "`<-` after an atom makes this a rule");
            self.report(
                error.hint("write `Parent(x, y)`, `not Parent(x, y)` or `x != y`; to compare with a negative number, `f(x) < (-1)`"),
            );
        }
        Some(Condition::Atom { atom: atom?, negated })
    }
}
