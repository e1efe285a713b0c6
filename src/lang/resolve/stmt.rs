//! Statements, patterns, functions and structs.

use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::lang::hir;
use crate::lang::value::Value;
use crate::source::Span;
use crate::syntax::ast;

use super::Resolver;
use super::expr::literal;
use super::scope::{FnScope, Meaning};

impl Resolver<'_> {
    pub(super) fn block(&mut self, block: &ast::Block) -> hir::Block {
        self.in_block(|this| this.block_inside(block))
    }

    /// A block whose scope the caller has opened.
    pub(super) fn block_inside(&mut self, block: &ast::Block) -> hir::Block {
        let mut stmts = Vec::with_capacity(block.stmts.len());
        for stmt in &block.stmts {
            stmts.extend(self.stmt(stmt));
        }
        let value = block.value.as_ref().map(|e| Box::new(self.expr(e)));
        hir::Block { stmts, value, span: block.span }
    }

    pub(super) fn stmt(&mut self, stmt: &ast::Stmt) -> Option<hir::Stmt> {
        let kind = match &stmt.kind {
            ast::StmtKind::Let(declaration) => {
                let value = self.expr(&declaration.value);
                let ty = declaration.ty.as_ref().map(|t| Arc::new(self.ty(t)));
                let target = self.pattern(&declaration.target);
                if let Some(ty) = &ty {
                    if declaration.converts {
                        self.check_tensor_type(ty);
                    }
                    self.annotate(&target, ty);
                }
                hir::StmtKind::Let { target, ty, value, converts: declaration.converts }
            }
            ast::StmtKind::Assign(assign) => {
                let value = self.expr(&assign.value);
                let target = self.target(&assign.target)?;
                hir::StmtKind::Assign { target, op: assign.op, op_span: assign.op_span, value }
            }
            ast::StmtKind::Expr(expr) => hir::StmtKind::Expr(self.expr(expr)),
            ast::StmtKind::While { cond, body } => {
                let cond = self.expr(cond);
                hir::StmtKind::While { cond, body: self.loop_body(None, body).1 }
            }
            ast::StmtKind::For { target, iter, body } => {
                let iter = self.expr(iter);
                let (target, body) = self.loop_body(Some(target), body);
                hir::StmtKind::For { target: target?, iter, body }
            }
            ast::StmtKind::Loop(body) => hir::StmtKind::Loop(self.loop_body(None, body).1),
            ast::StmtKind::Break => self.in_loop(stmt.span, "break", hir::StmtKind::Break)?,
            ast::StmtKind::Continue => self.in_loop(stmt.span, "continue", hir::StmtKind::Continue)?,
            ast::StmtKind::Return(value) => {
                if self.fns.len() == 1 {
                    self.error(Diagnostic::error("`return` stands outside a function").at(stmt.span).hint("write it inside `fn`"));
                }
                hir::StmtKind::Return(value.as_ref().map(|e| self.expr(e)))
            }
            ast::StmtKind::Fn(function) => {
                let code = Arc::new(self.function(function, true));
                let name = function.name.as_ref()?;
                let place = self.declare(&name.name, name.span);
                let target = hir::Pattern { kind: hir::PatternKind::Bind(place, name.name.clone()), span: name.span };
                let value = hir::Expr { kind: hir::ExprKind::Closure(code), span: function.head };
                hir::StmtKind::Let { target, ty: None, value, converts: false }
            }
            // The parser has reported these where they do not belong.
            ast::StmtKind::Import(_)
            | ast::StmtKind::Struct(_)
            | ast::StmtKind::Main(_)
            | ast::StmtKind::Test { .. }
            | ast::StmtKind::Bench { .. }
            | ast::StmtKind::Error => return None,
            ast::StmtKind::Relation(_)
            | ast::StmtKind::Entity(_)
            | ast::StmtKind::Rule(_)
            | ast::StmtKind::Equation(_)
            | ast::StmtKind::Learn(_) => {
                self.not_evaluated(stmt);
                return None;
            }
        };
        Some(hir::Stmt { kind, span: stmt.span })
    }

    fn not_evaluated(&mut self, stmt: &ast::Stmt) {
        let error = match &stmt.kind {
            ast::StmtKind::Equation(equation) => {
                Diagnostic::error(format!("`{}[…] = …` is a tensor equation, which this version does not run", equation.name.name))
                    .at(stmt.span)
                    .hint(format!("to change an element, introduce the tensor first: `let {} = zeros([…])`", equation.name.name))
            }
            _ => Diagnostic::error("relations, rules and `learn` are not run by this version").at(stmt.span),
        };
        self.error(error);
    }

    fn in_loop(&mut self, span: Span, word: &str, kind: hir::StmtKind) -> Option<hir::StmtKind> {
        if self.top().loops > 0 {
            return Some(kind);
        }
        self.error(Diagnostic::error(format!("`{word}` stands outside a loop")).at(span));
        None
    }

    fn loop_body(&mut self, target: Option<&ast::Pattern>, body: &ast::Block) -> (Option<hir::Pattern>, hir::Block) {
        self.top().loops += 1;
        let result = self.in_block(|this| {
            let target = target.map(|t| this.pattern(t));
            (target, this.block(body))
        });
        self.top().loops -= 1;
        result
    }

    pub(super) fn pattern(&mut self, pattern: &ast::Pattern) -> hir::Pattern {
        let kind = match &pattern.kind {
            ast::PatternKind::Wildcard | ast::PatternKind::Error => hir::PatternKind::Wildcard,
            ast::PatternKind::Name(name) => hir::PatternKind::Bind(self.declare(&name.name, name.span), name.name.clone()),
            ast::PatternKind::Literal(value) => hir::PatternKind::Literal(literal(value)),
            ast::PatternKind::Range(start, end) => hir::PatternKind::Range(*start, *end),
            ast::PatternKind::Tuple(parts) => hir::PatternKind::Tuple(parts.iter().map(|p| self.pattern(p)).collect()),
            ast::PatternKind::Any(parts) => hir::PatternKind::Any(parts.iter().map(|p| self.pattern(p)).collect()),
        };
        hir::Pattern { kind, span: pattern.span }
    }

    /// Notes the types that local variables are declared with.
    fn annotate(&mut self, pattern: &hir::Pattern, ty: &Arc<hir::Type>) {
        match (&pattern.kind, &ty.kind) {
            (hir::PatternKind::Bind(hir::Place::Local(slot), _), _) => {
                if let Some(variable) = self.top().variable_at(*slot) {
                    variable.ty = Some(ty.clone());
                }
            }
            (hir::PatternKind::Tuple(parts), hir::TypeKind::Tuple(types)) => {
                for (part, ty) in parts.iter().zip(types) {
                    self.annotate(part, &Arc::new(ty.clone()));
                }
            }
            _ => {}
        }
    }

    /// What is assigned or lent. `None`: an error was reported.
    pub(super) fn target(&mut self, expr: &ast::Expr) -> Option<hir::Target> {
        let root = root_name(expr);
        let Some((name, name_span)) = root else {
            self.error(Diagnostic::error("only a variable, a field or an element can be assigned").at(expr.span));
            return None;
        };
        match self.meaning(name) {
            Some(Meaning::Variable(_)) => {
                let target = self.place_of(expr)?;
                match target.fixed {
                    None => Some(target),
                    Some(declared) => {
                        self.error(fixed_parameter(name, expr.span, declared));
                        None
                    }
                }
            }
            Some(_) => {
                self.error(Diagnostic::error(format!("`{name}` is no variable")).at(name_span).hint(format!("write `let {name} = …`")));
                None
            }
            None => {
                let mut error = Diagnostic::error(format!("`{name}` is not declared")).at(name_span);
                error = match self.nearest(name) {
                    Some(near) => error.hint(format!("write `let {name} = …`, or did you mean `{near}`?")),
                    None => error.hint(format!("write `let {name} = …`")),
                };
                self.error(error);
                None
            }
        }
    }

    /// An expression as something to assign to, or `None` when it is not.
    pub(super) fn place_of(&mut self, expr: &ast::Expr) -> Option<hir::Target> {
        match &expr.kind {
            ast::ExprKind::Name(name) => match self.meaning(name)? {
                Meaning::Variable(root) => {
                    let local = self.variable(name).filter(|_| !matches!(root, hir::Place::Global(_)));
                    let (root_type, fixed) = local.map_or((None, None), |v| (v.ty.clone(), v.fixed));
                    Some(hir::Target { root, root_name: name.clone(), root_type, fixed, steps: Vec::new(), span: expr.span })
                }
                _ => None,
            },
            ast::ExprKind::Paren(inner) => self.place_of(inner),
            ast::ExprKind::Field { base, name } => {
                let mut target = self.place_of(base)?;
                target.steps.push(hir::Step::Field(name.name.clone(), name.span));
                target.span = expr.span;
                Some(target)
            }
            ast::ExprKind::Index { base, args } => {
                let mut target = self.place_of(base)?;
                target.steps.push(hir::Step::Index(self.index_args(args), expr.span));
                target.span = expr.span;
                Some(target)
            }
            _ => None,
        }
    }

    /// A function, method or literal. `is_local`: it knows itself by name without a variable of the scope around it.
    pub(super) fn function(&mut self, function: &ast::Function, is_local: bool) -> hir::FnCode {
        let name = function.name.as_ref().map(|n| n.name.clone());
        self.fns.push(FnScope::function(if is_local { name.clone() } else { None }));
        let mut params: Vec<hir::Param> = Vec::new();
        for param in &function.params {
            let ty = param.ty.as_ref().map(|t| self.ty(t));
            if let Some(ty) = &ty {
                self.collect_dims(ty);
            }
            let default = param.default.as_ref().map(|e| self.expr(e));
            if params.iter().any(|p| p.name == param.name.name) {
                self.error(Diagnostic::error(format!("parameter `{}` stands twice", param.name.name)).at(param.name.span));
            }
            let place = match self.declare(&param.name.name, param.name.span) {
                hir::Place::Local(slot) => slot,
                _ => 0,
            };
            if let (true, Some(default)) = (param.is_mut, &default) {
                let error =
                    Diagnostic::error(format!("`{}` is changed for the caller, so it has no default", param.name.name)).at(default.span);
                self.error(error.hint("leave the default out, or the `mut`"));
            }
            if let Some(variable) = self.top().variable_at(place) {
                variable.ty = ty.clone().map(Arc::new);
                variable.fixed = (!param.is_mut).then_some(param.name.span);
            }
            params.push(hir::Param { is_mut: param.is_mut, name: param.name.name.clone(), place, ty, default, span: param.span });
        }
        let result = function.result.as_ref().map(|t| self.ty(t));
        let body = self.block(&function.body);
        let mut scope = self.fns.pop().expect("pushed above");
        hir::FnCode {
            is_method: params.first().is_some_and(|p| &*p.name == "self"),
            name,
            params,
            result,
            body,
            n_locals: scope.n_locals,
            captures: scope.take_captures(),
            head: function.head,
            doc: function.doc.clone(),
        }
    }

    /// A dimension's name may be read as an int in the body.
    fn collect_dims(&mut self, ty: &hir::Type) {
        match &ty.kind {
            hir::TypeKind::Tensor { dims, .. } => {
                for dim in dims {
                    if let hir::Dim::Name(name, _) = dim
                        && !self.top().dims.contains(name)
                    {
                        self.top().dims.push(name.clone());
                    }
                }
            }
            hir::TypeKind::Tuple(parts) => parts.iter().for_each(|p| self.collect_dims(p)),
            _ => {}
        }
    }

    pub(super) fn struct_decl(&mut self, decl: &ast::StructDecl) -> hir::StructCode {
        let mut fields: Vec<hir::Field> = Vec::new();
        for field in &decl.fields {
            if fields.iter().any(|f| f.name == field.name.name) {
                self.error(Diagnostic::error(format!("field `{}` stands twice", field.name.name)).at(field.name.span));
            }
            let ty = field.ty.as_ref().map(|t| self.ty(t));
            let default = field.default.as_ref().map(|e| {
                self.fns.push(FnScope::function(None));
                let expr = self.expr(e);
                let n_locals = self.fns.pop().map_or(0, |scope| scope.n_locals);
                (expr, n_locals)
            });
            fields.push(hir::Field { name: field.name.name.clone(), ty, default, span: field.span });
        }
        let methods: Vec<Arc<hir::FnCode>> = decl.methods.iter().map(|m| Arc::new(self.function(m, false))).collect();
        for (i, method) in methods.iter().enumerate() {
            let name = method.display_name();
            if methods[..i].iter().any(|m| m.display_name() == name) || fields.iter().any(|f| &*f.name == name) {
                self.error(Diagnostic::error(format!("`{name}` stands twice in `{}`", decl.name.name)).at(method.head));
            }
        }
        hir::StructCode { name: decl.name.name.clone(), fields, methods, span: decl.span, doc: decl.doc.clone() }
    }
}

/// The error of a function that changes a parameter without saying so.
pub fn fixed_parameter(name: &str, at: Span, declared: Span) -> Diagnostic {
    let error = Diagnostic::error(format!("`{name}` is a parameter, which this function does not say it changes")).at(at);
    let error = error.reason(declared, "declared here");
    error.hint(match name {
        "self" => "write `mut self` in the signature".to_owned(),
        _ => format!("write `mut {name}` in the signature and in the calls, or change a copy: `let {name} = {name}`"),
    })
}

/// The variable that an assignable expression starts with.
pub(super) fn root_name(expr: &ast::Expr) -> Option<(&Arc<str>, Span)> {
    match &expr.kind {
        ast::ExprKind::Name(name) => Some((name, expr.span)),
        ast::ExprKind::Paren(inner) => root_name(inner),
        ast::ExprKind::Field { base, .. } | ast::ExprKind::Index { base, .. } => root_name(base),
        _ => None,
    }
}

/// For patterns and literals alike.
pub(super) fn constant(value: Value, span: Span) -> hir::Expr {
    hir::Expr { kind: hir::ExprKind::Const(value), span }
}
