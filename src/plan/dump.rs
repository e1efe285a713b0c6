//! A plan as text: what `tl explain` prints and what the snapshots of the tests hold.

use std::fmt;

use crate::tensor::{DType, Shape};

use super::{
    Buf, Elementwise, Epilogue, Expr, ExprOp, Kernel, Linear, Placement, Plan, RopeTable, Rows, ScalarExpr, ScalarRef, Step, Storage, View,
};

impl fmt::Display for Plan {
    /// Inputs, words, weights, rows, slots, then one line a step: its number, its name, its kernel with operands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bucket) = self.bucket {
            writeln!(f, "tokens: {bucket}")?;
        }
        for (i, input) in self.inputs.iter().enumerate() {
            if let Some((shape, dtype)) = input {
                writeln!(f, "in{i}: {dtype}{shape}")?;
            }
        }
        for (i, word) in self.scalars.words.iter().enumerate() {
            writeln!(f, "s{i} = {word}")?;
        }
        for (i, rows) in self.rope_rows.iter().enumerate() {
            writeln!(f, "rope{i}: {:?} from {}, {} rows of {}", rows.kind, rows.first, rows.rows, rows.spec.n_dims)?;
        }
        for (i, placement) in self.placements.iter().enumerate() {
            writeln!(f, "w{i}: {placement}")?;
        }
        for (i, len) in self.slots.iter().enumerate() {
            writeln!(f, "b{i}: {len}")?;
        }
        for (i, step) in self.steps.iter().enumerate() {
            writeln!(f, "{i:>3} {step}")?;
        }
        for (i, output) in self.outputs.iter().enumerate() {
            writeln!(f, "output {i}: {}{} in {}", output.dtype, output.shape, output.buf)?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.kernel)
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.parts.iter().map(|w| w.name.as_str()).collect();
        match self.storage {
            Storage::Native => write!(f, "{}({}, {})", self.dtype(), self.n_rows(), self.row_len())?,
            Storage::F32 => write!(f, "{} as f32({})", self.dtype(), self.len())?,
        }
        write!(f, " {}", names.join(" + "))
    }
}

impl fmt::Display for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Buf::Slot(id) => write!(f, "b{}", id.0),
            Buf::Input(id) => write!(f, "in{}", id.0),
            Buf::Output(i) => write!(f, "out{i}"),
            Buf::Weight(id) => write!(f, "w{}", id.0),
            Buf::RopeRows(i) => write!(f, "rope{i}"),
        }
    }
}

impl fmt::Display for ScalarRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Display for ScalarExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScalarExpr::Literal(i) => write!(f, "literal {i}"),
            ScalarExpr::Runtime(scalar) => write!(f, "{scalar:?}"),
            ScalarExpr::Unary { op, x, .. } => write!(f, "{}({x})", lower(op)),
            ScalarExpr::Binary { op, a, b, .. } => write!(f, "{}({a}, {b})", lower(op)),
            ScalarExpr::Cast { x, to, .. } => write!(f, "{to}({x})"),
        }
    }
}

impl fmt::Display for Rows {
    /// `64 rows` of a bucket are `<=64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.dynamic { "<=" } else { "" }, self.count)
    }
}

impl fmt::Display for View {
    /// The buffer, the offset where it is not 0, the strides.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.buf)?;
        if self.offset > 0 {
            write!(f, "+{}", self.offset)?;
        }
        write!(f, "{}", list(&self.strides))
    }
}

