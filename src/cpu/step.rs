//! One step of a plan: its operands found, its kernel called.

use crate::graph::CacheIdx;
use crate::plan::{Buf, Kernel, PlacedId, RopeTable, ScalarRef, View};

use super::buffer::{Buffer, Element, Mem};
use super::cache::{KvLayer, UsedCache};
use super::isa::Isa;
use super::linear::{LinearMemory, WeightRows};
use super::rope::RopeRows;
use super::threads::Threads;
use super::weights::PlacedWeight;
use super::{
    arg_sort, attention, cache_append, concat, cum_sum, einsum, elementwise, embedding, gather, iota, last_rows, linear, random,
    recorded_ids, reduce, rms_norm, rope, sample, scalar, scatter_add, select_row, softmax,
};

/// What the steps of a run share.
pub(super) struct StepContext<'a> {
    pub isa: Isa,
    pub precise: bool,
    pub threads: &'a Threads,
    pub n_tokens: usize,
    /// The parameter block as each segment has it. Where it differs only `sample` reads it.
    pub blocks: &'a [Vec<u32>],
    pub slots: &'a [Buffer],
    pub inputs: &'a [Option<Mem<'a>>],
    pub outputs: &'a [Option<Mem<'a>>],
    pub weights: &'a [PlacedWeight],
    pub rope_rows: &'a [Vec<f32>],
    /// One or more.
    pub segments: &'a [RunSegment<'a>],
}

/// Rows of a run that are of one sequence.
pub(super) struct RunSegment<'a> {
    pub first_row: usize,
    pub n_rows: usize,
    /// By `CacheIdx`.
    pub caches: Vec<UsedCache<'a>>,
}

/// What kernels keep from step to step.
#[derive(Default)]
pub(super) struct StepMemory {
    linear: LinearMemory,
}

/// Runs one kernel.
pub(super) fn run_kernel(ctx: &StepContext<'_>, memory: &mut StepMemory, kernel: &Kernel) {
    match kernel {
        Kernel::Embedding(step) => embedding::run(ctx, step),
        Kernel::Norm(step) => rms_norm::run(ctx, step),
        Kernel::Linear(step) => linear::run(ctx, &mut memory.linear, step),
        Kernel::ExpertLinear(step) => linear::experts::run(ctx, &mut memory.linear, step),
        Kernel::Rope(step) => rope::run(ctx, step),
        Kernel::CacheStore(step) => cache_append::run(ctx, step),
        Kernel::Attention(step) => attention::run(ctx, step),
        Kernel::Elementwise(step) => elementwise::run(ctx, step),
        Kernel::Copy(step) => concat::run(ctx, step),
        Kernel::Reduce(step) => reduce::run(ctx, step),
        Kernel::Cumulate(step) => cum_sum::run(ctx, step),
        Kernel::Softmax(step) => softmax::run(ctx, step),
        Kernel::Einsum(step) => einsum::run(ctx, step),
        Kernel::Gather(step) => gather::run(ctx, step),
        Kernel::ScatterAdd(step) => scatter_add::run(ctx, step),
        Kernel::ArgSort { x, out, rows, len, descending, dtype } => arg_sort::run(ctx, *x, *out, (*rows, *len), *descending, *dtype),
        Kernel::Iota { out, len } => iota::run(ctx, *out, *len),
        Kernel::Random { kind, seed, out, len } => random::run(ctx, *kind, *seed, *out, *len),
        Kernel::SelectRow { x, index, out, n_rows, len } => select_row::run(ctx, *x, *index, *out, (*n_rows, *len)),
        Kernel::LastRows { x, out, n_rows, n_segments, len } => last_rows::run(ctx, *x, *out, (*n_rows, *n_segments, *len)),
        Kernel::RecordedIds { cache, out, rows } => recorded_ids::run(ctx, *cache, *out, rows.count),
        Kernel::Scalar { value, out } => scalar::run(ctx, *value, *out),
        Kernel::Sample(step) => sample::run(ctx, step),
    }
}

