//! What a kernel reads and writes: for slots, fusion and checks.

use crate::graph::CacheIdx;

use super::{Buf, Epilogue, Kernel, PlacedId, ScalarRef, View};

/// How a kernel uses a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Read,
    /// Every element is written.
    Write,
    /// A window is written; other steps write the rest.
    WriteWindow,
}

/// One buffer of a kernel.
#[derive(Debug)]
pub struct Operand<'a> {
    pub buf: &'a mut Buf,
    pub role: Role,
    /// One past the last element touched; `usize::MAX` when an element lies before the buffer.
    pub len: usize,
}

impl Kernel {
    /// The buffers read, in no order that means something. Native weights and caches are not among them.
    pub fn reads(&self) -> Vec<Buf> {
        self.bufs(|role| role == Role::Read)
    }

    /// The buffers written, caches aside.
    pub fn writes(&self) -> Vec<Buf> {
        self.bufs(|role| role != Role::Read)
    }

    fn bufs(&self, wanted: impl Fn(Role) -> bool) -> Vec<Buf> {
        self.clone().operands_mut().into_iter().filter(|o| wanted(o.role)).map(|o| *o.buf).collect()
    }

    /// The native weight read.
    pub fn placement(&self) -> Option<PlacedId> {
        match self {
            Kernel::Embedding(k) => Some(k.table),
            Kernel::Linear(k) => Some(k.weight),
            Kernel::ExpertLinear(k) => Some(k.weight),
            _ => None,
        }
    }

    pub(super) fn placement_mut(&mut self) -> Option<&mut PlacedId> {
        match self {
            Kernel::Embedding(k) => Some(&mut k.table),
            Kernel::Linear(k) => Some(&mut k.weight),
            Kernel::ExpertLinear(k) => Some(&mut k.weight),
            _ => None,
        }
    }

