//! An executor with several owners, in one thread or in several.

use std::ops::DerefMut;
use std::sync::Arc;

use parking_lot::Mutex;

use super::executor::{CacheId, Executor, ProgramId};

/// An executor that models, generators and programs share. A run, a read and a compilation each hold it while they last, on whatever thread;
/// who holds it must not ask for it again.
pub struct SharedExecutor<E: Executor + ?Sized = dyn Executor>(Arc<Shared<E>>);

struct Shared<E: ?Sized> {
    unused: Mutex<Vec<Unused>>,
    executor: Mutex<E>,
}

/// What its owner needs no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// As [`Executor::release`].
    Program(ProgramId),
    /// As [`Executor::free_cache`].
    Cache(CacheId),
    /// As [`Executor::free_retired`].
    RetiredWeights,
}

impl SharedExecutor {
    pub fn new(executor: impl Executor + 'static) -> SharedExecutor {
        SharedExecutor::of(executor).of_any_kind()
    }
}

impl<E: Executor + 'static> SharedExecutor<E> {
    /// As `new`, for what is asked of one kind of executor alone.
    pub fn of(executor: E) -> SharedExecutor<E> {
        SharedExecutor(Arc::new(Shared { unused: Mutex::default(), executor: Mutex::new(executor) }))
    }

    /// The same executor, as one of any kind.
    pub fn of_any_kind(&self) -> SharedExecutor {
        SharedExecutor(self.0.clone())
    }
}

impl<E: Executor + ?Sized> SharedExecutor<E> {
    /// The executor alone, once nobody else holds it.
    pub fn lock(&self) -> impl DerefMut<Target = E> {
        let mut executor = self.0.executor.lock();
        self.free(&mut *executor);
        executor
    }

    /// Frees what is not needed any more: at once, or when the executor is next taken, where somebody holds it now. For what is dropped, which
    /// must not wait.
    pub fn let_go(&self, unused: impl IntoIterator<Item = Unused>) {
        let unused: Vec<Unused> = unused.into_iter().collect();
        self.0.unused.lock().extend(unused);
        if let Some(mut executor) = self.0.executor.try_lock() {
            self.free(&mut *executor);
        }
    }

    fn free(&self, executor: &mut E) {
        for unused in std::mem::take(&mut *self.0.unused.lock()) {
            match unused {
                Unused::Program(program) => executor.release(program),
                Unused::Cache(cache) => executor.free_cache(cache),
                Unused::RetiredWeights => executor.free_retired(),
            }
        }
    }
}

impl<E: Executor + ?Sized> Clone for SharedExecutor<E> {
    fn clone(&self) -> Self {
        SharedExecutor(self.0.clone())
    }
}
