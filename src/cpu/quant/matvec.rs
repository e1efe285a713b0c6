//! Products of weight rows with one to eight rows of activations, straight from the file's layout.
//!
//! Four weight rows are taken at once that lie far apart: each is one long stream of memory, which the processor's prefetching follows; streams
//! that end with every row, as those of neighbouring rows do, halve the speed. Up to four rows of activations meet a weight while it is in
//! registers. Each sum is made in the order in which it is made for one row of activations alone, so a row's results have the same bits whatever
//! rows it is computed with.

use crate::cpu::isa::Isa;

use super::Int8Format;

/// Weight rows that a kernel takes at once.
pub(super) const STREAMS: usize = 4;
/// Rows of activations that a kernel takes at once, at most.
pub(super) const MOST_ACTS: usize = 4;
/// How many bytes ahead of its loads a kernel prefetches.
#[cfg(target_arch = "x86_64")]
pub(super) const AHEAD: usize = 512;

/// The products for one level of instructions, and the order in which they read the activations.
pub(in crate::cpu) struct Matvec {
    pub isa: Isa,
    pub order: LaneOrder,
    pub(super) kernels: Kernels,
}

/// The order of activations that a `Matvec` wants; both come with `-offset · (sum of the four activations of a lane)` for each lane.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only x86-64 has such products so far"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cpu) enum LaneOrder {
    /// As they are, in multiples of 64.
    Linear,
    /// Groups of four blocks of 32, in multiples of 128: first the four first halves, then the four second halves.
    Halves,
}

/// One row of activations in a [`LaneOrder`].
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only x86-64 has such products so far"))]
#[derive(Clone, Copy)]
pub(in crate::cpu) struct LanesRow<'a> {
    /// Padded with zeros to whole groups.
    pub quants: &'a [i8],
    /// A lane's start value: four bytes for `Linear`, four and four for `Halves`.
    pub start: &'a [i32],
    /// One a block of 32, padded with zeros.
    pub scales: &'a [f32],
    /// Scale times sum of the quants of each sub-block.
    pub sums: &'a [f32],
}

/// Weight rows that lie `apart` bytes from one another.
#[derive(Clone, Copy)]
pub(super) struct Streams {
    first: *const u8,
    apart: usize,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only x86-64 has such products so far"))]
    pub row_bytes: usize,
}

impl Streams {
    /// Byte `at` of row `s`, which the kernels read through the pointer.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn at(self, s: usize, at: usize) -> *const u8 {
        self.first.wrapping_add(s * self.apart + at)
    }
}

/// `[weight row][row of activations]`
pub(super) type Sums = [[f32; MOST_ACTS]; STREAMS];

/// The product of some weight rows with some rows of activations: as many of each as its place in [`Kernels`] says.
///
/// # Safety
/// The machine has the instructions, every stream has `row_bytes` bytes, and there are as many rows of activations, made for this row length.
pub(super) type Kernel = unsafe fn(rows: Streams, acts: &[LanesRow<'_>], sums: &mut Sums);

/// Kernels for one weight row and for [`STREAMS`], each for one, two and four rows of activations.
pub(super) struct Kernels {
    pub one: [Kernel; 3],
    pub streams: [Kernel; 3],
}

/// The [`Kernels`] of a function that is generic over the weight rows, the rows of activations, and what else is given.
#[cfg(target_arch = "x86_64")]
macro_rules! kernels {
    ($($kernel:ident)::+ $(, $constant:expr)*) => {
        $crate::cpu::quant::matvec::Kernels {
            one: [
                $($kernel)::+::<1, 1 $(, $constant)*>,
                $($kernel)::+::<1, 2 $(, $constant)*>,
                $($kernel)::+::<1, 4 $(, $constant)*>,
            ],
            streams: [
                $($kernel)::+::<{ $crate::cpu::quant::matvec::STREAMS }, 1 $(, $constant)*>,
                $($kernel)::+::<{ $crate::cpu::quant::matvec::STREAMS }, 2 $(, $constant)*>,
                $($kernel)::+::<{ $crate::cpu::quant::matvec::STREAMS }, 4 $(, $constant)*>,
            ],
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use kernels;

impl Int8Format {
    /// The product straight from the file's layout on one level, where there is one.
    pub fn matvec(&self, isa: Isa) -> Option<&'static Matvec> {
        self.matvecs.iter().find(|m| m.isa == isa)
    }
}

impl Matvec {
    /// `sums[t * stride + r] = row r · activations t`, for rows of `row_bytes` bytes that lie one after another.
    ///
    /// # Safety
    /// The machine has `isa`, and the activations were made in `order` for this row length.
    pub unsafe fn multiply(&self, rows: &[u8], row_bytes: usize, acts: &[LanesRow<'_>], sums: &mut [f32], stride: usize) {
        let n = rows.len() / row_bytes;
        let apart = n / STREAMS;
        let taken = (0..apart).map(|r| (r, STREAMS)).chain((apart * STREAMS..n).map(|r| (r, 1)));
        for (r, n_rows) in taken {
            let kernels = if n_rows == STREAMS { &self.kernels.streams } else { &self.kernels.one };
            let streams = Streams { first: rows[r * row_bytes..].as_ptr(), apart: apart * row_bytes, row_bytes };
            let mut t = 0;
            while t < acts.len() {
                let (kernel, n_acts) = match acts.len() - t {
                    1 => (kernels[0], 1),
                    2 | 3 => (kernels[1], 2),
                    _ => (kernels[2], MOST_ACTS),
                };
                let mut found = Sums::default();
                // SAFETY: the caller has the level and the order; rows r, r + apart, … are among the given ones.
                unsafe { kernel(streams, &acts[t..t + n_acts], &mut found) };
                for (s, found) in found.iter().enumerate().take(n_rows) {
                    for (i, &sum) in found.iter().enumerate().take(n_acts) {
                        sums[(t + i) * stride + r + s * apart] = sum;
                    }
                }
                t += n_acts;
            }
        }
    }
}
