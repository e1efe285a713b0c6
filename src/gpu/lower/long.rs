//! Ops along lines of any length: reductions, running sums, softmax, contractions, sorting, scattering. Lines are cut so that no kernel loops
//! long: software adapters end a shader's loops after 65,535 rounds without a word, and drivers kill long work.

use super::super::assemble::Source;
use super::{Arguments, Grid, Lowering, MOST_ROUNDS, Operand, Work, is_int, padded};
use crate::graph::{ExecError, ReduceOp};
use crate::plan::{Buf, Cumulate, EinsumKernel, Reduce, ScatterAdd, Softmax};
use crate::tensor::DType;

/// Dimensions of an einsum, outputs and sums together.
const MOST_EINSUM_DIMS: usize = 16;
/// Elements that a workgroup of `reduce` takes, 64 an invocation.
const REDUCE_PART: usize = 4096;
/// Elements that an invocation of `cumulate` takes.
const CUMULATE_BLOCK: usize = 32;
/// Terms that an invocation of `einsum` takes, at most; less where there are few outputs, so that many invocations share the work.
const EINSUM_PART: usize = 16_384;
const FEW_OUTPUTS: usize = 4096;
const EINSUM_PART_OF_FEW: usize = 2048;
/// Places that a workgroup of `argsort` sorts: of short rows, and of others.
const SHORT_SORT: usize = 64;
const SORT_BLOCK: usize = 512;
/// Updates up to which each element of `scatter_add` walks all of them, and those that a dispatch takes of a sorted list.
const FEW_UPDATES: usize = 512;
const SCATTER_CHUNK: usize = 16_384;

/// How a dispatch of `argsort` compares.
#[derive(Clone, Copy, PartialEq)]
enum SortStage {
    /// Sorts blocks.
    Blocks,
    /// Halves of so many places, head to head.
    Flip(usize),
    /// What is so far apart.
    Apart(usize),
    /// All that is left within blocks.
    Merge,
}

