//! When runs begin and end on the device: how long it computes, and how long it waits for the next run.

use std::time::Duration;

use super::device::Gpu;
use crate::graph::{DeviceTime, ExecError, Origin};

/// Passes of one measurement, at most: two queries each, of the 4096 of a set (the WebGPU specification).
const MOST_PASSES: usize = 2048;

/// Timestamps at the begin and end of each compute pass.
pub struct RunClock {
    set: wgpu::QuerySet,
    n_passes: usize,
}

impl RunClock {
    /// `None` where the device has no timestamps.
    pub fn new(gpu: &Gpu) -> Option<RunClock> {
        let descriptor = wgpu::QuerySetDescriptor { label: Some("runs"), ty: wgpu::QueryType::Timestamp, count: 2 * MOST_PASSES as u32 };
        gpu.caps.timestamps.then(|| RunClock { set: gpu.device.create_query_set(&descriptor), n_passes: 0 })
    }

    /// What the next pass writes; `None` past the last that is counted.
    pub fn next_pass(&mut self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        if self.n_passes == MOST_PASSES {
            return None;
        }
        let begin = 2 * self.n_passes as u32;
        self.n_passes += 1;
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(begin),
            end_of_pass_write_index: Some(begin + 1),
        })
    }

    /// Waits for the passes and adds up their times and those between them. The first pass is not counted: what it waits for came before.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn read(self, gpu: &Gpu) -> Result<DeviceTime, ExecError> {
        let n_queries = 2 * self.n_passes;
        if n_queries < 4 {
            return Ok(DeviceTime::default());
        }
        let size = n_queries as u64 * 8;
        let buffer = |usage| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor { label: Some("times of runs"), size, usage, mapped_at_creation: false })
        };
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
        let between = |from: u64, to: u64| {
            Duration::from_nanos((to.saturating_sub(from) as f64 * f64::from(gpu.queue.get_timestamp_period())) as u64)
        };
        let mut time = DeviceTime::default();
        for i in 1..self.n_passes {
            time.idle += between(ticks[2 * i - 1], ticks[2 * i]);
            time.busy += between(ticks[2 * i], ticks[2 * i + 1]);
            time.n_passes += 1;
        }
        Ok(time)
    }
}
