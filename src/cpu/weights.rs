//! Weights where their kernels read them: in the file's own bytes, or widened to f32 in memory.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::graph::{ExecError, Weight, WeightId};
use crate::plan::{Placement, Storage};
use crate::tensor::{DType, first_nonfinite};

use super::buffer::{Buffer, Mem};
use super::isa::Isa;
use super::linear::{WeightRows, widen};
use super::threads::Threads;

/// A placement of a plan, ready for its kernels.
#[derive(Clone)]
pub(super) enum PlacedWeight {
    Native(Arc<NativeWeight>),
    Dense(Arc<DenseWeight>),
}

/// Parts in their files' type and layout.
pub(super) struct NativeWeight {
    dtype: DType,
    row_len: usize,
    parts: Vec<Part>,
}

/// A weight's bytes: borrowed from a source that holds them (a mapped file), or read once where the source reads anew each time.
enum Part {
    Source(Arc<Weight>),
    Read(Vec<u8>),
}

/// Rows widened to f32.
pub(super) struct DenseWeight {
    buffer: Buffer,
    row_len: usize,
}

impl PlacedWeight {
    /// The rows in whatever type they are kept.
    pub fn rows(&self) -> WeightRows<'_> {
        match self {
            PlacedWeight::Native(native) => {
                let pieces = native.parts.iter().map(Part::bytes).collect();
                WeightRows::new(native.dtype, native.row_len, pieces)
            }
            PlacedWeight::Dense(dense) => {
                // SAFETY: a weight is written only while it is placed.
                let words: &[u32] = unsafe { dense.buffer.view().slice() };
                WeightRows::new(DType::F32, dense.row_len, vec![Cow::Borrowed(bytemuck::cast_slice(words))])
            }
        }
    }

    /// The values of a weight placed as f32.
    pub fn dense(&self) -> Option<Mem<'_>> {
        match self {
            PlacedWeight::Native(_) => None,
            PlacedWeight::Dense(dense) => Some(dense.buffer.view()),
        }
    }
}

impl Part {
    fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Part::Read(bytes) => Cow::Borrowed(bytes),
            // A source that borrowed when the weight was placed does not fail later; were it to, the rows would be missing, not wrong.
            Part::Source(weight) => weight.source.bytes().unwrap_or_default(),
        }
    }
}

/// The weights of all programs: each is checked once and widened once.
#[derive(Default)]
pub(super) struct WeightStore {
    placed: HashMap<Placement, PlacedWeight>,
    checked: HashSet<WeightId>,
    pub buffers: u64,
    pub bytes: usize,
}

impl WeightStore {
    /// # Errors
    /// `BadWeight` for inf or NaN in a weight or a length that does not fit its shape, `Io` when it cannot be read, `OutOfMemory`.
    pub fn place(&mut self, isa: Isa, threads: &Threads, placement: &Placement) -> Result<PlacedWeight, ExecError> {
        if let Some(placed) = self.placed.get(placement) {
            return Ok(placed.clone());
        }
        let mut parts = Vec::new();
        for weight in &placement.parts {
            let bytes = weight.source.bytes().map_err(|e| ExecError::Io(format!("{}: {e}", weight.name)))?;
            self.check(threads, weight, &bytes)?;
            parts.push(match bytes {
                Cow::Borrowed(_) => Part::Source(weight.clone()),
                Cow::Owned(bytes) => Part::Read(bytes),
            });
        }
        let (dtype, row_len) = (placement.dtype(), placement.row_len());
        let native = NativeWeight { dtype, row_len, parts };
        let placed = match placement.storage {
            Storage::Native => PlacedWeight::Native(Arc::new(native)),
            Storage::F32 => {
                let names = placement.parts.iter().map(|w| w.name.as_str()).collect::<Vec<_>>().join(", ");
                let buffer = Buffer::new(placement.len(), &names, "a smaller model lowers it")?;
                // SAFETY: the buffer is new.
                let mut out: &mut [f32] = unsafe { buffer.view().slice_mut() };
                for part in &native.parts {
                    let bytes = part.bytes();
                    let (values, rest) = out.split_at_mut(bytes.len() / dtype.block_bytes() * dtype.block_len());
                    widen(isa, dtype, &bytes, values);
                    out = rest;
                }
                self.buffers += 1;
                self.bytes += buffer.len_bytes();
                PlacedWeight::Dense(Arc::new(DenseWeight { buffer, row_len }))
            }
        };
        self.placed.insert(placement.clone(), placed.clone());
        Ok(placed)
    }

    /// Forgets the weights of models that are gone; a program that still reads one keeps it.
    pub fn drop_retired(&mut self) {
        let (buffers, bytes, checked) = (&mut self.buffers, &mut self.bytes, &mut self.checked);
        self.placed.retain(|placement, placed| {
            if !placement.is_retired() {
                return true;
            }
            if let PlacedWeight::Dense(dense) = placed {
                *buffers -= 1;
                *bytes -= dense.buffer.len_bytes();
            }
            placement.parts.iter().for_each(|part| {
                checked.remove(&part.id);
            });
            false
        });
    }

    /// Refuses a weight that holds inf or NaN, or fewer bytes than its shape takes.
    fn check(&mut self, threads: &Threads, weight: &Weight, bytes: &[u8]) -> Result<(), ExecError> {
        if self.checked.contains(&weight.id) {
            return Ok(());
        }
        if bytes.len() != weight.len_bytes() {
            let message = format!("{weight:?} takes {} bytes, but the file gives {}", weight.len_bytes(), bytes.len());
            return Err(ExecError::BadWeight(message));
        }
        let blocks = bytes.len() / weight.dtype.block_bytes().max(1);
        let per_task = (1 << 20) / weight.dtype.block_bytes().max(1);
        let found = std::sync::atomic::AtomicUsize::new(usize::MAX);
        threads.run(blocks.div_ceil(per_task), |task| {
            let start = task * per_task;
            let end = (start + per_task).min(blocks);
            let block_bytes = weight.dtype.block_bytes();
            if let Some(at) = first_nonfinite(weight.dtype, &bytes[start * block_bytes..end * block_bytes]) {
                found.fetch_min(start + at, std::sync::atomic::Ordering::Relaxed);
            }
        });
        match found.into_inner() {
            // Some of it was not looked at.
            usize::MAX if threads.is_interrupted() => Err(ExecError::Interrupted),
            usize::MAX => {
                self.checked.insert(weight.id);
                Ok(())
            }
            block => Err(ExecError::BadWeight(format!(
                "{weight:?} holds inf or NaN in block {block} of {blocks}: the file is damaged; download it again"
            ))),
        }
    }
}
