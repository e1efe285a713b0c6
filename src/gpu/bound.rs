//! A recording's dispatches with the buffers of a run: their bind groups and, once such runs are repeated, their command buffers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::Mutex;

use super::device::Gpu;
use super::recording::{Recorded, Recording, RunBuffers};
use super::vulkan::{Command, RawDevice, Secondary};

/// Sets of grids that are remembered: those in use, and the last ones, which the device may still execute.
const KEPT: usize = 4;

/// Bind groups by dispatch, and what was recorded of them.
pub struct Bound {
    pub groups: Vec<wgpu::BindGroup>,
    /// The one last run comes first.
    repeated: Mutex<Vec<Repeated>>,
}

/// Runs with the same grids.
struct Repeated {
    grids: Vec<[u32; 3]>,
    /// From the second run on: the first goes through wgpu, which clears what it uses. `None` within where nothing could be recorded.
    secondary: Option<Option<Arc<Secondary>>>,
}

impl Bound {
    pub fn new(groups: Vec<wgpu::BindGroup>) -> Self {
        Bound { groups, repeated: Mutex::default() }
    }

    /// The command buffer for a run with these buffers and grids, where they were run before.
    pub fn secondary(
        &self,
        gpu: &Gpu,
        device: &Arc<RawDevice>,
        recording: &Recording,
        buffers: &RunBuffers,
        grids: &[[u32; 3]],
    ) -> Option<Arc<Secondary>> {
        let mut repeated = self.repeated.lock();
        let Some(at) = repeated.iter().position(|r| r.grids == grids) else {
            repeated.insert(0, Repeated { grids: grids.to_vec(), secondary: None });
            repeated.truncate(KEPT);
            return None;
        };
        repeated[..=at].rotate_right(1);
        let record = || {
            let made = record(device, recording, buffers, grids)?;
            gpu.recorded.fetch_add(1, Ordering::Relaxed);
            Some(Arc::new(made))
        };
        repeated[0].secondary.get_or_insert_with(record).clone()
    }
}

/// Records a run; `None` without a kernel for each dispatch, or without dispatches. What fails is told to the log: a run can always be encoded.
fn record(device: &Arc<RawDevice>, recording: &Recording, buffers: &RunBuffers, grids: &[[u32; 3]]) -> Option<Secondary> {
    let began = Instant::now();
    let commands = commands(recording, buffers, grids).filter(|commands| !commands.is_empty())?;
    match Secondary::record(device, &commands) {
        Ok(secondary) => {
            log::debug!("a run of {} dispatches is recorded, in {:?}", commands.len(), began.elapsed());
            Some(secondary)
        }
        Err(error) => {
            log::warn!("a run is encoded each time, as it could not be recorded: {error}");
            None
        }
    }
}

/// The dispatches of a run that have workgroups; `None` where one has no kernel, or a buffer that is not given.
fn commands<'a>(recording: &'a Recording, buffers: &RunBuffers, grids: &[[u32; 3]]) -> Option<Vec<Command<'a>>> {
    let with_workgroups = recording.dispatches.iter().zip(grids).filter(|(_, grid)| !grid.contains(&0));
    let command = |(dispatch, grid): (&'a Recorded, &[u32; 3])| {
        let kinds = dispatch.pipeline.bindings.iter().map(|b| b.1);
        let ranges = recording.ranges(dispatch, buffers).ok()?.into_iter().map(|r| r.1);
        let (kernel, immediates) = (dispatch.pipeline.kernel()?, dispatch.pipeline.immediates(&dispatch.step));
        Some(Command { kernel, bindings: kinds.zip(ranges).collect(), immediates, grid: *grid })
    };
    with_workgroups.map(command).collect()
}
