//! Elementwise expressions: their WGSL is written from the plan's straight-line code.

use std::fmt::Write;

use super::super::assemble::Source;
use super::{Arguments, Grid, Lowering, padded};
use crate::graph::{BinaryOp, ExecError, Literal, UnaryOp};
use crate::plan::{Buf, Elementwise, ExprOp, Rows, ScalarExpr, ScalarRef, Scalars};
use crate::tensor::DType;

/// The names of inputs, which have bindings from 2 on: a kernel may bind one buffer more, its output.
const INPUTS: [&str; 7] = ["in2", "in3", "in4", "in5", "in6", "in7", "in8"];
const MOST_DIMS: usize = 8;

impl Lowering<'_> {
    pub(super) fn elementwise(&mut self, k: &Elementwise) -> Result<(), ExecError> {
        let mut buffers: Vec<Buf> = Vec::new();
        for (view, _) in &k.inputs {
            if !buffers.contains(&view.buf) {
                buffers.push(view.buf);
            }
        }
        if buffers.len() > INPUTS.len() {
            let message = format!("an expression of {} tensors; one GPU kernel takes at most {}", buffers.len(), INPUTS.len());
            return Err(self.unsupported(message));
        }
        let views = Views::of(k);
        if views.dims.len() > MOST_DIMS {
            return Err(self.unsupported(format!("a view of {} dimensions; the GPU takes at most {MOST_DIMS}", views.dims.len())));
        }
        let text = Writer { k, views: &views, scalars: &self.plan.scalars, buffers: &buffers }.write();
        let rows = Rows { count: k.dims.first().copied().unwrap_or(1), dynamic: k.dynamic };
        let inner: usize = k.dims.iter().skip(1).product();
        let of_view = |view: &InputView| padded([view.offset as isize], 4).chain(padded(view.strides.clone(), MOST_DIMS));
        let scalars = k.scalars.iter().map(|&s| self.word(s));
        let arguments = Arguments::default()
            .set("outer", rows.count)
            .set("dynamic", rows.dynamic)
            .set("inner", inner)
            .set_all("dims", padded(views.dims.clone(), MOST_DIMS))
            .set_all("views", views.inputs.iter().flat_map(of_view))
            .set_all("scalars", padded(scalars, k.scalars.len().next_multiple_of(4)))
            .bind("out", k.out);
        let arguments = INPUTS.into_iter().zip(buffers).fold(arguments, |arguments, (name, buffer)| arguments.bind(name, buffer));
        let source = Source::new("elementwise").with("prelude/math").generate(&text);
        self.push(source, arguments, Grid::rows(rows, inner, 64));
        Ok(())
    }
}

/// The views of an expression over as few dimensions as they allow.
struct Views {
    dims: Vec<usize>,
    inputs: Vec<InputView>,
}

struct InputView {
    offset: usize,
    strides: Vec<isize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// The element of the same index.
    Linear,
    /// One element for all.
    Constant,
    Strided,
}

impl Views {
    fn of(k: &Elementwise) -> Self {
        let mut dims: Vec<usize> = Vec::new();
        let mut strides: Vec<Vec<isize>> = vec![Vec::new(); k.inputs.len()];
        for (i, &size) in k.dims.iter().enumerate() {
            if size == 1 {
                continue;
            }
            let own: Vec<isize> = k.inputs.iter().map(|(v, _)| v.strides[i]).collect();
            // This dimension continues the one before it where every input steps through both as through one.
            let joins = !dims.is_empty() && own.iter().zip(&strides).all(|(&s, before)| before.last() == Some(&(s * size as isize)));
            match dims.last_mut() {
                Some(last) if joins => *last *= size,
                _ => {
                    dims.push(size);
                    strides.iter_mut().for_each(|s| s.push(0));
                }
            }
            for (s, own) in strides.iter_mut().zip(own) {
                if let Some(last) = s.last_mut() {
                    *last = own;
                }
            }
        }
        let inputs = k.inputs.iter().zip(strides).map(|((v, _), strides)| InputView { offset: v.offset, strides }).collect();
        Views { dims, inputs }
    }

    fn access(&self, i: usize) -> Access {
        let InputView { offset, strides } = &self.inputs[i];
        let mut step = 1;
        let mut linear = *offset == 0;
        for (&size, &stride) in self.dims.iter().zip(strides).rev() {
            linear &= stride == step;
            step *= size as isize;
        }
        match () {
            () if strides.iter().all(|&s| s == 0) => Access::Constant,
            () if linear => Access::Linear,
            () => Access::Strided,
        }
    }
}

struct Writer<'a> {
    k: &'a Elementwise,
    views: &'a Views,
    scalars: &'a Scalars,
    /// What is bound as `INPUTS`.
    buffers: &'a [Buf],
}

