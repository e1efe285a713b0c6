//! Expressions.

use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::lang::builtins;
use crate::lang::hir;
use crate::lang::types::dtype_of_name;
use crate::lang::value::Value;
use crate::source::Span;
use crate::syntax::ast;

use super::scope::Meaning;
use super::stmt::{constant, root_name};
use super::{Resolver, foreign};

impl Resolver<'_> {
    pub(super) fn expr(&mut self, expr: &ast::Expr) -> hir::Expr {
        let span = expr.span;
        let kind = match &expr.kind {
            ast::ExprKind::Literal(value) => hir::ExprKind::Const(literal(value)),
            ast::ExprKind::Name(name) => return self.name(name, span, false),
            ast::ExprKind::Path(base, name) => return self.path(base, name, span),
            ast::ExprKind::Paren(inner) => return hir::Expr { span, ..self.expr(inner) },
            ast::ExprKind::List(items) => hir::ExprKind::List(self.exprs(items)),
            ast::ExprKind::Tuple(items) => hir::ExprKind::Tuple(self.exprs(items)),
            ast::ExprKind::Struct { name, fields } => {
                let def = Box::new(self.name(&name.name, name.span, false));
                let fields = fields.iter().map(|f| (f.name.name.clone(), f.name.span, self.expr(&f.value))).collect();
                hir::ExprKind::Struct { def, fields }
            }
            ast::ExprKind::Fn(function) => hir::ExprKind::Closure(Arc::new(self.function(function, false))),
            ast::ExprKind::Unary { op, operand } => hir::ExprKind::Unary { op: *op, operand: self.boxed(operand) },
            ast::ExprKind::Binary { op, op_span, left, right } => {
                hir::ExprKind::Binary { op: *op, op_span: *op_span, left: self.boxed(left), right: self.boxed(right) }
            }
            ast::ExprKind::Range { start, end } => hir::ExprKind::Range { start: self.boxed(start), end: self.boxed(end) },
            ast::ExprKind::As { value, ty } => hir::ExprKind::As { value: self.boxed(value), ty: self.ty(ty) },
            ast::ExprKind::Call { callee, args } => {
                if let ast::ExprKind::Name(name) = &callee.kind
                    && let Some(kind) = self.method_as_function(name, callee.span, args)
                {
                    return hir::Expr { kind, span };
                }
                let callee = match &callee.kind {
                    ast::ExprKind::Name(name) => self.name(name, callee.span, true),
                    _ => self.expr(callee),
                };
                hir::ExprKind::Call { callee: Box::new(callee), args: self.args(args) }
            }
            ast::ExprKind::Method { receiver, name, args } => {
                // Only the call knows whether the method changes its receiver.
                let receiver = match self.place_of(receiver) {
                    Some(place) => hir::Receiver::Place(Box::new(place)),
                    None => hir::Receiver::Value(self.boxed(receiver)),
                };
                let function = self.meaning(&name.name).map(|m| Box::new(meant(m, &name.name, name.span)));
                hir::ExprKind::Method { receiver, name: name.name.clone(), name_span: name.span, function, args: self.args(args) }
            }
            ast::ExprKind::Field { base, name } => {
                hir::ExprKind::Field { base: self.boxed(base), name: name.name.clone(), name_span: name.span }
            }
            ast::ExprKind::Index { base, args } => hir::ExprKind::Index { base: self.boxed(base), args: self.index_args(args) },
            ast::ExprKind::If { branches, otherwise } => hir::ExprKind::If {
                branches: branches.iter().map(|b| (self.expr(&b.cond), self.block(&b.body))).collect(),
                otherwise: otherwise.as_ref().map(|b| self.block(b)),
            },
            ast::ExprKind::Match { subject, arms } => {
                let subject = self.boxed(subject);
                let arms = arms
                    .iter()
                    .map(|arm| {
                        self.in_block(|this| {
                            let pattern = this.pattern(&arm.pattern);
                            let guard = arm.guard.as_ref().map(|g| this.expr(g));
                            hir::Arm { pattern, guard, body: this.block(&arm.body) }
                        })
                    })
                    .collect();
                hir::ExprKind::Match { subject, arms }
            }
            ast::ExprKind::Block(block) => hir::ExprKind::Block(self.block(block)),
            ast::ExprKind::Query(_) => {
                self.error(Diagnostic::error("queries are not run by this version").at(span));
                return constant(Value::Unit, span);
            }
            ast::ExprKind::Unstored(name) => {
                self.error(Diagnostic::error(format!("`*{}` has a meaning only in an equation's index", name.name)).at(span));
                return constant(Value::Unit, span);
            }
            ast::ExprKind::Error => return constant(Value::Unit, span),
        };
        hir::Expr { kind, span }
    }

    /// `forward(model, tokens, cache)`: a method whose name stands for nothing else, written as a function of what it is called on.
    fn method_as_function(&mut self, name: &std::sync::Arc<str>, name_span: Span, args: &[ast::Arg]) -> Option<hir::ExprKind> {
        if self.meaning(name).is_some() {
            return None;
        }
        let (receiver, rest) = args.split_first().filter(|(first, _)| first.name.is_none())?;
        let changes = |b: &builtins::Builtin| matches!(b.run, builtins::Run::Change(_));
        if !builtins::methods_named(name).any(|b| !changes(b)) {
            return None;
        }
        let receiver = hir::Receiver::Value(self.boxed(&receiver.value));
        Some(hir::ExprKind::Method { receiver, name: name.clone(), name_span, function: None, args: self.args(rest) })
    }

    fn boxed(&mut self, expr: &ast::Expr) -> Box<hir::Expr> {
        Box::new(self.expr(expr))
    }

    fn exprs(&mut self, exprs: &[ast::Expr]) -> Vec<hir::Expr> {
        exprs.iter().map(|e| self.expr(e)).collect()
    }

    fn args(&mut self, args: &[ast::Arg]) -> Vec<hir::Arg> {
        args.iter()
            .map(|arg| {
                let name = arg.name.as_ref().map(|n| (n.name.clone(), n.span));
                let value = if arg.is_mut { self.lent(&arg.value) } else { hir::ArgValue::Of(self.expr(&arg.value)) };
                hir::Arg { name, value, span: arg.span }
            })
            .collect()
    }

    /// What stands behind `mut`: something to assign to.
    fn lent(&mut self, expr: &ast::Expr) -> hir::ArgValue {
        if root_name(expr).is_none() {
            let error = Diagnostic::error("`mut` marks a variable, a field or an element").at(expr.span);
            self.error(error.hint("name it first, `let x = …`, and write `mut x`"));
            return hir::ArgValue::Of(constant(Value::Unit, expr.span));
        }
        match self.target(expr) {
            Some(target) => hir::ArgValue::Lent(Box::new(target)),
            None => hir::ArgValue::Of(constant(Value::Unit, expr.span)),
        }
    }

    pub(super) fn index_args(&mut self, args: &[ast::IndexArg]) -> Vec<hir::IndexArg> {
        args.iter()
            .map(|arg| match &arg.kind {
                ast::IndexArgKind::At(expr) => hir::IndexArg::At(self.expr(expr)),
                ast::IndexArgKind::Slice { start, end, step } => {
                    let mut part = |e: &Option<ast::Expr>| e.as_ref().map(|e| self.expr(e));
                    hir::IndexArg::Slice(Box::new(hir::SliceArg { start: part(start), end: part(end), step: part(step), span: arg.span }))
                }
                ast::IndexArgKind::Normalized(name) => {
                    self.error(Diagnostic::error(format!("`{}.` has a meaning only in an equation", name.name)).at(arg.span));
                    hir::IndexArg::At(constant(Value::Unit, arg.span))
                }
            })
            .collect()
    }

    fn name(&mut self, name: &std::sync::Arc<str>, span: Span, is_call: bool) -> hir::Expr {
        if let Some(meaning) = self.meaning(name) {
            return meant(meaning, name, span);
        }
        let mut error = Diagnostic::error(format!("unknown {} `{name}`", if is_call { "function" } else { "name" })).at(span);
        let changed = builtins::methods_named(name).next().filter(|b| is_call && matches!(b.run, builtins::Run::Change(_)));
        if let Some(method) = changed {
            error = error.hint(format!("it changes what it is called on: write `{}`", method.shown()));
        } else if let Some(advice) = foreign::advice(name) {
            error = error.hint(advice);
        } else if let Some(near) = self.nearest(name) {
            error = error.hint(format!("did you mean `{near}`?"));
        }
        self.error(error);
        constant(Value::Unit, span)
    }

    /// `f16::zeros`, `Point::origin`.
    fn path(&mut self, base: &ast::Ident, name: &ast::Ident, span: Span) -> hir::Expr {
        if let Some(dtype) = dtype_of_name(&base.name) {
            return match builtins::find(&name.name).filter(|b| b.parameter("dtype").is_some()) {
                Some(builtin) => hir::Expr { kind: hir::ExprKind::WithDType(builtin, dtype), span },
                None => {
                    let error = Diagnostic::error(format!("`{}` takes no dtype", name.name)).at(name.span);
                    self.error(match foreign::advice(&name.name) {
                        Some(advice) => error.hint(advice),
                        None => error.hint(format!("write `{}(…)`, or `cast(x, {})`", name.name, base.name)),
                    });
                    constant(Value::Unit, span)
                }
            };
        }
        let def = Box::new(self.name(&base.name, base.span, false));
        hir::Expr { kind: hir::ExprKind::StaticMethod { def, name: name.name.clone(), name_span: name.span }, span }
    }
}

fn meant(meaning: Meaning, name: &std::sync::Arc<str>, span: Span) -> hir::Expr {
    let kind = match meaning {
        Meaning::Variable(place) => hir::ExprKind::Read(place, name.clone()),
        Meaning::Dim => hir::ExprKind::Dim(name.clone()),
        Meaning::Myself => hir::ExprKind::Myself,
        Meaning::Builtin(builtin) => hir::ExprKind::Const(Value::Builtin(builtin)),
        Meaning::DType(dtype) => hir::ExprKind::Const(Value::DType(dtype)),
    };
    hir::Expr { kind, span }
}

pub(super) fn literal(literal: &ast::Literal) -> Value {
    match literal {
        ast::Literal::Int(v) => Value::Int(*v),
        ast::Literal::Float(v) => Value::Float(*v),
        ast::Literal::None => Value::Unit,
        ast::Literal::Bool(v) => Value::Bool(*v),
        ast::Literal::Str(v) => Value::str(v),
    }
}
