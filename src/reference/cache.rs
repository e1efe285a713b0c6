//! The key-value cache of `CacheSpec`, in f64: all positions, of which queries see what the specification says.

use crate::graph::{CacheSpec, ExecError, KvType, Origin};

use super::value::Value;

/// Keys and values by layer and position, and the ids recorded by position.
#[derive(Clone)]
pub struct Cache {
    pub spec: CacheSpec,
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
    history: Vec<i32>,
}

impl Cache {
    pub fn new(spec: &CacheSpec) -> Self {
        Cache { spec: *spec, keys: vec![Vec::new(); spec.n_layers], values: vec![Vec::new(); spec.n_layers], history: Vec::new() }
    }

    /// Writes `rows` rows of `k` and `v` `[T, G, D]` from `position` on.
    pub fn append(&mut self, layer: usize, position: usize, rows: usize, k: &Value, v: &Value) -> Result<(), ExecError> {
        let width = self.spec.n_kv_heads * self.spec.head_dim;
        if layer >= self.spec.n_layers || k.shape.len() != k.shape[0] * width {
            let message = format!(
                "cannot append {} to layer {layer} of a cache of {} layers, {width} values a position",
                k.shape, self.spec.n_layers
            );
            return Err(ExecError::Unsupported { message, origin: Origin::default() });
        }
        // NaN: a position that was never written must never be seen.
        for side in [&mut self.keys[layer], &mut self.values[layer]] {
            side.resize(side.len().max((position + rows) * width), f64::NAN);
        }
        for t in 0..rows {
            let (from, to) = (t * width..(t + 1) * width, (position + t) * width..(position + t + 1) * width);
            self.keys[layer][to.clone()].copy_from_slice(&k.data[from.clone()]);
            self.values[layer][to.clone()].copy_from_slice(&v.data[from]);
            self.round(layer, to);
        }
        Ok(())
    }

    fn round(&mut self, layer: usize, range: std::ops::Range<usize>) {
        for side in [&mut self.keys[layer], &mut self.values[layer]] {
            let row = &mut side[range.clone()];
            match self.spec.kv_type {
                KvType::F32 => {}
                KvType::F16 => row.iter_mut().for_each(|v| *v = half::f16::from_f64(*v).to_f64()),
                KvType::Q8_0 => row.chunks_mut(32).for_each(round_q8_0),
            }
        }
    }

    pub fn key(&self, layer: usize, position: usize, head: usize) -> &[f64] {
        self.head(&self.keys[layer], position, head)
    }

    pub fn value(&self, layer: usize, position: usize, head: usize) -> &[f64] {
        self.head(&self.values[layer], position, head)
    }

    fn head<'a>(&self, side: &'a [f64], position: usize, head: usize) -> &'a [f64] {
        let start = (position * self.spec.n_kv_heads + head) * self.spec.head_dim;
        &side[start..start + self.spec.head_dim]
    }

    pub fn record(&mut self, position: usize, id: i32) {
        if self.history.len() <= position {
            self.history.resize(position + 1, -1);
        }
        self.history[position] = id;
    }

    /// The id of a position; -1 where none was recorded.
    pub fn recorded(&self, position: usize) -> i32 {
        self.history.get(position).copied().unwrap_or(-1)
    }

    /// The ids of the last `n` positions before `position`.
    pub fn recent(&self, position: usize, n: usize) -> Vec<i32> {
        let end = position.min(self.history.len());
        self.history[position.saturating_sub(n).min(end)..end].to_vec()
    }
}

/// Q8_0: a block of 32 with scale max|x| / 127, stored as f16, and quants rounded half away from zero.
fn round_q8_0(block: &mut [f64]) {
    let max = block.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let scale = max / 127.0;
    let stored = half::f16::from_f64(scale).to_f64();
    for v in block {
        *v = if scale == 0.0 { 0.0 } else { (*v / scale).round().clamp(-127.0, 127.0) * stored };
    }
}