impl fmt::Display for RopeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.table, lower(self.style), self.n_dims)
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kernel::Embedding(k) => write!(f, "embedding({}, {}) rows {} width {} -> {}", k.ids, weight(k.table.0), k.rows, k.width, k.out),
            Kernel::Norm(k) => write!(f, "rms_norm({}, {}, {}) rows {} width {} -> {}", k.x, k.weight, k.eps, k.rows, k.width, k.out),
            Kernel::Linear(k) => linear(f, k),
            Kernel::ExpertLinear(k) => write!(
                f,
                "expert_linear({}, {} from {}, {}) rows {} chosen {} of {} {}x{} -> {}",
                k.x,
                weight(k.weight.0),
                k.first_row,
                k.ids,
                k.rows,
                k.n_chosen,
                k.n_experts,
                k.n,
                k.k,
                k.out
            ),
            Kernel::Rope(k) => {
                write!(f, "rope({}, {}) rows {} heads {}x{} -> {}", k.x, k.rope, k.rows, k.n_heads, k.head_dim, k.out)
            }
            Kernel::CacheStore(k) => {
                write!(f, "cache_store(")?;
                if let Some(view) = &k.k {
                    write!(f, "k {view}")?;
                    if let Some(rope) = &k.k_rope {
                        write!(f, " rotated by {rope}")?;
                    }
                }
                if let Some(view) = &k.v {
                    write!(f, "{}v {view}", if k.k.is_some() { ", " } else { "" })?;
                }
                write!(f, ") rows {} heads {}x{} -> cache {} layer {}", k.rows, k.n_kv_heads, k.head_dim, k.cache.0, k.layer)
            }
            Kernel::Attention(k) => {
                write!(f, "attention({}, cache {} layer {}, scale {}, window {}", k.q, k.cache.0, k.layer, k.scale, k.window)?;
                if let Some(sink) = &k.sink {
                    write!(f, ", sinks {sink}")?;
                }
                if let Some(cap) = k.cap {
                    write!(f, ", cap {cap}")?;
                }
                if let Some(logits) = k.null_logits {
                    write!(f, ", null {logits}")?;
                }
                write!(f, ") rows {} heads {}x{} -> {}", k.rows, k.n_heads, k.head_dim, k.out)
            }
            Kernel::Elementwise(k) => elementwise(f, k),
            Kernel::Copy(k) => write!(f, "copy({}) {} -> {}", k.x, dims(&k.dims, k.dynamic), k.out),
            Kernel::Reduce(k) => {
                let index = if k.index { "arg" } else { "" };
                write!(f, "{index}{}({}) {} {}x{}x{} -> {}", lower(k.op), k.x, k.dtype, k.outer, k.len, k.inner, k.out)
            }
            Kernel::Cumulate(k) => write!(f, "cumsum({}) {} {}x{}x{} -> {}", k.x, k.dtype, k.outer, k.len, k.inner, k.out),
            Kernel::Softmax(k) => write!(f, "softmax({}) {}x{}x{} -> {}", k.x, k.outer, k.len, k.inner, k.out),
            Kernel::Einsum(k) => {
                write!(f, "einsum({}", k.a)?;
                if let Some(b) = &k.b {
                    write!(f, ", {b}")?;
                }
                write!(f, ") {} sum {} -> {}", list(&k.out_dims), list(&k.sum_dims), k.out)
            }
            Kernel::Gather(k) => {
                write!(f, "gather({}, {}) {} {}x{}x{} count {} -> {}", k.x, k.indices, k.dtype, k.outer, k.len, k.inner, k.count, k.out)
            }
            Kernel::ScatterAdd(k) => {
                let (x, indices, updates) = (k.x, k.indices, k.updates);
                write!(
                    f,
                    "scatter_add({x}, {indices}, {updates}) {} {}x{}x{} count {} -> {}",
                    k.dtype, k.outer, k.len, k.inner, k.count, k.out
                )
            }
            Kernel::ArgSort { x, out, rows, len, descending, dtype } => {
                let order = if *descending { "descending" } else { "ascending" };
                write!(f, "argsort({x}) {order} {dtype} {rows}x{len} -> {out}")
            }
            Kernel::Iota { out, len } => write!(f, "iota {len} -> {out}"),
            Kernel::Random { kind, seed, out, len } => write!(f, "random {}({seed}) {len} -> {out}", lower(kind)),
            Kernel::SelectRow { x, index, out, n_rows, len } => write!(f, "select_row({x}, {index}) {n_rows}x{len} -> {out}"),
            Kernel::LastRows { x, out, n_rows, n_segments, len } => write!(f, "last_rows({x}) {n_segments} of {n_rows}x{len} -> {out}"),
            Kernel::RecordedIds { cache, out, rows } => write!(f, "recorded_ids(history {}) rows {rows} -> {out}", cache.0),
            Kernel::Scalar { value, out } => write!(f, "scalar {value} -> {out}"),
            Kernel::Sample(k) => {
                let history = k.history.map_or(String::new(), |c| format!(", history {}", c.0));
                let rows = if k.rows == 1 { String::new() } else { format!("{}x", k.rows) };
                write!(f, "sample({}, position {}{history}) {rows}{} -> {}", k.logits, k.position, k.vocab, k.out)
            }
        }
    }
}

