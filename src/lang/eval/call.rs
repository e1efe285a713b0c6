//! Calls: arguments to parameters, and one frame a call.

use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::lang::builtins::{self, Builtin};
use crate::lang::hir::{Arg, ArgValue, Expr, ExprKind, FnCode, Receiver, Target, Type, TypeKind};
use crate::lang::interp::Interp;
use crate::lang::resolve::{fixed_parameter, foreign, nearest};
use crate::lang::types::{Checked, DimBinding};
use crate::lang::value::{Closure, Fault, Record, SharedVar, Value};
use crate::source::Span;

use super::assign::PathStep;
use super::lend::First;
use super::{Eval, Frame, Signal};

/// An argument, evaluated.
pub struct CallArg {
    pub name: Option<(Arc<str>, Span)>,
    pub value: Value,
    pub span: Span,
    /// What `mut` marks, lent for the call; `value` means nothing then.
    pub lent: Option<SharedVar>,
}

impl CallArg {
    pub fn positional(value: Value, span: Span) -> CallArg {
        CallArg { name: None, value, span, lent: None }
    }
}

/// Calls that may be open at once, whatever the stack holds.
const DEPTH_MAX: usize = 10_000;

/// Calls of a trace that a diagnostic shows.
const TRACE_SHOWN: usize = 4;

impl Interp {
    /// The arguments of a call that changes none of them.
    pub(super) fn args(&mut self, frame: &mut Frame, args: &[Arg]) -> Eval<Vec<CallArg>> {
        let mut values = Vec::with_capacity(args.len() + 1);
        for arg in args {
            match &arg.value {
                ArgValue::Of(value) => values.push(self.arg(frame, arg, value)?),
                ArgValue::Lent(_) => {
                    return Err(Diagnostic::error("this call changes no argument").at(arg.span).hint("remove `mut`").into());
                }
            }
        }
        Ok(values)
    }

    pub(super) fn arg(&mut self, frame: &mut Frame, arg: &Arg, value: &Expr) -> Eval<CallArg> {
        let span = value.span;
        Ok(CallArg { name: arg.name.clone(), ..CallArg::positional(self.expr(frame, value)?, span) })
    }

    pub(in crate::lang) fn call_value(&mut self, frame: &Frame, callee: &Value, args: Vec<CallArg>, span: Span, at: Span) -> Eval<Value> {
        match callee {
            Value::Fn(closure) => self.call_closure(frame.label.clone(), closure, args, span),
            Value::Builtin(builtin) => self.call_builtin(builtin, args, span),
            Value::StructType(def) => {
                let error = Diagnostic::error(format!("`{}` is a struct, not a function", def.name())).at(at);
                Err(error.hint(format!("write `{} {{ … }}`", def.name())).into())
            }
            Value::DType(dtype) => {
                let name = crate::lang::value::dtype_name(*dtype);
                Err(Diagnostic::error(format!("`{name}` is a dtype, not a function"))
                    .at(at)
                    .hint(format!("write `cast(x, {name})`"))
                    .into())
            }
            other => Err(Diagnostic::error(format!("{} cannot be called", other.type_name())).at(at).into()),
        }
    }

    pub(super) fn call_builtin(&mut self, builtin: &'static Builtin, args: Vec<CallArg>, span: Span) -> Eval<Value> {
        let args = builtins::bind(builtin, args, span)?;
        self.session.set_place(span);
        let repeats = self.check_repeats(builtin);
        self.placed(repeats, span)?;
        let result = match builtin.run {
            builtins::Run::Call(call) => call(self, args),
            builtins::Run::Text(call) => call(&args),
            builtins::Run::Change(_) => Err(builtins::Failure::Fault(Fault::new(format!("`{}` is called on a variable", builtin.name)))),
        };
        result.map_err(|failure| self.failed(failure, span))
    }

