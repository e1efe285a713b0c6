//! Operators on values of any kind.

use std::sync::Arc;

use crate::graph::{self, UnaryOp};
use crate::lang::hir::{Expr, ExprKind};
use crate::lang::interp::Interp;
use crate::lang::session::{Operand, Tensor};
use crate::lang::value::{Fault, Value};
use crate::syntax::ast::BinaryOp;
use crate::tensor::{DType, HostTensor, Shape};
use crate::text::Prompt;

use super::call::plural;
use super::{Eval, Frame, number};

/// How deep `==` and printing look into values; deeper ones are cut or refused.
pub const LOOK_DEPTH_MAX: usize = 200;

/// The bytes of a string, and sixteen times the items of a list: a program that doubles one in a loop ends in an error, not in the loss of the
/// process.
const TEXT_MAX: usize = 1 << 28;

/// Refuses a string of so many bytes that a program must have gone wrong.
pub fn check_text(len: usize) -> Result<(), Fault> {
    if len <= TEXT_MAX {
        return Ok(());
    }
    Err(Fault::new(format!("a string of {len} bytes is longer than {TEXT_MAX}")).hint("write it out in parts: `write_text`, `print`"))
}

/// Refuses a list of so many items that a program must have gone wrong.
pub fn check_items(len: usize) -> Result<(), Fault> {
    let most = TEXT_MAX / 16;
    if len <= most {
        Ok(())
    } else {
        Err(Fault::new(format!("a list of {len} is longer than {most} items")).hint("hold numbers in a tensor"))
    }
}

impl Interp {
    pub(super) fn binary(&mut self, op: BinaryOp, a: &Value, b: &Value) -> Result<Value, Fault> {
        if [a, b].into_iter().any(|v| matches!(v, Value::Tensor(t) if t.as_sizes().is_some())) {
            return Err(self.session.needs_count());
        }
        match (a, b) {
            (Value::Int(a), Value::Int(b)) => number::int_op(op, *a, *b),
            (Value::Float(a), Value::Float(b)) => number::float_op(op, *a, *b),
            (Value::Int(a), Value::Float(b)) => number::float_op(op, *a as f64, *b),
            (Value::Float(a), Value::Int(b)) => number::float_op(op, *a, *b as f64),
            (Value::Tensor(_), _) | (_, Value::Tensor(_)) => self.tensor_binary(op, a, b),
            _ => match op {
                BinaryOp::Eq => self.equal(a, b).map(Value::Bool),
                BinaryOp::Ne => self.equal(a, b).map(|e| Value::Bool(!e)),
                _ => other_binary(op, a, b),
            },
        }
    }

    fn tensor_binary(&mut self, op: BinaryOp, a: &Value, b: &Value) -> Result<Value, Fault> {
        let (Some(x), Some(y)) = (operand(a), operand(b)) else {
            return match op {
                BinaryOp::Eq => Ok(Value::Bool(false)),
                BinaryOp::Ne => Ok(Value::Bool(true)),
                BinaryOp::Add if matches!((a, b), (Value::List(_), Value::Tensor(_)) | (Value::Tensor(_), Value::List(_))) => {
                    Err(no_operator(op, a, b).hint("a literal of numbers is a tensor: write `list([1, 2])` for a list"))
                }
                _ => Err(no_operator(op, a, b)),
            };
        };
        if op == BinaryOp::MatMul {
            let (Operand::Tensor(x), Operand::Tensor(y)) = (&x, &y) else {
                return Err(Fault::new("`@` multiplies matrices, not a number").hint("write `*`"));
            };
            return self.session.build(&[x, y], |g, n| g.matmul(n[0], n[1])).map(Value::Tensor);
        }
        self.session.binary(graph_op(op), &x, &y).map(Value::Tensor)
    }

