//! Memory of tensors: aligned, of four-byte elements, shared by the threads of one step.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::marker::PhantomData;
use std::ptr::NonNull;

use memmap2::MmapMut;

use crate::graph::ExecError;

/// What poison mode fills buffers with: NaN as f32 and f16, out of range as an index.
const POISON: u32 = 0xFFFF_FFFF;
const ALIGN: usize = 64;
/// From this many bytes on memory comes from the system page by page. The allocator's aligned zeros are written at once, so that a cache of
/// millions of slots would take its memory before its first token.
const MAPPED_BYTES: usize = 1 << 20;

/// A zeroed block of four-byte elements, aligned to a cache line. Its bytes are only reached through [`Buffer::view`].
#[derive(Debug)]
pub(super) struct Buffer {
    ptr: NonNull<u32>,
    len: usize,
    /// The owner of a large block. `None`: the allocator's.
    map: Option<MmapMut>,
}

impl Buffer {
    /// `len` elements of zeros, of large blocks only those pages that are touched.
    ///
    /// # Errors
    /// `OutOfMemory` naming `what` and the flag that makes it smaller.
    pub fn new(len: usize, what: &str, hint: &str) -> Result<Buffer, ExecError> {
        let out_of_memory = || ExecError::OutOfMemory { mb: len.saturating_mul(4).div_ceil(1 << 20), what: what.into(), hint: hint.into() };
        let layout = layout(len).ok_or_else(out_of_memory)?;
        let (ptr, map) = if layout.size() < MAPPED_BYTES {
            // SAFETY: the layout has a size of at least one line.
            (unsafe { alloc_zeroed(layout) }, None)
        } else {
            let mut map = MmapMut::map_anon(layout.size()).map_err(|_| out_of_memory())?;
            // Pages are larger than a line.
            (map.as_mut_ptr(), Some(map))
        };
        NonNull::new(ptr.cast()).map(|ptr| Buffer { ptr, len, map }).ok_or_else(out_of_memory)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn len_bytes(&self) -> usize {
        self.len * 4
    }

    pub fn view(&self) -> Mem<'_> {
        Mem { ptr: self.ptr.as_ptr(), len: self.len, life: PhantomData }
    }

    pub fn poison(&self) {
        // SAFETY: called between steps, when no slice of the buffer is alive.
        unsafe { self.view().slice_mut::<u32>() }.fill(POISON);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let (None, Some(layout)) = (&self.map, layout(self.len)) {
            // SAFETY: allocated in `new` with the same layout.
            unsafe { dealloc(self.ptr.as_ptr().cast(), layout) }
        }
    }
}

// SAFETY: the buffer owns its memory; threads only meet it through `Mem`, whose users keep their ranges apart.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

fn layout(len: usize) -> Option<Layout> {
    Layout::from_size_align(len.checked_mul(4)?.max(ALIGN), ALIGN).ok()
}

/// A plain four-byte element.
pub(super) trait Element: bytemuck::Pod {}
impl Element for u32 {}
impl Element for i32 {}
impl Element for f32 {}

/// The memory of a buffer or of a host tensor, as a step sees it: read through slices, written by several threads in ranges that do
/// not meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mem<'a> {
    ptr: *mut u32,
    len: usize,
    life: PhantomData<&'a u32>,
}

// SAFETY: a `Mem` is an address; every access through it is unsafe and states which range it owns.
unsafe impl Send for Mem<'_> {}
// SAFETY: as above.
unsafe impl Sync for Mem<'_> {}

impl<'a> Mem<'a> {
    /// Memory that is only read.
    pub fn of_slice(words: &'a [u32]) -> Self {
        Mem { ptr: words.as_ptr().cast_mut(), len: words.len(), life: PhantomData }
    }

    /// Memory that a step has for itself.
    pub fn of_slice_mut(values: &'a mut [f32]) -> Self {
        Mem { ptr: values.as_mut_ptr().cast(), len: values.len(), life: PhantomData }
    }

    /// # Safety
    /// Nothing writes the memory while the slice lives: the executor refuses plans in which a step's output is one of its inputs.
    pub unsafe fn slice<T: Element>(self) -> &'a [T] {
        // SAFETY: the memory holds `len` four-byte elements, aligned, initialized, and alive for 'a.
        unsafe { std::slice::from_raw_parts(self.ptr.cast(), self.len) }
    }

    /// # Safety
    /// The memory came from a `Buffer` or a mutable slice, and nothing else reads or writes it while the slice lives.
    #[allow(clippy::mut_from_ref, reason = "the memory is shared between threads on purpose")]
    pub unsafe fn slice_mut<T: Element>(self) -> &'a mut [T] {
        // SAFETY: as in `slice`, and the caller has it alone.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.cast(), self.len) }
    }

    /// # Safety
    /// As `slice_mut`, for `start .. start + len` alone.
    #[allow(clippy::mut_from_ref, reason = "the memory is shared between threads on purpose")]
    pub unsafe fn range_mut<T: Element>(self, start: usize, len: usize) -> &'a mut [T] {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "{len} elements from {start} leave a buffer of {}", self.len);
        // SAFETY: in bounds by the line above, and the caller has the range alone.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(start).cast(), len) }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Resident bytes of this process.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").expect("the system's own file");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<usize>().ok()).expect("a number") * 1024
    }

    /// The cache of `--ctx 4194304` is as large as its window from the start; its memory is not.
    #[test]
    fn a_large_block_takes_no_memory_before_it_is_touched() {
        let before = resident();
        let buffer = Buffer::new(1 << 29, "a cache", "").expect("address space");
        // SAFETY: nothing else has the buffer.
        let words: &mut [u32] = unsafe { buffer.view().slice_mut() };
        assert_eq!((words[0], words[words.len() / 2], words[words.len() - 1]), (0, 0, 0));
        assert!(words.as_ptr().addr().is_multiple_of(ALIGN));
        words[1] = 1;
        let grown = resident().saturating_sub(before);
        assert!(grown < buffer.len_bytes() / 4, "{grown} bytes of {}", buffer.len_bytes());
    }

    #[test]
    fn a_block_that_no_machine_has_is_an_error() {
        for len in [usize::MAX, usize::MAX / 8, 1 << 58] {
            let Err(ExecError::OutOfMemory { what, .. }) = Buffer::new(len, "a cache", "") else { panic!("{len} words") };
            assert_eq!(what, "a cache");
        }
    }
}