    /// A call of a function of the language.
    pub(in crate::lang) fn call_closure(
        &mut self,
        label: Option<Arc<str>>,
        closure: &Arc<Closure>,
        args: Vec<CallArg>,
        span: Span,
    ) -> Eval<Value> {
        // Steps are named in functions that work on a model's weights, after the place of these in the model. In a program of its own every
        // function's are, after the function; a model's helpers would only crowd its table.
        let of_weights = || args.iter().find_map(|a| if let Value::Layer(path) = &a.value { Some(path.path.clone()) } else { None });
        let of_function = || closure.code.name.as_deref().filter(|_| self.session.trace.is_none()).map(Arc::from);
        let own_label = label.and_then(|_| of_weights().or_else(of_function));
        self.call_labelled(own_label, closure, args, span)
    }

    /// The same where the names of the function's own steps begin with `own_label`.
    pub(in crate::lang) fn call_labelled(
        &mut self,
        own_label: Option<Arc<str>>,
        closure: &Arc<Closure>,
        args: Vec<CallArg>,
        span: Span,
    ) -> Eval<Value> {
        let code = closure.code.clone();
        self.check_interrupt(span)?;
        if self.depth >= DEPTH_MAX {
            return Err(self.too_deep(span));
        }
        let mut frame = Frame::of(code.n_locals, Some(closure.clone()), own_label);
        self.depth += 1;
        let result = self.run_call(&mut frame, closure, args, span);
        self.depth -= 1;
        match result {
            Err(Signal::Error(mut error)) => {
                let is_outer = !span.is_empty() && error.labels.iter().all(|l| l.span != span);
                if is_outer && error.labels.iter().filter(|l| !l.primary).count() < TRACE_SHOWN {
                    error = Box::new(error.reason(span, format!("in this call of `{}`", code.display_name())));
                }
                Err(Signal::Error(error))
            }
            other => other,
        }
    }

    fn run_call(&mut self, frame: &mut Frame, closure: &Arc<Closure>, args: Vec<CallArg>, span: Span) -> Eval<Value> {
        let code = &closure.code;
        let params = &code.params;
        let mut given: Vec<Option<CallArg>> = params.iter().map(|_| None).collect();
        let n_args = args.len();
        for (i, arg) in args.into_iter().enumerate() {
            let at = match &arg.name {
                None => i,
                Some((name, name_span)) => match params.iter().position(|p| p.name == *name) {
                    Some(at) => at,
                    None => {
                        let mut error = Diagnostic::error(format!("`{}` has no parameter `{name}`", code.display_name())).at(*name_span);
                        let known = foreign::argument(name).filter(|n| params.iter().any(|p| *p.name == **n));
                        if let Some(known) = known {
                            error = error.hint(format!("write `{known}: …`"));
                        } else if let Some(near) = nearest(name, params.iter().map(|p| &*p.name)) {
                            error = error.hint(format!("did you mean `{near}`?"));
                        }
                        return Err(error.reason(code.head, "declared here").into());
                    }
                },
            };
            match given.get_mut(at) {
                None => {
                    let takes = format!("`{}` takes {}, not {n_args}", code.display_name(), plural(params.len(), "argument"));
                    return Err(Diagnostic::error(takes).at(span).reason(code.head, "declared here").into());
                }
                Some(Some(_)) => {
                    return Err(Diagnostic::error(format!("parameter `{}` is given twice", params[at].name)).at(arg.span).into());
                }
                Some(slot) => *slot = Some(arg),
            }
        }
        for (param, given) in params.iter().zip(given) {
            let (mut value, at) = match (given, &param.default) {
                (Some(CallArg { lent: Some(var), span, .. }), _) => {
                    self.bind_lent(frame, code, param, var, span)?;
                    continue;
                }
                (Some(given), _) if param.is_mut => return Err(self.not_lent(code, param, &given)),
                (Some(given), _) => (given.value, given.span),
                (None, Some(default)) => (self.expr(frame, default)?, default.span),
                (None, None) => {
                    let error = Diagnostic::error(format!("argument `{}` of `{}` is missing", param.name, code.display_name())).at(span);
                    return Err(error.reason(code.head, "declared here").into());
                }
            };
            if let Some(ty) = &param.ty {
                value = self.check_type(ty, value, &param.name, at, &mut frame.dims)?;
            }
            frame.bind(param.place, value);
        }
        let value = match self.block(frame, &code.body) {
            Ok(value) | Err(Signal::Return(value)) => value,
            Err(other) => return Err(other),
        };
        if let Some(ty) = &code.result {
            let at = code.body.value.as_ref().map_or(code.body.span, |v| v.span);
            return self.check_type(ty, value, "the result", at, &mut frame.dims);
        }
        Ok(value)
    }

