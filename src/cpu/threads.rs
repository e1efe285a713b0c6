//! A few persistent threads that run the numbered tasks of one parallel region after another.
//!
//! A decode step has some hundred regions of a few ten microseconds, so handing one out must cost about a microsecond: workers spin for a
//! while between regions before they sleep, tasks are claimed from a counter, and a region ends when its tasks are done, not when
//! every worker has seen it. Which thread runs a task never changes what it computes.

use std::any::Any;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Rounds that a worker spins for the next region before it sleeps: some hundred microseconds.
const SPINS: u32 = 20_000;
/// Bit of the gate that says that a region is open; below it, how many workers are inside; above it, the region's number.
const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;
const REGION: u64 = 1 << 32;

/// The threads of one executor, the caller among them.
pub(super) struct Threads {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Keeps the type from being shared between threads: one region is open at a time.
    busy: Cell<bool>,
    /// While it is set, no task begins.
    interrupt: RefCell<Option<Arc<AtomicBool>>>,
}

struct Shared {
    gate: AtomicU64,
    next: AtomicUsize,
    job: UnsafeCell<Job>,
    sleepers: AtomicUsize,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    lock: Mutex<()>,
    wake: Condvar,
}

// SAFETY: `job` is written only while the gate is closed and empty, and read only by threads inside an open gate.
unsafe impl Sync for Shared {}

#[derive(Clone, Copy)]
struct Job {
    call: unsafe fn(*const (), usize),
    task: *const (),
    n_tasks: usize,
    /// Of `Threads::interrupt`, or null.
    interrupt: *const AtomicBool,
}

impl Job {
    fn is_interrupted(self) -> bool {
        // SAFETY: `run` keeps the flag until the region is closed.
        unsafe { self.interrupt.as_ref() }.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

// SAFETY: the task behind the pointer is `Sync` and outlives the region, which `run` closes before it returns.
unsafe impl Send for Job {}

impl Threads {
    /// `count` threads with the caller's; a thread that the system refuses is done without.
    pub fn new(count: usize) -> Threads {
        unsafe fn nothing(_: *const (), _: usize) {}
        let shared = Arc::new(Shared {
            gate: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            job: UnsafeCell::new(Job { call: nothing, task: std::ptr::null(), n_tasks: 0, interrupt: std::ptr::null() }),
            sleepers: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let workers = (1..count)
            .map_while(|i| {
                let shared = shared.clone();
                std::thread::Builder::new().name(format!("tl-cpu-{i}")).spawn(move || shared.work()).ok()
            })
            .collect();
        Threads { shared, workers, busy: Cell::new(false), interrupt: RefCell::new(None) }
    }

    /// From now on the tasks of a region that have not begun are left out while `flag` is set: what the region computes is worth nothing then.
    pub fn watch_interrupt(&self, flag: &Arc<AtomicBool>) {
        *self.interrupt.borrow_mut() = Some(flag.clone());
    }

    pub fn is_interrupted(&self) -> bool {
        self.interrupt.borrow().as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    pub fn count(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(i)` once for every `i < n_tasks`, on any thread in any order, and returns when all are done, or an interrupt was seen.
    pub fn run<F: Fn(usize) + Sync>(&self, n_tasks: usize, task: F) {
        if n_tasks <= 1 || self.workers.is_empty() || self.busy.replace(true) {
            (0..n_tasks).take_while(|_| !self.is_interrupted()).for_each(task);
            return;
        }
        unsafe fn call<F: Fn(usize)>(task: *const (), i: usize) {
            // SAFETY: `task` is the `F` of the region that is open.
            unsafe { (*task.cast::<F>())(i) }
        }
        let flag = self.interrupt.borrow().clone();
        let interrupt = flag.as_ref().map_or(std::ptr::null(), Arc::as_ptr);
        let job = Job { call: call::<F>, task: (&raw const task).cast(), n_tasks, interrupt };
        let shared = &*self.shared;
        // SAFETY: the gate is closed and empty: the last region was closed before its `run` returned.
        unsafe { *shared.job.get() = job };
        shared.next.store(0, Ordering::Relaxed);
        shared.gate.fetch_add(REGION + OPEN, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            let _guard = shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
            shared.wake.notify_all();
        }
        let own = catch_unwind(AssertUnwindSafe(|| shared.claim(job)));
        shared.gate.fetch_and(!OPEN, Ordering::SeqCst);
        let mut spins = 0u32;
        while shared.gate.load(Ordering::Acquire) & INSIDE != 0 {
            spins += 1;
            if spins.is_multiple_of(4096) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        self.busy.set(false);
        let theirs = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        {
            let _guard = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// A worker's life: enter each open region once, sleep when none comes.
    fn work(&self) {
        let mut seen = 0;
        let mut spins = 0;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let gate = self.gate.load(Ordering::Acquire);
            if gate & OPEN != 0 && gate / REGION != seen {
                if self.gate.compare_exchange(gate, gate + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    seen = gate / REGION;
                    // SAFETY: this thread is inside an open gate, so the job is complete and stays.
                    let job = unsafe { *self.job.get() };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.claim(job))) {
                        *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
                    }
                    self.gate.fetch_sub(1, Ordering::AcqRel);
                    spins = 0;
                }
                continue;
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                self.sleep(seen);
                spins = 0;
            }
        }
    }

    /// Sleeps until a region other than `seen` opens. The counter is raised before the gate is read and `run` reads them in the other
    /// order, so one of the two sees the other.
    fn sleep(&self, seen: u64) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        loop {
            let gate = self.gate.load(Ordering::SeqCst);
            if self.stop.load(Ordering::SeqCst) || gate & OPEN != 0 && gate / REGION != seen {
                break;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn claim(&self, job: Job) {
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= job.n_tasks || job.is_interrupted() {
                return;
            }
            // SAFETY: the region is open or this thread is inside it, so the task is alive.
            unsafe { (job.call)(job.task, i) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_in_each_of_many_regions() {
        let threads = Threads::new(4);
        for n in [0, 1, 2, 3, 17, 1000] {
            for _ in 0..50 {
                let counts: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
                threads.run(n, |i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn sleeping_workers_wake_for_a_region() {
        let threads = Threads::new(3);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let sum = AtomicUsize::new(0);
            threads.run(100, |i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn a_panic_of_a_task_reaches_the_caller_and_the_threads_live_on() {
        let threads = Threads::new(3);
        let result = catch_unwind(AssertUnwindSafe(|| threads.run(64, |i| assert_ne!(i, 40))));
        assert!(result.is_err());
        let count = AtomicUsize::new(0);
        threads.run(64, |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 64);
    }
}
