//! Statements and blocks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::diag::Diagnostic;
use crate::lang::hir::{Block, Expr, Pattern, PatternKind, Place, Stmt, StmtKind, Type, TypeKind};
use crate::lang::interp::Interp;
use crate::lang::value::Value;
use crate::source::Span;

use super::{Eval, Frame, Signal};

impl Interp {
    pub(in crate::lang) fn block(&mut self, frame: &mut Frame, block: &Block) -> Eval<Value> {
        for stmt in &block.stmts {
            self.stmt(frame, stmt)?;
        }
        match &block.value {
            Some(value) => self.expr(frame, value),
            None => Ok(Value::Unit),
        }
    }

    pub(in crate::lang) fn stmt(&mut self, frame: &mut Frame, stmt: &Stmt) -> Eval<Value> {
        match &stmt.kind {
            StmtKind::Let { target, ty, value, converts } => {
                let at = value.span;
                let value = self.expr(frame, value)?;
                if let Some(ty) = ty {
                    self.session.set_place(stmt.span);
                    let value = if *converts { self.declared(value, ty, at, &frame.dims)? } else { self.converted(value, ty, at)? };
                    let value = self.check_type(ty, value, pattern_name(target), at, &mut frame.dims)?;
                    self.bind(frame, target, value, at)?;
                } else {
                    self.bind(frame, target, value, at)?;
                }
                self.annotate(target, ty.as_ref());
            }
            StmtKind::Assign { target, op, op_span, value } => self.assign(frame, target, *op, *op_span, value)?,
            StmtKind::Expr(expr) => return self.expr(frame, expr),
            StmtKind::While { cond, body } => {
                while self.truth_of(frame, cond)? {
                    self.check_interrupt(stmt.span)?;
                    if self.turn(frame, body)? {
                        break;
                    }
                }
            }
            StmtKind::Loop(body) => loop {
                self.check_interrupt(stmt.span)?;
                if self.turn(frame, body)? {
                    break;
                }
            },
            StmtKind::For { target, iter, body } => self.for_loop(frame, target, iter, body)?,
            StmtKind::Break => return Err(Signal::Break),
            StmtKind::Continue => return Err(Signal::Continue),
            StmtKind::Return(value) => {
                let value = value.as_ref().map_or(Ok(Value::Unit), |v| self.expr(frame, v))?;
                return Err(Signal::Return(value));
            }
        }
        Ok(Value::Unit)
    }

    /// Notes the types that global variables are declared with, so that they hold for later assignments.
    fn annotate(&mut self, target: &Pattern, ty: Option<&Arc<Type>>) {
        match &target.kind {
            PatternKind::Bind(Place::Global(slot), _) => {
                match ty {
                    Some(ty) => self.global_types.insert(*slot, ty.clone()),
                    None => self.global_types.remove(slot),
                };
            }
            PatternKind::Tuple(parts) => {
                let types = match ty.map(|t| &t.kind) {
                    Some(TypeKind::Tuple(types)) => &types[..],
                    _ => &[],
                };
                for (i, part) in parts.iter().enumerate() {
                    self.annotate(part, types.get(i).cloned().map(Arc::new).as_ref());
                }
            }
            _ => {}
        }
    }

    /// One turn of a loop. `true`: it broke off.
    fn turn(&mut self, frame: &mut Frame, body: &Block) -> Eval<bool> {
        match self.block(frame, body) {
            Ok(_) | Err(Signal::Continue) => Ok(false),
            Err(Signal::Break) => Ok(true),
            Err(other) => Err(other),
        }
    }

    fn for_loop(&mut self, frame: &mut Frame, target: &Pattern, iter: &Expr, body: &Block) -> Eval<()> {
        let over = self.expr(frame, iter)?;
        let n = self.n_items(&over, iter.span)?;
        for i in 0..n {
            self.check_interrupt(iter.span)?;
            let item = self.item(&over, i, iter.span)?;
            self.bind(frame, target, item, iter.span)?;
            if self.turn(frame, body)? {
                break;
            }
        }
        Ok(())
    }

    /// How many items `for` takes from a value.
    pub(in crate::lang) fn n_items(&mut self, over: &Value, span: Span) -> Eval<u64> {
        Ok(match over {
            Value::Range(range) => range.len(),
            Value::List(items) | Value::Tuple(items) => items.0.len() as u64,
            Value::Str(text) => text.chars().count() as u64,
            Value::Prompt(prompt) => prompt.text.chars().count() as u64,
            Value::Tensor(tensor) if tensor.shape().rank() > 0 && tensor.is_counted(0) => {
                let fault = self.session.needs_count();
                return Err(self.fault(fault, span));
            }
            Value::Tensor(tensor) if tensor.shape().rank() > 0 => tensor.shape()[0] as u64,
            other => {
                let error = Diagnostic::error(format!("cannot go over {}", other.type_name())).at(span);
                return Err(match other {
                    Value::Int(n) => error.hint(format!("write `0..{n}`")),
                    _ => error.hint("`for` takes a range, a list, a tuple, a string or a tensor"),
                }
                .into());
            }
        })
    }

    /// Item `i` of what `n_items` counted.
    pub(in crate::lang) fn item(&mut self, over: &Value, i: u64, span: Span) -> Eval<Value> {
        Ok(match over {
            Value::Range(range) => Value::Int(range.at(i)),
            Value::List(items) | Value::Tuple(items) => items.0[i as usize].clone(),
            Value::Prompt(prompt) => prompt.text.chars().nth(i as usize).map_or(Value::Unit, |c| Value::str(&c.to_string())),
            Value::Str(text) => text.chars().nth(i as usize).map_or(Value::Unit, |c| Value::str(&c.to_string())),
            Value::Tensor(tensor) => {
                let row = self.tensor_index(tensor, &[super::IndexValue::At(i as i64)]);
                self.placed(row, span)?
            }
            _ => Value::Unit,
        })
    }

    /// Seen in every turn of a loop and every call.
    pub(in crate::lang) fn check_interrupt(&self, span: Span) -> Eval<()> {
        match &self.interrupt {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(Diagnostic::error("interrupted").at(span).into()),
            _ => Ok(()),
        }
    }
}

fn pattern_name(pattern: &Pattern) -> &str {
    match &pattern.kind {
        PatternKind::Bind(_, name) => name,
        _ => "the value",
    }
}
