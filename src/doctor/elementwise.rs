//! Unary and binary ops, selection and casts, on odd sizes, broadcast operands and special values.

use crate::graph::{BinaryOp, UnaryOp};
use crate::tensor::{DType, HostTensor};

use super::case::{Bound, Case};
use super::noise::Noise;

const UNARY: &[UnaryOp] = &[
    UnaryOp::Neg,
    UnaryOp::Abs,
    UnaryOp::Sign,
    UnaryOp::Exp,
    UnaryOp::Log,
    UnaryOp::Sqrt,
    UnaryOp::Rsqrt,
    UnaryOp::Sin,
    UnaryOp::Cos,
    UnaryOp::Tan,
    UnaryOp::Tanh,
    UnaryOp::Sigmoid,
    UnaryOp::Silu,
    UnaryOp::Gelu,
    UnaryOp::Relu,
    UnaryOp::Erf,
    UnaryOp::Softplus,
    UnaryOp::Floor,
    UnaryOp::Ceil,
    UnaryOp::Round,
];

const ARITHMETIC: &[BinaryOp] =
    &[BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Rem, BinaryOp::Pow, BinaryOp::Min, BinaryOp::Max];

const COMPARISONS: &[BinaryOp] = &[BinaryOp::Eq, BinaryOp::Ne, BinaryOp::Lt, BinaryOp::Le, BinaryOp::Gt, BinaryOp::Ge];

/// Whether cases of this module bear the name.
pub(super) fn is_op(name: &str) -> bool {
    let is = |op: &dyn std::fmt::Debug| format!("{op:?}").to_lowercase() == name;
    ["where", "cast", "a"].contains(&name) || UNARY.iter().any(|op| is(op)) || ARITHMETIC.iter().chain(COMPARISONS).any(|op| is(op))
}

/// WGSL allows exp, log and the trigonometric functions a few units in the last place, more for tan and pow.
const TRANSCENDENTAL: Bound = Bound::Relative(2e-5);

pub fn cases(cases: &mut Vec<Case>) {
    let mut noise = Noise::new(1);
    for &op in UNARY {
        let needs_positive = matches!(op, UnaryOp::Log | UnaryOp::Sqrt | UnaryOp::Rsqrt);
        let mut x = noise.f32([257]);
        if needs_positive {
            x = HostTensor::f32([257], x.as_f32().into_iter().flatten().map(|v| v.abs() + 0.01).collect());
        }
        cases.push(Case::of(format!("{op:?} 257").to_lowercase(), TRANSCENDENTAL, vec![x], |g, i| {
            vec![g.unary(op, i[0]).expect("a float")]
        }));
    }
    // Values at which a naive formula overflows: what silu and its kin must survive on a device without infinity.
    let extreme = HostTensor::f32([8], vec![0.0, -0.0, 88.0, -88.0, 1000.0, -1000.0, 65504.0, -65504.0]);
    for op in [UnaryOp::Tanh, UnaryOp::Sigmoid, UnaryOp::Silu, UnaryOp::Gelu, UnaryOp::Erf, UnaryOp::Softplus] {
        let name = format!("{op:?} of extreme values").to_lowercase();
        cases.push(Case::of(name, TRANSCENDENTAL, vec![extreme.clone()], |g, i| vec![g.unary(op, i[0]).expect("a float")]));
    }
    let nan = HostTensor::f32([5], vec![f32::NAN, 1.0, -2.0, -f32::NAN, 0.0]);
    let other = HostTensor::f32([5], vec![2.0, f32::NAN, 1.0, f32::NAN, -1.0]);
    cases.push(Case::of("a NaN among numbers", TRANSCENDENTAL, vec![nan, other], |g, i| {
        let functions =
            [UnaryOp::Sign, UnaryOp::Tanh, UnaryOp::Sigmoid, UnaryOp::Silu, UnaryOp::Gelu, UnaryOp::Erf, UnaryOp::Relu, UnaryOp::Softplus];
        let mut outputs: Vec<_> = functions.iter().map(|&op| g.unary(op, i[0]).expect("a float")).collect();
        outputs.extend([BinaryOp::Min, BinaryOp::Max].map(|op| g.binary(op, i[0], i[1]).expect("floats")));
        outputs
    }));
    for &op in ARITHMETIC {
        let a = HostTensor::f32([3, 1, 33], noise.f32([99]).as_f32().into_iter().flatten().map(|v| v.abs() + 0.1).collect());
        let b = HostTensor::f32([5, 1], noise.f32([5]).as_f32().into_iter().flatten().map(|v| v.abs() + 0.5).collect());
        cases.push(Case::of(format!("{op:?} broadcast").to_lowercase(), TRANSCENDENTAL, vec![a, b], |g, i| {
            vec![g.binary(op, i[0], i[1]).expect("floats that broadcast")]
        }));
        if op != BinaryOp::Pow {
            let a = HostTensor::i32([6], vec![7, -7, 7, -7, i32::MAX, 5]);
            let b = HostTensor::i32([6], vec![3, 3, -3, -3, 2, 0]);
            cases.push(Case::of(format!("{op:?} of ints").to_lowercase(), Bound::Exact, vec![a, b], |g, i| {
                vec![g.binary(op, i[0], i[1]).expect("ints of one shape")]
            }));
        }
    }
    for &op in COMPARISONS {
        let inputs = vec![noise.i32([127], 3), noise.i32([127], 3)];
        cases.push(Case::of(format!("{op:?}").to_lowercase(), Bound::Exact, inputs, |g, i| {
            let as_float = g.cast(i[0], DType::F32).expect("an int");
            vec![g.binary(op, i[0], i[1]).expect("ints"), g.binary(op, as_float, i[1]).expect("a float and an int")]
        }));
    }
    let inputs = vec![noise.f32([4, 31]), noise.f32([31]), noise.f32([1])];
    cases.push(Case::of("where", Bound::Exact, inputs, |g, i| {
        let truth = g.binary(BinaryOp::Gt, i[0], i[1]).expect("floats");
        let other = g.binary(BinaryOp::Lt, i[0], i[2]).expect("floats");
        let both = g.add(crate::graph::Op::Binary(BinaryOp::And), &[truth, other]).expect("Booleans");
        let not = g.unary(UnaryOp::Not, both).expect("a Boolean");
        vec![g.select(truth, i[0], i[1]).expect("floats"), g.select(not, i[2], i[0]).expect("floats"), not]
    }));
    let values = HostTensor::f32([10], vec![0.0, 1.5, -1.5, 2.5, 65504.0, 1e-7, -3.99, 0.1, 1e9, -1e9]);
    cases.push(Case::of("cast", Bound::Exact, vec![values, HostTensor::i32([3], vec![-1, 0, 7])], |g, i| {
        [(0, DType::I32), (0, DType::F16), (0, DType::BF16), (0, DType::Bool), (1, DType::F32), (1, DType::Bool)]
            .map(|(x, to)| g.cast(i[x], to).expect("a plain type"))
            .to_vec()
    }));
    cases.push(Case::of("a chain of elementwise ops", TRANSCENDENTAL, vec![noise.f32([7, 33]), noise.f32([33])], |g, i| {
        let two = g.literal_f32(2.0);
        let a = g.binary(BinaryOp::Mul, i[0], two).expect("floats");
        let b = g.unary(UnaryOp::Silu, a).expect("a float");
        let c = g.binary(BinaryOp::Add, b, i[1]).expect("floats");
        let d = g.permute(c, &[1, 0]).expect("two dimensions");
        vec![g.unary(UnaryOp::Tanh, d).expect("a float")]
    }));
}
