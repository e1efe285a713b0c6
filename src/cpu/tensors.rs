//! Tensors that outlive a run, and the buffers that wait for the next one.

use std::collections::HashMap;

use crate::graph::{DeviceTensor, ExecError, Released};
use crate::tensor::{DType, Shape};

use super::buffer::Buffer;

/// Free buffers are kept up to so many bytes, whatever was in use.
const KEPT_BYTES: usize = 64 << 20;

/// The live tensors of an executor by id, and released buffers by length.
pub(super) struct Tensors {
    live: HashMap<u64, Buffer>,
    free: HashMap<usize, Vec<Buffer>>,
    free_bytes: usize,
    most_bytes: usize,
    next_id: u64,
    released: Released,
    poison: bool,
    pub buffers: u64,
    pub bytes: usize,
}

impl Tensors {
    /// With `poison`, buffers are filled with NaN bits when they are taken and when they are released.
    pub fn new(poison: bool) -> Tensors {
        Tensors {
            live: HashMap::new(),
            free: HashMap::new(),
            free_bytes: 0,
            most_bytes: 0,
            next_id: 0,
            released: Released::default(),
            poison,
            buffers: 0,
            bytes: 0,
        }
    }

    /// A buffer of `len` elements, of undefined content.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn take(&mut self, len: usize) -> Result<Buffer, ExecError> {
        self.collect();
        let buffer = match self.free.get_mut(&len).and_then(Vec::pop) {
            Some(buffer) => {
                self.free_bytes -= buffer.len_bytes();
                buffer
            }
            None => {
                let buffer = Buffer::new(len, "a tensor", "a shorter `--ctx` or a smaller tensor lowers it")?;
                self.buffers += 1;
                self.bytes += buffer.len_bytes();
                buffer
            }
        };
        self.most_bytes = self.most_bytes.max(self.bytes - self.free_bytes);
        if self.poison {
            buffer.poison();
        }
        Ok(buffer)
    }

    /// A handle to a buffer that holds a tensor.
    pub fn keep(&mut self, buffer: Buffer, shape: Shape, dtype: DType) -> DeviceTensor {
        let id = self.next_id;
        self.next_id += 1;
        self.live.insert(id, buffer);
        DeviceTensor::new(id, shape, dtype, &self.released)
    }

    pub fn buffer(&self, tensor: &DeviceTensor) -> Result<&Buffer, ExecError> {
        self.live.get(&tensor.id()).filter(|b| b.len() >= tensor.shape.len()).ok_or_else(|| ExecError::Device {
            message: format!("the cpu backend holds no tensor {} of shape {}; it is another executor's", tensor.id(), tensor.shape),
            origin: Default::default(),
        })
    }

    /// Gives a buffer back that no tensor was made of.
    pub fn give_back(&mut self, buffer: Buffer) {
        if self.poison {
            buffer.poison();
        }
        self.free_bytes += buffer.len_bytes();
        self.free.entry(buffer.len()).or_default().push(buffer);
        // What waits takes no more than what was once in use at a time; otherwise each new size of tensor would leave its buffers behind.
        if self.free_bytes > self.most_bytes.max(KEPT_BYTES) {
            self.bytes -= self.free_bytes;
            self.free_bytes = 0;
            self.free.clear();
        }
    }

    /// Takes the buffers of tensors whose last handle is gone.
    fn collect(&mut self) {
        for id in self.released.take() {
            if let Some(buffer) = self.live.remove(&id) {
                self.give_back(buffer);
            }
        }
    }
}
