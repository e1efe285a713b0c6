//! Arithmetic of numbers on the host. Ints are exact: what does not fit is an error.

use crate::lang::format::float_text;
use crate::lang::value::{Fault, Value};
use crate::syntax::ast::BinaryOp;

/// `a op b` of two ints.
pub fn int_op(op: BinaryOp, a: i64, b: i64) -> Result<Value, Fault> {
    let exact = |v: Option<i64>| {
        v.map(Value::Int)
            .ok_or_else(|| Fault::new(format!("{a} {} {b} does not fit an int", op.symbol())).hint("write a float, such as `1.0`"))
    };
    match op {
        BinaryOp::Add => exact(a.checked_add(b)),
        BinaryOp::Sub => exact(a.checked_sub(b)),
        BinaryOp::Mul | BinaryOp::Hadamard | BinaryOp::Juxtapose => exact(a.checked_mul(b)),
        BinaryOp::Div => Ok(Value::Float(a as f64 / b as f64)),
        BinaryOp::Rem if b == 0 => Err(Fault::new(format!("{a} % 0: an int has no remainder by zero"))),
        // The remainder has the divisor's sign, as tensors have it.
        BinaryOp::Rem => Ok(Value::Int(match a.checked_rem(b).unwrap_or(0) {
            r if r != 0 && (r < 0) != (b < 0) => r + b,
            r => r,
        })),
        BinaryOp::Pow if b < 0 => Ok(Value::Float((a as f64).powf(b as f64))),
        BinaryOp::Pow => {
            exact(u32::try_from(b).ok().and_then(|e| a.checked_pow(e)).or(if (-1..=1).contains(&a) { Some(small_pow(a, b)) } else { None }))
        }
        BinaryOp::Eq => Ok(Value::Bool(a == b)),
        BinaryOp::Ne => Ok(Value::Bool(a != b)),
        BinaryOp::Lt => Ok(Value::Bool(a < b)),
        BinaryOp::Le => Ok(Value::Bool(a <= b)),
        BinaryOp::Gt => Ok(Value::Bool(a > b)),
        BinaryOp::Ge => Ok(Value::Bool(a >= b)),
        BinaryOp::MatMul => Err(Fault::new("`@` multiplies matrices, not numbers").hint("write `*`")),
        BinaryOp::And | BinaryOp::Or => Err(Fault::new(format!("`{}` takes bools, not int and int", op.symbol())).hint("write `x != 0`")),
    }
}

/// `-1`, `0` and `1` to any power.
fn small_pow(a: i64, b: i64) -> i64 {
    match a {
        -1 if b % 2 == 0 => 1,
        0 if b == 0 => 1,
        other => other,
    }
}

/// `a op b` of two floats.
pub fn float_op(op: BinaryOp, a: f64, b: f64) -> Result<Value, Fault> {
    Ok(match op {
        BinaryOp::Add => Value::Float(a + b),
        BinaryOp::Sub => Value::Float(a - b),
        BinaryOp::Mul | BinaryOp::Hadamard | BinaryOp::Juxtapose => Value::Float(a * b),
        BinaryOp::Div => Value::Float(a / b),
        BinaryOp::Rem => Value::Float(a - b * (a / b).floor()),
        BinaryOp::Pow => Value::Float(a.powf(b)),
        BinaryOp::Eq => Value::Bool(a == b),
        BinaryOp::Ne => Value::Bool(a != b),
        BinaryOp::Lt => Value::Bool(a < b),
        BinaryOp::Le => Value::Bool(a <= b),
        BinaryOp::Gt => Value::Bool(a > b),
        BinaryOp::Ge => Value::Bool(a >= b),
        BinaryOp::MatMul => return Err(Fault::new("`@` multiplies matrices, not numbers").hint("write `*`")),
        BinaryOp::And | BinaryOp::Or => {
            return Err(Fault::new(format!("`{}` takes bools, not float and float", op.symbol())).hint("write `x != 0.0`"));
        }
    })
}

/// `a / b` of two ints, floored: what `%` agrees with.
///
/// # Errors
/// By zero, and where the result does not fit an int.
pub fn floor_div(a: i64, b: i64) -> Result<i64, Fault> {
    if b == 0 {
        return Err(Fault::new(format!("div({a}, 0): an int cannot be divided by zero")).hint("write `a / b` for a float: inf or nan"));
    }
    let cut = a.checked_div(b).ok_or_else(|| Fault::new(format!("div({a}, {b}) does not fit an int")))?;
    Ok(if a % b != 0 && (a < 0) != (b < 0) { cut - 1 } else { cut })
}

/// A float that is whole, as an int: what a size, an index, a bound, a repeat or a token id takes.
///
/// # Errors
/// For any other float.
pub fn whole(v: f64) -> Result<i64, Fault> {
    if v.fract() == 0.0 {
        return float_to_int(v);
    }
    Err(Fault::new(format!("a whole number is needed here, not {}", float_text(v)))
        .hint("`/` keeps the fraction: write `div(a, b)` for a quotient without it, or `int(x)` to cut it off"))
}

/// A float as an int, towards zero.
pub fn float_to_int(v: f64) -> Result<i64, Fault> {
    // 2^63 itself is a float and no int.
    if v >= -(2f64.powi(63)) && v < 2f64.powi(63) { Ok(v as i64) } else { Err(Fault::new(format!("{v} does not fit an int"))) }
}