    /// Adds to an operator's error what its operands were called and what they were.
    pub(super) fn explain_operands(&self, mut fault: Fault, op: BinaryOp, left: (&Expr, &Value), right: (&Expr, &Value)) -> Fault {
        let name = |e: &Expr, other: &str| match &e.kind {
            ExprKind::Read(_, name) => name.to_string(),
            _ => other.to_string(),
        };
        let (a, b) = (name(left.0, "left"), name(right.0, "right"));
        if let (Value::Tensor(x), Value::Tensor(y)) = (left.1, right.1) {
            fault.label = Some(format!("{a} is {}, {b} is {}", x.shape(), y.shape()));
        }
        if op == BinaryOp::MatMul
            && let Some(hint) = &mut fault.hint
        {
            let text = |e: &Expr, fallback: &str| match &e.kind {
                ExprKind::Read(_, name) => name.to_string(),
                _ => Some(self.sources.text(e.span))
                    .filter(|t| !t.is_empty() && t.len() < 24 && !t.contains('\n'))
                    .unwrap_or(fallback)
                    .to_string(),
            };
            *hint = hint.replace("a @ transpose(b)", &format!("{} @ transpose({})", text(left.0, "a"), text(right.0, "b")));
        }
        fault
    }

    /// `and`, `or`: the right side runs only when it matters, or elementwise when the left is a tensor of more than one element.
    pub(super) fn logic(&mut self, frame: &mut Frame, expr: &Expr) -> Eval<Value> {
        let ExprKind::Binary { op, left, right, .. } = &expr.kind else { return Ok(Value::Unit) };
        let a = self.expr(frame, left)?;
        if let Value::Tensor(t) = &a
            && t.shape().rank() > 0
        {
            let b = self.expr(frame, right)?;
            self.session.set_place(expr.span);
            let result = self.tensor_binary(*op, &a, &b);
            return self.placed(result, expr.span);
        }
        let a = self.truth(&a);
        let a = self.placed(a, left.span)?;
        if a == (*op == BinaryOp::Or) {
            return Ok(Value::Bool(a));
        }
        let b = self.expr(frame, right)?;
        if let Value::Tensor(t) = &b
            && t.shape().rank() > 0
        {
            return Ok(b);
        }
        let b = self.truth(&b);
        self.placed(b, right.span).map(Value::Bool)
    }

    pub(super) fn truth_of(&mut self, frame: &mut Frame, expr: &Expr) -> Eval<bool> {
        let value = self.expr(frame, expr)?;
        self.session.set_place(expr.span);
        let truth = self.truth(&value);
        self.placed(truth, expr.span)
    }

    /// The truth of a bool, or of a tensor of one.
    pub(in crate::lang) fn truth(&mut self, value: &Value) -> Result<bool, Fault> {
        match value {
            Value::Bool(v) => Ok(*v),
            Value::Tensor(t) if t.dtype() == DType::Bool && t.shape().len() == 1 => Ok(self.session.host(t)?.value(0) != 0.0),
            Value::Tensor(t) if t.dtype() == DType::Bool => {
                Err(Fault::new(format!("a condition takes one bool, not {}", value.type_name())).hint("write `any(x)` or `all(x)`"))
            }
            Value::Int(_) => Err(Fault::new("a condition takes a bool, not int").hint("write `x != 0`")),
            other => Err(Fault::new(format!("a condition takes a bool, not {}", other.type_name()))),
        }
    }

    pub(super) fn int_of(&mut self, frame: &mut Frame, expr: &Expr) -> Eval<i64> {
        let value = self.expr(frame, expr)?;
        let int = self.int(&value);
        self.placed(int, expr.span)
    }

    /// An int or a float that is whole, or a tensor of one such.
    pub(in crate::lang) fn int(&mut self, value: &Value) -> Result<i64, Fault> {
        match value {
            Value::Int(v) => Ok(*v),
            Value::Float(v) => number::whole(*v),
            Value::Tensor(t) if t.dtype() == DType::I32 && t.shape().len() == 1 => Ok(self.session.host(t)?.value(0) as i64),
            Value::Tensor(t) if t.dtype().is_float() && t.shape().len() == 1 => number::whole(self.session.host(t)?.value(0)),
            other => Err(Fault::new(format!("an int is needed here, not {}", other.type_name()))),
        }
    }

