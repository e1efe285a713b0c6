//! How fast the device's own memory is: what a plain loop reads, the ceiling that every kernel's bytes are compared with, and what one copies.

use std::time::Instant;

use super::assemble::Source;
use super::contract::{Arguments, RUN, STEP};
use super::device::{CountedBuffer, Gpu};
use super::lower::{RUN_WORDS, fold};
use super::pipelines::PipelineCache;
use crate::graph::{Bandwidth, ExecError};

/// Well past the last-level cache of a large GPU, of which a thirtieth still lies there; software adapters share the processor's.
const LEN_BYTES: u64 = 2 << 30;
/// Where memory is short, less will do.
const LEAST_LEN_BYTES: u64 = 64 << 20;
const SOFTWARE_LEN_BYTES: u64 = 96 << 20;
/// Vectors of 16 bytes that an invocation reads.
const EACH: u64 = 16;
/// Seconds of one submit: waiting for it is a thousandth of that, and drivers kill what runs much longer.
const SUBMIT_SECONDS: f64 = 0.1;
const MOST_REPEATS: f64 = 512.0;
/// The best of these counts, as in STREAM: others' work can only slow a round down, and a card that idled while weights were loaded takes half a
/// second to come back to its clocks.
const ROUNDS: usize = 9;
/// What the kernel is to do.
const FILL: u32 = 0;
const READ: u32 = 1;
const COPY: u32 = 2;

/// What plain loops move, the best of several rounds; `None` where no buffer of a useful size can be had.
///
/// # Errors
/// When the device was lost, or the kernel does not compile.
pub fn measure(gpu: &Gpu, pipelines: &mut PipelineCache) -> Result<Option<Bandwidth>, ExecError> {
    // What a model needs is not what measuring took.
    let peak = gpu.allocated.peak();
    let rates = rates(gpu, pipelines);
    gpu.allocated.restore_peak(peak);
    rates
}

fn rates(gpu: &Gpu, pipelines: &mut PipelineCache) -> Result<Option<Bandwidth>, ExecError> {
    let group_bytes = 256 * EACH * 16;
    let storage = wgpu::BufferUsages::STORAGE;
    // Of the adapter itself: under a profile a software one runs other kernels, but its memory stays what it is.
    let most = if gpu.info.device_type == wgpu::DeviceType::Cpu { SOFTWARE_LEN_BYTES } else { LEN_BYTES };
    let mut wanted = most.min(gpu.caps.max_binding).min(gpu.caps.max_buffer);
    let (data, width, height) = loop {
        let [width, height, _] = fold((wanted / group_bytes) as usize);
        match gpu.buffer("bandwidth", "", u64::from(width * height) * group_bytes, storage) {
            Ok(data) if data.buffer.size() <= wanted => break (data, width, height),
            _ if wanted / 2 < LEAST_LEN_BYTES => return Ok(None),
            _ => wanted /= 2,
        }
    };
    let len_bytes = data.buffer.size();
    let out = gpu.buffer("bandwidth", "", 16, storage)?;
    let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    let run = gpu.buffer("bandwidth", "", RUN_WORDS as u64 * 4, uniform)?;
    let step = gpu.buffer("bandwidth", "", 16, uniform)?;

    let source = |job: u32| Source::new("bandwidth").set("EACH", EACH as usize).set("JOB", job);
    pipelines.prepare(gpu, &[&source(FILL), &source(READ), &source(COPY)])?;
    let arguments: Arguments<&CountedBuffer> = Arguments::default().set("width", width).bind("data", &data).bind("out", &out);
    let timed = |job: u32, times: usize| -> Result<f64, ExecError> {
        let Some(pipeline) = pipelines.get(&source(job)) else { return Ok(0.0) };
        let (numbers, bound) = pipeline.resolve(&arguments)?;
        gpu.queue.write_buffer(&step.buffer, 0, bytemuck::cast_slice(&numbers));
        let of_run =
            [(RUN, &run), (STEP, &step)].into_iter().filter(|(of_run, _)| pipeline.bindings.iter().any(|(used, _)| used == of_run));
        let entries =
            of_run.chain(bound).map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.buffer.as_entire_binding() });
        let entries: Vec<wgpu::BindGroupEntry> = entries.collect();
        let layout = &pipeline.layout.bind_group;
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &group, &[]);
            pipeline.set_step(&mut pass, &numbers);
            (0..times).for_each(|_| pass.dispatch_workgroups(width, height, 1));
        }
        let commands = encoder.finish();
        let start = Instant::now();
        gpu.queue.submit([commands]);
        gpu.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| ExecError::DeviceLost(e.to_string()))?;
        Ok(start.elapsed().as_secs_f64())
    };
    let rate = |job: u32| -> Result<f64, ExecError> {
        timed(job, 1)?;
        let repeats = (SUBMIT_SECONDS / timed(job, 1)?).clamp(1.0, MOST_REPEATS) as usize;
        let mut best = 0.0f64;
        for _ in 0..ROUNDS {
            best = best.max((len_bytes * repeats as u64) as f64 / timed(job, repeats)?);
        }
        Ok(best)
    };
    timed(FILL, 1)?;
    let bandwidth = Bandwidth { read: rate(READ)?, copy: rate(COPY)? };
    gpu.faults.check()?;
    Ok(Some(bandwidth).filter(|b| b.read.is_finite() && b.copy.is_finite()))
}
