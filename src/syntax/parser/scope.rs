//! Which names are variables, as far as the text shows it.
//!
//! `x[i] = v` assigns an element where `x` is a variable and is an equation where it is none, and the two are written
//! differently on their right. So the parser keeps the scopes of `let`, parameters, loops and patterns.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Token, TokenKind};

#[derive(Default)]
pub(super) struct Scopes<'a> {
    /// How many open scopes declare a name.
    declared: HashMap<&'a str, usize>,
    /// The names of each open scope, to take them back.
    open: Vec<Vec<&'a str>>,
}

impl<'a> Scopes<'a> {
    pub(super) fn new(variables: &[&'a str]) -> Scopes<'a> {
        let mut scopes = Scopes::default();
        scopes.enter();
        variables.iter().for_each(|name| scopes.declare(name));
        scopes
    }

    pub(super) fn enter(&mut self) {
        self.open.push(Vec::new());
    }

    pub(super) fn leave(&mut self) {
        for name in self.open.pop().unwrap_or_default() {
            if let Some(count) = self.declared.get_mut(name) {
                *count -= 1;
            }
        }
    }

    pub(super) fn declare(&mut self, name: &'a str) {
        if let Some(scope) = self.open.last_mut() {
            scope.push(name);
            *self.declared.entry(name).or_default() += 1;
        }
    }

    pub(super) fn is_variable(&self, name: &str) -> bool {
        self.declared.get(name).is_some_and(|count| *count > 0)
    }
}

/// The names that a file's `let`s and `tensor`s outside of all blocks introduce.
pub(super) fn file_variables<'a>(text: &'a str, tokens: &[Token]) -> Rc<[&'a str]> {
    let mut names = Vec::new();
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::OpenBrace => depth += 1,
            TokenKind::CloseBrace => depth = depth.saturating_sub(1),
            TokenKind::Ident if depth == 0 && text.get(token.span.range()) == Some("tensor") => {
                let declared = tokens.get(at + 1).filter(|next| next.kind == TokenKind::Ident && !next.newline_before);
                names.extend(declared.and_then(|name| text.get(name.span.range())));
            }
            TokenKind::Let if depth == 0 => {
                let target = tokens[at + 1..].iter().take_while(|token| !matches!(token.kind, TokenKind::Assign | TokenKind::Colon));
                let bound = target.take_while(|token| matches!(token.kind, TokenKind::Ident | TokenKind::OpenParen | TokenKind::Comma));
                names.extend(bound.filter(|token| token.kind == TokenKind::Ident).filter_map(|token| text.get(token.span.range())));
            }
            _ => {}
        }
    }
    names.into()
}