impl Writer<'_> {
    /// The step's struct, the buffers and `fn value`.
    fn write(&self) -> String {
        let mut text = String::new();
        let n_scalars = self.k.scalars.len().div_ceil(4);
        text.push_str("struct View { offset: vec4<u32>, strides: array<vec4<i32>, 2>, }\n");
        text.push_str("struct Step {\n    outer: u32,\n    dynamic: u32,\n    inner: u32,\n    dims: array<vec4<u32>, 2>,\n");
        if !self.k.inputs.is_empty() {
            let _ = writeln!(text, "    views: array<View, {}>,", self.k.inputs.len());
        }
        if n_scalars > 0 {
            let _ = writeln!(text, "    scalars: array<vec4<u32>, {n_scalars}>,");
        }
        text.push_str("}\n@group(0) @binding(1) var<uniform> step: Step;\n");
        for (i, name) in INPUTS[..self.buffers.len()].iter().enumerate() {
            let _ = writeln!(text, "@group(0) @binding({}) var<storage, read> {name}: array<u32>;", i + 2);
        }
        let out_type = if self.k.dtype.is_float() { "f32" } else { "i32" };
        let _ = writeln!(text, "@group(0) @binding({}) var<storage, read_write> out: array<{out_type}>;", self.buffers.len() + 2);
        let _ = writeln!(text, "fn value(index: u32) -> {out_type} {{");
        self.write_indices(&mut text);
        let mut dtypes: Vec<DType> = Vec::new();
        for (i, op) in self.k.expr.ops.iter().enumerate() {
            let (code, dtype) = self.op(op, &dtypes);
            let _ = writeln!(text, "    let v{i} = {code};");
            dtypes.push(dtype);
        }
        let last = dtypes.len().saturating_sub(1);
        let from_float = dtypes.last().is_none_or(|d| d.is_float());
        let result = match (from_float, self.k.dtype.is_float()) {
            (true, false) => format!("to_i32(v{last})"),
            (false, true) => format!("f32(v{last})"),
            _ => format!("v{last}"),
        };
        let _ = writeln!(text, "    return {result};\n}}");
        text
    }

    /// `at{i}`: where each input's element lies.
    fn write_indices(&self, text: &mut String) {
        let strided: Vec<usize> = (0..self.k.inputs.len()).filter(|&i| self.views.access(i) == Access::Strided).collect();
        for i in 0..self.k.inputs.len() {
            let _ = match self.views.access(i) {
                Access::Linear => writeln!(text, "    let at{i} = index;"),
                Access::Constant => writeln!(text, "    let at{i} = step.views[{i}].offset.x;"),
                Access::Strided => writeln!(text, "    var at{i} = step.views[{i}].offset.x;"),
            };
        }
        if strided.is_empty() {
            return;
        }
        text.push_str("    var rest = index;\n");
        for d in (0..self.views.dims.len()).rev() {
            let (word, lane) = (d / 4, ["x", "y", "z", "w"][d % 4]);
            let _ = writeln!(text, "    let i{d} = rest % step.dims[{word}].{lane};");
            if d > 0 {
                let _ = writeln!(text, "    rest /= step.dims[{word}].{lane};");
            }
            for i in &strided {
                let _ = writeln!(text, "    at{i} += i{d} * bitcast<u32>(step.views[{i}].strides[{word}].{lane});");
            }
        }
    }

    /// The name of an input's buffer.
    fn input(&self, i: usize) -> &'static str {
        let at = self.buffers.iter().position(|buffer| *buffer == self.k.inputs[i].0.buf);
        INPUTS[at.unwrap_or(0)]
    }

    fn op(&self, op: &ExprOp, dtypes: &[DType]) -> (String, DType) {
        match *op {
            ExprOp::Input(i) => {
                let dtype = self.k.inputs[i as usize].1;
                let kind = if dtype.is_float() { "f32" } else { "i32" };
                (format!("bitcast<{kind}>({}[at{i}])", self.input(i as usize)), dtype)
            }
            ExprOp::Scalar(i) => {
                let dtype = scalar_dtype(self.scalars, self.k.scalars[i as usize]);
                let kind = if dtype.is_float() { "f32" } else { "i32" };
                (format!("run_{kind}(step.scalars[{}][{}u])", i / 4, i % 4), dtype)
            }
            ExprOp::Unary { op, x, dtype } => {
                let result = if op == UnaryOp::Not { DType::Bool } else { dtype };
                (unary(op, &format!("v{x}"), dtype), result)
            }
            ExprOp::Binary { op, a, b, dtype } => {
                let logical = op.is_comparison() || matches!(op, BinaryOp::And | BinaryOp::Or);
                (binary(op, &format!("v{a}"), &format!("v{b}"), dtype), if logical { DType::Bool } else { dtype })
            }
            ExprOp::Where { condition, a, b } => {
                let zero = if dtypes[condition as usize].is_float() { "0.0" } else { "0" };
                (format!("select(v{a}, v{b}, v{condition} == {zero})"), dtypes[a as usize])
            }
            ExprOp::Cast { x, from, to } => (cast(&format!("v{x}"), from, to), to),
        }
    }
}

