//! Encoding a run: one compute pass, cut where a submit would hold more than a quarter second of work.

use std::sync::Arc;

use super::bound::Bound;
use super::cache::Memory;
use super::device::{CountedBuffer, Gpu, POISON_BYTES};
use super::held::Held;
use super::lower::{RunShape, Work};
use super::params;
use super::recording::{Recording, RunBuffers};
use super::run_clock::RunClock;
use super::timer::Timer;
use super::vulkan::Secondary;
use crate::graph::{Counters, ExecError, PagedSequence, RunArgs, Sequences};
use crate::plan::Rows;

/// Multiply-adds of one submit: a quarter second at 0.4 T/s, which a slow integrated GPU reaches; drivers kill longer work.
const MOST_WORK: f64 = 1e11;
/// The same for a recorded run where there are matrix units: half a second at 4 T/s, which the slowest of their GPUs reach.
const MOST_RECORDED_WORK: f64 = 2e12;
/// The same for software adapters, so that Ctrl-C is seen.
const MOST_SOFTWARE_WORK: f64 = 4e9;

/// A copy between buffers around a run.
pub struct Copy {
    pub from: Arc<CountedBuffer>,
    pub to: Arc<CountedBuffer>,
    pub len_bytes: usize,
    offset: u64,
}

impl Copy {
    pub fn new(from: Arc<CountedBuffer>, to: Arc<CountedBuffer>, len_bytes: usize) -> Self {
        Copy { from, to, len_bytes, offset: 0 }
    }

    /// From this byte of the source on.
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        if self.len_bytes > 0 {
            encoder.copy_buffer_to_buffer(&self.from.buffer, self.offset, &self.to.buffer, 0, self.len_bytes as u64);
        }
    }
}

/// A run to encode.
pub struct Encoded<'a> {
    pub recording: &'a Recording,
    pub bound: &'a Bound,
    pub buffers: &'a RunBuffers<'a>,
    pub args: &'a RunArgs,
    pub before: &'a [Copy],
    pub after: &'a [Copy],
    /// Buffers to fill with `0xFFFFFFFF` first.
    pub poisoned: &'a [Arc<CountedBuffer>],
    /// Times each dispatch.
    pub timer: Option<&'a Timer>,
}

/// Encodes a run, with its numbers, behind what is held. The pages that it writes are there ([`prepare_pages`]).
///
/// # Errors
/// When the device is out of memory.
pub fn encode(gpu: &Gpu, held: &mut Held, run: &Encoded, clock: &mut Option<RunClock>, counters: &mut Counters) -> Result<(), ExecError> {
    let shape = params::shape_of(run.recording, run.args, run.buffers.caches);
    let block = params::block_of(run.recording, run.args, run.buffers.caches, &shape);
    held.write(gpu, &run.recording.run_block, bytemuck::cast_slice(&block), counters)?;
    poison(gpu, held, run.poisoned)?;
    run.before.iter().for_each(|copy| copy.encode(held.encoder(gpu)));
    let grids: Vec<[u32; 3]> = run.recording.dispatches.iter().map(|d| d.grid.of_run(&shape)).collect();
    match recorded(gpu, run, &shape, &grids) {
        Some(secondary) => {
            let timestamp_writes = clock.as_mut().and_then(RunClock::next_pass);
            held.execute(gpu, secondary, timestamp_writes);
        }
        None => encode_passes(gpu, held, run, &shape, &grids, clock, counters),
    }
    run.after.iter().for_each(|copy| copy.encode(held.encoder(gpu)));
    counters.dispatches += grids.iter().filter(|grid| !grid.contains(&0)).count() as u64;
    counters.steps += 1;
    Ok(())
}

