//! Expressions.

use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::lang::hir::{CaptureFrom, Expr, ExprKind, FnCode};
use crate::lang::interp::Interp;
use crate::lang::model::{ConfigPath, WeightPath};
use crate::lang::resolve::nearest;
use crate::lang::session::Tensor;
use crate::lang::stack;
use crate::lang::trace::count;
use crate::lang::value::{Closure, Fault, IntRange, Record, Value, dtype_name};
use crate::source::Span;
use crate::syntax::ast::{BinaryOp, UnaryOp};
use crate::tensor::HostTensor;

use super::{CallArg, Eval, Frame};

impl Interp {
    pub(in crate::lang) fn expr(&mut self, frame: &mut Frame, expr: &Expr) -> Eval<Value> {
        let span = expr.span;
        if stack::is_low() {
            return Err(self.too_deep(span));
        }
        match &expr.kind {
            ExprKind::Const(value) => Ok(value.clone()),
            ExprKind::Read(place, name) => self.read(frame, *place, name, span),
            ExprKind::Dim(name) => match frame.dims.iter().find(|d| d.name == *name) {
                Some(dim) if dim.is_count => Ok(count(dim.size)),
                Some(dim) => Ok(Value::Int(dim.size as i64)),
                None => Err(Diagnostic::error(format!("dimension `{name}` has no size yet")).at(span).into()),
            },
            ExprKind::Myself => match &frame.closure {
                Some(closure) => Ok(Value::Fn(closure.clone())),
                None => Err(Diagnostic::error("no function runs here").at(span).into()),
            },
            ExprKind::List(items) => self.list(frame, items, span),
            ExprKind::Tuple(items) => Ok(Value::tuple(self.exprs(frame, items)?)),
            ExprKind::Struct { def, fields } => self.record(frame, def, fields, span),
            ExprKind::Closure(code) => Ok(Value::Fn(Arc::new(self.closure(frame, code)))),
            ExprKind::Unary { op, operand } => {
                let value = self.expr(frame, operand)?;
                self.session.set_place(span);
                let result = match op {
                    UnaryOp::Neg => self.negate(&value),
                    UnaryOp::Not => self.not(&value),
                };
                self.placed(result, span)
            }
            ExprKind::Binary { op: BinaryOp::And | BinaryOp::Or, .. } => self.logic(frame, expr),
            ExprKind::Binary { op, left, right, .. } => {
                let a = self.expr(frame, left)?;
                let b = self.expr(frame, right)?;
                self.session.set_place(span);
                let result = self.binary(*op, &a, &b);
                result.map_err(|fault| {
                    let fault = self.explain_operands(fault, *op, (left, &a), (right, &b));
                    self.fault(fault, span)
                })
            }
            ExprKind::Range { start, end } => {
                let start = self.int_of(frame, start)?;
                let end = self.int_of(frame, end)?;
                Ok(Value::Range(IntRange { start, end, step: 1 }))
            }
            ExprKind::As { value, ty } => {
                let at = value.span;
                let value = self.expr(frame, value)?;
                self.session.set_place(span);
                let value = self.cast_to(value, ty, at)?;
                self.check_type(ty, value, "the value", at, &mut frame.dims)
            }
            ExprKind::Call { callee, args } => {
                if let ExprKind::WithDType(builtin, dtype) = &callee.kind {
                    let mut args = self.args(frame, args)?;
                    args.push(CallArg {
                        name: Some(("dtype".into(), callee.span)),
                        ..CallArg::positional(Value::DType(*dtype), callee.span)
                    });
                    return self.call_value(frame, &Value::Builtin(builtin), args, span, callee.span);
                }
                let callee_value = self.expr(frame, callee)?;
                self.call_lending(frame, None, args, |interp, frame, args| interp.call_value(frame, &callee_value, args, span, callee.span))
            }
            ExprKind::Method { .. } => self.method_call(frame, expr),
            ExprKind::Field { base, name, name_span } => {
                let base = self.expr(frame, base)?;
                let result = self.field(&base, name);
                let at = if matches!(base, Value::Layer(_) | Value::Config(_) | Value::Model(_)) { span } else { *name_span };
                self.placed(result, at)
            }
            ExprKind::StaticMethod { def, name, name_span } => {
                let def = self.expr(frame, def)?;
                match &def {
                    Value::StructType(def) => match def.method(name) {
                        Some(method) if !method.code.is_method => Ok(Value::Fn(method.clone())),
                        _ => Err(Diagnostic::error(format!("`{}` has no function `{name}` without `self`", def.name()))
                            .at(*name_span)
                            .into()),
                    },
                    other => {
                        let error =
                            Diagnostic::error(format!("`::` takes a struct or a dtype on its left, not {}", other.type_name())).at(span);
                        Err(match other {
                            Value::Builtin(builtin) => error.hint(format!("it is `{}`", builtin.shown())),
                            _ => error,
                        }
                        .into())
                    }
                }
            }
            ExprKind::WithDType(..) => {
                Err(Diagnostic::error("a dtype's constructor must be called").at(span).hint("write `f16::zeros([2, 3])`").into())
            }
            ExprKind::Index { base, args } => {
                let base_span = base.span;
                let base = self.expr(frame, base)?;
                let args = self.index_values(frame, args)?;
                self.session.set_place(span);
                let result = self.index(&base, &args);
                self.placed(result, if args.is_empty() { base_span } else { span })
            }
            ExprKind::If { branches, otherwise } => {
                for (cond, body) in branches {
                    if self.truth_of(frame, cond)? {
                        return self.block(frame, body);
                    }
                }
                otherwise.as_ref().map_or(Ok(Value::Unit), |body| self.block(frame, body))
            }
            ExprKind::Match { subject, arms } => {
                let value = self.expr(frame, subject)?;
                for arm in arms {
                    if self.matches(frame, &arm.pattern, &value, subject.span)? {
                        let passes = match &arm.guard {
                            Some(guard) => self.truth_of(frame, guard)?,
                            None => true,
                        };
                        if passes {
                            return self.block(frame, &arm.body);
                        }
                    }
                }
                let shown = self.debug_text(&value);
                let shown = self.placed(shown, subject.span)?;
                let error = Diagnostic::error(format!("no arm matches {shown}")).at(subject.span);
                let is_whole = matches!(value, Value::Float(v) if v.fract() == 0.0);
                let error = if is_whole { error.hint("an arm of an int takes no float: write `match int(x)`") } else { error };
                Err(error.hint("add an arm `_ => …`").into())
            }
            ExprKind::Block(block) => self.block(frame, block),
        }
    }