impl<'a> StepContext<'a> {
    fn mem(&self, buf: Buf) -> Mem<'a> {
        let bound = match buf {
            Buf::Slot(id) => self.slots.get(id.0 as usize).map(Buffer::view),
            Buf::Input(id) => self.inputs.get(id.0 as usize).copied().flatten(),
            Buf::Output(i) => self.outputs.get(i as usize).copied().flatten(),
            Buf::Weight(id) => self.weights.get(id.0 as usize).and_then(PlacedWeight::dense),
            Buf::RopeRows(i) => self.rope_rows.get(i as usize).map(|rows| Mem::of_slice(bytemuck::cast_slice(rows))),
        };
        bound.expect("the executor checks a plan's operands when it compiles it")
    }

    /// What a kernel reads.
    pub fn read<T: Element>(&self, buf: Buf) -> &'a [T] {
        // SAFETY: the executor refused the plan if a step's output were one of its inputs.
        unsafe { self.mem(buf).slice() }
    }

    pub fn f32(&self, buf: Buf) -> &'a [f32] {
        self.read(buf)
    }

    /// What a kernel writes.
    pub fn out(&self, buf: Buf) -> Mem<'a> {
        self.mem(buf)
    }

    /// What a kernel writes on one thread.
    #[allow(clippy::mut_from_ref, reason = "the memory is another buffer than all that the step reads")]
    pub fn out_slice<T: Element>(&self, buf: Buf) -> &'a mut [T] {
        // SAFETY: a kernel that takes its output whole does so once, and the executor refused plans in which it is also read.
        unsafe { self.mem(buf).slice_mut() }
    }

    pub fn strided(&self, view: &'a View) -> Strided<'a> {
        Strided { words: self.read(view.buf), offset: view.offset, strides: &view.strides }
    }

    pub fn scalar_bits(&self, scalar: ScalarRef) -> u32 {
        self.blocks[0][scalar.0 as usize]
    }

    pub fn scalar_f32(&self, scalar: ScalarRef) -> f32 {
        f32::from_bits(self.scalar_bits(scalar))
    }

    pub fn scalar_i32(&self, scalar: ScalarRef) -> i32 {
        self.scalar_bits(scalar) as i32
    }

    pub fn weight_rows(&self, id: PlacedId) -> WeightRows<'a> {
        self.weights[id.0 as usize].rows()
    }

    pub fn rope_rows(&self, rope: &RopeTable) -> RopeRows<'a> {
        RopeRows::new(self.f32(rope.table), rope)
    }

    /// The sequence of a segment.
    pub fn cache(&self, cache: CacheIdx, segment: usize) -> UsedCache<'a> {
        self.segments[segment].caches[cache.0 as usize]
    }

    pub fn kv_layers(&self, cache: CacheIdx, layer: usize) -> KvLayers<'a> {
        KvLayers { isa: self.isa, segments: self.segments, cache, layer }
    }
}

/// One layer of the sequences of a run.
#[derive(Clone, Copy)]
pub(super) struct KvLayers<'a> {
    isa: Isa,
    segments: &'a [RunSegment<'a>],
    cache: CacheIdx,
    layer: usize,
}

impl<'a> KvLayers<'a> {
    /// That of a segment.
    pub fn of_segment(&self, segment: usize) -> KvLayer<'a> {
        self.segments[segment].caches[self.cache.0 as usize].layer(self.isa, self.layer)
    }

    /// That of a row's sequence, and the row's place in its segment.
    pub fn of_row(&self, row: usize) -> (KvLayer<'a>, usize) {
        // Segments follow one another; the first begins at row 0.
        let segment = self.segments.partition_point(|s| s.first_row <= row).saturating_sub(1);
        (self.of_segment(segment), row - self.segments[segment].first_row)
    }
}

/// A strided window on memory.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    pub words: &'a [u32],
    pub offset: usize,
    pub strides: &'a [isize],
}

impl Strided<'_> {
    /// Where the element at `index` lies; missing trailing indices are 0.
    pub fn at(&self, index: &[usize]) -> usize {
        let offset: isize = index.iter().zip(self.strides).map(|(&i, &s)| i as isize * s).sum();
        self.offset.wrapping_add_signed(offset)
    }

    /// The elements along the dimension after `index`.
    pub fn copy_row(&self, index: &[usize], out: &mut [f32]) {
        let (start, stride) = (self.at(index), self.strides.get(index.len()).copied().unwrap_or(1));
        if stride == 1 {
            out.copy_from_slice(bytemuck::cast_slice(&self.words[start..start + out.len()]));
        } else {
            for (i, out) in out.iter_mut().enumerate() {
                *out = f32::from_bits(self.words[start.wrapping_add_signed(i as isize * stride)]);
            }
        }
    }
}
