//! Functions of each element. Of a number they give a number.

use crate::graph::{BinaryOp, UnaryOp, math};
use crate::lang::eval::number::{self, float_to_int};
use crate::lang::interp::Interp;
use crate::lang::session::Operand;
use crate::lang::value::{Fault, Value};

use super::args::Args;
use super::{Builtin, Outcome, Run};

macro_rules! functions {
    ($($name:literal, $op:ident, $host:expr, $doc:literal;)*) => {
        &[$(Builtin {
            name: $name,
            signature: concat!($name, "(x) -> tensor or float"),
            section: "math",
            doc: $doc,
            run: Run::Call(|interp, args| unary(interp, args, UnaryOp::$op, $host)),
        },)*
        Builtin {
            name: "pow",
            signature: "pow(x, y) -> tensor or number",
            section: "math",
            doc: "`x ** y`.",
            run: Run::Call(|interp, args| binary(interp, args, BinaryOp::Pow)),
        },
        Builtin {
            name: "div",
            signature: "div(a, b) -> tensor or number",
            section: "math",
            doc: "`a / b` floored, an int of ints: `a` is `div(a, b) * b + a % b`. (`/` is true division; `//` starts a comment.)",
            run: Run::Call(floor_div),
        },
        Builtin {
            name: "minimum",
            signature: "minimum(a, b) -> tensor or number",
            section: "math",
            doc: "The smaller of two, elementwise with broadcasting; NaN where one is.",
            run: Run::Call(|interp, args| binary(interp, args, BinaryOp::Min)),
        },
        Builtin {
            name: "maximum",
            signature: "maximum(a, b) -> tensor or number",
            section: "math",
            doc: "The larger of two, elementwise with broadcasting; NaN where one is.",
            run: Run::Call(|interp, args| binary(interp, args, BinaryOp::Max)),
        },
        Builtin {
            name: "clamp",
            signature: "clamp(x, low: number, high: number) -> tensor or number",
            section: "math",
            doc: "`x`, but at least `low` and at most `high`; NaN stays NaN.",
            run: Run::Call(clamp),
        }]
    };
}

pub const BUILTINS: &[Builtin] = functions! {
    "exp", Exp, f64::exp, "e to the power of x.";
    "log", Log, f64::ln, "The natural logarithm.";
    "sqrt", Sqrt, f64::sqrt, "The square root.";
    "rsqrt", Rsqrt, |x| 1.0 / x.sqrt(), "1 / sqrt(x).";
    "abs", Abs, f64::abs, "The absolute value.";
    "sign", Sign, math::sign_f64, "1, 0 or -1; NaN of NaN.";
    "sin", Sin, f64::sin, "The sine of x radians.";
    "cos", Cos, f64::cos, "The cosine of x radians.";
    "tan", Tan, f64::tan, "The tangent of x radians.";
    "tanh", Tanh, f64::tanh, "The hyperbolic tangent.";
    "sigmoid", Sigmoid, |x| 1.0 / (1.0 + (-x).exp()), "1 / (1 + exp(-x)).";
    "relu", Relu, |x: f64| math::max_f64(x, 0.0), "max(x, 0); NaN of NaN.";
    "silu", Silu, |x| x / (1.0 + (-x).exp()), "x sigmoid(x), also called swish (arXiv:1702.03118).";
    "gelu", Gelu, |x| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)).tanh()), "0.5 x (1 + tanh(sqrt(2/π) (x + 0.044715 x³))) (arXiv:1606.08415).";
    "erf", Erf, libm::erf, "The error function, 2 / sqrt(π) times the integral of exp(-t²) from 0 to x.";
    "softplus", Softplus, |x: f64| math::max_f64(x, 0.0) + (-x.abs()).exp().ln_1p(), "log(1 + exp(x)).";
    "floor", Floor, f64::floor, "The whole number at or below x.";
    "ceil", Ceil, f64::ceil, "The whole number at or above x.";
    "round", Round, f64::round_ties_even, "The nearest whole number, the even one of two.";
};

fn unary(interp: &mut Interp, args: Args, op: UnaryOp, host: fn(f64) -> f64) -> Outcome {
    match args.operand(0)? {
        Operand::Tensor(x) => Ok(Value::Tensor(interp.session.build(&[&x], |g, n| g.unary(op, n[0]))?)),
        Operand::Int(v) => match op {
            UnaryOp::Abs => v.checked_abs().map(Value::Int).ok_or_else(|| args.fail(0, Fault::new(format!("|{v}| does not fit an int")))),
            UnaryOp::Sign => Ok(Value::Int(v.signum())),
            UnaryOp::Relu => Ok(Value::Int(v.max(0))),
            UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => Ok(Value::Int(v)),
            _ => Ok(Value::Float(host(v as f64))),
        },
        Operand::Float(v) => Ok(Value::Float(host(v))),
        Operand::Bool(_) => Err(args.fail(0, Fault::new("a number is needed here, not bool").hint("write `int(x)`"))),
    }
}

fn binary(interp: &mut Interp, args: Args, op: BinaryOp) -> Outcome {
    let (a, b) = (args.operand(0)?, args.operand(1)?);
    match (&a, &b) {
        (Operand::Tensor(_), _) | (_, Operand::Tensor(_)) => Ok(Value::Tensor(interp.session.binary(op, &a, &b)?)),
        (Operand::Int(x), Operand::Int(y)) => Ok(match op {
            BinaryOp::Min => Value::Int(*x.min(y)),
            BinaryOp::Max => Value::Int(*x.max(y)),
            _ => number::int_op(crate::syntax::ast::BinaryOp::Pow, *x, *y)?,
        }),
        _ => {
            let (x, y) = (args.float(interp, 0)?, args.float(interp, 1)?);
            Ok(Value::Float(match op {
                BinaryOp::Min => math::min_f64(x, y),
                BinaryOp::Max => math::max_f64(x, y),
                _ => x.powf(y),
            }))
        }
    }
}

fn floor_div(interp: &mut Interp, args: Args) -> Outcome {
    let (a, b) = (args.operand(0)?, args.operand(1)?);
    match (&a, &b) {
        (Operand::Tensor(_), _) | (_, Operand::Tensor(_)) => Ok(Value::Tensor(interp.session.floor_div(&a, &b)?)),
        (Operand::Int(x), Operand::Int(y)) => Ok(Value::Int(number::floor_div(*x, *y)?)),
        _ => Ok(Value::Float((args.float(interp, 0)? / args.float(interp, 1)?).floor())),
    }
}

fn clamp(interp: &mut Interp, args: Args) -> Outcome {
    let (low, high) = (args.float(interp, 1)?, args.float(interp, 2)?);
    if low.is_nan() || high.is_nan() || low > high {
        return Err(args.fail(1, Fault::new(format!("the lower bound {low:?} is above the upper bound {high:?}"))));
    }
    match args.operand(0)? {
        x @ Operand::Tensor(_) => {
            let bounds = (args.operand(1)?, args.operand(2)?);
            let x = interp.session.binary(BinaryOp::Max, &x, &bounds.0)?;
            Ok(Value::Tensor(interp.session.binary(BinaryOp::Min, &Operand::Tensor(x), &bounds.1)?))
        }
        Operand::Int(v) if matches!((args.value(1), args.value(2)), (Value::Int(_), Value::Int(_))) => {
            Ok(Value::Int(v.clamp(float_to_int(low)?, float_to_int(high)?)))
        }
        _ => Ok(Value::Float(args.float(interp, 0)?.clamp(low, high))),
    }
}