/// The type of a word of the parameter block.
fn scalar_dtype(scalars: &Scalars, word: ScalarRef) -> DType {
    match scalars.words[word.0 as usize] {
        ScalarExpr::Literal(i) => match scalars.literals.get(i as usize) {
            Some(Literal::I32(_)) => DType::I32,
            _ => DType::F32,
        },
        ScalarExpr::Runtime(scalar) => scalar.dtype(),
        ScalarExpr::Unary { dtype, .. } => dtype,
        ScalarExpr::Binary { op, dtype, .. } => {
            if op.is_comparison() {
                DType::Bool
            } else {
                dtype
            }
        }
        ScalarExpr::Cast { to, .. } => to,
    }
}

fn unary(op: UnaryOp, x: &str, dtype: DType) -> String {
    if !dtype.is_float() {
        return match op {
            UnaryOp::Neg => format!("-{x}"),
            UnaryOp::Abs => format!("abs({x})"),
            UnaryOp::Sign => format!("sign({x})"),
            UnaryOp::Not => format!("select(0, 1, {x} == 0)"),
            UnaryOp::Relu => format!("max({x}, 0)"),
            _ => x.to_owned(),
        };
    }
    match op {
        UnaryOp::Neg => format!("-{x}"),
        UnaryOp::Abs => format!("abs({x})"),
        UnaryOp::Sign => format!("sign_f32({x})"),
        UnaryOp::Exp => format!("exp({x})"),
        UnaryOp::Log => format!("log({x})"),
        UnaryOp::Sqrt => format!("sqrt({x})"),
        UnaryOp::Rsqrt => format!("1.0 / sqrt({x})"),
        UnaryOp::Sin => format!("sin_f32({x})"),
        UnaryOp::Cos => format!("cos_f32({x})"),
        UnaryOp::Tan => format!("tan_f32({x})"),
        UnaryOp::Tanh => format!("tanh_f32({x})"),
        UnaryOp::Sigmoid => format!("sigmoid_f32({x})"),
        UnaryOp::Silu => format!("{x} * sigmoid_f32({x})"),
        UnaryOp::Gelu => format!("gelu_f32({x})"),
        UnaryOp::Relu => format!("max_f32({x}, 0.0)"),
        UnaryOp::Erf => format!("erf_f32({x})"),
        UnaryOp::Softplus => format!("softplus_f32({x})"),
        UnaryOp::Floor => format!("floor({x})"),
        UnaryOp::Ceil => format!("ceil({x})"),
        UnaryOp::Round => format!("round({x})"),
        UnaryOp::Not => format!("select(0, 1, {x} == 0.0)"),
    }
}

fn binary(op: BinaryOp, a: &str, b: &str, dtype: DType) -> String {
    let (float, zero) = (dtype.is_float(), if dtype.is_float() { "0.0" } else { "0" });
    let truth = |text: String| format!("select(0, 1, {text})");
    match op {
        BinaryOp::Add => format!("{a} + {b}"),
        BinaryOp::Sub => format!("{a} - {b}"),
        BinaryOp::Mul => format!("{a} * {b}"),
        BinaryOp::Div if float => format!("{a} / {b}"),
        BinaryOp::Div => format!("div_i32({a}, {b})"),
        BinaryOp::Rem if float => format!("rem_f32({a}, {b})"),
        BinaryOp::Rem => format!("rem_i32({a}, {b})"),
        BinaryOp::Pow if float => format!("pow_f32({a}, {b})"),
        BinaryOp::Pow => format!("pow_i32({a}, {b})"),
        BinaryOp::Min if float => format!("min_f32({a}, {b})"),
        BinaryOp::Max if float => format!("max_f32({a}, {b})"),
        BinaryOp::Min => format!("min({a}, {b})"),
        BinaryOp::Max => format!("max({a}, {b})"),
        BinaryOp::Eq => truth(format!("{a} == {b}")),
        // Translated, `!=` of a NaN is false.
        BinaryOp::Ne => truth(format!("!({a} == {b})")),
        BinaryOp::Lt => truth(format!("{a} < {b}")),
        BinaryOp::Le => truth(format!("{a} <= {b}")),
        BinaryOp::Gt => truth(format!("{a} > {b}")),
        BinaryOp::Ge => truth(format!("{a} >= {b}")),
        BinaryOp::And => truth(format!("!({a} == {zero}) && !({b} == {zero})")),
        BinaryOp::Or => truth(format!("!({a} == {zero}) || !({b} == {zero})")),
    }
}

fn cast(x: &str, from: DType, to: DType) -> String {
    let rounded = |x: String| match to {
        DType::F16 => format!("to_f16({x})"),
        DType::BF16 => format!("to_bf16({x})"),
        _ => x,
    };
    match (from.is_float(), to.is_float()) {
        (true, true) => rounded(x.to_owned()),
        (false, true) => rounded(format!("f32({x})")),
        (true, false) if to == DType::Bool => format!("select(1, 0, {x} == 0.0)"),
        (true, false) => format!("to_i32({x})"),
        (false, false) if to == DType::Bool => format!("select(0, 1, {x} != 0)"),
        (false, false) => x.to_owned(),
    }
}
