//! Declarations: functions, records, imports, `main`, `test` and `bench`.

use super::*;

impl<'a> Parser<'a> {
    /// `import "lib.tl"`, `import std.nn`.
    pub(super) fn import(&mut self) -> StmtKind {
        let start = self.bump().span;
        let path = if self.at(TokenKind::Str) {
            let span = self.bump().span;
            ImportPath::File(self.string_at(span))
        } else {
            let mut parts = vec![self.expect_name("a file in quotes or a module's name after `import`")];
            while self.eat(TokenKind::Dot) {
                parts.push(self.expect_name("a module's name after `.`"));
            }
            if self.at(TokenKind::As) {
                let error = Diagnostic::error("an import has no other name").at(self.here());
                self.error(error.hint("write `import \"lib.tl\"` or `import std.nn`: what it declares is known by its own names"));
                self.skip_statement();
            }
            ImportPath::Module(parts)
        };
        StmtKind::Import(Import { path, span: self.span_from(start) })
    }

    /// `main { … }`.
    pub(super) fn main(&mut self) -> StmtKind {
        self.bump();
        StmtKind::Main(self.body("`main`"))
    }

    /// `test name { … }` and `bench name { … }`.
    pub(super) fn named_block(&mut self) -> (Ident, Block) {
        self.bump();
        let name = self.name();
        let body = self.body("the name");
        (name, body)
    }

    /// `fn name(…) -> T { … }`.
    pub(super) fn function_decl(&mut self) -> Arc<Function> {
        let doc = self.doc_above();
        let start = self.bump().span;
        let name = self.name();
        self.function(start, Some(name), doc)
    }

    /// A function from its parameters on; `start` is its `fn`.
    pub(super) fn function(&mut self, start: Span, name: Option<Ident>, doc: Option<Arc<str>>) -> Arc<Function> {
        self.scopes.enter();
        let params = if self.at(TokenKind::OpenParen) {
            self.list(TokenKind::CloseParen, "a parameter", Self::param).0
        } else {
            let after = if name.is_some() { "`(` after the function's name" } else { "`(` after `fn`" };
            self.expected(after);
            Vec::new()
        };
        self.no_repeats("parameter", params.iter().map(|param| &param.name));
        let result = self.eat(TokenKind::Arrow).then(|| self.ty());
        let head = self.span_from(start);
        let body = self.body("the function's signature");
        self.scopes.leave();
        Arc::new(Function { name, params, result, body, doc, head })
    }

    fn param(&mut self) -> Param {
        let start = self.here();
        let is_mut = self.eat_mut();
        let name = self.expect_name("a parameter's name");
        let ty = self.eat(TokenKind::Colon).then(|| self.ty());
        let default = self.eat(TokenKind::Assign).then(|| self.expr());
        self.declare(&name);
        Param { is_mut, name, ty, default, span: self.span_from(start) }
    }

    /// `struct Name { field: T, … fn method(self) { … } }`.
    pub(super) fn struct_decl(&mut self) -> Arc<StructDecl> {
        let doc = self.doc_above();
        let start = self.bump().span;
        let name = self.expect_name("the record's name after `struct`");
        let span = self.span_from(start);
        let mut methods = Vec::new();
        let fields = match self.brace_opens("the record's name") {
            true => self.entries("a member", |parser| {
                if parser.at(TokenKind::Fn) && parser.peek_at(1).kind == TokenKind::Ident {
                    methods.push(parser.function_decl());
                    return None;
                }
                Some(parser.field_decl())
            }),
            false => Vec::new(),
        };
        let fields: Vec<FieldDecl> = fields.into_iter().flatten().collect();
        self.no_repeats("member", fields.iter().map(|field| &field.name).chain(methods.iter().filter_map(|method| method.name.as_ref())));
        Arc::new(StructDecl { name, fields, methods, doc, span })
    }

    fn field_decl(&mut self) -> FieldDecl {
        let start = self.here();
        let name = self.expect_name("a field's name or a method");
        let ty = self.eat(TokenKind::Colon).then(|| self.ty());
        let default = self.eat(TokenKind::Assign).then(|| self.expr());
        FieldDecl { name, ty, default, span: self.span_from(start) }
    }

    /// Reports a name that stands twice among these.
    pub(super) fn no_repeats<'i>(&mut self, what: &str, names: impl Iterator<Item = &'i Ident>) {
        let mut seen: std::collections::HashMap<&str, Span> = Default::default();
        for name in names.filter(|name| !name.name.is_empty()) {
            if let Some(first) = seen.insert(&name.name, name.span) {
                let error = Diagnostic::error(format!("{what} `{}` twice", name.name)).at(name.span).reason(first, "the first");
                self.report(error.hint("rename one of them"));
            }
        }
    }

    /// Notes a name as a variable from here on.
    pub(super) fn declare(&mut self, name: &Ident) {
        // The empty name of a failed read declares nothing.
        if !name.name.is_empty() {
            self.scopes.declare(self.text_of(name.span));
        }
    }

    /// The lines of `//` directly above the next token, without their slashes.
    fn doc_above(&self) -> Option<Arc<str>> {
        let mut below = self.here().start as usize;
        let mut lines = Vec::new();
        let before = self.comments.partition_point(|comment| (comment.start as usize) < below);
        for comment in self.comments[..before].iter().rev() {
            let text = self.text_of(*comment);
            let gap = self.text.get(comment.end as usize..below).unwrap_or("");
            let line_before = &self.text[..comment.start as usize];
            let alone = line_before[line_before.rfind('\n').map_or(0, |at| at + 1)..].trim().is_empty();
            let body = text.strip_prefix("//");
            let (Some(body), true, 1, "") = (body, alone, gap.matches('\n').count(), gap.trim()) else { break };
            let body = body.strip_prefix('/').unwrap_or(body).trim_end();
            lines.push(body.strip_prefix(' ').unwrap_or(body));
            below = comment.start as usize;
        }
        lines.reverse();
        (!lines.is_empty()).then(|| lines.join("\n").into())
    }
}
