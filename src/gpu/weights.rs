//! Weights on the device: placed once, in the layout of their format, through a bounded number of bytes in flight, and shared by all plans.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::device::{CountedBuffer, Gpu};
use super::limits::refusal;
use super::quant::{Rows, WeightFormat};
use crate::graph::{ExecError, Origin, Weight, WeightId};
use crate::plan::Placement;
use crate::tensor::{DType, first_nonfinite};

/// Bytes of a weight that are repacked at a time.
const CHUNK_BYTES: usize = 8 << 20;
/// Bytes of a file that one thread repacks, or looks through for inf and NaN, at a time.
const TASK_BYTES: usize = 256 << 10;
/// Bytes that may wait in wgpu's staging memory.
const MOST_IN_FLIGHT: usize = 48 << 20;
const HINT: &str = "take a smaller or more quantized model";

/// A range of rows in buffers of its own.
pub struct Piece {
    pub quants: Arc<CountedBuffer>,
    pub scales: Option<Arc<CountedBuffer>>,
    pub first_row: usize,
    pub n_rows: usize,
}

/// One upload.
struct Upload {
    /// The weights, in order, and the first row of each.
    parts: Vec<(Arc<Weight>, usize)>,
    format: &'static WeightFormat,
    pieces: Vec<Piece>,
}

/// Where a plan's placement is: rows of an upload.
#[derive(Clone)]
pub struct Placed {
    upload: Arc<Upload>,
    base_row: usize,
    n_rows: usize,
}

/// Rows of a placement that lie in one piece.
pub struct PieceRows {
    pub index: usize,
    /// The first row within the piece.
    pub row: usize,
    pub n: usize,
    /// The first of these rows counted from the start of the range that was asked for.
    pub out: usize,
}

impl Placed {
    /// A placement without rows, in the place of one that is dense.
    pub fn nowhere() -> Self {
        let upload = Upload { parts: Vec::new(), format: &super::quant::F32, pieces: Vec::new() };
        Placed { upload: Arc::new(upload), base_row: 0, n_rows: 0 }
    }

    pub fn format(&self) -> &'static WeightFormat {
        self.upload.format
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.upload.pieces
    }

    /// The row of the upload at which this placement begins.
    pub fn base_row(&self) -> usize {
        self.base_row
    }

    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The pieces that hold `n` rows of this placement from `first` on.
    pub fn pieces_of(&self, first: usize, n: usize) -> impl Iterator<Item = PieceRows> + '_ {
        let begin = self.base_row + first;
        let end = begin + n;
        self.upload.pieces.iter().enumerate().filter_map(move |(index, piece)| {
            let (from, to) = (begin.max(piece.first_row), end.min(piece.first_row + piece.n_rows));
            (from < to).then(|| PieceRows { index, row: from - piece.first_row, n: to - from, out: from - begin })
        })
    }
}

struct Dense {
    parts: Vec<Arc<Weight>>,
    buffer: Arc<CountedBuffer>,
}

/// Everything that was uploaded.
#[derive(Default)]
pub struct Weights {
    uploads: Vec<Arc<Upload>>,
    native: HashMap<Vec<WeightId>, Placed>,
    dense: HashMap<Vec<WeightId>, Dense>,
    in_flight: usize,
}

impl Weights {
    /// Places rows in their own type. What an earlier placement holds in the same order is used from there.
    ///
    /// # Errors
    /// When a weight cannot be read, holds inf or NaN, has no kernels, or memory is short.
    pub fn native(&mut self, gpu: &Gpu, placement: &Placement) -> Result<Placed, ExecError> {
        let ids: Vec<WeightId> = placement.parts.iter().map(|w| w.id).collect();
        if let Some(placed) = self.native.get(&ids) {
            return Ok(placed.clone());
        }
        let n_rows = placement.n_rows();
        let earlier = self.uploads.iter().find_map(|upload| {
            let at = upload.parts.windows(ids.len()).position(|w| w.iter().map(|p| p.0.id).eq(ids.iter().copied()))?;
            Some(Placed { upload: upload.clone(), base_row: upload.parts[at].1, n_rows })
        });
        let placed = match earlier {
            Some(placed) => placed,
            None => {
                let upload = Arc::new(self.upload(gpu, placement)?);
                self.uploads.push(upload.clone());
                Placed { upload, base_row: 0, n_rows }
            }
        };
        self.native.insert(ids, placed.clone());
        Ok(placed)
    }

