//! The elementwise functions on one f32 or i32: what host scalars, the CPU backend and constant folding share.

use half::{bf16, f16};

use crate::tensor::DType;

use super::op::{BinaryOp, UnaryOp};

/// The larger of two; NaN where one is, as in NumPy.
pub fn max_f32(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// The smaller of two; NaN where one is.
pub fn min_f32(a: f32, b: f32) -> f32 {
    if a < b || a.is_nan() { a } else { b }
}

/// [`max_f32`] in f64.
pub fn max_f64(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

/// [`min_f32`] in f64.
pub fn min_f64(a: f64, b: f64) -> f64 {
    if a < b || a.is_nan() { a } else { b }
}

/// 1, 0 or -1; NaN of NaN.
pub fn sign_f64(x: f64) -> f64 {
    if x.is_nan() { x } else { f64::from(x > 0.0) - f64::from(x < 0.0) }
}

/// `op` of one f32. `Not` is 1 where `x` is 0.
pub fn unary_f32(op: UnaryOp, x: f32) -> f32 {
    match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign => sign_f64(f64::from(x)) as f32,
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
        UnaryOp::Gelu => 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh()),
        UnaryOp::Relu => max_f32(x, 0.0),
        UnaryOp::Erf => libm::erff(x),
        UnaryOp::Softplus => max_f32(x, 0.0) + (-x.abs()).exp().ln_1p(),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::Not => f32::from(x == 0.0),
    }
}

/// `op` of one i32, wrapping. Functions that take floats alone leave `x` as it is: inference never lets them here.
pub fn unary_i32(op: UnaryOp, x: i32) -> i32 {
    match op {
        UnaryOp::Neg => x.wrapping_neg(),
        UnaryOp::Abs => x.wrapping_abs(),
        UnaryOp::Sign => x.signum(),
        UnaryOp::Not => i32::from(x == 0),
        UnaryOp::Relu => x.max(0),
        _ => x,
    }
}

/// The truth of a comparison, or `None` when `op` is none.
pub fn compare_f32(op: BinaryOp, a: f32, b: f32) -> Option<bool> {
    Some(match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Lt => a < b,
        BinaryOp::Le => a <= b,
        BinaryOp::Gt => a > b,
        BinaryOp::Ge => a >= b,
        BinaryOp::And => a != 0.0 && b != 0.0,
        BinaryOp::Or => a != 0.0 || b != 0.0,
        _ => return None,
    })
}

/// `a op b` in f32; comparisons give 0 or 1.
pub fn binary_f32(op: BinaryOp, a: f32, b: f32) -> f32 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Rem => a - b * (a / b).floor(),
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Min => min_f32(a, b),
        BinaryOp::Max => max_f32(a, b),
        _ => f32::from(compare_f32(op, a, b).unwrap_or(false)),
    }
}

/// `a op b` in wrapping i32; comparisons give 0 or 1.
pub fn binary_i32(op: BinaryOp, a: i32, b: i32) -> i32 {
    match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::Div => match a.checked_div(b) {
            Some(q) if a % b != 0 && (a < 0) != (b < 0) => q - 1,
            Some(q) => q,
            None => 0,
        },
        BinaryOp::Rem => match a.checked_rem(b) {
            Some(r) if r != 0 && (r < 0) != (b < 0) => r + b,
            Some(r) => r,
            None => 0,
        },
        BinaryOp::Pow => u32::try_from(b).map_or(0, |e| a.wrapping_pow(e)),
        BinaryOp::Min => a.min(b),
        BinaryOp::Max => a.max(b),
        BinaryOp::Eq => i32::from(a == b),
        BinaryOp::Ne => i32::from(a != b),
        BinaryOp::Lt => i32::from(a < b),
        BinaryOp::Le => i32::from(a <= b),
        BinaryOp::Gt => i32::from(a > b),
        BinaryOp::Ge => i32::from(a >= b),
        BinaryOp::And => i32::from(a != 0 && b != 0),
        BinaryOp::Or => i32::from(a != 0 || b != 0),
    }
}

/// `x` rounded to a float storage type.
pub fn round_to(dtype: DType, x: f32) -> f32 {
    match dtype {
        DType::F16 => f16::from_f32(x).to_f32(),
        DType::BF16 => bf16::from_f32(x).to_f32(),
        _ => x,
    }
}