    pub(super) fn exprs(&mut self, frame: &mut Frame, exprs: &[Expr]) -> Eval<Vec<Value>> {
        let mut values = Vec::with_capacity(exprs.len());
        for expr in exprs {
            values.push(self.expr(frame, expr)?);
        }
        Ok(values)
    }

    /// `[…]`: a tensor when its elements are numbers, or literals of them; else a list.
    fn list(&mut self, frame: &mut Frame, items: &[Expr], span: Span) -> Eval<Value> {
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(self.expr(frame, item)?);
        }
        // A literal row is a tensor of its own by now; only written rows make a matrix, not variables that hold tensors.
        let is_row = |(e, v): (&Expr, &Value)| matches!(e.kind, ExprKind::List(_)) && matches!(v, Value::Tensor(_));
        let is_count = |v: &Value| matches!(v, Value::Tensor(t) if t.shape().rank() == 0 && t.as_sizes().is_some());
        if values.iter().any(is_count)
            && let Some(sizes) = sizes_of(&values)
        {
            return Ok(Value::Tensor(sizes));
        }
        let is_number = |v: &Value| matches!(v, Value::Int(_) | Value::Float(_) | Value::Bool(_));
        if !values.is_empty() && (values.iter().all(is_number) || items.iter().zip(&values).all(is_row)) {
            let tensor = self.tensor_of(&values);
            return self.placed(tensor, span).map(Value::Tensor);
        }
        Ok(Value::list(values))
    }

    pub(super) fn closure(&mut self, frame: &mut Frame, code: &Arc<FnCode>) -> Closure {
        let mut captured = Vec::with_capacity(code.captures.len());
        for from in &code.captures {
            match from {
                CaptureFrom::Local(slot) => {
                    let var = frame.share(*slot);
                    if let Some(trace) = &mut self.session.trace {
                        trace.own_variables.insert(Arc::as_ptr(&var).addr());
                    }
                    captured.push(var);
                }
                CaptureFrom::Captured(index) => captured.extend(frame.closure.as_ref().map(|c| c.captured[*index as usize].clone())),
            }
        }
        Closure { code: code.clone(), captured }
    }

    fn record(&mut self, frame: &mut Frame, def: &Expr, inits: &[(std::sync::Arc<str>, Span, Expr)], span: Span) -> Eval<Value> {
        let def_value = self.expr(frame, def)?;
        let Value::StructType(def_value) = def_value else {
            return Err(Diagnostic::error(format!("{} is no struct", def_value.type_name())).at(def.span).into());
        };
        let code = def_value.code.clone();
        let mut given: Vec<Option<Value>> = vec![None; code.fields.len()];
        for (name, name_span, init) in inits {
            let mut value = self.expr(frame, init)?;
            let Some(i) = def_value.field(name) else {
                let mut error = Diagnostic::error(format!("`{}` has no field `{name}`", def_value.name()))
                    .at(*name_span)
                    .reason(code.span, "declared here");
                if let Some(near) = nearest(name, code.fields.iter().map(|f| &*f.name)) {
                    error = error.hint(format!("did you mean `{near}`?"));
                }
                return Err(error.into());
            };
            if given[i].is_some() {
                return Err(Diagnostic::error(format!("field `{name}` stands twice")).at(*name_span).into());
            }
            if let Some(ty) = &code.fields[i].ty {
                value = self.check_type(ty, value, name, init.span, &mut Vec::new())?;
            }
            given[i] = Some(value);
        }
        let mut fields = Vec::with_capacity(given.len());
        for (value, field) in given.into_iter().zip(&code.fields) {
            fields.push(match (value, &field.default) {
                (Some(value), _) => value,
                (None, Some((default, n_locals))) => {
                    let value = self.expr(&mut Frame::new(*n_locals, None), default)?;
                    match &field.ty {
                        Some(ty) => self.check_type(ty, value, &field.name, default.span, &mut Vec::new())?,
                        None => value,
                    }
                }
                (None, None) => {
                    let error = Diagnostic::error(format!("field `{}` of `{}` is missing", field.name, def_value.name())).at(span);
                    return Err(error
                        .reason(field.span, "declared here")
                        .hint(format!("write `{} {{ {}: … }}`", def_value.name(), field.name))
                        .into());
                }
            });
        }
        Ok(Value::Record(Arc::new(Record { def: def_value, fields })))
    }

    /// `x.name`.
    pub(super) fn field(&mut self, base: &Value, name: &str) -> Result<Value, Fault> {
        match base {
            Value::Record(record) => match record.def.field(name) {
                Some(i) => Ok(record.fields[i].clone()),
                None => {
                    let fault = Fault::new(format!("`{}` has no field `{name}`", record.def.name()));
                    let is_method = record.def.method(name).is_some();
                    let near = nearest(name, record.def.code.fields.iter().map(|f| &*f.name));
                    Err(match near {
                        _ if is_method => fault.hint(format!("`{name}` is a method: write `.{name}()`")),
                        Some(near) => fault.hint(format!("did you mean `{near}`?")),
                        None => fault,
                    })
                }
            },
            Value::Model(model) => match name {
                "tokenizer" => Ok(Value::Tokenizer(model.clone())),
                "config" => Ok(Value::Config(ConfigPath::root(model.source.clone()))),
                "name" => match &model.engine {
                    Some(engine) => Ok(Value::str(&engine.name())),
                    None => Ok(Value::str(model.source.metadata().str("general.name").unwrap_or("model"))),
                },
                _ => WeightPath { source: model.source.clone(), path: "".into() }.step(name),
            },
            Value::Layer(path) => path.step(name),
            Value::Config(path) => path.step(name),
            Value::Cache(cache) if name == "position" => self.cache_position(cache),
            Value::Tensor(tensor) => match name {
                "shape" => Ok(Value::tuple((0..tensor.shape().rank()).map(|i| self.session.size(tensor, i)).collect())),
                "dtype" => Ok(Value::str(dtype_name(tensor.dtype()))),
                "rank" => Ok(Value::Int(tensor.shape().rank() as i64)),
                "T" => self.transposed(tensor).map(Value::Tensor),
                _ => Err(Fault::new(format!("a tensor has no field `{name}`"))
                    .hint("its fields are `shape`, `dtype`, `rank` and `T`; a function is called: `x.sum()`")),
            },
            Value::Range(range) => match name {
                "start" => Ok(Value::Int(range.start)),
                "end" => Ok(Value::Int(range.end)),
                "step" => Ok(Value::Int(range.step)),
                _ => Err(Fault::new(format!("a range has no field `{name}`"))),
            },
            other => {
                Err(Fault::new(format!("{} has no field `{name}`", other.type_name()))
                    .hint(format!("a function is called: write `.{name}()`")))
            }
        }
    }

    pub(super) fn too_deep(&mut self, span: Span) -> super::Signal {
        Diagnostic::error(format!("calls nest too deep: {} at once", self.depth))
            .at(span)
            .hint("write a loop, or give the recursion an end that it reaches")
            .into()
    }
}

/// Numbers of tokens beside ints, as a shape is written; `None` where another value stands among them.
fn sizes_of(values: &[Value]) -> Option<Tensor> {
    let (mut sizes, mut counts) = (Vec::with_capacity(values.len()), 0);
    for (i, value) in values.iter().enumerate() {
        sizes.push(match value {
            Value::Int(size) => i32::try_from(*size).ok()?,
            Value::Tensor(tensor) if tensor.shape().rank() == 0 => {
                counts |= 1u32.checked_shl(i as u32)?;
                i32::try_from(tensor.as_sizes()?.0[0]).ok()?
            }
            _ => return None,
        });
    }
    Some(Tensor::from_sizes(HostTensor::i32([sizes.len()], sizes), counts))
}