/// Makes the pages that a run writes, before it is encoded; `written`: the rows that it writes into each cache. A page that another sequence holds too
/// is copied at once: where a later segment finds no page left, the sequences of the earlier ones must still find what they held. What was encoded and
/// not submitted reads the tables as they were, so it is submitted before the device sees another one.
///
/// # Errors
/// When the device is out of memory, or a cache out of pages, and for more tokens than a cache takes at once.
pub fn prepare_pages(
    gpu: &Gpu,
    held: &mut Held,
    sequences: &mut Sequences<Memory>,
    written: &[Rows],
    args: &RunArgs,
    counters: &mut Counters,
) -> Result<(), ExecError> {
    for (i, rows) in written.iter().enumerate() {
        for segment in &args.segments {
            let Some(used) = segment.caches.get(i) else { continue };
            let prepared = sequences.prepare(used.cache, used.position, rows.of_run(segment.n_tokens))?;
            let PagedSequence { memory, number, table, .. } = sequences.get(used.cache)?;
            if prepared.table_changed {
                held.submit(gpu, counters);
                memory.upload(gpu, number, table);
            }
            if !prepared.copies.is_empty() {
                memory.copy(gpu, held.encoder(gpu), &prepared.copies)?;
            }
        }
    }
    Ok(())
}

/// Work that one submit may hold.
fn most_work(gpu: &Gpu) -> f64 {
    if gpu.caps.software { MOST_SOFTWARE_WORK } else { MOST_WORK }
}

/// The command buffer of a run's dispatches, where there is one.
fn recorded(gpu: &Gpu, run: &Encoded, shape: &RunShape, grids: &[[u32; 3]]) -> Option<Arc<Secondary>> {
    if !run.recording.repeats || run.timer.is_some() {
        return None;
    }
    let device = gpu.recorder()?;
    let work: f64 = run.recording.dispatches.iter().map(|d| macs(&d.work, shape)).sum();
    let most = if gpu.caps.matrix_edge > 0 { MOST_RECORDED_WORK } else { most_work(gpu) };
    if work <= most { run.bound.secondary(gpu, device, run.recording, run.buffers, grids) } else { None }
}

/// Encodes a run's dispatches, in as many submits as their work takes.
fn encode_passes(
    gpu: &Gpu,
    held: &mut Held,
    run: &Encoded,
    shape: &RunShape,
    grids: &[[u32; 3]],
    clock: &mut Option<RunClock>,
    counters: &mut Counters,
) {
    let (dispatches, most) = (&run.recording.dispatches, most_work(gpu));
    let mut next = 0;
    while next < dispatches.len() {
        let mut work = 0.0;
        {
            let first = next;
            let timestamp_writes = match run.timer {
                Some(timer) => timer.of_pass(first),
                None => clock.as_mut().and_then(RunClock::next_pass),
            };
            let mut pass = held.encoder(gpu).begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
            if let Some(timer) = run.timer.filter(|_| first == 0) {
                timer.mark(&mut pass, 0);
            }
            while next < dispatches.len() {
                let dispatch = &dispatches[next];
                let own = macs(&dispatch.work, shape);
                let alone = next > first && run.timer.is_some_and(Timer::splits_passes);
                if work > 0.0 && work + own > most || alone {
                    break;
                }
                work += own;
                let [x, y, z] = grids[next];
                if x > 0 && y > 0 && z > 0 {
                    pass.set_pipeline(&dispatch.pipeline.pipeline);
                    pass.set_bind_group(0, &run.bound.groups[next], &[]);
                    dispatch.pipeline.set_step(&mut pass, &dispatch.step);
                    pass.dispatch_workgroups(x, y, z);
                }
                next += 1;
                if let Some(timer) = run.timer {
                    timer.mark(&mut pass, next);
                }
            }
        }
        if next < dispatches.len() && !run.timer.is_some_and(Timer::splits_passes) {
            held.submit(gpu, counters);
        }
    }
}

fn macs(work: &Work, shape: &RunShape) -> f64 {
    work.each_row * work.rows.map_or(1, |rows| rows.of_run(shape.n_tokens)) as f64
}

/// Fills buffers by copies of a buffer of ones.
fn poison(gpu: &Gpu, held: &mut Held, buffers: &[Arc<CountedBuffer>]) -> Result<(), ExecError> {
    if buffers.is_empty() {
        return Ok(());
    }
    let (source, encoder) = (gpu.poison()?, held.encoder(gpu));
    for buffer in buffers {
        for start in (0..buffer.buffer.size()).step_by(POISON_BYTES as usize) {
            let len = POISON_BYTES.min(buffer.buffer.size() - start);
            encoder.copy_buffer_to_buffer(&source.buffer, 0, &buffer.buffer, start, len);
        }
    }
    Ok(())
}
