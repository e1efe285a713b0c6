//! Elementwise ops in f64; ints wrap as i32. NaN goes through every function, `max`, `min`, `sign` and `relu` as well, but for `pow`, where x⁰ and
//! 1ˣ are 1 as in C, comparisons, where only `!=` holds, and casts to int, which give 0.

use crate::graph::math;
use crate::graph::{BinaryOp, UnaryOp};
use crate::tensor::{DType, Shape};

use super::layout::broadcast;
use super::value::Value;

pub fn unary(op: UnaryOp, x: &Value) -> Value {
    let dtype = if op == UnaryOp::Not { DType::Bool } else { x.dtype };
    let data = if x.dtype.is_float() {
        x.data.iter().map(|&v| unary_f64(op, v)).collect()
    } else {
        x.data.iter().map(|&v| f64::from(math::unary_i32(op, v as i32))).collect()
    };
    Value::new(x.shape.clone(), dtype, data)
}

fn unary_f64(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign => math::sign_f64(x),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Rsqrt => 1.0 / x.sqrt(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Tan => x.tan(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        UnaryOp::Silu => x / (1.0 + (-x).exp()),
        UnaryOp::Gelu => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
        UnaryOp::Relu => math::max_f64(x, 0.0),
        UnaryOp::Erf => libm::erf(x),
        UnaryOp::Softplus => math::max_f64(x, 0.0) + (-x.abs()).exp().ln_1p(),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::Not => f64::from(x == 0.0),
    }
}

/// `a op b`, both broadcast to `shape`.
pub fn binary(op: BinaryOp, a: &Value, b: &Value, shape: &Shape, dtype: DType) -> Value {
    let floats = a.dtype.is_float();
    let (a, b) = (broadcast(a, shape), broadcast(b, shape));
    let data = a
        .data
        .iter()
        .zip(&b.data)
        .map(|(&a, &b)| if floats { binary_f64(op, a, b) } else { f64::from(math::binary_i32(op, a as i32, b as i32)) })
        .collect();
    Value::new(shape.clone(), dtype, data)
}

fn binary_f64(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Rem => a - b * (a / b).floor(),
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Min => math::min_f64(a, b),
        BinaryOp::Max => math::max_f64(a, b),
        BinaryOp::Eq => f64::from(a == b),
        BinaryOp::Ne => f64::from(a != b),
        BinaryOp::Lt => f64::from(a < b),
        BinaryOp::Le => f64::from(a <= b),
        BinaryOp::Gt => f64::from(a > b),
        BinaryOp::Ge => f64::from(a >= b),
        BinaryOp::And => f64::from(a != 0.0 && b != 0.0),
        BinaryOp::Or => f64::from(a != 0.0 || b != 0.0),
    }
}

pub fn select(condition: &Value, a: &Value, b: &Value, shape: &Shape, dtype: DType) -> Value {
    let (c, a, b) = (broadcast(condition, shape), broadcast(a, shape), broadcast(b, shape));
    let data = c.data.iter().zip(a.data.iter().zip(&b.data)).map(|(&c, (&a, &b))| if c != 0.0 { a } else { b }).collect();
    Value::new(shape.clone(), dtype, data)
}

/// To an int truncates towards zero, saturating; to a narrower float rounds.
pub fn cast(x: &Value, to: DType) -> Value {
    let convert = |v: f64| match to {
        DType::F16 | DType::BF16 => f64::from(math::round_to(to, v as f32)),
        DType::I32 if x.dtype.is_float() => f64::from(v as i32),
        DType::Bool => f64::from(v != 0.0),
        _ => v,
    };
    Value::new(x.shape.clone(), to, x.data.iter().map(|&v| convert(v)).collect())
}
