//! Reading tensors back: a ring of mappable buffers. Small outputs are copied in the submit of their run, so that reading one never waits
//! for later submits.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use super::device::{CountedBuffer, Gpu};
use super::held::Held;
use crate::graph::{ExecError, Origin};

/// Outputs of at most this many bytes are copied along with their run: the ids of many sequences.
pub const EAGER_BYTES: usize = 2048;

/// Mappable buffers that nothing waits for.
#[derive(Default)]
pub struct ReadbackRing {
    free: Vec<Arc<CountedBuffer>>,
}

/// A copy under way.
pub struct Readback {
    buffer: Arc<CountedBuffer>,
    len_bytes: usize,
    state: Arc<AtomicU8>,
    /// The submit that holds the copy, once it is given to the device.
    submission: OnceLock<wgpu::SubmissionIndex>,
}

const PENDING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

impl ReadbackRing {
    /// Encodes a copy of the first `len_bytes` of `source` behind what is held.
    ///
    /// # Errors
    /// When the device is out of memory.
    pub fn copy(&mut self, gpu: &Gpu, held: &mut Held, source: &CountedBuffer, len_bytes: usize) -> Result<Arc<Readback>, ExecError> {
        let size = (len_bytes.max(EAGER_BYTES) as u64).next_power_of_two();
        let buffer = match self.free.iter().position(|b| b.buffer.size() == size) {
            Some(at) => self.free.swap_remove(at),
            None => {
                // One large buffer at most is kept: the copies of whole tensors are rare and of many sizes.
                self.free.retain(|b| b.buffer.size() <= 1 << 20);
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                Arc::new(gpu.buffer("a read-back", "read smaller tensors", size, usage)?)
            }
        };
        let readback = Arc::new(Readback { buffer, len_bytes, state: Arc::new(AtomicU8::new(PENDING)), submission: OnceLock::new() });
        let n = (len_bytes as u64).next_multiple_of(4);
        held.encoder(gpu).copy_buffer_to_buffer(&source.buffer, 0, &readback.buffer.buffer, 0, n);
        held.map_later(readback.clone());
        Ok(readback)
    }

    /// Waits for the copy's submit alone, and gives its bytes.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn finish<T>(&mut self, gpu: &Gpu, readback: &Readback, read: impl FnOnce(&[u8]) -> T) -> Result<T, ExecError> {
        let mut waits = 0;
        while readback.state.load(Ordering::Acquire) == PENDING {
            let wait = wgpu::PollType::Wait { submission_index: readback.submission.get().cloned(), timeout: None };
            if let Err(error) = gpu.device.poll(wait) {
                gpu.faults.check()?;
                return Err(ExecError::DeviceLost(error.to_string()));
            }
            waits += 1;
            if waits > 1_000 {
                return Err(ExecError::DeviceLost("a submit never completed".to_owned()));
            }
        }
        gpu.faults.check()?;
        if readback.state.load(Ordering::Acquire) == FAILED {
            return Err(ExecError::Device { message: "the device could not map a read-back buffer".to_owned(), origin: Origin::default() });
        }
        let view = readback.buffer.buffer.get_mapped_range(..readback.buffer.buffer.size());
        let view = view.map_err(|e| ExecError::Device { message: e.to_string(), origin: Origin::default() })?;
        Ok(read(&view[..readback.len_bytes]))
    }

    /// Takes the buffer of a copy back, unless the copy is still to be submitted.
    pub fn recycle(&mut self, readback: Arc<Readback>) {
        if let Ok(readback) = Arc::try_unwrap(readback) {
            readback.buffer.buffer.unmap();
            self.free.push(readback.buffer);
        }
    }
}

impl Readback {
    pub fn is_submitted(&self) -> bool {
        self.submission.get().is_some()
    }

    /// Asks for the mapping, right after the submit that holds the copy.
    pub fn map(&self, submission: &wgpu::SubmissionIndex) {
        self.submission.get_or_init(|| submission.clone());
        let state = self.state.clone();
        self.buffer.buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            state.store(if result.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
        });
    }
}
