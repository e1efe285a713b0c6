//! Statements and blocks.

use super::*;
use TokenKind as T;

impl<'a> Parser<'a> {
    /// All statements of the file.
    pub(super) fn file(&mut self) -> Vec<Stmt> {
        let mut stmts = Vec::new();
        loop {
            self.statements(&mut stmts);
            if self.peek().kind == T::Eof {
                return stmts;
            }
            let error = Diagnostic::error("`}` closes nothing").at(self.here()).hint("remove it, or open a block before it");
            self.error(error);
            self.bump();
        }
    }

    /// A block that must be here; `after` says what it follows.
    pub(super) fn body(&mut self, after: &str) -> Block {
        if !self.brace_opens(after) {
            let span = self.last().after();
            return Block { stmts: Vec::new(), value: None, span };
        }
        self.block()
    }

    /// Whether `{` follows. One at the start of the next line is reported and taken all the same.
    pub(super) fn brace_opens(&mut self, after: &str) -> bool {
        if self.at(T::OpenBrace) {
            return true;
        }
        let next_line = self.peek().kind == T::OpenBrace;
        let error = self.expectation(&format!("`{{` after {after}"));
        self.error(match self.peek().kind {
            T::OpenBrace => error.hint("put the `{` on this line: a line break ends a statement"),
            T::Colon if after.ends_with("signature") => {
                error.hint("write `fn f(x) -> int { … }`: `->` before the result's type, then a block in braces")
            }
            T::Less if after == "the record's name" => error.hint("a record has no type parameters: leave the types out"),
            T::Colon if !self.line_ended() => error.hint("a block stands in braces: `{ … }`"),
            _ => error,
        });
        next_line
    }

    /// A block, from its brace on.
    pub(super) fn block(&mut self) -> Block {
        self.nested(|span| Block { stmts: Vec::new(), value: None, span }, Self::block_inner)
    }

    fn block_inner(&mut self) -> Block {
        let open = self.bump();
        self.scopes.enter();
        let mut stmts = Vec::new();
        self.within(Mode::STATEMENT, |parser| parser.statements(&mut stmts));
        self.scopes.leave();
        self.joined = self.at;
        if !self.eat(T::CloseBrace) {
            self.never_closed(open);
        }
        Block::of(stmts, self.span_from(open.span))
    }

    /// Statements up to a closing brace or the end of the file.
    fn statements(&mut self, stmts: &mut Vec<Stmt>) {
        loop {
            while self.peek().kind == T::Semicolon {
                self.bump();
            }
            if matches!(self.peek().kind, T::CloseBrace | T::Eof) {
                return;
            }
            self.joined = self.at;
            let before = self.at;
            self.layout.starts.push(before);
            stmts.push(self.statement());
            if !self.line_ended() && !matches!(self.peek().kind, T::Semicolon | T::CloseBrace | T::Eof) {
                self.no_separator(before);
                self.skip_statement();
            }
            if self.at == before {
                // A bracket that closes nothing, say.
                self.bump();
            }
        }
    }

    /// Reports what follows a statement on its line.
    fn no_separator(&mut self, start: usize) {
        let error = self.expectation("a line break or `;`");
        let hint = self.foreign_sign(start);
        self.error(if hint.is_empty() { error } else { error.hint(hint) });
    }

    pub(super) fn statement(&mut self) -> Stmt {
        let start = self.here();
        let kind = self.nested(|_| StmtKind::Error, |parser| parser.statement_kind());
        Stmt { kind, span: self.span_from(start) }
    }