impl Lowering<'_> {
    pub(super) fn reduce(&mut self, k: &Reduce) {
        // Parts of a mean are sums; the last stage divides.
        let op_of_parts = if k.op == ReduceOp::Mean { ReduceOp::Sum } else { k.op };
        let mut x: Operand = k.x.into();
        let mut candidates: Option<Operand> = None;
        let mut len = k.len;
        loop {
            let parts = len.div_ceil(REDUCE_PART).max(1);
            let (is_last, count) = (parts == 1, k.outer * parts * k.inner);
            let out = if is_last { k.out.into() } else { self.scratch(count) };
            let line_len = if k.index { k.len } else { len };
            let source = Source::new("reduce").set("INT", is_int(k.dtype)).set("INDEX", k.index).set("CANDIDATES", candidates.is_some());
            let arguments = Arguments::default()
                .set("op", reduction_number(if is_last { k.op } else { op_of_parts }))
                .set("len", len)
                .set("inner", k.inner)
                .set("count", count)
                .set("part", REDUCE_PART)
                .set("parts", parts)
                .set("line_len", line_len)
                .set("mean_len", k.len)
                .bind("x", x)
                .bind("out", out)
                .bind_some("candidates", candidates);
            self.push(source, arguments, Grid::flat(count));
            if is_last {
                return;
            }
            len = parts;
            if k.index {
                candidates = Some(out);
            } else {
                x = out;
            }
        }
    }

    pub(super) fn cumulate(&mut self, k: &Cumulate) {
        self.running_sums(k.x.into(), k.out.into(), [k.outer, k.len, k.inner], is_int(k.dtype));
    }

    /// Running sums of `[outer, len, inner]`: of blocks, on top of the running sums of the blocks' sums.
    fn running_sums(&mut self, x: Operand, out: Operand, [outer, len, inner]: [usize; 3], int: bool) {
        let blocks = len.div_ceil(CUMULATE_BLOCK).max(1);
        let count = outer * blocks * inner;
        let arguments = Arguments::default().set("len", len).set("inner", inner).set("blocks", blocks).set("count", count).bind("x", x);
        let source = |sums: bool, has_base: bool| {
            let source = Source::new("cumulate").set("INT", int).set("BLOCK", CUMULATE_BLOCK);
            source.set("SUMS", sums).set("HAS_BASE", has_base)
        };
        let grid = Grid::flat(count.div_ceil(64));
        let mut of_blocks = None;
        if blocks > 1 {
            let (sums, base) = (self.scratch(count), self.scratch(count));
            self.push(source(true, false), arguments.clone().bind("out", sums), grid.clone());
            self.running_sums(sums, base, [outer, blocks, inner], int);
            of_blocks = Some(base);
        }
        self.push(source(false, blocks > 1), arguments.bind("out", out).bind_some("base", of_blocks), grid);
    }

    pub(super) fn softmax(&mut self, k: &Softmax) -> Result<(), ExecError> {
        let count = k.outer * k.inner;
        let workgroup = self.workgroup_for(64, |threads| 3 * k.len / threads);
        self.check_rounds("a softmax", k.len, 3 * k.len / workgroup)?;
        let source = Source::new("softmax").with("prelude/reduce").set("WORKGROUP", workgroup).set("LANES", workgroup);
        let arguments = Arguments::default()
            .set("len", k.len)
            .set("inner", k.inner)
            .set("count", count)
            .set("nan", f32::NAN.to_bits())
            .bind("x", k.x)
            .bind("out", k.out);
        self.push(source, arguments, Grid::flat(count));
        Ok(())
    }

    pub(super) fn einsum(&mut self, k: &EinsumKernel) -> Result<(), ExecError> {
        let n_dims = k.out_dims.len() + k.sum_dims.len();
        if n_dims > MOST_EINSUM_DIMS {
            return Err(self.unsupported(format!("an einsum of {n_dims} indices; the GPU takes at most {MOST_EINSUM_DIMS}")));
        }
        let (count, terms): (usize, usize) = (k.out_dims.iter().product(), k.sum_dims.iter().product());
        // Each term is a round at most of the loop over terms, of that over runs, and of the one that finds each run.
        let most = EINSUM_PART.min(MOST_ROUNDS / (k.sum_dims.len() + 1));
        let part = if count < FEW_OUTPUTS { EINSUM_PART_OF_FEW } else { most };
        let parts = terms.div_ceil(part).max(1);
        let dims = k.out_dims.iter().chain(&k.sum_dims).enumerate().flat_map(|(i, &size)| {
            let stride = |strides: &[isize]| strides.get(i).copied().unwrap_or(0);
            [size as isize, stride(&k.a.strides), k.b.as_ref().map_or(0, |b| stride(&b.strides)), 0]
        });
        let source = Source::new("einsum").set("HAS_B", k.b.is_some());
        let out = if parts == 1 { k.out.into() } else { self.scratch(count * parts) };
        let arguments = Arguments::default()
            .set("count", count)
            .set("n_out", k.out_dims.len())
            .set("n_sum", k.sum_dims.len())
            .set("a_offset", k.a.offset)
            .set("b_offset", k.b.as_ref().map_or(0, |b| b.offset))
            .set("part", part)
            .set("parts", parts)
            .set("terms", terms)
            .set_all("dims", padded(dims, 4 * MOST_EINSUM_DIMS))
            .bind("a", k.a.buf)
            .bind_some("b", k.b.as_ref().map(|b| b.buf))
            .bind("out", out);
        let work = Work { each_row: count as f64 * terms as f64, rows: None };
        self.push_work(source, arguments, Grid::flat((count * parts).div_ceil(64)), work);
        if parts > 1 {
            self.sum_parts(out, k.out, count, parts);
        }
        Ok(())
    }

    /// The sums of `[count, parts]` in one dispatch: an einsum has at most 2^31 terms, so at most so many parts as a workgroup takes well.
    fn sum_parts(&mut self, x: Operand, out: Buf, count: usize, parts: usize) {
        let source = Source::new("reduce").set("INT", false).set("INDEX", false).set("CANDIDATES", false);
        let arguments = Arguments::default()
            .set("op", reduction_number(ReduceOp::Sum))
            .set("len", parts)
            .set("inner", 1u32)
            .set("count", count)
            .set("part", parts)
            .set("parts", 1u32)
            .set("line_len", parts)
            .set("mean_len", parts)
            .bind("x", x)
            .bind("out", out);
        self.push(source, arguments, Grid::flat(count));
    }

    pub(super) fn argsort(&mut self, x: Operand, out: Operand, rows: usize, len: usize, descending: bool, dtype: DType) {
        let block = if len <= SHORT_SORT { SHORT_SORT } else { SORT_BLOCK };
        let padded = len.next_power_of_two().max(block);
        let mut stages = vec![SortStage::Blocks];
        let mut height = 2 * block;
        while height <= padded {
            stages.push(SortStage::Flip(height));
            let strides = std::iter::successors(Some(height / 4), |s| Some(s / 2)).take_while(|&s| s >= block);
            stages.extend(strides.map(SortStage::Apart));
            stages.push(SortStage::Merge);
            height *= 2;
        }
        let blocks = padded / block;
        for stage in stages {
            let places = match stage {
                SortStage::Flip(n) | SortStage::Apart(n) => n,
                SortStage::Blocks | SortStage::Merge => 0,
            };
            let source = Source::new("argsort")
                .with("prelude/order")
                .set("INT", is_int(dtype))
                .set("WORKGROUP", block / 2)
                .set("FLIP", matches!(stage, SortStage::Flip(_)))
                .set("APART", matches!(stage, SortStage::Apart(_)))
                .set("MERGE", stage == SortStage::Merge);
            let arguments = Arguments::default()
                .set("len", len)
                .set("rows", rows)
                .set("blocks", blocks)
                .set("descending", descending)
                .set("height", places)
                .bind("x", x)
                .bind("out", out);
            self.push(source, arguments, Grid::flat(rows * blocks));
        }
    }

    pub(super) fn scatter_add(&mut self, k: &ScatterAdd) {
        let total = k.outer * k.len * k.inner;
        let sorted = k.count > FEW_UPDATES;
        let source = Source::new("scatter_add").set("INT", is_int(k.dtype)).set("SORTED", sorted).set("CHUNK", SCATTER_CHUNK);
        let mut arguments = Arguments::default()
            .set("len", k.len)
            .set("inner", k.inner)
            .set("count", k.count)
            .set("total", total)
            .bind("x", k.x)
            .bind("indices", k.indices)
            .bind("updates", k.updates)
            .bind("out", k.out);
        let chunks = if sorted { k.count.div_ceil(SCATTER_CHUNK) } else { 1 };
        if sorted {
            let order = self.scratch(k.count);
            self.argsort(k.indices.into(), order, 1, k.count, false, DType::I32);
            arguments = arguments.bind("order", order);
        }
        for chunk in 0..chunks {
            let arguments = arguments.clone().set("done", chunk * SCATTER_CHUNK);
            self.push(source.clone(), arguments, Grid::flat(total.div_ceil(64)));
        }
    }
}

/// The number of a reduction in `reduce`.
fn reduction_number(op: ReduceOp) -> u32 {
    match op {
        ReduceOp::Sum => 0,
        ReduceOp::Mean => 1,
        ReduceOp::Max => 2,
        ReduceOp::Min => 3,
        ReduceOp::Prod => 4,
    }
}
