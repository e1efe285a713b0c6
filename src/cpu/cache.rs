//! The keys and values of sequences, and the histories of their ids.
//!
//! Keys and values lie by layer, page, key-value head and position in the page, so that attention reads one head's positions in a row. Sequences
//! of one memory share its pages: each has a table of those that it holds.

use std::sync::atomic::{AtomicI32, Ordering};

use half::f16;

use crate::graph::{CacheSpec, ExecError, KvType, PageCopy, PageTable, PagedSequence};

use super::buffer::{Buffer, Mem};
use super::isa::{Isa, for_each_isa};
use super::vector::{narrow_to_f16, widen_f16_bytes};

/// Values of a block of `KvType::Q8_0`: a scale and 32 signed bytes, nine words.
const Q8_BLOCK: usize = 32;
const Q8_WORDS: usize = 9;

/// The keys and values of all sequences that share one memory, and the ids of each.
pub(super) struct KvMemory {
    spec: CacheSpec,
    keys: Buffer,
    values: Buffer,
    /// By number of the sequence.
    histories: Vec<History>,
}

/// The ids of a sequence's last positions.
pub(super) struct History {
    /// The id of position p at p modulo the length; -1 where none was recorded.
    ids: Vec<AtomicI32>,
}

impl KvMemory {
    /// Memory of a shape that has no fault.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new(spec: &CacheSpec) -> Result<KvMemory, ExecError> {
        let len = [spec.n_layers, spec.n_kv_heads, spec.n_positions(), row_words(spec)].iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let len = len.unwrap_or(usize::MAX / 8);
        let new = |what| Buffer::new(len, what, "a smaller `--ctx` lowers it");
        let (keys, values) = (new("the cache's keys")?, new("the cache's values")?);
        let histories = (0..spec.sequences).map(|_| History::new(spec)).collect();
        Ok(KvMemory { spec: *spec, keys, values, histories })
    }

    pub fn len_bytes(&self) -> usize {
        self.keys.len_bytes() + self.values.len_bytes()
    }

    pub fn poison(&self) {
        self.keys.poison();
        self.values.poison();
    }

    /// The ids of the sequence with this number.
    pub fn history(&self, number: usize) -> &History {
        &self.histories[number]
    }

    /// Copies a page of all layers from one place to another.
    pub fn copy_page(&self, copy: PageCopy) {
        let words = self.spec.n_kv_heads * self.spec.page * row_words(&self.spec);
        for memory in [&self.keys, &self.values] {
            for layer in 0..self.spec.n_layers {
                let start = |place: u32| (layer * self.spec.n_places() + place as usize) * words;
                // SAFETY: called between steps, when no slice of the buffers is alive.
                let all: &mut [u32] = unsafe { memory.view().slice_mut() };
                all.copy_within(start(copy.from)..start(copy.from) + words, start(copy.to));
            }
        }
    }
}

impl History {
    fn new(spec: &CacheSpec) -> History {
        History { ids: (0..spec.n_pages() * spec.page).map(|_| AtomicI32::new(-1)).collect() }
    }

    /// Forgets what a sequence with the same number recorded before.
    pub fn clear(&self) {
        self.ids.iter().for_each(|id| id.store(-1, Ordering::Relaxed));
    }

    pub fn copy_from(&self, other: &History) {
        self.ids.iter().zip(&other.ids).for_each(|(id, other)| id.store(other.load(Ordering::Relaxed), Ordering::Relaxed));
    }

    /// Records the id of a position.
    pub fn record(&self, position: usize, id: i32) {
        self.ids[position % self.ids.len()].store(id, Ordering::Relaxed);
    }

    /// The id that was recorded last for a position, or for one that many positions before.
    pub fn recorded(&self, position: usize) -> i32 {
        self.ids[position % self.ids.len()].load(Ordering::Relaxed)
    }

    /// The ids of the last `n` positions before `position`, as far back as the recording goes.
    pub fn recent_ids(&self, position: usize, n: usize) -> impl Iterator<Item = i32> {
        let n = n.min(position).min(self.ids.len());
        (position - n..position).map(|p| self.recorded(p)).filter(|&id| id >= 0)
    }
}

/// A sequence in a run, and the position of its first row.
#[derive(Clone, Copy)]
pub(super) struct UsedCache<'a> {
    pub sequence: PagedSequence<'a, KvMemory>,
    pub position: usize,
}

impl<'a> UsedCache<'a> {
    pub fn history(&self) -> &'a History {
        self.sequence.memory.history(self.sequence.number)
    }

    pub fn layer(&self, isa: Isa, layer: usize) -> KvLayer<'a> {
        let PagedSequence { memory, spec, table, .. } = self.sequence;
        KvLayer { isa, spec: *spec, table, keys: memory.keys.view(), values: memory.values.view(), layer, position: self.position }
    }
}

/// Words of one key or value of one head.
fn row_words(spec: &CacheSpec) -> usize {
    match spec.kv_type {
        KvType::F32 => spec.head_dim,
        KvType::F16 => spec.head_dim.div_ceil(2),
        KvType::Q8_0 => spec.head_dim.div_ceil(Q8_BLOCK) * Q8_WORDS,
    }
}