    /// The layer of a cache that is written.
    pub fn cache_written(&self) -> Option<(CacheIdx, usize)> {
        match self {
            Kernel::CacheStore(k) => Some((k.cache, k.layer)),
            Kernel::Linear(k) => match k.epilogue {
                Epilogue::RopeStore { cache, layer, .. } => Some((cache, layer)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The layer of a cache that is read.
    pub fn cache_read(&self) -> Option<(CacheIdx, usize)> {
        match self {
            Kernel::Attention(k) => Some((k.cache, k.layer)),
            _ => None,
        }
    }

    /// The strided operands that are read, with their dimensions.
    pub(super) fn views_mut(&mut self) -> Vec<(&mut View, Vec<usize>)> {
        match self {
            Kernel::Elementwise(k) => k.inputs.iter_mut().map(|(view, _)| (view, k.dims.clone())).collect(),
            Kernel::Copy(k) => vec![(&mut k.x, k.dims.clone())],
            Kernel::Rope(k) => vec![(&mut k.x, vec![k.rows.count, k.n_heads, k.head_dim])],
            Kernel::CacheStore(k) => {
                let dims = vec![k.rows.count, k.n_kv_heads, k.head_dim];
                k.k.iter_mut().chain(&mut k.v).map(|view| (view, dims.clone())).collect()
            }
            Kernel::Einsum(k) => {
                let dims: Vec<usize> = k.out_dims.iter().chain(&k.sum_dims).copied().collect();
                [&mut k.a].into_iter().chain(&mut k.b).map(|view| (view, dims.clone())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Every buffer, with how much of it is used.
    pub fn operands_mut(&mut self) -> Vec<Operand<'_>> {
        let mut ops = Operands(Vec::new());
        match self {
            Kernel::Embedding(k) => {
                ops.read(&mut k.ids, k.rows.count);
                ops.write(&mut k.out, k.rows.count * k.width);
            }
            Kernel::Norm(k) => {
                ops.read(&mut k.x, k.rows.count * k.width);
                ops.read(&mut k.weight, k.width);
                ops.write(&mut k.out, k.rows.count * k.width);
            }
            Kernel::Linear(k) => {
                ops.read(&mut k.x, k.rows.count * k.k);
                if let Some((weight, _)) = &mut k.norm {
                    ops.read(weight, k.k);
                }
                ops.epilogue(&mut k.epilogue, k.rows.count, k.n);
            }
            Kernel::ExpertLinear(k) => {
                let n_choices = k.rows.count * k.n_chosen;
                ops.read(&mut k.x, if k.each { n_choices } else { k.rows.count } * k.k);
                ops.read(&mut k.ids, n_choices);
                ops.write(&mut k.out, n_choices * k.n);
            }
            Kernel::Rope(k) => {
                ops.view(&mut k.x, &[k.rows.count, k.n_heads, k.head_dim]);
                ops.read(&mut k.rope.table, k.rows.count * k.rope.n_dims);
                ops.write(&mut k.out, k.rows.count * k.n_heads * k.head_dim);
            }
            Kernel::CacheStore(k) => {
                let dims = [k.rows.count, k.n_kv_heads, k.head_dim];
                k.k.iter_mut().chain(&mut k.v).for_each(|view| ops.view(view, &dims));
                if let Some(rope) = &mut k.k_rope {
                    ops.read(&mut rope.table, k.rows.count * rope.n_dims);
                }
            }
            Kernel::Attention(k) => {
                let len = k.rows.count * k.n_heads * k.head_dim;
                ops.read(&mut k.q, len);
                if let Some(sink) = &mut k.sink {
                    ops.read(&mut sink.table, k.rows.count * sink.n_dims);
                }
                if let Some(logits) = &mut k.null_logits {
                    ops.read(logits, k.n_heads);
                }
                ops.write(&mut k.out, len);
            }
            Kernel::Elementwise(k) => {
                k.inputs.iter_mut().for_each(|(view, _)| ops.view(view, &k.dims));
                ops.write(&mut k.out, k.dims.iter().product());
            }
            Kernel::Copy(k) => {
                ops.view(&mut k.x, &k.dims);
                let len = reach(&k.out, &k.dims);
                ops.0.push(Operand { buf: &mut k.out.buf, role: Role::WriteWindow, len });
            }
            Kernel::Reduce(k) => {
                ops.read(&mut k.x, k.outer * k.len * k.inner);
                ops.write(&mut k.out, k.outer * k.inner);
            }
            Kernel::Cumulate(k) => {
                ops.read(&mut k.x, k.outer * k.len * k.inner);
                ops.write(&mut k.out, k.outer * k.len * k.inner);
            }
            Kernel::Softmax(k) => {
                ops.read(&mut k.x, k.outer * k.len * k.inner);
                ops.write(&mut k.out, k.outer * k.len * k.inner);
            }
            Kernel::Einsum(k) => {
                let dims: Vec<usize> = k.out_dims.iter().chain(&k.sum_dims).copied().collect();
                ops.view(&mut k.a, &dims);
                k.b.iter_mut().for_each(|b| ops.view(b, &dims));
                ops.write(&mut k.out, k.out_dims.iter().product());
            }
            Kernel::Gather(k) => {
                ops.read(&mut k.x, k.outer * k.len * k.inner);
                ops.read(&mut k.indices, k.count);
                ops.write(&mut k.out, k.outer * k.count * k.inner);
            }
            Kernel::ScatterAdd(k) => {
                ops.read(&mut k.x, k.outer * k.len * k.inner);
                ops.read(&mut k.indices, k.count);
                ops.read(&mut k.updates, k.outer * k.count * k.inner);
                ops.write(&mut k.out, k.outer * k.len * k.inner);
            }
            Kernel::ArgSort { x, out, rows, len, .. } => {
                ops.read(x, *rows * *len);
                ops.write(out, *rows * *len);
            }
            Kernel::Iota { out, len } | Kernel::Random { out, len, .. } => ops.write(out, *len),
            Kernel::SelectRow { x, out, n_rows, len, .. } => {
                ops.read(x, *n_rows * *len);
                ops.write(out, *len);
            }
            Kernel::LastRows { x, out, n_rows, n_segments, len } => {
                ops.read(x, *n_rows * *len);
                ops.write(out, *n_segments * *len);
            }
            Kernel::RecordedIds { out, rows, .. } => ops.write(out, rows.count),
            Kernel::Scalar { out, .. } => ops.write(out, 1),
            Kernel::Sample(k) => {
                ops.read(&mut k.logits, k.rows * k.vocab);
                ops.write(&mut k.out, k.rows);
            }
        }
        ops.0
    }
}

struct Operands<'a>(Vec<Operand<'a>>);

impl<'a> Operands<'a> {
    fn read(&mut self, buf: &'a mut Buf, len: usize) {
        self.0.push(Operand { buf, role: Role::Read, len });
    }

    fn write(&mut self, buf: &'a mut Buf, len: usize) {
        self.0.push(Operand { buf, role: Role::Write, len });
    }

    fn view(&mut self, view: &'a mut View, dims: &[usize]) {
        let len = reach(view, dims);
        self.read(&mut view.buf, len);
    }

    fn epilogue(&mut self, epilogue: &'a mut Epilogue, rows: usize, n: usize) {
        match epilogue {
            Epilogue::Store { bias, residual, out } => {
                bias.iter_mut().for_each(|bias| self.read(bias, n));
                residual.iter_mut().for_each(|residual| self.read(residual, rows * n));
                self.write(out, rows * n);
            }
            Epilogue::Gated { out, .. } => self.write(out, rows * (n / 2)),
            Epilogue::RopeStore { bias, n_heads, head_dim, rope, q_out, .. } => {
                bias.iter_mut().for_each(|bias| self.read(bias, n));
                self.read(&mut rope.table, rows * rope.n_dims);
                self.write(q_out, rows * *n_heads * *head_dim);
            }
        }
    }
}

fn reach(view: &View, dims: &[usize]) -> usize {
    match view.extent(dims) {
        Some(extent) if extent.is_empty() => 0,
        Some(extent) => extent.end,
        None => usize::MAX,
    }
}

/// The words of the parameter block that a kernel takes.
pub(crate) fn scalars_of(kernel: &Kernel) -> Vec<ScalarRef> {
    match kernel {
        Kernel::Norm(k) => vec![k.eps],
        Kernel::Linear(k) => k.norm.iter().map(|n| n.1).collect(),
        Kernel::Attention(k) => [k.scale, k.window].into_iter().chain(k.cap).collect(),
        Kernel::Elementwise(k) => k.scalars.clone(),
        Kernel::Random { seed, .. } => vec![*seed],
        Kernel::SelectRow { index, .. } => vec![*index],
        Kernel::Scalar { value, .. } => vec![*value],
        Kernel::Sample(k) => k.settings.iter().copied().chain([k.position]).collect(),
        _ => Vec::new(),
    }
}
