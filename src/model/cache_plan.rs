//! From what the user asks to the shape of the cache.

use crate::graph::{CacheSpec, KvType, PAGE};

use super::config::ModelConfig;

/// The fewest sinks that keep attention stable once the window slides (Xiao et al., arXiv:2309.17453, section 3).
pub const SINKS_MIN: usize = 4;

/// The default window is at most this, whatever the model was trained for: the pages of one sequence are allocated at once.
const DEFAULT_WINDOW_MAX: usize = 4096;

/// The largest window: positions are i32 in kernels, and no model sees so far.
const WINDOW_MAX: usize = 1 << 22;

/// A chunk is at least this, so that a surplus step or a short turn never overwrites what its own queries need.
const CHUNK_MIN: usize = 16;

/// A window that was asked for and cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    #[error("--ctx {window} is out of bounds: give 1 to {max}")]
    OutOfBounds { window: usize, max: usize },
    #[error("--sinks {sinks} must be less than --ctx {window}")]
    TooManySinks { sinks: usize, window: usize },
    #[error("--kv q8_0 stores blocks of 32, a head has {head_dim}: use --kv f16")]
    NoWholeBlocks { head_dim: usize },
}

/// What a session asks of its cache; `None` takes the default.
#[derive(Clone, Copy, Debug)]
pub struct CacheRequest {
    /// `--ctx`: W, tokens in view.
    pub window: Option<usize>,
    /// `--sinks`: s, tokens that stay for good.
    pub sinks: Option<usize>,
    /// U: the largest prefill chunk.
    pub chunk: usize,
    pub kv_type: KvType,
}

impl CacheRequest {
    /// The cache for a model whose rendered system block has `system_len` tokens.
    ///
    /// # Errors
    /// When window or sinks are out of bounds.
    pub fn spec(&self, config: &ModelConfig, system_len: usize) -> Result<CacheSpec, WindowError> {
        let window = self.window.unwrap_or(config.context_len.min(DEFAULT_WINDOW_MAX));
        if window == 0 || window > WINDOW_MAX {
            return Err(WindowError::OutOfBounds { window, max: WINDOW_MAX });
        }
        let sinks = match self.sinks {
            Some(sinks) if sinks >= window => return Err(WindowError::TooManySinks { sinks, window }),
            Some(sinks) => sinks,
            None => system_len.max(SINKS_MIN).min(window / 4),
        };
        if self.kv_type == KvType::Q8_0 && !config.head_dim.is_multiple_of(32) {
            return Err(WindowError::NoWholeBlocks { head_dim: config.head_dim });
        }
        Ok(CacheSpec {
            n_layers: config.n_layers,
            n_kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            window,
            chunk: self.chunk.max(CHUNK_MIN),
            sinks,
            page: PAGE,
            sequences: 1,
            places: 0,
            kv_type: self.kv_type,
        })
    }
}
