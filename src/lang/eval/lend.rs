//! Arguments that a call changes. The variable gives its value up for the call, which changes it in place and gives it back.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::diag::Diagnostic;
use crate::lang::hir::{Arg, ArgValue, FnCode, Param, Target};
use crate::lang::interp::Interp;
use crate::lang::value::{SharedVar, Value};
use crate::source::Span;

use super::assign::{PathStep, take_inner};
use super::{CallArg, Eval, Frame, IndexValue, Signal};

/// A method's receiver as the first argument.
pub(super) enum First<'a> {
    Value(CallArg),
    /// The function changes it.
    Lent(&'a Target, Vec<PathStep>),
}

/// One lent argument: where it is, and the variable that the call sees instead.
struct Loan<'a> {
    target: &'a Target,
    path: Vec<PathStep>,
    var: SharedVar,
}

/// The whole values of the variables that are lent or lent from, one for each variable.
type Roots<'a> = Vec<(&'a Target, Value)>;

impl Interp {
    /// Calls with evaluated arguments, of which those marked `mut` are lent. Whatever the call's outcome, they are given back.
    pub(super) fn call_lending<'a>(
        &mut self,
        frame: &mut Frame,
        first: Option<First<'a>>,
        args: &'a [Arg],
        call: impl FnOnce(&mut Interp, &Frame, Vec<CallArg>) -> Eval<Value>,
    ) -> Eval<Value> {
        let mut values = Vec::with_capacity(args.len() + 1);
        let mut loans: Vec<Loan<'a>> = Vec::new();
        let mut lend = |target: &'a Target, path: Vec<PathStep>, values: &mut Vec<CallArg>, arg: CallArg| {
            let var = SharedVar::new(Mutex::new(Value::Unit));
            values.push(CallArg { lent: Some(var.clone()), ..arg });
            loans.push(Loan { target, path, var });
        };
        match first {
            Some(First::Value(value)) => values.push(value),
            Some(First::Lent(target, path)) => lend(target, path, &mut values, CallArg::positional(Value::Unit, target.span)),
            None => {}
        }
        for arg in args {
            match &arg.value {
                ArgValue::Of(value) => values.push(self.arg(frame, arg, value)?),
                ArgValue::Lent(target) => {
                    let path = self.walk(frame, target)?;
                    let empty = CallArg { name: arg.name.clone(), ..CallArg::positional(Value::Unit, target.span) };
                    lend(target, path, &mut values, empty);
                }
            }
        }
        if loans.is_empty() {
            return call(self, frame, values);
        }
        self.check_apart(&loans)?;
        let mut roots: Roots = Vec::with_capacity(loans.len());
        if let Err(signal) = self.take_all(frame, &loans, &mut roots) {
            for (target, root) in roots {
                self.write(frame, target.root, root);
            }
            return Err(signal);
        }
        let result = call(self, frame, values);
        let returned = self.give_back(frame, loans, roots);
        let value = result?;
        returned?;
        Ok(value)
    }

    /// Moves what is lent from its variables into those that the call sees. After an error nothing has moved, and `roots` must be put back.
    fn take_all<'a>(&mut self, frame: &mut Frame, loans: &[Loan<'a>], roots: &mut Roots<'a>) -> Eval<()> {
        for loan in loans {
            if !roots.iter().any(|(target, _)| target.root == loan.target.root) {
                self.check_changes(frame, loan.target.root, &loan.target.root_name, loan.target.span)?;
                let root = self.take_root(frame, loan.target, Value::Lent)?;
                roots.push((loan.target, root));
            }
        }
        // All paths are looked at before anything is moved, so that a wrong one leaves all as it was.
        for loan in loans {
            if let Some((_, root)) = roots.iter().find(|(target, _)| target.root == loan.target.root) {
                self.read_steps(root.clone(), loan.target, &loan.path)?;
            }
        }
        for loan in loans {
            let Some((_, root)) = roots.iter_mut().find(|(target, _)| target.root == loan.target.root) else { continue };
            let moved = match take_inner(root, &loan.path) {
                Some(value) => value,
                // An element of a tensor is no value of its own that could move.
                None => self.read_steps(root.clone(), loan.target, &loan.path)?,
            };
            *loan.var.lock() = moved;
        }
        Ok(())
    }

    /// Puts back what the call made of it.
    fn give_back(&mut self, frame: &mut Frame, loans: Vec<Loan>, mut roots: Roots) -> Eval<()> {
        let mut outcome = Ok(());
        for Loan { target, path, var } in loans {
            let Some((_, root)) = roots.iter_mut().find(|(taken, _)| taken.root == target.root) else { continue };
            // A function literal that outlives the call keeps a copy.
            let value = if Arc::strong_count(&var) == 1 { std::mem::replace(&mut *var.lock(), Value::Unit) } else { var.lock().clone() };
            let result = if path.is_empty() {
                *root = value.clone();
                self.kept_type(frame, target, value, target.span).map(|kept| *root = kept)
            } else {
                let stored = self.store(root, &path, value);
                self.placed(stored, target.span)
            };
            outcome = outcome.and(result);
        }
        for (target, root) in roots {
            self.write(frame, target.root, root);
        }
        outcome
    }

    /// Two loans of one call must not overlap: the second to come back would undo the first.
    fn check_apart(&mut self, loans: &[Loan]) -> Eval<()> {
        for (i, second) in loans.iter().enumerate() {
            for first in &loans[..i] {
                if first.target.root == second.target.root && overlap(&first.path, &second.path) {
                    let text = self.sources.text(second.target.span).to_owned();
                    let error = Diagnostic::error(format!("`{text}` is changed twice by one call")).at(second.target.span);
                    let error = error.reason(first.target.span, "the first one");
                    return Err(error.hint("change a copy of one: `let copy = …`").into());
                }
            }
        }
        Ok(())
    }

    /// Gives a function its parameter that the caller lent.
    pub(super) fn bind_lent(&mut self, frame: &mut Frame, code: &FnCode, param: &Param, var: SharedVar, at: Span) -> Eval<()> {
        if !param.is_mut {
            let error = Diagnostic::error(format!("`{}` does not change `{}`", code.display_name(), param.name)).at(at);
            return Err(error.reason(param.span, "declared here").hint("remove `mut` from the call").into());
        }
        if let Some(ty) = &param.ty {
            let value = var.lock().clone();
            self.admit(ty, &value, &param.name, at, &mut frame.dims)?;
        }
        frame.bind_shared(param.place, var);
        Ok(())
    }

    /// The error of an argument that a function changes and the call does not mark.
    pub(super) fn not_lent(&mut self, code: &FnCode, param: &Param, given: &CallArg) -> Signal {
        let text = self.sources.text(given.span);
        let is_place = text.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']'));
        let error =
            Diagnostic::error(format!("`{}` changes `{}`, which the call must show", code.display_name(), param.name)).at(given.span);
        let hint = if is_place { format!("write `mut {text}`") } else { "name it first, `let x = …`, and write `mut x`".to_owned() };
        error.reason(param.span, "declared here").hint(hint).into()
    }
}

/// Whether two paths into one variable may meet.
fn overlap(a: &[PathStep], b: &[PathStep]) -> bool {
    let apart = a.iter().zip(b).any(|(a, b)| match (a, b) {
        (PathStep::Field(a), PathStep::Field(b)) => a != b,
        // Of two signs the positions may be one.
        (PathStep::Index(a), PathStep::Index(b)) => a.iter().zip(b).any(|pair| match pair {
            (IndexValue::At(a), IndexValue::At(b)) => a != b && (*a < 0) == (*b < 0),
            _ => false,
        }),
        _ => false,
    });
    !apart
}

/// The error of a look at a variable that a call has been lent.
pub(super) fn is_lent(name: &str, span: Span) -> Signal {
    Diagnostic::error(format!("`{name}` is being changed by a call that has not returned"))
        .at(span)
        .hint(format!("use the parameter that stands for it there, or a copy made before the call: `let copy = {name}`"))
        .into()
}
