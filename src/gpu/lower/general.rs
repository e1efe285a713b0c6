//! Moving and making elements: copies, gathering, and the small kernels.

use super::super::assemble::Source;
use super::super::cache::history_len;
use super::{Arguments, Grid, Lowering, Operand, of_rows, padded};
use crate::graph::{CacheIdx, ExecError, RandomKind};
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
        let dims = k.dims.iter().enumerate().flat_map(|(i, &size)| [size as isize, k.x.strides[i], k.out.strides[i], 0]);
        let arguments = Arguments::default()
            .set("outer", rows.count)
            .set("dynamic", rows.dynamic)
            .set("inner", inner)
            .set("n_dims", k.dims.len())
            .set("x_offset", k.x.offset)
            .set("out_offset", k.out.offset)
            .set_all("dims", padded(dims, 4 * MOST_COPY_DIMS))
            .bind("x", k.x.buf)
            .bind("out", k.out.buf);
        self.push(Source::new("copy"), arguments, Grid::rows(rows, inner, 64));
        Ok(())
    }

    pub(super) fn gather(&mut self, k: &Gather) {
        let total = k.outer * k.count * k.inner;
        let arguments = Arguments::default()
            .set("len", k.len)
            .set("inner", k.inner)
            .set("count", k.count)
            .set("total", total)
            .bind("x", k.x)
            .bind("indices", k.indices)
            .bind("out", k.out);
        self.push(Source::new("gather"), arguments, Grid::flat(total.div_ceil(64)));
    }

    pub(super) fn iota(&mut self, out: Buf, len: usize) {
        let arguments = Arguments::default().set("len", len).bind("out", out);
        self.push(Source::new("iota"), arguments, Grid::flat(len.div_ceil(64)));
    }

    pub(super) fn random(&mut self, kind: RandomKind, seed: ScalarRef, out: Buf, len: usize) {
        let source = Source::new("random").with("prelude/philox").set("NORMAL", kind == RandomKind::Normal);
        let arguments = Arguments::default().set("len", len).set("seed", self.word(seed)).bind("out", out);
        self.push(source, arguments, Grid::flat(len.div_ceil(256)));
    }

    pub(super) fn select_row(&mut self, x: Buf, index: ScalarRef, out: Buf, n_rows: usize, len: usize) {
        let arguments = Arguments::default().set("n_rows", n_rows).set("len", len).set("index", self.word(index));
        self.push(Source::new("select_row"), arguments.bind("x", x).bind("out", out), Grid::flat(len.div_ceil(64)));
    }

    pub(super) fn last_rows(&mut self, x: Buf, out: Buf, n_segments: usize, len: usize) {
        let arguments = self.with_segments(Arguments::default().set("n_segments", n_segments).set("len", len), CacheIdx(0));
        self.push(
            self.source_of_segments("last_rows"),
            arguments.bind("x", x).bind("out", out),
            Grid::flat((n_segments * len).div_ceil(64)),
        );
    }

    pub(super) fn recorded_ids(&mut self, cache: CacheIdx, out: Buf, rows: Rows) {
        let Ok((spec, _)) = self.cache(cache) else { return };
        let arguments = self.with_segments(of_rows(rows).set("history_len", history_len(spec)), cache);
        let arguments = arguments.bind("history", Operand::History(cache)).bind("out", out);
        self.push(self.source_of_segments("recorded_ids"), arguments, Grid::rows(rows, 1, 64));
    }

    pub(super) fn scalar(&mut self, value: ScalarRef, out: Buf) {
        let arguments = Arguments::default().set("value", self.word(value)).bind("out", out);
        self.push(Source::new("scalar"), arguments, Grid::flat(1));
    }
}