    fn statement_kind(&mut self) -> StmtKind {
        let place = self.here();
        let next = self.peek_at(1);
        let top_only = match (self.peek().kind, next.kind) {
            (T::Import, _) => "import",
            (T::Struct, _) => "struct",
            (T::Ident, T::OpenBrace) if self.at_word("main") && !next.newline_before => "main",
            (T::Ident, T::Ident) if self.at_word("test") && !next.newline_before => "test",
            (T::Ident, T::Ident) if self.at_word("bench") && !next.newline_before => "bench",
            _ => "",
        };
        if !top_only.is_empty() {
            // The file's own statements are the outermost constructs.
            if self.nesting > 1 {
                let error = Diagnostic::error(format!("`{top_only}` inside a block")).at(place);
                self.report(error.hint(format!("move the `{top_only}` out, to the top of the file")));
            }
            return self.top_declaration(top_only);
        }
        if self.at(T::Ident)
            && let Some(kind) = self.foreign_statement()
        {
            return kind;
        }
        match self.peek().kind {
            T::Fn if next.kind == T::Ident => self.over_file_variables(|parser| StmtKind::Fn(parser.function_decl())),
            T::Let => self.let_stmt(),
            T::Ident if self.at_tensor_declaration() => self.tensor_stmt(),
            T::While => {
                self.bump();
                let cond = self.head();
                StmtKind::While { cond, body: self.body("the condition") }
            }
            T::For => self.for_stmt(),
            T::Loop => {
                self.bump();
                StmtKind::Loop(self.body("`loop`"))
            }
            T::Break => {
                self.bump();
                StmtKind::Break
            }
            T::Continue => {
                self.bump();
                StmtKind::Continue
            }
            T::Return => {
                self.bump();
                let ends = self.line_ended() || matches!(self.peek().kind, T::Semicolon | T::CloseBrace | T::Comma | T::Eof);
                StmtKind::Return((!ends).then(|| self.expr()))
            }
            T::Ident if next.kind == T::Ident && !next.newline_before && self.at_word("relation") => self.relation(),
            T::Ident if next.kind == T::Ident && !next.newline_before && self.at_word("entity") => self.entities(),
            T::Ident if next.kind == T::OpenBrace && !next.newline_before && self.at_word("learn") => self.learn(),
            T::Ident if self.at_rule() => self.rule(),
            T::Ident => match self.equation_projection() {
                Some(projection) => self.equation(projection),
                None => self.expr_or_assign(),
            },
            _ => self.expr_or_assign(),
        }
    }

    fn top_declaration(&mut self, word: &str) -> StmtKind {
        match word {
            "import" => self.import(),
            "struct" => self.over_file_variables(|parser| StmtKind::Struct(parser.struct_decl())),
            "main" => self.over_file_variables(Self::main),
            _ => self.over_file_variables(|parser| {
                let (name, body) = parser.named_block();
                if word == "test" { StmtKind::Test { name, body } } else { StmtKind::Bench { name, body } }
            }),
        }
    }

