//! Buffers of tensors, by size class: taken for a run's outputs, given back when the last handle goes.

use std::collections::HashMap;
use std::sync::Arc;

use super::device::{CountedBuffer, Gpu};
use crate::graph::ExecError;

const TENSOR_USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// Free buffers are kept up to so many bytes, whatever was in use.
const KEPT_BYTES: u64 = 64 << 20;

/// Free buffers and, in poison mode, those to be filled before the next run.
#[derive(Default)]
pub struct Pool {
    free: HashMap<u64, Vec<Arc<CountedBuffer>>>,
    free_bytes: u64,
    /// Bytes that are taken now, and the most there ever were.
    taken_bytes: u64,
    most_taken: u64,
    pending_poison: Vec<Arc<CountedBuffer>>,
}

impl Pool {
    /// A buffer of at least `len_bytes` for kernels to write, contents undefined.
    ///
    /// # Errors
    /// When the device is out of memory.
    pub fn take(&mut self, gpu: &Gpu, what: &str, len_bytes: usize) -> Result<Arc<CountedBuffer>, ExecError> {
        let buffer = self.take_for_write(gpu, what, len_bytes)?;
        self.poison(gpu, &buffer);
        Ok(buffer)
    }

    /// A buffer of at least `len_bytes` that the host or a copy fills before anything reads it; it is never poisoned after this.
    ///
    /// # Errors
    /// When the device is out of memory.
    pub fn take_for_write(&mut self, gpu: &Gpu, what: &str, len_bytes: usize) -> Result<Arc<CountedBuffer>, ExecError> {
        let class = size_class(len_bytes);
        let buffer = match self.free.get_mut(&class).and_then(Vec::pop) {
            Some(buffer) => {
                self.free_bytes -= buffer.buffer.size();
                buffer
            }
            None => self.make(gpu, what, class)?,
        };
        self.taken_bytes += buffer.buffer.size();
        self.most_taken = self.most_taken.max(self.taken_bytes);
        self.pending_poison.retain(|b| b.id != buffer.id);
        Ok(buffer)
    }

    /// Returns a buffer; work that was submitted with it may still run, later work comes after it.
    pub fn give(&mut self, gpu: &Gpu, buffer: Arc<CountedBuffer>) {
        let size = buffer.buffer.size();
        self.taken_bytes = self.taken_bytes.saturating_sub(size);
        // What waits takes no more than what was once in use at a time; otherwise each new size of tensor would leave its buffers behind.
        if self.free_bytes + size > self.most_taken.max(KEPT_BYTES) {
            self.free.clear();
            self.free_bytes = 0;
        }
        self.poison(gpu, &buffer);
        self.free_bytes += size;
        self.free.entry(size).or_default().push(buffer);
    }

    /// Marks a buffer to be filled with `0xFFFFFFFF` before the next run, in poison mode.
    fn poison(&mut self, gpu: &Gpu, buffer: &Arc<CountedBuffer>) {
        if gpu.options.poison {
            self.pending_poison.push(buffer.clone());
        }
    }

    /// The buffers to fill now.
    pub fn take_poisoned(&mut self) -> Vec<Arc<CountedBuffer>> {
        std::mem::take(&mut self.pending_poison)
    }

    /// A new buffer; when memory is short the free ones are dropped first.
    fn make(&mut self, gpu: &Gpu, what: &str, class: u64) -> Result<Arc<CountedBuffer>, ExecError> {
        let hint = "use smaller tensors, or a smaller --ctx";
        match gpu.buffer(what, hint, class, TENSOR_USAGE) {
            Err(ExecError::OutOfMemory { .. }) if self.free.values().any(|v| !v.is_empty()) => {
                self.free.clear();
                self.free_bytes = 0;
                gpu.buffer(what, hint, class, TENSOR_USAGE).map(Arc::new)
            }
            made => made.map(Arc::new),
        }
    }
}

/// Sizes in eighths of a power of two: at most an eighth is wasted, and few classes exist.
fn size_class(len_bytes: usize) -> u64 {
    let len = (len_bytes as u64).max(256);
    let step = (len.next_power_of_two() / 16).max(256);
    len.next_multiple_of(step)
}
