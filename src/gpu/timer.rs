//! Timing each dispatch of a run with timestamp queries.

use std::time::Duration;

use super::device::Gpu;
use super::ticks::Ticks;
use crate::graph::ExecError;

/// Timestamps around the dispatches of one run.
pub struct Timer {
    ticks: Ticks,
    n_dispatches: usize,
    /// Timestamps between the dispatches of one pass; otherwise each dispatch is a pass of its own.
    within_pass: bool,
}

impl Timer {
    /// For a run of `n_dispatches`; `None` where the device has no timestamps, or too few for this many dispatches.
    pub fn new(gpu: &Gpu, n_dispatches: usize) -> Option<Timer> {
        if n_dispatches == 0 {
            return None;
        }
        let within_pass = gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES);
        let ticks = Ticks::new(gpu, n_queries(n_dispatches, within_pass))?;
        Some(Timer { ticks, n_dispatches, within_pass })
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
        (!self.within_pass).then(|| self.ticks.around_pass(2 * index))
    }

    /// To be called before the first dispatch (0) and after each (1 and up) within a pass.
    pub fn mark(&self, pass: &mut wgpu::ComputePass, index: usize) {
        if self.within_pass {
            pass.write_timestamp(&self.ticks.set, index as u32);
        }
    }

    /// Waits for the run and reads the time of each dispatch.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn read(&self, gpu: &Gpu) -> Result<Vec<Duration>, ExecError> {
        let times = self.ticks.read(gpu, n_queries(self.n_dispatches, self.within_pass))?;
        let stride = if self.within_pass { 1 } else { 2 };
        Ok((0..self.n_dispatches).map(|i| times[stride * i + 1].saturating_sub(times[stride * i])).collect())
    }
}

fn n_queries(n_dispatches: usize, within_pass: bool) -> usize {
    if within_pass { n_dispatches + 1 } else { 2 * n_dispatches }
}