    /// Places all values as f32, row-major, in one buffer.
    ///
    /// # Errors
    /// As [`Weights::native`]; also when the tensor is past the binding limit.
    pub fn dense(&mut self, gpu: &Gpu, placement: &Placement) -> Result<Arc<CountedBuffer>, ExecError> {
        let ids: Vec<WeightId> = placement.parts.iter().map(|w| w.id).collect();
        if let Some(dense) = self.dense.get(&ids) {
            return Ok(dense.buffer.clone());
        }
        let name = names(placement);
        let len: usize = placement.parts.iter().map(|w| w.shape.len()).sum();
        if len as u64 * 4 > gpu.caps.max_binding {
            let message = refusal("a program that reads a weight whole", &format!("{name} as f32"), len as u64 * 4, gpu.caps.max_binding);
            return Err(ExecError::Unsupported { message, origin: Origin::default() });
        }
        let buffer = Arc::new(gpu.buffer(&name, HINT, len as u64 * 4, usage())?);
        let mut at = 0;
        for weight in &placement.parts {
            let bytes = checked_bytes(weight)?;
            let block = weight.dtype.block_bytes();
            let mut values = Vec::new();
            for chunk in bytes.chunks((CHUNK_BYTES / 4 / block).max(1) * block) {
                values.clear();
                values.resize(chunk.len() / block * weight.dtype.block_len(), 0.0);
                weight.dtype.dequantize(chunk, &mut values);
                self.write(gpu, &buffer, at, bytemuck::cast_slice(&values))?;
                at += values.len() as u64 * 4;
            }
        }
        self.dense.insert(ids, Dense { parts: placement.parts.clone(), buffer: buffer.clone() });
        Ok(buffer)
    }

    /// Forgets the weights of models that are gone; a recording that still reads one keeps its buffers.
    pub fn drop_retired(&mut self) {
        let is_retired = |upload: &Upload| upload.parts.iter().any(|(weight, _)| weight.is_retired());
        self.uploads.retain(|upload| !is_retired(upload));
        self.native.retain(|_, placed| !is_retired(&placed.upload));
        self.dense.retain(|_, dense| !dense.parts.iter().any(|weight| weight.is_retired()));
    }

    /// Waits until no upload is in flight, so that staging memory is free again.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn finish(&mut self, gpu: &Gpu) -> Result<(), ExecError> {
        if self.in_flight > 0 {
            self.drain(gpu)?;
        }
        Ok(())
    }

    fn upload(&mut self, gpu: &Gpu, placement: &Placement) -> Result<Upload, ExecError> {
        let dtype = placement.dtype();
        let name = names(placement);
        let Some(format) = WeightFormat::of(dtype) else {
            let message = format!("{name} is {dtype}, for which the GPU has no kernels");
            return Err(ExecError::Unsupported { message, origin: Origin::default() });
        };
        let groups = placement.row_len().div_ceil(32);
        let row_bytes = groups * format.quant_words * 4;
        let limit = gpu.caps.max_binding.min(gpu.caps.max_buffer) as usize;
        if row_bytes > limit {
            let message = refusal("a model", &format!("each row of {name}, which is"), row_bytes as u64, limit as u64);
            return Err(ExecError::Unsupported { message, origin: Origin::default() });
        }
        // 8 rows at a time keep the scales of formats that share words apart.
        let most_rows = (limit / row_bytes.max(1) / 8 * 8).max(1);
        let mut parts = Vec::new();
        let mut first = 0;
        for weight in &placement.parts {
            parts.push((weight.clone(), first));
            first += weight.shape.rows();
        }
        let n_rows = placement.n_rows();
        let mut pieces = Vec::new();
        for first_row in (0..n_rows).step_by(most_rows) {
            pieces.push(self.piece(gpu, placement, format, &name, first_row, most_rows.min(n_rows - first_row))?);
        }
        Ok(Upload { parts, format, pieces })
    }

    fn piece(
        &mut self,
        gpu: &Gpu,
        placement: &Placement,
        format: &'static WeightFormat,
        name: &str,
        first_row: usize,
        n_rows: usize,
    ) -> Result<Piece, ExecError> {
        let row_len = placement.row_len();
        let groups = row_len.div_ceil(32);
        let row_words = groups * format.quant_words;
        let quants = Arc::new(gpu.buffer(name, HINT, (n_rows * row_words * 4) as u64, usage())?);
        let mut scale_words = vec![0u32; format.scale_words(n_rows * groups)];
        let mut at_row = 0;
        let mut part_row = 0;
        let mut words: Vec<u32> = Vec::new();
        for weight in &placement.parts {
            let rows = weight.shape.rows();
            let (from, to) = (first_row.max(part_row), (first_row + n_rows).min(part_row + rows));
            if from < to {
                let bytes = checked_bytes(weight)?;
                let row_bytes = file_row_bytes(weight.dtype, row_len);
                let chunk_rows = (CHUNK_BYTES / (row_words * 4).max(1)).max(1);
                for start in (from..to).step_by(chunk_rows) {
                    let end = (start + chunk_rows).min(to);
                    let chunk = bytes
                        .get((start - part_row) * row_bytes..(end - part_row) * row_bytes)
                        .ok_or_else(|| ExecError::Io(format!("{} is shorter than its shape says", weight.name)))?;
                    words.clear();
                    words.resize((end - start) * row_words, 0);
                    let task_rows = (TASK_BYTES / row_bytes.max(1)).max(1).next_multiple_of(8);
                    repack(format, &Rows { bytes: chunk, row_len, first_group: at_row * groups }, task_rows, &mut words, &mut scale_words);
                    self.write(gpu, &quants, (at_row * row_words * 4) as u64, bytemuck::cast_slice(&words))?;
                    at_row += end - start;
                }
            }
            part_row += rows;
        }
        let scales = if format.has_scales() {
            let buffer = Arc::new(gpu.buffer(name, HINT, scale_words.len() as u64 * 4, usage())?);
            self.write(gpu, &buffer, 0, bytemuck::cast_slice(&scale_words))?;
            Some(buffer)
        } else {
            None
        };
        Ok(Piece { quants, scales, first_row, n_rows })
    }

    /// Stages bytes; every so often waits until the device has taken them.
    fn write(&mut self, gpu: &Gpu, buffer: &CountedBuffer, offset: u64, bytes: &[u8]) -> Result<(), ExecError> {
        for (i, part) in bytes.chunks(CHUNK_BYTES).enumerate() {
            if self.in_flight + part.len() > MOST_IN_FLIGHT {
                self.drain(gpu)?;
            }
            gpu.queue.write_buffer(&buffer.buffer, offset + (i * CHUNK_BYTES) as u64, part);
            self.in_flight += part.len();
        }
        Ok(())
    }

    fn drain(&mut self, gpu: &Gpu) -> Result<(), ExecError> {
        gpu.queue.submit([]);
        gpu.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| ExecError::DeviceLost(e.to_string()))?;
        self.in_flight = 0;
        gpu.faults.check()
    }
}