    /// Reads a declaration of the file, which sees each `let` of the file, also a later one: functions run when they
    /// are called, `main` and the tests after the file's statements.
    fn over_file_variables<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        if self.nesting > 1 {
            return read(self);
        }
        self.scopes.enter();
        for name in self.file_variables.clone().iter() {
            self.scopes.declare(name);
        }
        let result = read(self);
        self.scopes.leave();
        result
    }

    /// `let x = e`, `let (a, b): T = e`.
    fn let_stmt(&mut self) -> StmtKind {
        self.bump();
        let word = self.here();
        if self.eat_mut() {
            let error = Diagnostic::error("`let` takes no `mut`: every variable can be changed").at(word);
            self.report(error.hint(format!("write `let {}`", self.text_of(self.here()))));
        }
        let target = self.binding("a name after `let`");
        let ty = self.eat(T::Colon).then(|| self.ty());
        let value = if self.expect(T::Assign, "and a value") { self.expr() } else { self.error_expr(self.last().after()) };
        // The value does not see the name: in `let x = x + 1` the right `x` is the one before.
        self.declare_pattern(&target);
        StmtKind::Let(Let { target, ty, value, converts: false })
    }

    /// Whether `tensor NAME` is here: two names on one line, which begin nothing else.
    pub(super) fn at_tensor_declaration(&self) -> bool {
        let next = self.peek_at(1);
        self.at_word("tensor") && next.kind == T::Ident && !next.newline_before
    }

    /// `tensor x: float32[2, 3] = e`.
    fn tensor_stmt(&mut self) -> StmtKind {
        self.bump();
        let name = self.name();
        let typed = self.eat(T::Colon);
        if !typed {
            let error = self.expectation("`:` and a tensor's type").hint(format!("write `tensor {}: float32[…] = …`", name.name));
            self.error(error);
        }
        let ty = typed.then(|| self.ty());
        let value = if !typed {
            self.skip_statement();
            self.error_expr(self.last().after())
        } else if self.at_word("learnable") {
            let error = self.expectation("`=` and a value").hint("this version computes no gradients: leave `learnable` out");
            self.error(error);
            self.skip_statement();
            self.error_expr(self.last().after())
        } else if self.expect(T::Assign, "and a value") {
            self.expr()
        } else {
            self.error_expr(self.last().after())
        };
        self.declare(&name);
        let target = Pattern { span: name.span, kind: PatternKind::Name(name) };
        StmtKind::Let(Let { target, ty, value, converts: true })
    }

    /// `for x in e { … }`.
    fn for_stmt(&mut self) -> StmtKind {
        self.bump();
        let target = self.binding("a name after `for`");
        let iter = if self.expect(T::In, "after the loop's name") { self.head() } else { self.error_expr(self.last().after()) };
        self.scopes.enter();
        self.declare_pattern(&target);
        let body = self.body("what the loop goes over");
        self.scopes.leave();
        StmtKind::For { target, iter, body }
    }

    /// The expression in the head of `if`, `match`, `while` or `for`.
    pub(super) fn head(&mut self) -> Expr {
        let mode = Mode { head: true, ..self.mode };
        self.within(mode, |parser| parser.expr())
    }

    fn expr_or_assign(&mut self) -> StmtKind {
        let target = self.expr();
        let Some(op) = assignment(self.peek().kind).filter(|_| !self.line_ended()) else { return StmtKind::Expr(target) };
        let op_span = self.here();
        let assignable = matches!(target.kind, ExprKind::Name(_) | ExprKind::Field { .. } | ExprKind::Index { .. } | ExprKind::Error);
        if !assignable {
            let error = Diagnostic::error("cannot assign to this").at(target.span);
            self.error(error.hint("a name, a field or an index stands before `=`; compare with `==`"));
        }
        self.bump();
        let value = self.expr();
        StmtKind::Assign(Assign { target, op, op_span, value })
    }
}

impl Block {
    /// A block of these statements, whose last one, when it is an expression, is the value.
    fn of(mut stmts: Vec<Stmt>, span: Span) -> Block {
        let value = match stmts.pop() {
            Some(Stmt { kind: StmtKind::Expr(value), .. }) => Some(Box::new(value)),
            other => {
                stmts.extend(other);
                None
            }
        };
        Block { stmts, value, span }
    }

    /// A block of one statement without braces, as behind `=>`.
    pub(super) fn of_one(stmt: Stmt) -> Block {
        let span = stmt.span;
        Block::of(vec![stmt], span)
    }
}

/// The operator of `+=` and its like; `Some(None)` for `=`.
pub(super) fn assignment(kind: TokenKind) -> Option<Option<BinaryOp>> {
    Some(match kind {
        T::Assign => None,
        T::PlusAssign => Some(BinaryOp::Add),
        T::MinusAssign => Some(BinaryOp::Sub),
        T::StarAssign => Some(BinaryOp::Mul),
        T::SlashAssign => Some(BinaryOp::Div),
        T::PercentAssign => Some(BinaryOp::Rem),
        T::AtAssign => Some(BinaryOp::MatMul),
        T::PowAssign => Some(BinaryOp::Pow),
        _ => return None,
    })
}