fn linear(f: &mut fmt::Formatter<'_>, k: &Linear) -> fmt::Result {
    write!(f, "linear({}", k.x)?;
    if let Some((weight, eps)) = &k.norm {
        write!(f, " normed by {weight} {eps}")?;
    }
    write!(f, ", {}[{}..{}]) rows {} k {}", weight(k.weight.0), k.first_row, k.first_row + k.n, k.rows, k.k)?;
    match &k.epilogue {
        Epilogue::Store { bias, residual, out } => {
            for (what, buf) in [("bias", bias), ("residual", residual)] {
                if let Some(buf) = buf {
                    write!(f, " + {what} {buf}")?;
                }
            }
            write!(f, " -> {out}")
        }
        Epilogue::Gated { act, out } => write!(f, " gated by {} -> {out}", lower(act)),
        Epilogue::RopeStore { bias, n_heads, n_kv_heads, head_dim, has_v, rope, q_out, cache, layer } => {
            if let Some(bias) = bias {
                write!(f, " + bias {bias}")?;
            }
            let kv = if *has_v { "k, v" } else { "k" };
            write!(
                f,
                " rotated by {rope}, heads {n_heads}, {n_kv_heads} x{head_dim}: q -> {q_out}, {kv} -> cache {} layer {layer}",
                cache.0
            )
        }
    }
}

fn elementwise(f: &mut fmt::Formatter<'_>, k: &Elementwise) -> fmt::Result {
    write!(f, "{} {} {} of ", Code(&k.expr, k), k.dtype, dims(&k.dims, k.dynamic))?;
    for (i, (view, dtype)) in k.inputs.iter().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        let dtype = if *dtype == DType::F32 { String::new() } else { format!("{dtype} ") };
        write!(f, "{comma}{dtype}{view}")?;
    }
    write!(f, " -> {}", k.out)
}

/// An expression; what is used more than once is named first.
struct Code<'a>(&'a Expr, &'a Elementwise);

impl Code<'_> {
    fn is_named(&self, at: u32) -> bool {
        let uses = self.0.ops.iter().flat_map(|op| op.operands()).filter(|&x| x == at).count();
        uses > 1 && !self.0.ops[at as usize].operands().is_empty()
    }

    fn operand(&self, at: u32) -> String {
        if self.is_named(at) { format!("t{at}") } else { self.text(at) }
    }

    fn text(&self, at: u32) -> String {
        match &self.0.ops[at as usize] {
            ExprOp::Input(i) => format!("x{i}"),
            ExprOp::Scalar(i) => self.1.scalars[*i as usize].to_string(),
            ExprOp::Unary { op, x, .. } => format!("{}({})", lower(op), self.operand(*x)),
            ExprOp::Binary { op, a, b, .. } => format!("{}({}, {})", lower(op), self.operand(*a), self.operand(*b)),
            ExprOp::Where { condition, a, b } => {
                format!("where({}, {}, {})", self.operand(*condition), self.operand(*a), self.operand(*b))
            }
            ExprOp::Cast { x, to, .. } => format!("{to}({})", self.operand(*x)),
        }
    }
}

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.ops.len() as u32 - 1;
        for at in (0..last).filter(|&at| self.is_named(at)) {
            write!(f, "t{at} = {}; ", self.text(at))?;
        }
        f.write_str(&self.text(last))
    }
}

fn weight(id: u32) -> String {
    format!("w{id}")
}

fn dims(dims: &[usize], dynamic: bool) -> String {
    format!("{}{}", if dynamic { "<=" } else { "" }, Shape::from(dims))
}

fn list(values: &[impl fmt::Display]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    format!("[{}]", values.join(" "))
}

fn lower(value: impl fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}