/// One layer of a sequence during a step.
#[derive(Clone, Copy)]
pub(super) struct KvLayer<'a> {
    isa: Isa,
    pub spec: CacheSpec,
    table: &'a PageTable,
    keys: Mem<'a>,
    values: Mem<'a>,
    layer: usize,
    pub position: usize,
}

impl KvLayer<'_> {
    /// The word at which a position of a head begins.
    fn start(&self, head: usize, position: usize) -> usize {
        let place = self.table.place(position);
        let (page, within) = (place / self.spec.page, place % self.spec.page);
        (((self.layer * self.spec.n_places() + page) * self.spec.n_kv_heads + head) * self.spec.page + within) * row_words(&self.spec)
    }

    /// Writes the key `[D]` of the segment's token `t`. Each head and token is written by one task of a step.
    pub fn store_key(&self, head: usize, t: usize, key: &[f32]) {
        self.store(self.keys, head, t, key);
    }

    /// Writes the value `[D]` of the segment's token `t`.
    pub fn store_value(&self, head: usize, t: usize, value: &[f32]) {
        self.store(self.values, head, t, value);
    }

    fn store(&self, mem: Mem<'_>, head: usize, t: usize, row: &[f32]) {
        // SAFETY: the caller is the only one at this head and token, and nothing reads the cache in a step that writes it.
        let words: &mut [u32] = unsafe { mem.range_mut(self.start(head, self.position + t), row_words(&self.spec)) };
        match self.spec.kv_type {
            KvType::F32 => words.copy_from_slice(bytemuck::cast_slice(row)),
            KvType::F16 => {
                let halves: &mut [u16] = bytemuck::cast_slice_mut(words);
                narrow_to_f16(self.isa, row, &mut halves[..row.len()]);
            }
            KvType::Q8_0 => {
                for (words, row) in words.chunks_exact_mut(Q8_WORDS).zip(row.chunks(Q8_BLOCK)) {
                    quantize_q8(row, words);
                }
            }
        }
    }

    /// Keys of `n` positions of one page from `position` on, widened: `[n, D]`.
    pub fn load_keys(&self, head: usize, position: usize, n: usize, out: &mut [f32]) {
        self.load(self.keys, head, position, n, out);
    }

    /// Values of `n` positions of one page from `position` on, widened: `[n, D]`.
    pub fn load_values(&self, head: usize, position: usize, n: usize, out: &mut [f32]) {
        self.load(self.values, head, position, n, out);
    }

    fn load(&self, mem: Mem<'_>, head: usize, position: usize, n: usize, out: &mut [f32]) {
        let (words, d) = (row_words(&self.spec), self.spec.head_dim);
        assert!(position % self.spec.page + n <= self.spec.page, "positions {position}..{} are not of one page", position + n);
        // SAFETY: nothing writes the cache in a step that reads it.
        let words = &unsafe { mem.slice::<u32>() }[self.start(head, position)..][..n * words];
        match self.spec.kv_type {
            KvType::F32 => out[..n * d].copy_from_slice(bytemuck::cast_slice(words)),
            KvType::F16 if d.is_multiple_of(2) => widen_f16_bytes(self.isa, bytemuck::cast_slice(words), &mut out[..n * d]),
            KvType::F16 => {
                for (words, out) in words.chunks_exact(d.div_ceil(2)).zip(out.chunks_exact_mut(d)) {
                    widen_f16_bytes(self.isa, bytemuck::cast_slice(words), out);
                }
            }
            KvType::Q8_0 => {
                for (words, out) in words.chunks_exact(d.div_ceil(Q8_BLOCK) * Q8_WORDS).zip(out.chunks_exact_mut(d)) {
                    for (words, out) in words.chunks_exact(Q8_WORDS).zip(out.chunks_mut(Q8_BLOCK)) {
                        widen_q8(self.isa, words, out);
                    }
                }
            }
        }
    }
}

/// A scale, rounded to f16 as the block format has it, then 32 bytes. Absent values at the end of a row are 0.
fn quantize_q8(row: &[f32], words: &mut [u32]) {
    // Bits of magnitudes order as the magnitudes do, with inf and NaN above all numbers, so that a block that holds one shows it.
    let largest = f32::from_bits(row.iter().fold(0, |m, x| m.max(x.to_bits() & 0x7FFF_FFFF)));
    let scale = largest / 127.0;
    words[0] = f16::from_f32(scale).to_f32().to_bits();
    for (i, word) in words[1..].iter_mut().enumerate() {
        let byte = |j: usize| row.get(i * 4 + j).filter(|_| scale > 0.0).map_or(0, |x| (x / scale).round() as i8 as u8);
        *word = u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)]);
    }
}

for_each_isa! {
    fn widen_q8(words: &[u32], out: &mut [f32]) {
        let scale = f32::from_bits(words[0]);
        let bytes: &[i8] = bytemuck::cast_slice(&words[1..]);
        for (out, &byte) in out.iter_mut().zip(bytes) {
            *out = scale * f32::from(byte);
        }
    }
}
