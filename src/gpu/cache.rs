//! Key-value caches: the memory of some sequences, a buffer for the keys and one for the values of each layer, the tables of their pages as kernels
//! read them, and the ids that the repeat penalty and later runs read.

use std::cell::RefCell;
use std::sync::Arc;

use super::device::{CountedBuffer, Gpu};
use crate::graph::{CacheSpec, ExecError, KvType, PageCopy, PageTable};

/// How a layer's keys, or values, lie in their buffer: `[P, G, page, D]`, heads padded to whole units of the type.
#[derive(Clone, Copy, Debug)]
pub struct CacheLayout {
    /// Elements of a head with padding.
    pub head_dim: usize,
    /// Bytes of one buffer.
    pub len_bytes: usize,
}

impl CacheLayout {
    pub fn of(spec: &CacheSpec) -> Self {
        let rows = spec.n_kv_heads * spec.n_positions();
        let (head_dim, row_bytes) = match spec.kv_type {
            KvType::F32 => (spec.head_dim.next_multiple_of(8), spec.head_dim.next_multiple_of(8) * 4),
            KvType::F16 => (spec.head_dim.next_multiple_of(8), spec.head_dim.next_multiple_of(8) * 2),
            // 32 bytes and a scale of four for each block.
            KvType::Q8_0 => (spec.head_dim.next_multiple_of(32), spec.head_dim.div_ceil(32) * 36),
        };
        CacheLayout { head_dim, len_bytes: rows * row_bytes }
    }

    /// Offset and length in bytes of what the buffer holds of a page.
    fn regions(self, spec: &CacheSpec, page: usize) -> Vec<(u64, u64)> {
        let (rows, of_page) = (spec.n_kv_heads * spec.n_positions(), spec.n_kv_heads * spec.page);
        let region = |before: usize, row_bytes: usize| ((before + page * of_page * row_bytes) as u64, (of_page * row_bytes) as u64);
        match spec.kv_type {
            KvType::Q8_0 => vec![region(0, self.head_dim), region(rows * self.head_dim, self.head_dim / 8)],
            _ => vec![region(0, self.len_bytes / rows)],
        }
    }
}

/// Ids that the history of a sequence holds: those of the last positions, by position modulo this.
pub fn history_len(spec: &CacheSpec) -> usize {
    (spec.n_pages() * spec.page).max(4096).next_power_of_two()
}

/// The memory of some sequences on the device.
pub struct Memory {
    pub spec: CacheSpec,
    pub keys: Vec<Arc<CountedBuffer>>,
    pub values: Vec<Arc<CountedBuffer>>,
    /// The row of the first head at the beginning of each page, by sequence and entry of its table.
    pub pages: Arc<CountedBuffer>,
    /// By sequence.
    pub history: Arc<CountedBuffer>,
    /// A page on its way, made for the first fork that writes.
    carrier: RefCell<Option<CountedBuffer>>,
}

const HINT: &str = "lower --ctx, or choose --kv q8_0";

