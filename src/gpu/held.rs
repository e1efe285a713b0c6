//! Runs that are encoded and not yet given to the device: one, or several that follow at once, which then cost one submit.

use std::sync::Arc;

use super::device::{CountedBuffer, Gpu};
use super::readback::Readback;
use super::vulkan::Secondary;
use crate::graph::{Counters, ExecError};

/// Room for the numbers of the runs after the first: a decode step has some hundred bytes of them.
const NUMBERS_BYTES: u64 = 1 << 16;

/// The encoder of the next submit, and what belongs to it.
#[derive(Default)]
pub struct Held {
    /// What comes before the encoder: it, and an encoder that executes a recorded run, cannot be one.
    encoded: Vec<wgpu::CommandBuffer>,
    encoder: Option<wgpu::CommandEncoder>,
    /// Executed by what is encoded.
    secondaries: Vec<Arc<Secondary>>,
    /// Numbers of the runs after the first, which copy them from `staging`: a write of the queue comes before all that a submit holds.
    numbers: Vec<u8>,
    staging: Option<CountedBuffer>,
    /// To be mapped once they are submitted.
    readbacks: Vec<Arc<Readback>>,
}

impl Held {
    pub fn encoder(&mut self, gpu: &Gpu) -> &mut wgpu::CommandEncoder {
        self.encoder.get_or_insert_with(|| new_encoder(gpu))
    }

    /// Executes a recorded run behind what is held, and writes timestamps before and after it.
    pub fn execute(&mut self, gpu: &Gpu, secondary: Arc<Secondary>, writes: Option<wgpu::ComputePassTimestampWrites>) {
        if let Some(writes) = &writes {
            self.mark(gpu, wgpu::ComputePassTimestampWrites { end_of_pass_write_index: None, ..writes.clone() });
        }
        self.encoded.extend(self.encoder.take().map(wgpu::CommandEncoder::finish));
        let mut encoder = new_encoder(gpu);
        secondary.execute(&mut encoder);
        self.encoded.push(encoder.finish());
        self.secondaries.push(secondary);
        if let Some(writes) = writes {
            self.mark(gpu, wgpu::ComputePassTimestampWrites { beginning_of_pass_write_index: None, ..writes });
        }
    }

    /// A pass of nothing but a timestamp.
    fn mark(&mut self, gpu: &Gpu, writes: wgpu::ComputePassTimestampWrites) {
        self.encoder(gpu).begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) });
    }

    /// Sets the numbers of the run that is encoded next.
    ///
    /// # Errors
    /// When the device is out of memory.
    pub fn write(&mut self, gpu: &Gpu, to: &CountedBuffer, numbers: &[u8], counters: &mut Counters) -> Result<(), ExecError> {
        let offset = self.numbers.len() as u64;
        let fits = offset + numbers.len() as u64 <= NUMBERS_BYTES;
        if self.is_empty() || !fits {
            self.submit(gpu, counters);
            gpu.queue.write_buffer(&to.buffer, 0, numbers);
            return Ok(());
        }
        if self.staging.is_none() {
            let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
            self.staging = Some(gpu.buffer("numbers of runs", "close other programs", NUMBERS_BYTES, usage)?);
        }
        if let Some(staging) = &self.staging {
            let encoder = self.encoder.get_or_insert_with(|| new_encoder(gpu));
            encoder.copy_buffer_to_buffer(&staging.buffer, offset, &to.buffer, 0, numbers.len() as u64);
            self.numbers.extend_from_slice(numbers);
        }
        Ok(())
    }

    /// Maps the copy after the submit that holds it.
    pub fn map_later(&mut self, readback: Arc<Readback>) {
        self.readbacks.push(readback);
    }

    /// Gives the device what is held; nothing where nothing is.
    pub fn submit(&mut self, gpu: &Gpu, counters: &mut Counters) {
        if self.is_empty() {
            return;
        }
        self.encoded.extend(self.encoder.take().map(wgpu::CommandEncoder::finish));
        if let Some(staging) = self.staging.as_ref().filter(|_| !self.numbers.is_empty()) {
            gpu.queue.write_buffer(&staging.buffer, 0, &self.numbers);
            self.numbers.clear();
        }
        counters.submits += 1;
        let submission = gpu.queue.submit(self.encoded.drain(..));
        self.readbacks.drain(..).for_each(|readback| readback.map(&submission));
        self.secondaries.drain(..).for_each(|secondary| secondary.submitted(&submission));
    }

    fn is_empty(&self) -> bool {
        self.encoder.is_none() && self.encoded.is_empty()
    }
}

fn new_encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
    gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
}
