//! Reductions, contractions, indexing and the small kernels.

use super::super::assemble::Source;
use super::{Grid, Lowering, Work, is_int};
use crate::graph::{ExecError, RandomKind, ReduceOp};
use crate::plan::{Buf, Copy, Cumulate, EinsumKernel, Gather, Reduce, Rows, ScalarRef, ScatterAdd, Softmax};
use crate::tensor::DType;

/// Dimensions of an einsum, outputs and sums together.
const MOST_EINSUM_DIMS: usize = 16;

/// Dimensions of a copy.
const MOST_COPY_DIMS: usize = 8;

impl Lowering<'_> {
    pub(super) fn copy(&mut self, k: &Copy) -> Result<(), ExecError> {
        if k.dims.len() > MOST_COPY_DIMS {
            return Err(self.unsupported(format!("a tensor of {} dimensions; the GPU takes at most {MOST_COPY_DIMS}", k.dims.len())));
        }
        let rows = Rows { count: k.dims.first().copied().unwrap_or(1), dynamic: k.dynamic };
        let inner: usize = k.dims.iter().skip(1).product();
        let mut step = vec![rows.count as u32, u32::from(rows.dynamic), inner as u32, k.dims.len() as u32];
        step.extend([k.x.offset as u32, k.out.offset as u32, 0, 0]);
        for (i, &size) in k.dims.iter().enumerate() {
            step.extend([size as u32, k.x.strides[i] as i32 as u32, k.out.strides[i] as i32 as u32, 0]);
        }
        step.resize(8 + 4 * MOST_COPY_DIMS, 0);
        let operands = vec![(2, k.x.buf.into()), (3, k.out.buf.into())];
        self.push(Source::new("copy"), operands, step, Grid::rows(rows, inner, 64), Work::default());
        Ok(())
    }

    pub(super) fn reduce(&mut self, k: &Reduce) {
        let source = Source::new("reduce").set("INT", is_int(k.dtype)).set("INDEX", k.index);
        let op = match k.op {
            ReduceOp::Sum => 0,
            ReduceOp::Mean => 1,
            ReduceOp::Max => 2,
            ReduceOp::Min => 3,
            ReduceOp::Prod => 4,
        };
        let count = k.outer * k.inner;
        let step = vec![op, k.len as u32, k.inner as u32, count as u32];
        self.push(source, vec![(2, k.x.into()), (3, k.out.into())], step, Grid::flat(count), Work::default());
    }

    pub(super) fn cumulate(&mut self, k: &Cumulate) {
        let count = k.outer * k.inner;
        let source = Source::new("cumulate").set("INT", is_int(k.dtype));
        let step = [k.len, k.inner, count].map(|n| n as u32).to_vec();
        self.push(source, vec![(2, k.x.into()), (3, k.out.into())], step, Grid::flat(count.div_ceil(64)), Work::default());
    }

    pub(super) fn softmax(&mut self, k: &Softmax) {
        let count = k.outer * k.inner;
        let source = Source::new("softmax").with("prelude/reduce").set("WORKGROUP", 64u32).set("LANES", 64u32);
        let step = [k.len, k.inner, count].map(|n| n as u32).to_vec();
        self.push(source, vec![(2, k.x.into()), (3, k.out.into())], step, Grid::flat(count), Work::default());
    }

    pub(super) fn einsum(&mut self, k: &EinsumKernel) -> Result<(), ExecError> {
        let n_dims = k.out_dims.len() + k.sum_dims.len();
        if n_dims > MOST_EINSUM_DIMS {
            return Err(self.unsupported(format!("an einsum of {n_dims} indices; the GPU takes at most {MOST_EINSUM_DIMS}")));
        }
        let count: usize = k.out_dims.iter().product();
        let b_offset = k.b.as_ref().map_or(0, |b| b.offset);
        let mut step = vec![count as u32, k.out_dims.len() as u32, k.sum_dims.len() as u32, k.a.offset as u32, b_offset as u32, 0, 0, 0];
        for (i, &size) in k.out_dims.iter().chain(&k.sum_dims).enumerate() {
            let stride = |strides: &[isize]| strides.get(i).map_or(0, |&s| s as i32 as u32);
            step.extend([size as u32, stride(&k.a.strides), k.b.as_ref().map_or(0, |b| stride(&b.strides)), 0]);
        }
        step.resize(8 + 4 * MOST_EINSUM_DIMS, 0);
        let source = Source::new("einsum").set("HAS_B", k.b.is_some());
        let mut operands = vec![(2, k.a.buf.into()), (4, k.out.into())];
        operands.extend(k.b.as_ref().map(|b| (3, b.buf.into())));
        let work = Work { each_row: count as f64 * k.sum_dims.iter().product::<usize>() as f64, rows: None };
        self.push(source, operands, step, Grid::flat(count.div_ceil(64)), work);
        Ok(())
    }

    pub(super) fn gather(&mut self, k: &Gather) {
        let total = k.outer * k.count * k.inner;
        let step = [k.len, k.inner, k.count, total].map(|n| n as u32).to_vec();
        let operands = vec![(2, k.x.into()), (3, k.indices.into()), (4, k.out.into())];
        self.push(Source::new("gather"), operands, step, Grid::flat(total.div_ceil(64)), Work::default());
    }

    pub(super) fn scatter_add(&mut self, k: &ScatterAdd) {
        let total = k.outer * k.len * k.inner;
        let step = [k.len, k.inner, k.count, total].map(|n| n as u32).to_vec();
        let operands = vec![(2, k.x.into()), (3, k.indices.into()), (4, k.updates.into()), (5, k.out.into())];
        let source = Source::new("scatter_add").set("INT", is_int(k.dtype));
        self.push(source, operands, step, Grid::flat(total.div_ceil(64)), Work::default());
    }

    pub(super) fn argsort(&mut self, x: Buf, out: Buf, rows: usize, len: usize, descending: bool, dtype: DType) {
        let total = rows * len;
        let source = Source::new("argsort").set("INT", is_int(dtype));
        let step = vec![len as u32, total as u32, u32::from(descending)];
        self.push(source, vec![(2, x.into()), (3, out.into())], step, Grid::flat(total.div_ceil(64)), Work::default());
    }

    pub(super) fn iota(&mut self, out: Buf, len: usize) {
        self.push(Source::new("iota"), vec![(2, out.into())], vec![len as u32], Grid::flat(len.div_ceil(64)), Work::default());
    }

    pub(super) fn random(&mut self, kind: RandomKind, seed: ScalarRef, out: Buf, len: usize) {
        let source = Source::new("random").with("prelude/philox").set("NORMAL", kind == RandomKind::Normal);
        let step = vec![len as u32, self.word(seed)];
        self.push(source, vec![(2, out.into())], step, Grid::flat(len.div_ceil(256)), Work::default());
    }

    pub(super) fn select_row(&mut self, x: Buf, index: ScalarRef, out: Buf, n_rows: usize, len: usize) {
        let step = vec![n_rows as u32, len as u32, self.word(index)];
        let operands = vec![(2, x.into()), (3, out.into())];
        self.push(Source::new("select_row"), operands, step, Grid::flat(len.div_ceil(64)), Work::default());
    }

    pub(super) fn scalar(&mut self, value: ScalarRef, out: Buf) {
        let step = vec![self.word(value)];
        self.push(Source::new("scalar"), vec![(2, out.into())], step, Grid::flat(1), Work::default());
    }
}
