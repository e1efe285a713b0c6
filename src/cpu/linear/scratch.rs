//! Memory that a thread keeps from task to task.

use std::cell::RefCell;

/// What one task of a linear needs besides its operands. Vectors only grow.
#[derive(Default)]
pub(super) struct Scratch {
    /// The task's sums, `[T, rows of the task]`.
    pub y: Vec<f32>,
    /// Unpacked weights, four bytes a word.
    pub quants: Vec<u32>,
    pub scales: Vec<f32>,
    pub mins: Vec<f32>,
    /// Weights in the order of the matrix kernel.
    pub panel: Vec<u32>,
    pub panel_scales: Vec<f32>,
    pub panel_mins: Vec<f32>,
    /// Weights widened to f32.
    pub widened: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Calls `task` with this thread's scratch.
pub(super) fn with_scratch<R>(task: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(task)
}
