//! Key-value caches: the memory of some sequences, a buffer for the keys and one for the values of each layer, which pages hold each sequence, and
//! the ids that the repeat penalty and later runs read.

use std::cell::RefCell;
use std::sync::Arc;

use super::device::{CountedBuffer, Gpu};
use crate::graph::{CacheSpec, ExecError, KvType, PageCopy, PageError, PagePool, PageTable};

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
    places: RefCell<Places>,
}

struct Places {
    pool: PagePool,
    /// By number of the sequence.
    tables: Vec<Option<PageTable>>,
}

const HINT: &str = "lower --ctx, or choose --kv q8_0";

impl Memory {
    /// # Errors
    /// When the device is out of memory, or one layer is past its binding limit, or the specification is impossible.
    pub fn new(gpu: &Gpu, spec: &CacheSpec) -> Result<Self, ExecError> {
        if let Some(message) = spec.fault() {
            return Err(ExecError::Unsupported { message, origin: Default::default() });
        }
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
        let places = Places { pool: PagePool::new(spec.n_places()), tables: (0..spec.sequences).map(|_| None).collect() };
        Ok(Memory { spec: *spec, keys, values, pages, history, carrier: RefCell::default(), places: RefCell::new(places) })
    }

    /// The number of a further sequence: an empty one, or one that holds what another one does before a position.
    ///
    /// # Errors
    /// When the memory has no room for one more sequence, and when the other sequence no longer holds a position that is seen from the fork.
    pub fn add(&self, gpu: &Gpu, fork: Option<(usize, usize)>) -> Result<usize, ExecError> {
        let Places { pool, tables } = &mut *self.places.borrow_mut();
        let refused = |message| ExecError::Unsupported { message, origin: Default::default() };
        let Some(number) = tables.iter().position(Option::is_none) else {
            let n = self.spec.sequences;
            return Err(refused(format!("the key-value cache holds {n} sequences of at most {n}: end one first")));
        };
        let forked = fork.and_then(|(of, position)| Some(tables[of].as_ref()?.fork(pool, position)));
        let table = forked.transpose().map_err(|e| refused(e.to_string()))?.unwrap_or_else(|| PageTable::new(&self.spec));
        self.upload(gpu, number, &table);
        tables[number] = Some(table);
        Ok(number)
    }

    /// Ends a sequence; whether it was the last one.
    pub fn end(&self, sequence: usize) -> bool {
        let Places { pool, tables } = &mut *self.places.borrow_mut();
        if let Some(table) = tables[sequence].take() {
            table.release(pool);
        }
        tables.iter().all(Option::is_none)
    }

    /// Makes pages for a run that writes `n` positions of a sequence from `position` on, and gives those that must be copied before it. `submit` is
    /// called before the device sees another table: runs that were encoded and not submitted read the one before.
    ///
    /// # Errors
    /// When there is no page left, and for more positions than a run writes.
    pub fn prepare(
        &self,
        gpu: &Gpu,
        sequence: usize,
        position: usize,
        n: usize,
        submit: impl FnOnce(),
    ) -> Result<Vec<PageCopy>, PageError> {
        let Places { pool, tables } = &mut *self.places.borrow_mut();
        let Some(table) = &mut tables[sequence] else { return Ok(Vec::new()) };
        let (copies, has_changed) = table.prepare(pool, position, n)?;
        if has_changed {
            submit();
            self.upload(gpu, sequence, table);
        }
        Ok(copies)
    }

    /// Gives the device the table of a sequence.
    fn upload(&self, gpu: &Gpu, sequence: usize, table: &PageTable) {
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

    /// Calls `f` with the table of a sequence.
    pub fn with_table(&self, sequence: usize, f: impl FnOnce(&PageTable)) {
        if let Some(table) = &self.places.borrow().tables[sequence] {
            f(table);
        }
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