/// Repacks rows on all threads, `task_rows` at a time, a multiple of 8: the scales of 8 rows are whole words in every format.
fn repack(format: &WeightFormat, rows: &Rows, task_rows: usize, quants: &mut [u32], scales: &mut [u32]) {
    let groups = rows.row_len.div_ceil(32);
    let n_rows = quants.len() / (groups * format.quant_words);
    let first_row = rows.first_group / groups;
    if n_rows <= task_rows || !first_row.is_multiple_of(8) {
        return (format.repack)(rows, quants, scales);
    }
    let task_bytes = rows.bytes.len() / n_rows * task_rows;
    let task = |bytes, quants: &mut [u32], scales: &mut [u32]| {
        (format.repack)(&Rows { bytes, row_len: rows.row_len, first_group: 0 }, quants, scales)
    };
    let parts = rows.bytes.par_chunks(task_bytes).zip(quants.par_chunks_mut(groups * format.quant_words * task_rows));
    if format.has_scales() {
        let scales = scales[format.scale_words(rows.first_group)..].par_chunks_mut(format.scale_words(task_rows * groups));
        parts.zip(scales).for_each(|((bytes, quants), scales)| task(bytes, quants, scales));
    } else {
        parts.for_each(|(bytes, quants)| task(bytes, quants, &mut []));
    }
}

/// A weight's bytes, known to be finite and complete.
fn checked_bytes(weight: &Weight) -> Result<std::borrow::Cow<'_, [u8]>, ExecError> {
    let bytes = weight.source.bytes().map_err(|e| ExecError::Io(format!("{}: {e}", weight.name)))?;
    if bytes.len() != weight.len_bytes() {
        return Err(ExecError::Io(format!("{} has {} bytes, its shape says {}", weight.name, bytes.len(), weight.len_bytes())));
    }
    let task_blocks = (TASK_BYTES / weight.dtype.block_bytes()).max(1);
    let tasks = bytes.par_chunks(task_blocks * weight.dtype.block_bytes()).enumerate();
    let found = tasks.find_map_first(|(i, bytes)| Some(i * task_blocks + first_nonfinite(weight.dtype, bytes)?));
    match found {
        Some(block) => Err(ExecError::BadWeight(format!("{} holds inf or NaN in block {block}; download the file again", weight.name))),
        None => Ok(bytes),
    }
}

fn file_row_bytes(dtype: DType, row_len: usize) -> usize {
    row_len / dtype.block_len() * dtype.block_bytes()
}

fn names(placement: &Placement) -> String {
    placement.parts.iter().map(|w| w.name.as_str()).collect::<Vec<_>>().join(" + ")
}

fn usage() -> wgpu::BufferUsages {
    wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Quant, quant};

    #[test]
    fn threads_repack_as_one_does() {
        let types = [DType::F32, DType::F16, DType::BF16].into_iter().chain(quant::FORMATS.iter().map(|f| DType::Quant(Quant(f))));
        for dtype in types {
            let format = WeightFormat::of(dtype).expect("a layout for every format");
            let row_len = 3 * dtype.block_len().max(32);
            let (groups, row_bytes) = (row_len / 32, file_row_bytes(dtype, row_len));
            for (first_row, n_rows) in [(0, 50), (8, 33), (3, 40), (16, 16)] {
                let bytes: Vec<u8> = (0..n_rows * row_bytes).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
                let rows = Rows { bytes: &bytes, row_len, first_group: first_row * groups };
                let empty = || (vec![0; n_rows * groups * format.quant_words], vec![0; format.scale_words((first_row + n_rows) * groups)]);
                let (mut quants, mut scales) = empty();
                (format.repack)(&rows, &mut quants, &mut scales);
                let (mut by_threads, mut their_scales) = empty();
                repack(format, &rows, 8, &mut by_threads, &mut their_scales);
                assert!(quants == by_threads && scales == their_scales, "{dtype}, {n_rows} rows from {first_row}");
            }
        }
    }
}
