//! A recording's dispatches with the buffers of a run: their bind groups and, once such runs are repeated, their command buffers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::device::Gpu;
use super::recording::{Recording, RunBuffers};
use super::vulkan::{Command, Secondary};

/// Sets of grids that are remembered: those in use, and the last ones, which the device may still execute.
const KEPT: usize = 4;

/// Bind groups by dispatch, and what was recorded of them.
pub struct Bound {
    pub groups: Vec<wgpu::BindGroup>,
    /// The one last run comes first.
    repeated: RefCell<Vec<Repeated>>,
}

/// Runs with the same grids.
struct Repeated {
    grids: Vec<[u32; 3]>,
    /// From the second run on: the first goes through wgpu, which clears what it uses. `None` within where nothing could be recorded.
    secondary: Option<Option<Rc<Secondary>>>,
}

impl Bound {
    pub fn new(groups: Vec<wgpu::BindGroup>) -> Self {
        Bound { groups, repeated: RefCell::default() }
    }

    /// The command buffer for a run with these buffers and grids: where the device has such, and they were run before.
    pub fn secondary(&self, gpu: &Gpu, recording: &Recording, buffers: &RunBuffers, grids: &[[u32; 3]]) -> Option<Rc<Secondary>> {
        gpu.recorder()?;
        let mut repeated = self.repeated.borrow_mut();
        let Some(at) = repeated.iter().position(|r| r.grids == grids) else {
            repeated.insert(0, Repeated { grids: grids.to_vec(), secondary: None });
            repeated.truncate(KEPT);
            return None;
        };
        repeated[..=at].rotate_right(1);
        repeated[0].secondary.get_or_insert_with(|| record(gpu, recording, buffers, grids)).clone()
    }
}

/// Records a run. What fails is told to the log: the run can always be encoded.
fn record(gpu: &Gpu, recording: &Recording, buffers: &RunBuffers, grids: &[[u32; 3]]) -> Option<Rc<Secondary>> {
    let began = Instant::now();
    match try_record(gpu, recording, buffers, grids) {
        Ok(Some(secondary)) => {
            log::debug!("a run of {} dispatches is recorded, in {:?}", grids.len(), began.elapsed());
            gpu.recorded.set(gpu.recorded.get() + 1);
            Some(Rc::new(secondary))
        }
        Ok(None) => None,
        Err(error) => {
            log::warn!("a run is encoded each time, as it could not be recorded: {error}");
            None
        }
    }
}

/// `None` without a kernel for each dispatch, or without dispatches.
fn try_record(gpu: &Gpu, recording: &Recording, buffers: &RunBuffers, grids: &[[u32; 3]]) -> Result<Option<Secondary>, String> {
    let Some(device) = gpu.recorder() else { return Ok(None) };
    let mut commands = Vec::new();
    for (dispatch, grid) in recording.dispatches.iter().zip(grids).filter(|(_, grid)| !grid.contains(&0)) {
        let Some(kernel) = dispatch.pipeline.kernel() else { return Ok(None) };
        let ranges = recording.ranges(dispatch, buffers).map_err(|e| e.to_string())?;
        let kinds = dispatch.pipeline.bindings.iter().map(|b| b.1);
        let bindings = kinds.zip(ranges.into_iter().map(|r| r.1)).collect();
        commands.push(Command { kernel, bindings, immediates: dispatch.pipeline.immediates(&dispatch.step), grid: *grid });
    }
    if commands.is_empty() { Ok(None) } else { Secondary::record(device, &commands).map(Some) }
}