impl Memory {
    /// Memory of a shape that has no fault.
    ///
    /// # Errors
    /// When the device is out of memory, or one layer is past its binding limit.
    pub fn new(gpu: &Gpu, spec: &CacheSpec) -> Result<Self, ExecError> {
        let layout = CacheLayout::of(spec);
        let mb = (2 * layout.len_bytes * spec.n_layers).div_ceil(1_000_000);
        if layout.len_bytes as u64 > gpu.caps.max_binding {
            let layer_mb = layout.len_bytes.div_ceil(1_000_000);
            let limit = gpu.caps.max_binding / 1_000_000;
            let message = format!(
                "the keys of a layer of the key-value cache take {layer_mb} MB, and one buffer of this adapter holds {limit} MB: {HINT}"
            );
            return Err(ExecError::Unsupported { message, origin: Default::default() });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let make = |len_bytes: usize| {
            gpu.buffer("the key-value cache", HINT, len_bytes as u64, usage).map(Arc::new).map_err(|e| match e {
                ExecError::OutOfMemory { what, hint, .. } => ExecError::OutOfMemory { mb, what, hint },
                other => other,
            })
        };
        let keys = (0..spec.n_layers).map(|_| make(layout.len_bytes)).collect::<Result<_, _>>()?;
        let values = (0..spec.n_layers).map(|_| make(layout.len_bytes)).collect::<Result<_, _>>()?;
        let pages = make(spec.sequences * PageTable::len_of(spec) * 4)?;
        let history_bytes = spec.sequences * history_len(spec) * 4;
        let history = make(history_bytes)?;
        // Ids that were never recorded are out of range.
        gpu.queue.write_buffer(&history.buffer, 0, &vec![0xff; history_bytes]);
        Ok(Memory { spec: *spec, keys, values, pages, history, carrier: RefCell::default() })
    }

    /// Gives the device the table of a sequence.
    pub fn upload(&self, gpu: &Gpu, sequence: usize, table: &PageTable) {
        let rows: Vec<u32> = table.entries().iter().map(|&place| self.first_row(place as usize * self.spec.page)).collect();
        gpu.queue.write_buffer(&self.pages.buffer, self.first_entry(sequence) as u64 * 4, bytemuck::cast_slice(&rows));
    }

    /// Copies pages of all layers.
    ///
    /// # Errors
    /// When the device is out of memory.
    pub fn copy(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, copies: &[PageCopy]) -> Result<(), ExecError> {
        let layout = CacheLayout::of(&self.spec);
        let mut carrier = self.carrier.borrow_mut();
        if carrier.is_none() {
            let size = layout.regions(&self.spec, 0).into_iter().map(|(_, len)| len).max().unwrap_or(0);
            let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
            *carrier = Some(gpu.buffer("a page of the key-value cache", HINT, size, usage)?);
        }
        let Some(carrier) = &*carrier else { return Ok(()) };
        for PageCopy { from, to } in copies {
            let (from, to) = (layout.regions(&self.spec, *from as usize), layout.regions(&self.spec, *to as usize));
            for buffer in self.keys.iter().chain(&self.values) {
                for (&(from, len), &(to, _)) in from.iter().zip(&to) {
                    // A buffer cannot be copied to itself.
                    encoder.copy_buffer_to_buffer(&buffer.buffer, from, &carrier.buffer, 0, len);
                    encoder.copy_buffer_to_buffer(&carrier.buffer, 0, &buffer.buffer, to, len);
                }
            }
        }
        Ok(())
    }

    /// Copies the history of one sequence to another, through a buffer of its own.
    ///
    /// # Errors
    /// When the device is out of memory.
    pub fn copy_history(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, from: usize, to: usize) -> Result<(), ExecError> {
        let len = (history_len(&self.spec) * 4) as u64;
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let carrier = gpu.buffer("a history", HINT, len, usage)?;
        encoder.copy_buffer_to_buffer(&self.history.buffer, from as u64 * len, &carrier.buffer, 0, len);
        encoder.copy_buffer_to_buffer(&carrier.buffer, 0, &self.history.buffer, to as u64 * len, len);
        Ok(())
    }

    /// Where the entries of a sequence's table begin.
    pub fn first_entry(&self, sequence: usize) -> usize {
        sequence * PageTable::len_of(&self.spec)
    }

    /// The row of the first head at a place.
    pub fn first_row(&self, place: usize) -> u32 {
        let page = self.spec.page;
        (place / page * page * self.spec.n_kv_heads + place % page) as u32
    }

    /// Writes ids of `position…` into the history of a sequence.
    pub fn record(&self, gpu: &Gpu, sequence: usize, position: usize, ids: &[i32]) {
        let len = history_len(&self.spec);
        // Of more ids than the history holds the last ones stay.
        let skipped = ids.len().saturating_sub(len);
        let mut at = (position + skipped) % len;
        let mut rest = &ids[skipped..];
        while !rest.is_empty() {
            let n = rest.len().min(len - at);
            gpu.queue.write_buffer(&self.history.buffer, ((sequence * len + at) * 4) as u64, bytemuck::cast_slice(&rest[..n]));
            rest = &rest[n..];
            at = 0;
        }
    }
}