    /// `x.m(…)`: a struct's or an object's method, else the function `m` with `x` as its first argument.
    pub(super) fn method_call(&mut self, frame: &mut Frame, expr: &Expr) -> Eval<Value> {
        let ExprKind::Method { receiver, name, name_span, function, args } = &expr.kind else { return Ok(Value::Unit) };
        let span = expr.span;
        let (value, place, at) = match receiver {
            Receiver::Value(receiver) => (self.expr(frame, receiver)?, None, receiver.span),
            Receiver::Place(target) => {
                let path = self.walk(frame, target)?;
                (self.read_path(frame, target, &path)?, Some((&**target, path)), target.span)
            }
        };
        if let Value::Record(record) = &value {
            if let Some(method) = record.def.method(name).cloned() {
                if !method.code.is_method {
                    let error = Diagnostic::error(format!("`{name}` of `{}` takes no `self`", record.def.name())).at(*name_span);
                    return Err(error.hint(format!("write `{}::{name}(…)`", record.def.name())).into());
                }
                let first = self.first(value, place, at, &method.code, name)?;
                return self.call_lending(frame, Some(first), args, |interp, frame, args| {
                    interp.call_closure(frame.label.clone(), &method, args, span)
                });
            }
            if let Some(i) = record.def.field(name)
                && matches!(record.fields[i], Value::Fn(_) | Value::Builtin(_))
            {
                let callee = record.fields[i].clone();
                return self
                    .call_lending(frame, None, args, |interp, frame, args| interp.call_value(frame, &callee, args, span, *name_span));
            }
        }
        if let Value::StructType(def) = &value
            && let Some(method) = def.method(name).filter(|m| !m.code.is_method).cloned()
        {
            return self
                .call_lending(frame, None, args, |interp, frame, args| interp.call_closure(frame.label.clone(), &method, args, span));
        }
        if let Some(builtin) = builtins::method(&value, name) {
            if let builtins::Run::Change(change) = builtin.run {
                drop(value);
                let place = changeable(place, at, name)?;
                return self.call_changing(frame, builtin, change, place, args, span);
            }
            let mut values = vec![CallArg::positional(value, at)];
            values.extend(self.args(frame, args)?);
            return self.call_builtin(builtin, values, span);
        }
        let Some(function) = function else {
            let mut error =
                Diagnostic::error(format!("{} has no method `{name}`, and no function has that name", value.type_name())).at(*name_span);
            let near = match &value {
                Value::Record(record) => nearest(name, record.def.methods.iter().filter_map(|m| m.code.name.as_deref())),
                other => nearest(name, builtins::names().chain(builtins::method_names(other))),
            };
            let of_a_list = builtins::methods_named(name).any(|b| b.name.starts_with("list."));
            if let Some(advice) = foreign::advice(name) {
                error = error.hint(advice);
            } else if let (true, Value::Tensor(_) | Value::Range(_) | Value::Tuple(_)) = (of_a_list, &value) {
                error =
                    error.hint(format!("`{name}` is a method of a list: write `list(x)` where the value is made, such as `list([1, 2])`"));
            } else if let Some(near) = near {
                error = error.hint(format!("did you mean `{near}`?"));
            }
            return Err(error.into());
        };
        let callee = self.expr(frame, function)?;
        let first = match &callee {
            Value::Fn(closure) => self.first(value, place, at, &closure.code, name)?,
            _ => First::Value(CallArg::positional(value, at)),
        };
        self.call_lending(frame, Some(first), args, |interp, frame, args| interp.call_value(frame, &callee, args, span, *name_span))
    }

