//! A tree as text, one line a statement: for tests and for `tl explain`.
//!
//! The form is an s-expression: an operator or a construct first, then its parts. Spans are left out.

use std::fmt::Write;

use super::ast::*;

/// The tree of a file, one top-level statement a line.
pub fn dump(ast: &Ast) -> String {
    let mut out = String::new();
    for stmt in &ast.stmts {
        Dump { out: &mut out }.stmt(stmt);
        out.push('\n');
    }
    out
}

struct Dump<'a> {
    out: &'a mut String,
}

impl Dump<'_> {
    fn word(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// ` ` and then a part.
    fn part(&mut self, write: impl FnOnce(&mut Self)) {
        self.out.push(' ');
        write(self);
    }

    fn form(&mut self, head: &str, write: impl FnOnce(&mut Self)) {
        let _ = write!(self.out, "({head}");
        write(self);
        self.out.push(')');
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Import(import) => match &import.path {
                ImportPath::File(path) => self.form("import", |d| d.part(|d| d.word(&format!("{path:?}")))),
                ImportPath::Module(parts) => {
                    let path = parts.iter().map(|part| &*part.name).collect::<Vec<_>>().join(".");
                    self.form("import", |d| d.part(|d| d.word(&path)));
                }
            },
            StmtKind::Fn(function) => self.function(function),
            StmtKind::Struct(decl) => self.form("struct", |d| {
                d.part(|d| d.word(&decl.name.name));
                for field in &decl.fields {
                    d.part(|d| d.binding(&field.name, &field.ty, &field.default));
                }
                for method in &decl.methods {
                    d.part(|d| d.function(method));
                }
            }),
            StmtKind::Main(body) => self.form("main", |d| d.body(body)),
            StmtKind::Test { name, body } => self.form("test", |d| d.named_body(name, body)),
            StmtKind::Bench { name, body } => self.form("bench", |d| d.named_body(name, body)),
            StmtKind::Let(stmt) => self.form(if stmt.converts { "tensor" } else { "let" }, |d| {
                d.part(|d| d.pattern(&stmt.target));
                if let Some(ty) = &stmt.ty {
                    d.part(|d| d.word(": "));
                    d.ty(ty);
                }
                d.part(|d| d.expr(&stmt.value));
            }),
            StmtKind::Assign(assign) => {
                let op = format!("{}=", assign.op.map_or("", BinaryOp::symbol));
                self.form(&op, |d| d.exprs([&assign.target, &assign.value]));
            }
            StmtKind::Expr(expr) => self.expr(expr),
            StmtKind::While { cond, body } => self.form("while", |d| {
                d.part(|d| d.expr(cond));
                d.body(body);
            }),
            StmtKind::For { target, iter, body } => self.form("for", |d| {
                d.part(|d| d.pattern(target));
                d.part(|d| d.expr(iter));
                d.body(body);
            }),
            StmtKind::Loop(body) => self.form("loop", |d| d.body(body)),
            StmtKind::Break => self.word("(break)"),
            StmtKind::Continue => self.word("(continue)"),
            StmtKind::Return(value) => self.form("return", |d| d.exprs(value)),
            StmtKind::Relation(relation) => self.form("relation", |d| {
                d.part(|d| d.word(&relation.name.name));
                d.names(&relation.params);
            }),
            StmtKind::Entity(names) => self.form("entity", |d| d.names(names)),
            StmtKind::Rule(rule) => self.form("<-", |d| {
                d.part(|d| d.atom(&rule.head));
                for condition in &rule.body {
                    d.part(|d| match condition {
                        Condition::Atom { atom, negated: false } => d.atom(atom),
                        Condition::Atom { atom, negated: true } => d.form("not", |d| d.part(|d| d.atom(atom))),
                        Condition::Compare(expr) => d.expr(expr),
                    });
                }
            }),
            StmtKind::Equation(equation) => {
                let sign = match equation.projection {
                    Projection::Sum => "equation",
                    Projection::Max => "equation-max",
                    Projection::Min => "equation-min",
                    Projection::Avg => "equation-avg",
                };
                self.form(sign, |d| {
                    d.part(|d| d.form("index", |d| d.indexed(&equation.name.name, &equation.indices)));
                    d.part(|d| d.expr(&equation.value));
                });
            }
            StmtKind::Learn(learn) => self.form("learn", |d| {
                d.part(|d| d.expr(&learn.objective));
                d.fields(&learn.options);
            }),
            StmtKind::Error => self.word("error"),
        }
    }

    fn function(&mut self, function: &Function) {
        self.form("fn", |d| {
            if let Some(name) = &function.name {
                d.part(|d| d.word(&name.name));
            }
            d.part(|d| {
                d.word("(");
                for (at, param) in function.params.iter().enumerate() {
                    d.word(if at == 0 { "" } else { " " });
                    d.word(if param.is_mut { "mut " } else { "" });
                    d.binding(&param.name, &param.ty, &param.default);
                }
                d.word(")");
            });
            if let Some(result) = &function.result {
                d.word(" -> ");
                d.ty(result);
            }
            d.body(&function.body);
        });
    }

    /// `name`, `name: T`, `(= name: T e)`.
    fn binding(&mut self, name: &Ident, ty: &Option<TypeExpr>, default: &Option<Expr>) {
        let typed = |d: &mut Self| {
            d.word(&name.name);
            if let Some(ty) = ty {
                d.word(": ");
                d.ty(ty);
            }
        };
        match default {
            None => typed(self),
            Some(default) => self.form("=", |d| {
                d.part(typed);
                d.part(|d| d.expr(default));
            }),
        }
    }

    fn named_body(&mut self, name: &Ident, body: &Block) {
        self.part(|d| d.word(&name.name));
        self.body(body);
    }

    /// ` {statements value}`; a block without a value ends in `;`.
    fn body(&mut self, block: &Block) {
        self.part(|d| d.block(block));
    }

    fn block(&mut self, block: &Block) {
        self.word("{");
        for stmt in &block.stmts {
            self.stmt(stmt);
            self.word("; ");
        }
        match &block.value {
            Some(value) => self.expr(value),
            None => self.out.truncate(self.out.trim_end_matches(' ').len()),
        }
        self.word("}");
    }

    fn ty(&mut self, ty: &TypeExpr) {
        match &ty.kind {
            TypeKind::Name(name) => self.word(&name.name),
            TypeKind::Tensor { dtype, dims } => {
                let dims = dims.iter().map(|dim| match &dim.kind {
                    DimKind::Size(size) => size.to_string(),
                    DimKind::Name(name) => name.to_string(),
                    DimKind::Any => "?".to_owned(),
                    DimKind::Rest => "...".to_owned(),
                });
                let dims = dims.collect::<Vec<_>>().join(", ");
                self.word(&format!("{}[{dims}]", dtype.name));
            }
            TypeKind::Tuple(types) => self.form("tuple", |d| types.iter().for_each(|ty| d.part(|d| d.ty(ty)))),
            TypeKind::Error => self.word("error"),
        }
    }

    fn pattern(&mut self, pattern: &Pattern) {
        match &pattern.kind {
            PatternKind::Wildcard => self.word("_"),
            PatternKind::Name(name) => self.word(&name.name),
            PatternKind::Literal(literal) => self.literal(literal),
            PatternKind::Range(start, end) => self.word(&format!("(.. {start} {end})")),
            PatternKind::Tuple(parts) => self.form("tuple", |d| parts.iter().for_each(|part| d.part(|d| d.pattern(part)))),
            PatternKind::Any(parts) => self.form("|", |d| parts.iter().for_each(|part| d.part(|d| d.pattern(part)))),
            PatternKind::Error => self.word("error"),
        }
    }

    fn literal(&mut self, literal: &Literal) {
        match literal {
            Literal::Int(value) => self.word(&value.to_string()),
            Literal::Float(value) => self.word(&format!("{value:?}")),
            Literal::None => self.word("none"),
            Literal::Bool(value) => self.word(&value.to_string()),
            Literal::Str(value) => self.word(&format!("{value:?}")),
        }
    }

    fn exprs<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) {
        exprs.into_iter().for_each(|expr| self.part(|d| d.expr(expr)));
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Literal(literal) => self.literal(literal),
            ExprKind::Name(name) => self.word(name),
            ExprKind::Path(base, name) => self.word(&format!("{}::{}", base.name, name.name)),
            ExprKind::Paren(inner) => self.form("paren", |d| d.exprs([&**inner])),
            ExprKind::List(items) => self.form("list", |d| d.exprs(items)),
            ExprKind::Tuple(items) => self.form("tuple", |d| d.exprs(items)),
            ExprKind::Struct { name, fields } => self.form("record", |d| {
                d.part(|d| d.word(&name.name));
                d.fields(fields);
            }),
            ExprKind::Fn(function) => self.function(function),
            ExprKind::Unary { op: UnaryOp::Neg, operand } => self.form("neg", |d| d.exprs([&**operand])),
            ExprKind::Unary { op: UnaryOp::Not, operand } => self.form("not", |d| d.exprs([&**operand])),
            ExprKind::Binary { op, left, right, .. } => {
                let symbol = if *op == BinaryOp::Juxtapose { "join" } else { op.symbol() };
                self.form(symbol, |d| d.exprs([&**left, &**right]));
            }
            ExprKind::Range { start, end } => self.form("..", |d| d.exprs([&**start, &**end])),
            ExprKind::As { value, ty } => self.form("as", |d| {
                d.exprs([&**value]);
                d.part(|d| d.ty(ty));
            }),
            ExprKind::Call { callee, args } => self.form("call", |d| {
                d.exprs([&**callee]);
                d.args(args);
            }),
            ExprKind::Method { receiver, name, args } => self.form(&format!("method {}", name.name), |d| {
                d.exprs([&**receiver]);
                d.args(args);
            }),
            ExprKind::Field { base, name } => self.form(&format!("field {}", name.name), |d| d.exprs([&**base])),
            ExprKind::Index { base, args } => self.form("index", |d| {
                d.exprs([&**base]);
                d.index_args(args);
            }),
            ExprKind::Query(inner) => self.form("?", |d| d.exprs([&**inner])),
            ExprKind::If { branches, otherwise } => self.form("if", |d| {
                for branch in branches {
                    d.exprs([&branch.cond]);
                    d.body(&branch.body);
                }
                if let Some(otherwise) = otherwise {
                    d.body(otherwise);
                }
            }),
            ExprKind::Match { subject, arms } => self.form("match", |d| {
                d.exprs([&**subject]);
                for arm in arms {
                    d.part(|d| {
                        d.form("=>", |d| {
                            d.part(|d| d.pattern(&arm.pattern));
                            if let Some(guard) = &arm.guard {
                                d.part(|d| d.form("if", |d| d.exprs([guard])));
                            }
                            d.body(&arm.body);
                        })
                    });
                }
            }),
            ExprKind::Block(block) => self.block(block),
            ExprKind::Unstored(name) => self.word(&format!("*{}", name.name)),
            ExprKind::Error => self.word("error"),
        }
    }

    fn args(&mut self, args: &[Arg]) {
        for arg in args {
            let value = |d: &mut Self| {
                d.part(|d| if arg.is_mut { d.form("mut", |d| d.exprs([&arg.value])) } else { d.expr(&arg.value) });
            };
            match &arg.name {
                None => value(self),
                Some(name) => self.part(|d| d.form(&format!("{}:", name.name), value)),
            }
        }
    }

    fn fields(&mut self, fields: &[FieldInit]) {
        fields.iter().for_each(|field| self.field(&field.name.name, &field.value));
    }

    fn field(&mut self, name: &str, value: &Expr) {
        self.part(|d| d.form(&format!("{name}:"), |d| d.exprs([value])));
    }

    fn indexed(&mut self, name: &str, args: &[IndexArg]) {
        self.part(|d| d.word(name));
        self.index_args(args);
    }

    fn index_args(&mut self, args: &[IndexArg]) {
        for arg in args {
            self.part(|d| match &arg.kind {
                IndexArgKind::At(expr) => d.expr(expr),
                IndexArgKind::Normalized(name) => d.word(&format!("{}.", name.name)),
                IndexArgKind::Slice { start, end, step } => d.form("slice", |d| {
                    for bound in [start, end, step] {
                        d.part(|d| match bound {
                            Some(bound) => d.expr(bound),
                            None => d.word("_"),
                        });
                    }
                }),
            });
        }
    }

    fn atom(&mut self, atom: &Atom) {
        self.form("atom", |d| {
            d.part(|d| d.word(&atom.name.name));
            d.exprs(&atom.args);
        });
    }

    fn names(&mut self, names: &[Ident]) {
        names.iter().for_each(|name| self.part(|d| d.word(&name.name)));
    }
}
