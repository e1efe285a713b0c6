//! Key-value caches: a buffer for the keys and one for the values of each layer, which pages they hold, and the ids that the repeat penalty reads.

use std::cell::RefCell;
use std::sync::Arc;

use super::device::{CountedBuffer, Gpu};
use crate::graph::{CacheSpec, ExecError, KvType, PageError, PagePool, PageTable};

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
}

/// Ids that the history holds: those of the last positions, by position modulo this.
pub fn history_len(spec: &CacheSpec) -> usize {
    spec.n_positions().max(4096).next_power_of_two()
}

/// One cache on the device.
pub struct Cache {
    pub spec: CacheSpec,
    pub keys: Vec<Arc<CountedBuffer>>,
    pub values: Vec<Arc<CountedBuffer>>,
    /// The row of the first head at the beginning of each page, by entry of the table.
    pub pages: Arc<CountedBuffer>,
    pub history: Arc<CountedBuffer>,
    places: RefCell<(PagePool, PageTable)>,
}

const HINT: &str = "lower --ctx, or choose --kv q8_0";

impl Cache {
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
        let pages = make(PageTable::len_of(spec) * 4)?;
        let history = make(history_len(spec) * 4)?;
        // Ids that were never recorded are out of range.
        gpu.queue.write_buffer(&history.buffer, 0, &vec![0xff; history_len(spec) * 4]);
        let places = RefCell::new((PagePool::new(spec.n_pages()), PageTable::new(spec)));
        Ok(Cache { spec: *spec, keys, values, pages, history, places })
    }

    /// Makes pages for a run that writes `n` positions from `position` on. `submit` is called before the device sees another table: runs that were
    /// encoded and not submitted read the one before.
    ///
    /// # Errors
    /// When there is no page left, and for more positions than a run writes.
    pub fn prepare(&self, gpu: &Gpu, position: usize, n: usize, submit: impl FnOnce()) -> Result<(), PageError> {
        let (pool, table) = &mut *self.places.borrow_mut();
        let (_, has_changed) = table.prepare(pool, position, n)?;
        if has_changed {
            submit();
            let rows: Vec<u32> = table.entries().iter().map(|&place| self.first_row(place as usize * self.spec.page)).collect();
            gpu.queue.write_buffer(&self.pages.buffer, 0, bytemuck::cast_slice(&rows));
        }
        Ok(())
    }

    /// The rows of the first head at `n` positions from `position` on, for which pages were made.
    pub fn rows(&self, position: usize, n: usize) -> impl Iterator<Item = u32> {
        let places = self.places.borrow();
        (position..position + n).map(move |p| self.first_row(places.1.place(p)))
    }

    /// The row of the first head at a place.
    fn first_row(&self, place: usize) -> u32 {
        let page = self.spec.page;
        (place / page * page * self.spec.n_kv_heads + place % page) as u32
    }

    /// Writes ids of `position…` into the history.
    pub fn record(&self, gpu: &Gpu, position: usize, ids: &[i32]) {
        let len = history_len(&self.spec);
        // Of more ids than the history holds the last ones stay.
        let skipped = ids.len().saturating_sub(len);
        let mut at = (position + skipped) % len;
        let mut rest = &ids[skipped..];
        while !rest.is_empty() {
            let n = rest.len().min(len - at);
            gpu.queue.write_buffer(&self.history.buffer, at as u64 * 4, bytemuck::cast_slice(&rest[..n]));
            rest = &rest[n..];
            at = 0;
        }
    }
}
