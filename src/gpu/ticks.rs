//! Timestamps that the device wrote, as seconds' worth of time on the host.

use std::time::Duration;

use super::device::Gpu;
use crate::graph::{ExecError, Origin};

/// Queries of one set, at most (the WebGPU specification).
pub const MOST_QUERIES: usize = 4096;

/// A set of timestamp queries.
pub struct Ticks {
    pub set: wgpu::QuerySet,
}

impl Ticks {
    /// `None` where the device has no timestamps, or a set holds fewer.
    pub fn new(gpu: &Gpu, n_queries: usize) -> Option<Ticks> {
        if !gpu.caps.timestamps || n_queries > MOST_QUERIES {
            return None;
        }
        let descriptor = wgpu::QuerySetDescriptor { label: Some("times"), ty: wgpu::QueryType::Timestamp, count: n_queries as u32 };
        Some(Ticks { set: gpu.device.create_query_set(&descriptor) })
    }

    /// What a pass writes at its begin and end: queries `index` and `index + 1`.
    pub fn around_pass(&self, index: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(index as u32),
            end_of_pass_write_index: Some(index as u32 + 1),
        }
    }

    /// Waits for what was submitted, and returns the first `n_queries` times since the first of them.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn read(&self, gpu: &Gpu, n_queries: usize) -> Result<Vec<Duration>, ExecError> {
        let size = n_queries as u64 * 8;
        let buffer =
            |usage| gpu.device.create_buffer(&wgpu::BufferDescriptor { label: Some("times"), size, usage, mapped_at_creation: false });
        let resolved = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
        let mapped = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.resolve_query_set(&self.set, 0..n_queries as u32, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &mapped, 0, size);
        gpu.queue.submit([encoder.finish()]);
        mapped.map_async(wgpu::MapMode::Read, .., |_| {});
        gpu.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| ExecError::DeviceLost(e.to_string()))?;
        gpu.faults.check()?;
        let view = mapped.get_mapped_range(..size);
        let view = view.map_err(|e| ExecError::Device { message: e.to_string(), origin: Origin::default() })?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view[..]);
        let period = f64::from(gpu.queue.get_timestamp_period());
        let since_first = |tick: &u64| Duration::from_nanos((tick.saturating_sub(ticks[0]) as f64 * period) as u64);
        Ok(ticks.iter().map(since_first).collect())
    }
}
