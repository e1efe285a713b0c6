//! Timing each dispatch of a run with timestamp queries.

use std::time::Duration;

use super::device::Gpu;
use crate::graph::{ExecError, Origin};

/// Queries of one set, at most (the WebGPU specification).
const MOST_QUERIES: usize = 4096;

/// Timestamps around the dispatches of one run.
pub struct Timer {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    mapped: wgpu::Buffer,
    n_dispatches: usize,
    /// Timestamps between the dispatches of one pass; otherwise each dispatch is a pass of its own.
    within_pass: bool,
}

impl Timer {
    /// For a run of `n_dispatches`; `None` where the device has no timestamps, or too few for this many dispatches.
    pub fn new(gpu: &Gpu, n_dispatches: usize) -> Option<Timer> {
        let within_pass = gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES);
        let n_queries = if within_pass { n_dispatches + 1 } else { 2 * n_dispatches };
        if !gpu.caps.timestamps || n_dispatches == 0 || n_queries > MOST_QUERIES {
            return None;
        }
        let descriptor =
            wgpu::QuerySetDescriptor { label: Some("times of dispatches"), ty: wgpu::QueryType::Timestamp, count: n_queries as u32 };
        let buffer = |usage| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("times of dispatches"),
                size: n_queries as u64 * 8,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        Some(Timer {
            set: gpu.device.create_query_set(&descriptor),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            mapped: buffer(wgpu::BufferUsages::MAP_READ),
            n_dispatches,
            within_pass,
        })
    }

    /// How it times, for the table. Within a pass the gap before a dispatch counts as its own.
    pub fn describe(&self) -> &'static str {
        if self.within_pass { "timestamps in one pass" } else { "one pass a kernel" }
    }

    /// Whether every dispatch has to be a pass of its own.
    pub fn splits_passes(&self) -> bool {
        !self.within_pass
    }

    /// What a pass that holds dispatch `index` alone writes.
    pub fn of_pass(&self, index: usize) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        (!self.within_pass).then_some(wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(2 * index as u32),
            end_of_pass_write_index: Some(2 * index as u32 + 1),
        })
    }

    /// To be called before the first dispatch (0) and after each (1 and up) within a pass.
    pub fn mark(&self, pass: &mut wgpu::ComputePass, index: usize) {
        if self.within_pass {
            pass.write_timestamp(&self.set, index as u32);
        }
    }

    /// To be called after the last pass.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        let n_queries = self.resolved.size() / 8;
        encoder.resolve_query_set(&self.set, 0..n_queries as u32, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.mapped, 0, n_queries * 8);
    }

    /// Waits for the run and reads the time of each dispatch.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn read(&self, gpu: &Gpu) -> Result<Vec<Duration>, ExecError> {
        self.mapped.map_async(wgpu::MapMode::Read, .., |_| {});
        gpu.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| ExecError::DeviceLost(e.to_string()))?;
        gpu.faults.check()?;
        let view = self.mapped.get_mapped_range(..self.mapped.size());
        let view = view.map_err(|e| ExecError::Device { message: e.to_string(), origin: Origin::default() })?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view[..]);
        let period = f64::from(gpu.queue.get_timestamp_period());
        let between = |i: usize| {
            let (start, end) = if self.within_pass { (i, i + 1) } else { (2 * i, 2 * i + 1) };
            Duration::from_nanos((ticks[end].saturating_sub(ticks[start]) as f64 * period) as u64)
        };
        Ok((0..self.n_dispatches).map(between).collect())
    }
}
