//! One expression over strided inputs: op by op over runs of 256 elements, so that each op is a loop that becomes vector code.

use std::cell::RefCell;

use crate::graph::math::{binary_f32, binary_i32, compare_f32, max_f32, round_to, unary_f32, unary_i32};
use crate::graph::{BinaryOp, UnaryOp};
use crate::plan::{Elementwise, Expr, ExprOp};
use crate::tensor::DType;

use super::isa::{Isa, for_each_isa};
use super::step::{StepContext, Strided};
use super::vector::exp;

/// Elements that an op takes at once.
const RUN: usize = 256;
/// Elements of a task.
const TASK: usize = 1 << 14;

type Register = [u32; RUN];

thread_local! {
    static REGISTERS: RefCell<Vec<Register>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn run(ctx: &StepContext<'_>, step: &Elementwise) {
    let mut dims = step.dims.clone();
    if let (true, Some(first)) = (step.dynamic, dims.first_mut()) {
        *first = (*first).min(ctx.n_tokens);
    }
    let mut inputs: Vec<Input<'_>> = step
        .inputs
        .iter()
        .map(|(view, _)| {
            let Strided { words, offset, strides } = ctx.strided(view);
            Input { words, offset, strides: strides.to_vec() }
        })
        .collect();
    collapse(&mut dims, &mut inputs);
    let total: usize = dims.iter().product();
    let row = dims.last().copied().unwrap_or(1);
    if total == 0 {
        return;
    }
    let scalars: Vec<u32> = step.scalars.iter().map(|&s| ctx.scalar_bits(s)).collect();
    let (isa, out) = (ctx.isa, ctx.out(step.out));
    ctx.threads.run(total.div_ceil(TASK), |task| {
        let (mut at, end) = (task * TASK, ((task + 1) * TASK).min(total));
        REGISTERS.with_borrow_mut(|registers| {
            registers.resize(step.expr.ops.len(), [0; RUN]);
            while at < end {
                // A run stays within a row of the innermost dimension.
                let len = RUN.min(end - at).min(row - at % row);
                evaluate(isa, &step.expr, &dims, &inputs, &scalars, at, len, registers);
                // SAFETY: the elements `at .. at + len` are this task's alone.
                let out: &mut [u32] = unsafe { out.range_mut(at, len) };
                match registers.last() {
                    Some(last) => out.copy_from_slice(&last[..len]),
                    None => out.fill(0),
                }
                at += len;
            }
        });
    });
}

struct Input<'a> {
    words: &'a [u32],
    offset: usize,
    strides: Vec<isize>,
}

/// Joins neighbouring dimensions that every input walks as one.
fn collapse(dims: &mut Vec<usize>, inputs: &mut [Input<'_>]) {
    let mut i = 0;
    while i + 1 < dims.len() {
        let (outer, inner) = (dims[i], dims[i + 1]);
        if inputs.iter().all(|x| outer == 1 || x.strides[i] == x.strides[i + 1] * inner as isize) {
            dims[i + 1] *= outer;
            dims.remove(i);
            for input in inputs.iter_mut() {
                input.strides.remove(i);
            }
        } else {
            i += 1;
        }
    }
}

impl Input<'_> {
    /// The elements from number `at` on, which lie in one row of the innermost dimension.
    fn load(&self, dims: &[usize], at: usize, out: &mut [u32]) {
        let (mut rest, mut start) = (at, self.offset);
        for (&dim, &stride) in dims.iter().zip(&self.strides).rev() {
            start = start.wrapping_add_signed((rest % dim) as isize * stride);
            rest /= dim;
        }
        match self.strides.last().copied().unwrap_or(0) {
            1 => out.copy_from_slice(&self.words[start..start + out.len()]),
            0 => out.fill(self.words[start]),
            stride => {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = self.words[start.wrapping_add_signed(i as isize * stride)];
                }
            }
        }
    }
}