    /// A receiver as a call's first argument: lent where the function changes it.
    fn first<'a>(
        &mut self,
        value: Value,
        place: Option<(&'a Target, Vec<PathStep>)>,
        at: Span,
        code: &FnCode,
        name: &str,
    ) -> Eval<First<'a>> {
        if !code.changes_first() {
            return Ok(First::Value(CallArg::positional(value, at)));
        }
        let (target, path) = changeable(place, at, name)?;
        Ok(First::Lent(target, path))
    }

    /// `xs.push(x)`: the variable gives its value up meanwhile, so that the list is changed in place.
    fn call_changing(
        &mut self,
        frame: &mut Frame,
        builtin: &'static Builtin,
        change: builtins::Change,
        place: (&Target, Vec<PathStep>),
        args: &[Arg],
        span: Span,
    ) -> Eval<Value> {
        let (target, path) = place;
        self.check_changes(frame, target.root, &target.root_name, target.span)?;
        let args = self.args(frame, args)?;
        let args = builtins::bind(builtin, args, span)?;
        let mut value = self.take_path(frame, target, &path)?;
        let result = change(self, &mut value, args);
        self.write_path(frame, target, &path, value)?;
        result.map_err(|failure| self.failed(failure, span))
    }

    fn failed(&mut self, failure: builtins::Failure, span: Span) -> Signal {
        match failure {
            builtins::Failure::Fault(fault) => self.fault(fault, span),
            builtins::Failure::At(fault, at) => self.fault(fault, at),
            builtins::Failure::Signal(signal) => signal,
        }
    }

    /// Holds a value to a written type. An int becomes a float where the type wants one.
    pub(in crate::lang) fn check_type(&mut self, ty: &Type, value: Value, what: &str, at: Span, dims: &mut Vec<DimBinding>) -> Eval<Value> {
        let fitted = self.fitted(value, ty);
        let value = self.placed(fitted, at)?;
        self.admit(ty, &value, what, at, dims)?;
        Ok(value)
    }

    /// Checks a value against a written type as it is.
    pub(super) fn admit(&mut self, ty: &Type, value: &Value, what: &str, at: Span, dims: &mut Vec<DimBinding>) -> Eval<()> {
        if let (TypeKind::Struct(place, name), false) = (&ty.kind, matches!(value, Value::Record(_)))
            && !matches!(self.global_at(*place), Some(Value::StructType(_)))
        {
            return Err(Diagnostic::error(format!("`{name}` is no type")).at(ty.span).into());
        }
        match ty.check(value, what, at, dims)? {
            Checked::Fits => {}
            Checked::OtherFloat => {
                if self.noted.insert(ty.span) {
                    let note = Diagnostic::note(format!("{what} is {}: `float16` admits any float", value.type_name())).at(ty.span);
                    self.notes.push(note.hint("write `float[…]` for either float"));
                }
            }
        }
        Ok(())
    }
}

/// The place that a method changes.
fn changeable<'a>(place: Option<(&'a Target, Vec<PathStep>)>, at: Span, method: &str) -> Eval<(&'a Target, Vec<PathStep>)> {
    let Some((target, path)) = place else {
        let error = Diagnostic::error(format!("`{method}` changes what it is called on, which is no variable")).at(at);
        return Err(error.hint("write `let x = …` first").into());
    };
    match target.fixed {
        Some(declared) => Err(fixed_parameter(&target.root_name, at, declared).into()),
        None => Ok((target, path)),
    }
}

/// A struct's field, changed in place where nothing else holds the record.
pub(super) fn record_mut(record: &mut Arc<Record>) -> &mut Record {
    Arc::make_mut(record)
}

pub fn plural(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}
