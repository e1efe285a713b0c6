//! Tokens to tree, by recursive descent.
//!
//! What a token means can hang on where it stands: a line break ends a statement but not an index, `{` after a name is
//! a record but not in the head of an `if`, and two values side by side are a product in an equation alone. All of
//! that is the [`Mode`], saved and restored around each construct. No function fails: what cannot be read becomes an
//! `Error` node and a diagnostic, and the statement's rest is skipped.

mod cursor;
mod decl;
mod equation;
mod expr;
mod foreign;
mod list;
mod logic;
mod pattern;
mod postfix;
mod primary;
mod recover;
mod scope;
mod stmt;
mod types;

use std::rc::Rc;
use std::sync::Arc;

use self::scope::Scopes;
use super::ast::*;
use super::lexer::lex;
use super::token::{Token, TokenKind};
use crate::diag::Diagnostic;
use crate::source::{FileId, Span};

/// How many constructs may stand inside each other. Each level costs the parser some stack frames, and a thread of
/// 2 MiB must be enough for a hostile file.
const MAX_NESTING: usize = 200;

/// The largest height of a tree that parsing yields. Chains such as `a + b + c` grow a tree without nesting, so they
/// count too. Whoever walks a tree by recursion needs stack for this many levels.
pub const MAX_HEIGHT: usize = 640;

/// Parses a file. The tree holds whatever could be read; the diagnostics are in the order of the text.
pub fn parse(file: FileId, text: &str) -> (Ast, Vec<Diagnostic>) {
    parse_after(file, text, &[])
}

/// Parses a text that follows others, as a line in a REPL does: `variables` are the names that `let` has introduced
/// before, which decide whether `x[0] = 1` assigns an element or is an equation.
pub fn parse_after(file: FileId, text: &str, variables: &[&str]) -> (Ast, Vec<Diagnostic>) {
    let (ast, diagnostics, _) = parse_with_layout(file, text, variables);
    (ast, diagnostics)
}

/// What the parser found out about single tokens, for the formatter: indices into the list of tokens, ascending.
#[derive(Default)]
pub(super) struct Layout {
    /// The first tokens of statements, arms, fields and other entries of braces.
    pub(super) starts: Vec<usize>,
    /// The `<` of each `<-` that is an arrow.
    pub(super) arrows: Vec<usize>,
    /// The `=` of each named argument.
    pub(super) named: Vec<usize>,
}

pub(super) fn parse_with_layout(file: FileId, text: &str, variables: &[&str]) -> (Ast, Vec<Diagnostic>, Layout) {
    let lexed = lex(file, text);
    let mut parser = Parser {
        text,
        file_variables: scope::file_variables(text, &lexed.tokens),
        partners: cursor::partners(&lexed.tokens),
        tokens: lexed.tokens,
        comments: lexed.comments,
        at: 0,
        joined: 0,
        mode: Mode::STATEMENT,
        nesting: 0,
        height: 0,
        scopes: Scopes::new(variables),
        diagnostics: lexed.diagnostics,
        reported_at: None,
        layout: Layout::default(),
        shadowing: Vec::new(),
    };
    let stmts = parser.file();
    parser.diagnostics.sort_by_key(|diagnostic| diagnostic.span().map(|span| span.start));
    (Ast { file, stmts }, parser.diagnostics, parser.layout)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// For an opening bracket's token the index of the one that closes it.
    partners: Vec<Option<usize>>,
    comments: Vec<Span>,
    /// The token to read next; never past `Eof`.
    at: usize,
    /// The token before which a line break does not count.
    joined: usize,
    mode: Mode,
    /// How many constructs are open.
    nesting: usize,
    /// The height of the highest tree built inside the innermost open construct.
    height: usize,
    scopes: Scopes<'a>,
    /// What the file's own `let`s introduce, wherever they stand in it.
    file_variables: Rc<[&'a str]>,
    diagnostics: Vec<Diagnostic>,
    /// The token at which the last syntax error was reported; a second one there would only repeat it.
    reported_at: Option<usize>,
    layout: Layout,
    /// Indices of this equation that share their name with a variable, which have been reported.
    shadowing: Vec<Arc<str>>,
}

/// What the surroundings of a token make of it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mode {
    /// A line break ends a statement.
    newlines: bool,
    /// In the head of `if`, `match`, `while` or `for`, where `name {` opens a block and not a record.
    head: bool,
    /// In the value of an equation, where values side by side are multiplied.
    equation: bool,
    /// Directly between the brackets of an index, where `::` is two colons.
    index: bool,
}

impl Mode {
    const STATEMENT: Mode = Mode { newlines: true, head: false, equation: false, index: false };

    /// Inside `()` and `[]` of a value. In an equation's index they hold a variable's value, no part of the equation.
    fn bracketed(self) -> Mode {
        Mode { newlines: false, head: false, equation: self.equation && !self.index, index: false }
    }

    /// Between the brackets of an index.
    fn indexing(self) -> Mode {
        Mode { newlines: false, head: false, equation: self.equation, index: true }
    }
}

impl<'a> Parser<'a> {
    /// Reads in another mode, then goes back to this one.
    fn within<T>(&mut self, mode: Mode, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.mode, mode);
        let result = read(self);
        self.mode = outer;
        result
    }

    /// Reads a construct that may hold itself. Too deep a nesting ends the file, since what follows could not be
    /// placed; `otherwise` stands for the construct then.
    fn nested<T>(&mut self, otherwise: impl FnOnce(Span) -> T, read: impl FnOnce(&mut Self) -> T) -> T {
        if self.nesting == MAX_NESTING {
            let span = self.here();
            self.error(
                Diagnostic::error(format!("more than {MAX_NESTING} levels of nesting")).at(span).hint("name an inner part with `let`"),
            );
            self.give_up();
            return otherwise(span);
        }
        let outer = std::mem::replace(&mut self.height, 0);
        self.nesting += 1;
        let result = read(self);
        self.nesting -= 1;
        self.height = outer.max(self.height + 1);
        result
    }

    /// Counts one more link of a chain, whose tree grows to the left without nesting. False when it is too long.
    fn link(&mut self) -> bool {
        self.height += 1;
        if self.height + self.nesting < MAX_HEIGHT {
            return true;
        }
        let error = Diagnostic::error(format!("an expression of more than {MAX_HEIGHT} levels")).at(self.here());
        self.error(error.hint("name a part of it with `let`, or use a list"));
        self.give_up();
        false
    }

    fn name_of(&self, span: Span) -> Arc<str> {
        self.text_of(span).into()
    }

    fn text_of(&self, span: Span) -> &'a str {
        self.text.get(span.range()).unwrap_or("")
    }

    fn error_expr(&self, span: Span) -> Expr {
        Expr::new(ExprKind::Error, span)
    }
}
