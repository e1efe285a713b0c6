//! When runs begin and end on the device: how long it computes, and how long it waits for the next run.

use super::device::Gpu;
use super::ticks::{MOST_QUERIES, Ticks};
use crate::graph::{DeviceTime, ExecError};

/// Timestamps at the begin and end of each compute pass.
pub struct RunClock {
    ticks: Ticks,
    n_passes: usize,
}

impl RunClock {
    /// `None` where the device has no timestamps.
    pub fn new(gpu: &Gpu) -> Option<RunClock> {
        Ticks::new(gpu, MOST_QUERIES).map(|ticks| RunClock { ticks, n_passes: 0 })
    }

    /// What the next pass writes; `None` past the last that is counted.
    pub fn next_pass(&mut self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let begin = 2 * self.n_passes;
        if begin == MOST_QUERIES {
            return None;
        }
        self.n_passes += 1;
        Some(self.ticks.around_pass(begin))
    }

    /// Waits for the passes and adds up their times and those between them. The first pass is not counted: what it waits for came before.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn read(self, gpu: &Gpu) -> Result<DeviceTime, ExecError> {
        let mut time = DeviceTime::default();
        if self.n_passes < 2 {
            return Ok(time);
        }
        let times = self.ticks.read(gpu, 2 * self.n_passes)?;
        for pass in times[1..].windows(3).step_by(2) {
            time.idle += pass[1].saturating_sub(pass[0]);
            time.busy += pass[2].saturating_sub(pass[1]);
            time.n_passes += 1;
        }
        Ok(time)
    }
}
