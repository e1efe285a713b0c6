//! Moving and making elements: copies, gathering, and the small kernels.

use super::super::assemble::Source;
use super::{Grid, Lowering, Work};
use crate::graph::{ExecError, RandomKind};
use crate::plan::{Buf, Copy, Gather, Rows, ScalarRef};

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

    pub(super) fn gather(&mut self, k: &Gather) {
        let total = k.outer * k.count * k.inner;
        let step = [k.len, k.inner, k.count, total].map(|n| n as u32).to_vec();
        let operands = vec![(2, k.x.into()), (3, k.indices.into()), (4, k.out.into())];
        self.push(Source::new("gather"), operands, step, Grid::flat(total.div_ceil(64)), Work::default());
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
