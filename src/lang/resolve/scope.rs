//! Which variables are visible, and where they live.

use std::sync::Arc;

use crate::source::Span;

use super::super::builtins::{self, Builtin};
use super::super::hir::{self, CaptureFrom, Place};
use super::Resolver;
use crate::lang::types::dtype_of_name;
use crate::tensor::DType;

/// A local variable while its function is resolved.
pub(super) struct Variable {
    name: Arc<str>,
    slot: u32,
    /// What it was declared with.
    pub ty: Option<Arc<hir::Type>>,
    /// Where it is declared, when it is a parameter without `mut`.
    pub fixed: Option<Span>,
}

/// The variables of one function while it is resolved.
pub(super) struct FnScope {
    /// Innermost last.
    blocks: Vec<Vec<Variable>>,
    pub n_locals: u32,
    captures: Vec<(Arc<str>, CaptureFrom)>,
    /// Dimension names of the signature: each may be read as an int.
    pub dims: Vec<Arc<str>>,
    /// The name of a local function, by which it calls itself.
    pub own_name: Option<Arc<str>>,
    pub loops: usize,
    /// The file itself: its outermost `let`s are globals.
    is_file: bool,
}

impl FnScope {
    pub fn file() -> Self {
        FnScope { blocks: Vec::new(), is_file: true, ..FnScope::function(None) }
    }

    pub fn function(own_name: Option<Arc<str>>) -> Self {
        FnScope { blocks: vec![Vec::new()], n_locals: 0, captures: Vec::new(), dims: Vec::new(), own_name, loops: 0, is_file: false }
    }

    fn variable(&self, name: &str) -> Option<&Variable> {
        self.blocks.iter().rev().flat_map(|b| b.iter().rev()).find(|v| &*v.name == name)
    }

    fn local(&self, name: &str) -> Option<u32> {
        self.variable(name).map(|v| v.slot)
    }

    /// The variable of a slot that is in scope.
    pub fn variable_at(&mut self, slot: u32) -> Option<&mut Variable> {
        self.blocks.iter_mut().rev().flat_map(|b| b.iter_mut().rev()).find(|v| v.slot == slot)
    }

    fn capture(&mut self, name: &Arc<str>, from: CaptureFrom) -> u32 {
        let at = self.captures.iter().position(|(n, f)| n == name && format!("{f:?}") == format!("{from:?}"));
        at.unwrap_or_else(|| {
            self.captures.push((name.clone(), from));
            self.captures.len() - 1
        }) as u32
    }

    pub fn take_captures(&mut self) -> Vec<CaptureFrom> {
        self.captures.drain(..).map(|(_, from)| from).collect()
    }
}

/// What a name stands for.
pub(super) enum Meaning {
    Variable(Place),
    Dim,
    Myself,
    Builtin(&'static Builtin),
    DType(DType),
}

impl Resolver<'_> {
    pub(super) fn top(&mut self) -> &mut FnScope {
        self.fns.last_mut().expect("the file's own scope is never popped")
    }

    pub(super) fn in_block<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        self.top().blocks.push(Vec::new());
        let result = f(self);
        self.top().blocks.pop();
        result
    }

    /// A new variable of the innermost scope.
    pub(super) fn declare(&mut self, name: &Arc<str>, span: Span) -> Place {
        let top = self.top();
        if top.is_file && top.blocks.is_empty() {
            if !self.scope.names.contains_key(name) {
                let ident = crate::syntax::ast::Ident { name: name.clone(), span };
                self.declare_global(&ident, false);
            }
            let global = self.scope.names.get_mut(name).expect("declared just now");
            global.ready = true;
            global.span = Some(span);
            return Place::Global(global.slot);
        }
        let slot = top.n_locals;
        top.n_locals += 1;
        let block = top.blocks.last_mut().expect("a function has a block");
        block.push(Variable { name: name.clone(), slot, ty: None, fixed: None });
        Place::Local(slot)
    }

    /// The local variable that a name stands for, here or in a function around: what `meaning` found as a local or captured one.
    pub(super) fn variable(&self, name: &str) -> Option<&Variable> {
        self.fns.iter().rev().find_map(|f| f.variable(name))
    }

    pub(super) fn meaning(&mut self, name: &Arc<str>) -> Option<Meaning> {
        let innermost = self.fns.len() - 1;
        if let Some(slot) = self.fns[innermost].local(name) {
            return Some(Meaning::Variable(Place::Local(slot)));
        }
        if self.fns[innermost].dims.contains(name) {
            return Some(Meaning::Dim);
        }
        if self.fns[innermost].own_name.as_ref() == Some(name) {
            return Some(Meaning::Myself);
        }
        for level in (0..innermost).rev() {
            if let Some(slot) = self.fns[level].local(name) {
                let mut from = CaptureFrom::Local(slot);
                for inner in &mut self.fns[level + 1..] {
                    from = CaptureFrom::Captured(inner.capture(name, from));
                }
                let CaptureFrom::Captured(index) = from else { return None };
                return Some(Meaning::Variable(Place::Captured(index)));
            }
        }
        let runs_now = innermost == 0;
        if let Some(global) = self.scope.names.get(name)
            && (global.ready || !runs_now || !self.has_library_name(name))
        {
            return Some(Meaning::Variable(Place::Global(global.slot)));
        }
        if let Some(&slot) = self.prelude.get(name) {
            return Some(Meaning::Variable(Place::Global(slot)));
        }
        if let Some(dtype) = dtype_of_name(name) {
            return Some(Meaning::DType(dtype));
        }
        builtins::find(name).map(Meaning::Builtin)
    }

    fn has_library_name(&self, name: &Arc<str>) -> bool {
        self.prelude.contains_key(name) || builtins::find(name).is_some()
    }

    /// Visible names near to `name` by spelling, nearest first.
    pub(super) fn nearest(&self, name: &str) -> Option<String> {
        let locals = self.fns.iter().flat_map(|f| f.blocks.iter().flatten().map(|v| &v.name));
        let globals = self.scope.names.keys().chain(self.prelude.keys());
        let builtins = builtins::names().map(str::to_owned);
        nearest(name, locals.chain(globals).map(|n| n.to_string()).chain(builtins))
    }
}

/// The candidate that fewest edits turn into `name`, when they are so few that `name` is that word misspelt and not another.
pub fn nearest<S: AsRef<str>>(name: &str, candidates: impl Iterator<Item = S>) -> Option<String> {
    let near = |candidate: &str| {
        let limit = match name.chars().count() {
            // One edit turns any short name into any other.
            0..3 => 0,
            3..7 => 1,
            7..12 => 2,
            _ => 3,
        };
        // Who mistypes a name rarely does so at its first letter; words that differ there are other words (`alice`, `slice`).
        let starts: Vec<char> = candidate.chars().take(2).flat_map(char::to_lowercase).collect();
        let begins = |c: char| starts.first() == Some(&c);
        let (first, second) = (name.chars().next().map(lower), name.chars().nth(1).map(lower));
        let same_start = first.is_some_and(begins) || second.is_some_and(begins) && starts.get(1).copied() == first;
        (same_start, limit)
    };
    let within = |c: S| {
        let (same_start, limit) = near(c.as_ref());
        let n = edits(&name.to_lowercase(), &c.as_ref().to_lowercase());
        (same_start && n <= limit).then(|| (n, c.as_ref().to_owned()))
    };
    candidates.filter_map(within).min().map(|(_, c)| c)
}

fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// Levenshtein distance, with the exchange of two neighbours as one edit.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}
