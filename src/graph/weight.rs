//! A weight's descriptor: what it is and where its bytes are.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::tensor::{DType, Shape};

/// Unique among all weights of a process, also across models: what plan keys and placements are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(u64);

/// Gives a weight's bytes as they lie in its file.
pub trait WeightSource: Send + Sync {
    /// # Errors
    /// When the file can no longer be read.
    fn bytes(&self) -> io::Result<Cow<'_, [u8]>>;
}

impl WeightSource for Vec<u8> {
    fn bytes(&self) -> io::Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(self))
    }
}

/// A tensor of a model file. Rows first: `[N, K]` for a matrix, each row whole blocks of `dtype`.
#[derive(Clone)]
pub struct Weight {
    pub id: WeightId,
    pub name: String,
    pub shape: Shape,
    pub dtype: DType,
    pub source: Arc<dyn WeightSource>,
    /// Shared by all copies of the descriptor.
    retired: Arc<AtomicBool>,
}

impl Weight {
    pub fn new(name: impl Into<String>, shape: impl Into<Shape>, dtype: DType, source: Arc<dyn WeightSource>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = WeightId(NEXT.fetch_add(1, Ordering::Relaxed));
        Weight { id, name: name.into(), shape: shape.into(), dtype, source, retired: Arc::default() }
    }

    /// Says that the model is gone: what executors keep of the weight can be freed ([`crate::graph::Executor::free_retired`]). A handle that is
    /// still held stays usable; what uses it places the weight again.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Bytes in its file's type.
    pub fn len_bytes(&self) -> usize {
        self.shape.len() / self.dtype.block_len() * self.dtype.block_bytes()
    }
}

impl PartialEq for Weight {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Weight {}

impl Hash for Weight {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Debug for Weight {
    /// `output.weight: q6_k(32000, 2048)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.name, self.dtype, self.shape)
    }
}