fn evaluate(
    isa: Isa,
    expr: &Expr,
    dims: &[usize],
    inputs: &[Input<'_>],
    scalars: &[u32],
    at: usize,
    len: usize,
    registers: &mut [Register],
) {
    for (i, op) in expr.ops.iter().enumerate() {
        let (done, rest) = registers.split_at_mut(i);
        let out = &mut rest[0][..len];
        let read = |x: u32| &done[x as usize][..len];
        match *op {
            ExprOp::Input(x) => inputs[x as usize].load(dims, at, out),
            ExprOp::Scalar(x) => out.fill(scalars[x as usize]),
            ExprOp::Unary { op, x, dtype } if dtype.is_float() => unary_floats(isa, op, read(x), out),
            ExprOp::Unary { op, x, .. } => {
                for (out, &x) in out.iter_mut().zip(read(x)) {
                    *out = unary_i32(op, x as i32) as u32;
                }
            }
            ExprOp::Binary { op, a, b, dtype } if dtype.is_float() => binary_floats(isa, op, read(a), read(b), out),
            ExprOp::Binary { op, a, b, .. } => {
                for ((out, &a), &b) in out.iter_mut().zip(read(a)).zip(read(b)) {
                    *out = binary_i32(op, a as i32, b as i32) as u32;
                }
            }
            ExprOp::Where { condition, a, b } => {
                for (((out, &c), &a), &b) in out.iter_mut().zip(read(condition)).zip(read(a)).zip(read(b)) {
                    *out = if c != 0 { a } else { b };
                }
            }
            ExprOp::Cast { x, from, to } => {
                for (out, &x) in out.iter_mut().zip(read(x)) {
                    *out = cast(x, from, to);
                }
            }
        }
    }
}

fn cast(x: u32, from: DType, to: DType) -> u32 {
    match (from.is_float(), to) {
        (true, DType::I32) => f32::from_bits(x) as i32 as u32,
        (true, DType::Bool) => u32::from(f32::from_bits(x) != 0.0),
        (true, to) => round_to(to, f32::from_bits(x)).to_bits(),
        (false, DType::I32) => x,
        (false, DType::Bool) => u32::from(x != 0),
        (false, to) => round_to(to, x as i32 as f32).to_bits(),
    }
}

for_each_isa! {
    /// The cheap functions and those made of an exponential as vector code, the others one by one.
    fn unary_floats(op: UnaryOp, x: &[u32], out: &mut [u32]) {
        match op {
            UnaryOp::Neg => map(x, out, |x| -x),
            UnaryOp::Abs => map(x, out, f32::abs),
            UnaryOp::Relu => map(x, out, |x| max_f32(x, 0.0)),
            UnaryOp::Sqrt => map(x, out, f32::sqrt),
            UnaryOp::Exp => map(x, out, exp),
            UnaryOp::Sigmoid => map(x, out, |x| 1.0 / (1.0 + exp(-x))),
            UnaryOp::Silu => map(x, out, |x| x / (1.0 + exp(-x))),
            op => map(x, out, |x| unary_f32(op, x)),
        }
    }
}

for_each_isa! {
    fn binary_floats(op: BinaryOp, a: &[u32], b: &[u32], out: &mut [u32]) {
        match op {
            BinaryOp::Add => zip(a, b, out, |a, b| a + b),
            BinaryOp::Sub => zip(a, b, out, |a, b| a - b),
            BinaryOp::Mul => zip(a, b, out, |a, b| a * b),
            BinaryOp::Div => zip(a, b, out, |a, b| a / b),
            op => {
                for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    let (a, b) = (f32::from_bits(a), f32::from_bits(b));
                    *out = compare_f32(op, a, b).map_or_else(|| binary_f32(op, a, b).to_bits(), u32::from);
                }
            }
        }
    }
}

#[inline(always)]
fn map(x: &[u32], out: &mut [u32], f: impl Fn(f32) -> f32) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = f(f32::from_bits(x)).to_bits();
    }
}

#[inline(always)]
fn zip(a: &[u32], b: &[u32], out: &mut [u32], f: impl Fn(f32, f32) -> f32) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = f(f32::from_bits(a), f32::from_bits(b)).to_bits();
    }
}
