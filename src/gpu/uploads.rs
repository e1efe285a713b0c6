//! Writing a run's numbers: a ring of mapped buffers that are copied from within the run's own encoder. The queue's writes make a buffer and
//! an encoder for each.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::device::{CountedBuffer, Gpu};
use super::submit::Copy;
use crate::graph::ExecError;

/// One more than the steps that a generation has in flight, and one that is being mapped.
const BUFFERS: usize = 4;

/// Buffers that are mapped again once the run that copied from them is done.
#[derive(Default)]
pub struct UploadRing {
    buffers: Vec<Upload>,
    next: usize,
}

struct Upload {
    buffer: Rc<CountedBuffer>,
    mapped: Arc<AtomicBool>,
}

impl UploadRing {
    /// What the run's encoder has to copy so that `to` begins with `bytes`; `None` when they were written by the queue, as no buffer is mapped
    /// yet. After the submit comes [`UploadRing::map`].
    ///
    /// # Errors
    /// When the device is out of memory.
    pub fn write(&mut self, gpu: &Gpu, to: &Rc<CountedBuffer>, bytes: &[u8]) -> Result<Option<Copy>, ExecError> {
        if self.buffers.first().is_none_or(|b| b.buffer.buffer.size() < bytes.len() as u64) {
            self.make(gpu, bytes.len())?;
        }
        let upload = &self.buffers[self.next];
        let view = upload.mapped.swap(false, Ordering::Acquire).then(|| upload.buffer.buffer.get_mapped_range_mut(..bytes.len() as u64));
        let Some(Ok(mut view)) = view else {
            gpu.queue.write_buffer(&to.buffer, 0, bytes);
            return Ok(None);
        };
        view.copy_from_slice(bytes);
        drop(view);
        upload.buffer.buffer.unmap();
        Ok(Some(Copy::new(upload.buffer.clone(), to.clone(), bytes.len())))
    }

    /// Maps the buffer of the last copy again, and goes on to the next one.
    pub fn map(&mut self) {
        self.buffers[self.next].map();
        self.next = (self.next + 1) % self.buffers.len();
    }

    fn make(&mut self, gpu: &Gpu, len_bytes: usize) -> Result<(), ExecError> {
        self.buffers.clear();
        for _ in 0..BUFFERS {
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            let size = (len_bytes as u64).next_power_of_two();
            let buffer = Rc::new(gpu.buffer("numbers on their way", "use a smaller program", size, usage)?);
            let upload = Upload { buffer, mapped: Arc::default() };
            upload.map();
            self.buffers.push(upload);
        }
        self.next = 0;
        Ok(())
    }
}

impl Upload {
    fn map(&self) {
        let mapped = self.mapped.clone();
        self.buffer.buffer.map_async(wgpu::MapMode::Write, .., move |result| mapped.store(result.is_ok(), Ordering::Release));
    }
}
