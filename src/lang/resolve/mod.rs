//! From the tree to resolved code: every name becomes a slot, a builtin or an error.

mod expr;
pub mod foreign;
mod scope;
mod stmt;
mod types;

use std::collections::HashMap;
use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast;

use super::hir;
use scope::FnScope;
pub use scope::nearest;
pub use stmt::fixed_parameter;

/// Names at the top of a file: what the file declares, and what it imported.
#[derive(Clone, Default)]
pub struct ModuleScope {
    pub names: HashMap<Arc<str>, GlobalName>,
}

/// A name that stands for a global variable.
#[derive(Clone, Debug)]
pub struct GlobalName {
    pub slot: u32,
    /// Where it was introduced; `None` for what the engine provides.
    pub span: Option<Span>,
    /// Whether a statement that runs now may use it. Function bodies run later and may use any.
    pub ready: bool,
    /// Imported names are not handed on to who imports this file, and a declaration may take their place.
    pub imported: bool,
}

/// Resolves a file. `n_globals` counts the interpreter's global slots and grows by what the file declares; `prelude` are the
/// names of the library, which any declaration may take over.
///
/// # Errors
/// Every name that stands for nothing, with the nearest that does.
pub fn resolve(
    ast: &ast::Ast,
    scope: &mut ModuleScope,
    prelude: &HashMap<Arc<str>, u32>,
    n_globals: &mut u32,
) -> Result<hir::Module, Vec<Diagnostic>> {
    let mut resolver = Resolver { scope, prelude, n_globals, fns: vec![FnScope::file()], errors: Vec::new() };
    let module = resolver.module(ast);
    if resolver.errors.is_empty() { Ok(module) } else { Err(resolver.errors) }
}

struct Resolver<'a> {
    scope: &'a mut ModuleScope,
    prelude: &'a HashMap<Arc<str>, u32>,
    n_globals: &'a mut u32,
    /// The functions around the place that is resolved, outermost first; the first is the file itself.
    fns: Vec<FnScope>,
    errors: Vec<Diagnostic>,
}

impl Resolver<'_> {
    fn module(&mut self, ast: &ast::Ast) -> hir::Module {
        self.declare_all(ast);
        let mut module =
            hir::Module { decls: Vec::new(), stmts: Vec::new(), main: None, tests: Vec::new(), benches: Vec::new(), n_locals: 0 };
        let mut main: Option<&ast::Block> = None;
        for stmt in &ast.stmts {
            match &stmt.kind {
                ast::StmtKind::Import(_) => {}
                ast::StmtKind::Fn(function) => {
                    let code = Arc::new(self.function(function, false));
                    if let Some(slot) = function.name.as_ref().and_then(|n| self.global_slot(&n.name)) {
                        module.decls.push(hir::Decl::Fn(slot, code));
                    }
                }
                ast::StmtKind::Struct(decl) => {
                    let code = Arc::new(self.struct_decl(decl));
                    if let Some(slot) = self.global_slot(&decl.name.name) {
                        module.decls.push(hir::Decl::Struct(slot, code));
                    }
                }
                ast::StmtKind::Main(block) => {
                    if let Some(first) = main {
                        let error = Diagnostic::error("a file has one `main`").label(stmt.span, "the second one");
                        self.errors.push(error.reason(first.span, "the first one"));
                    }
                    main = Some(block);
                }
                ast::StmtKind::Test { .. } | ast::StmtKind::Bench { .. } => {}
                _ => module.stmts.extend(self.stmt(stmt)),
            }
        }
        for stmt in &ast.stmts {
            match &stmt.kind {
                ast::StmtKind::Test { name, body } => {
                    let body = Arc::new(self.block(body));
                    module.tests.push(hir::NamedBlock { name: name.name.clone(), span: name.span, body });
                }
                ast::StmtKind::Bench { name, body } => {
                    let body = Arc::new(self.block(body));
                    module.benches.push(hir::NamedBlock { name: name.name.clone(), span: name.span, body });
                }
                _ => {}
            }
        }
        module.main = main.map(|block| self.block(block));
        module.n_locals = self.fns[0].n_locals;
        module
    }

    /// Gives every name that the file introduces its slot, so that functions may use what stands below them.
    fn declare_all(&mut self, ast: &ast::Ast) {
        for stmt in &ast.stmts {
            match &stmt.kind {
                ast::StmtKind::Fn(function) => {
                    if let Some(name) = &function.name {
                        self.declare_once(name, ast);
                    }
                }
                ast::StmtKind::Struct(decl) => self.declare_once(&decl.name, ast),
                ast::StmtKind::Let(declaration) => self.declare_pattern(&declaration.target),
                _ => {}
            }
        }
    }

    /// A function or struct: two of one name in one file are an error, since neither stands before the other.
    fn declare_once(&mut self, name: &ast::Ident, ast: &ast::Ast) {
        if let Some(GlobalName { span: Some(first), ready: true, imported: false, .. }) = self.scope.names.get(&name.name)
            && first.file == ast.file
        {
            let error = Diagnostic::error(format!("`{}` is declared twice", name.name)).label(name.span, "the second one");
            self.errors.push(error.reason(*first, "the first one"));
            return;
        }
        self.declare_global(name, true);
    }

    fn declare_pattern(&mut self, pattern: &ast::Pattern) {
        match &pattern.kind {
            // A second `let` of a name, or one in the REPL, takes the slot over; until it runs, the old value stays visible.
            ast::PatternKind::Name(name) if self.scope.names.get(&name.name).is_none_or(|g| g.imported) => {
                self.declare_global(name, false);
            }
            ast::PatternKind::Tuple(parts) => parts.iter().for_each(|p| self.declare_pattern(p)),
            _ => {}
        }
    }

    fn declare_global(&mut self, name: &ast::Ident, ready: bool) -> u32 {
        let slot = *self.n_globals;
        *self.n_globals += 1;
        self.scope.names.insert(name.name.clone(), GlobalName { slot, span: Some(name.span), ready, imported: false });
        slot
    }

    fn global_slot(&self, name: &str) -> Option<u32> {
        self.scope.names.get(name).map(|g| g.slot)
    }

    fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }
}