    pub(super) fn negate(&mut self, value: &Value) -> Result<Value, Fault> {
        match value {
            Value::Int(v) => v.checked_neg().map(Value::Int).ok_or_else(|| Fault::new(format!("-({v}) does not fit an int"))),
            Value::Float(v) => Ok(Value::Float(-v)),
            Value::Tensor(t) => self.session.build(&[t], |g, n| g.unary(UnaryOp::Neg, n[0])).map(Value::Tensor),
            other => Err(Fault::new(format!("`-` takes a number, not {}", other.type_name()))),
        }
    }

    pub(super) fn not(&mut self, value: &Value) -> Result<Value, Fault> {
        match value {
            Value::Tensor(t) if t.shape().rank() > 0 => self.session.build(&[t], |g, n| g.unary(UnaryOp::Not, n[0])).map(Value::Tensor),
            other => self.truth(other).map(|v| Value::Bool(!v)),
        }
    }

    /// Equality of whole values. Tensors are equal when shape and all elements are; ints and floats by their value.
    pub(in crate::lang) fn equal(&mut self, a: &Value, b: &Value) -> Result<bool, Fault> {
        self.equal_within(a, b, LOOK_DEPTH_MAX)
    }

    fn equal_within(&mut self, a: &Value, b: &Value, depth: usize) -> Result<bool, Fault> {
        if depth == 0 {
            return Err(Fault::new(format!("values nest more than {LOOK_DEPTH_MAX} deep, too deep to compare")));
        }
        Ok(match (a, b) {
            (Value::Prompt(a), Value::Prompt(b)) => a.text == b.text,
            (Value::Prompt(a), Value::Str(b)) | (Value::Str(b), Value::Prompt(a)) => *a.text == **b,
            (Value::Unit, Value::Unit) => true,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => *a as f64 == *b,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::Range(a), Value::Range(b)) => a == b,
            (Value::DType(a), Value::DType(b)) => a == b,
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => self.all_equal(&a.0, &b.0, depth)?,
            (Value::Record(a), Value::Record(b)) => Arc::ptr_eq(&a.def, &b.def) && self.all_equal(&a.fields, &b.fields, depth)?,
            (Value::Fn(a), Value::Fn(b)) => Arc::ptr_eq(a, b),
            (Value::Tensor(a), Value::Tensor(b)) => {
                if a.shape() != b.shape() {
                    return Ok(false);
                }
                let (a, b) = (self.session.host(a)?, self.session.host(b)?);
                (0..a.len()).all(|i| a.value(i) == b.value(i))
            }
            (Value::Tensor(t), other @ (Value::Int(_) | Value::Float(_) | Value::Bool(_)))
            | (other @ (Value::Int(_) | Value::Float(_) | Value::Bool(_)), Value::Tensor(t)) => {
                if t.shape().rank() != 0 {
                    return Ok(false);
                }
                let have = self.session.host(t)?.value(0);
                match other {
                    Value::Int(v) => have == *v as f64,
                    Value::Float(v) => have == *v || have == f64::from(*v as f32),
                    Value::Bool(v) => have == f64::from(u8::from(*v)),
                    _ => false,
                }
            }
            // A list of numbers and a tensor literal are written alike.
            (Value::List(items), Value::Tensor(t)) | (Value::Tensor(t), Value::List(items)) => {
                if t.shape().rank() != 1 || t.shape()[0] != items.0.len() {
                    return Ok(false);
                }
                for i in 0..items.0.len() {
                    let element = self.tensor_index(t, &[super::IndexValue::At(i as i64)])?;
                    if !self.equal_within(&items.0[i], &element, depth - 1)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => false,
        })
    }

    fn all_equal(&mut self, a: &[Value], b: &[Value], depth: usize) -> Result<bool, Fault> {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (a, b) in a.iter().zip(b) {
            if !self.equal_within(a, b, depth - 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A tensor of written numbers: all ints make int32, all bools bool, anything else float32. Rows stack.
    pub(in crate::lang) fn tensor_of(&mut self, values: &[Value]) -> Result<Tensor, Fault> {
        if let Some(Value::Tensor(first)) = values.first() {
            return self.stack_rows(first.shape().clone(), values);
        }
        if values.iter().all(|v| matches!(v, Value::Bool(_))) {
            let data = values.iter().map(|v| matches!(v, Value::Bool(true))).collect();
            return Ok(Tensor::from_host(HostTensor::bool([values.len()], data)));
        }
        if values.iter().all(|v| matches!(v, Value::Int(_))) {
            let mut data = Vec::with_capacity(values.len());
            for value in values {
                if let Value::Int(v) = value {
                    data.push(
                        i32::try_from(*v)
                            .map_err(|_| Fault::new(format!("{v} does not fit int32")).hint(format!("write `{v}.0` for a float")))?,
                    );
                }
            }
            return Ok(Tensor::from_host(HostTensor::i32([values.len()], data)));
        }
        let mut data = Vec::with_capacity(values.len());
        for value in values {
            data.push(match value {
                Value::Int(v) => *v as f32,
                Value::Float(v) => *v as f32,
                other => return Err(Fault::new(format!("a tensor holds numbers, not {}", other.type_name()))),
            });
        }
        Ok(Tensor::from_host(HostTensor::f32([values.len()], data)))
    }

    fn stack_rows(&mut self, row: Shape, values: &[Value]) -> Result<Tensor, Fault> {
        let mut rows = Vec::with_capacity(values.len());
        for value in values {
            let Value::Tensor(t) = value else { return Err(Fault::new("a row of numbers is needed beside rows of numbers")) };
            if *t.shape() != row {
                return Err(Fault::new(format!("rows of {} and {} do not stack", shape_words(&row), shape_words(t.shape()))));
            }
            rows.push(self.session.host(t)?);
        }
        let mut dims = vec![rows.len()];
        dims.extend(row.dims());
        let is = |dtype: DType| rows.iter().all(|r| r.dtype == dtype);
        let ints = || rows.iter().flat_map(|r| r.as_i32().unwrap_or_default().iter().copied()).collect::<Vec<_>>();
        Ok(Tensor::from_host(if is(DType::I32) {
            HostTensor::i32(dims, ints())
        } else if is(DType::Bool) {
            HostTensor { dtype: DType::Bool, ..HostTensor::i32(dims, ints()) }
        } else {
            HostTensor::f32(dims, rows.iter().flat_map(|r| (0..r.len()).map(|i| r.value(i) as f32)).collect())
        }))
    }
}

fn shape_words(shape: &Shape) -> String {
    if shape.rank() == 1 { plural(shape[0], "element") } else { shape.to_string() }
}

/// A value as an operand of an elementwise op.
pub(in crate::lang) fn operand(value: &Value) -> Option<Operand> {
    match value {
        Value::Tensor(t) => Some(Operand::Tensor(t.clone())),
        Value::Int(v) => Some(Operand::Int(*v)),
        Value::Float(v) => Some(Operand::Float(*v)),
        Value::Bool(v) => Some(Operand::Bool(*v)),
        _ => None,
    }
}

fn graph_op(op: BinaryOp) -> graph::BinaryOp {
    match op {
        BinaryOp::Add => graph::BinaryOp::Add,
        BinaryOp::Sub => graph::BinaryOp::Sub,
        BinaryOp::Mul | BinaryOp::Hadamard | BinaryOp::Juxtapose | BinaryOp::MatMul => graph::BinaryOp::Mul,
        BinaryOp::Div => graph::BinaryOp::Div,
        BinaryOp::Rem => graph::BinaryOp::Rem,
        BinaryOp::Pow => graph::BinaryOp::Pow,
        BinaryOp::Eq => graph::BinaryOp::Eq,
        BinaryOp::Ne => graph::BinaryOp::Ne,
        BinaryOp::Lt => graph::BinaryOp::Lt,
        BinaryOp::Le => graph::BinaryOp::Le,
        BinaryOp::Gt => graph::BinaryOp::Gt,
        BinaryOp::Ge => graph::BinaryOp::Ge,
        BinaryOp::And => graph::BinaryOp::And,
        BinaryOp::Or => graph::BinaryOp::Or,
    }
}

/// Operators of strings, lists and tuples.
fn other_binary(op: BinaryOp, a: &Value, b: &Value) -> Result<Value, Fault> {
    match (op, a, b) {
        (BinaryOp::Add, Value::Prompt(prompt), Value::Str(text)) => {
            check_text(prompt.text.len() + text.len())?;
            Ok(joined(prompt, text, false))
        }
        (BinaryOp::Add, Value::Str(text), Value::Prompt(prompt)) => {
            check_text(prompt.text.len() + text.len())?;
            Ok(joined(prompt, text, true))
        }
        (_, Value::Prompt(a), b) => other_binary(op, &Value::str(&a.text), b),
        (_, a, Value::Prompt(b)) => other_binary(op, a, &Value::str(&b.text)),
        (BinaryOp::Add, Value::Str(a), Value::Str(b)) => {
            check_text(a.len() + b.len())?;
            Ok(Value::Str([&**a, &**b].concat().into()))
        }
        (BinaryOp::Add, Value::List(a), Value::List(b)) => {
            check_items(a.0.len() + b.0.len()).map(|()| Value::list(a.0.iter().chain(&b.0).cloned().collect()))
        }
        (BinaryOp::Add, Value::Tuple(a), Value::Tuple(b)) => {
            check_items(a.0.len() + b.0.len()).map(|()| Value::tuple(a.0.iter().chain(&b.0).cloned().collect()))
        }
        // A repeat takes a float that is whole.
        (BinaryOp::Mul, Value::Str(_) | Value::List(_), Value::Float(n)) => other_binary(op, a, &Value::Int(number::whole(*n)?)),
        (BinaryOp::Mul, Value::Float(n), Value::Str(_)) => other_binary(op, &Value::Int(number::whole(*n)?), b),
        (BinaryOp::Mul, Value::Str(text), Value::Int(n)) | (BinaryOp::Mul, Value::Int(n), Value::Str(text)) => {
            let n = usize::try_from(*n).map_err(|_| Fault::new(format!("a string cannot stand {n} times")))?;
            check_text(text.len().saturating_mul(n))?;
            Ok(Value::str(&text.repeat(n)))
        }
        (BinaryOp::Mul, Value::List(items), Value::Int(n)) => {
            let n = usize::try_from(*n).map_err(|_| Fault::new(format!("a list cannot stand {n} times")))?;
            check_items(items.0.len().saturating_mul(n))?;
            // No item taken for ever is still for ever.
            let n = if items.0.is_empty() { 0 } else { n };
            Ok(Value::list(std::iter::repeat_n(&items.0, n).flatten().cloned().collect()))
        }
        (op, Value::Str(a), Value::Str(b)) if op.is_comparison() => Ok(Value::Bool(match op {
            BinaryOp::Lt => a < b,
            BinaryOp::Le => a <= b,
            BinaryOp::Gt => a > b,
            _ => a >= b,
        })),
        (BinaryOp::Add, Value::Str(_), other) | (BinaryOp::Add, other, Value::Str(_)) => {
            Err(no_operator(op, a, b).hint(format!("write `str(x)` to make a string of {}", other.type_name())))
        }
        _ => Err(no_operator(op, a, b)),
    }
}

/// A rendered conversation with a text beside it, which holds no special tokens, such as the beginning of an answer.
fn joined(prompt: &Prompt, text: &str, in_front: bool) -> Value {
    let shift = if in_front { text.len() } else { 0 };
    let mut messages: Vec<_> = prompt.messages.iter().map(|r| r.start + shift..r.end + shift).collect();
    let (at, whole) = if in_front { (0, [text, &prompt.text].concat()) } else { (prompt.text.len(), [&prompt.text, text].concat()) };
    if !text.is_empty() {
        messages.insert(if in_front { 0 } else { messages.len() }, at..at + text.len());
    }
    Value::Prompt(Arc::new(Prompt { text: whole, messages }))
}

fn no_operator(op: BinaryOp, a: &Value, b: &Value) -> Fault {
    Fault::new(format!("`{}` does not take {} and {}", op.symbol(), a.type_name(), b.type_name()))
}
