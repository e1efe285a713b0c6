//! Tiles of `matmul_cooperative`, by device, weight and number of tokens.

use super::super::assemble::Source;
use super::super::caps::Caps;

/// How `matmul_cooperative` divides its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CooperativeTile {
    subgroups_n: usize,
    subgroups_t: usize,
    /// Blocks of 16 rows of a subgroup, each for 32 tokens: 2 or 4.
    wide: usize,
    /// Groups of 32 columns at a time.
    depth: usize,
}

impl CooperativeTile {
    /// 128 rows and 128 tokens: each weight is widened half as often.
    const LARGE: CooperativeTile = CooperativeTile { subgroups_n: 2, subgroups_t: 4, wide: 4, depth: 2 };
    /// 64 rows and 64 tokens.
    const SMALL: CooperativeTile = CooperativeTile { subgroups_n: 2, subgroups_t: 2, wide: 2, depth: 2 };
    /// The same with two thirds of the workgroup memory: Apple's GPUs hold as many workgroups at a time as have room.
    const SMALL_SHALLOW: CooperativeTile = CooperativeTile { depth: 1, ..Self::SMALL };
    /// The large one within 32 KiB.
    const LARGE_SHALLOW: CooperativeTile = CooperativeTile { depth: 1, ..Self::LARGE };
    /// As many workgroups as it takes to fill a large GPU: with fewer, smaller tiles are faster.
    const LEAST_LARGE: usize = 128;

    pub fn of(caps: &Caps, n: usize, n_tokens: usize) -> Self {
        if caps.matrix_edge == 8 {
            return Self::SMALL_SHALLOW;
        }
        let fits = |tile: &Self| {
            let (bytes, threads) = (tile.bytes(), tile.threads());
            bytes <= caps.workgroup_memory as usize && threads <= caps.workgroup_threads as usize
        };
        let is_worth = |tile: &Self| n.div_ceil(tile.rows()) * n_tokens.div_ceil(tile.tokens()) >= Self::LEAST_LARGE;
        let large = [Self::LARGE, Self::LARGE_SHALLOW].into_iter().find(fits);
        large.filter(is_worth).unwrap_or(Self::SMALL)
    }

    pub fn rows(self) -> usize {
        self.subgroups_n * self.wide * 16
    }

    pub fn tokens(self) -> usize {
        self.subgroups_t * 32
    }

    /// The kernel without the fragments of weight and epilogue.
    pub fn source(self, caps: &Caps) -> Source {
        Source::new("matmul_cooperative")
            .set("SUBGROUPS_N", self.subgroups_n)
            .set("SUBGROUPS_T", self.subgroups_t)
            .set("WIDE", self.wide)
            .set("DEPTH", self.depth)
            .with(matrix_fragment(caps))
    }

    fn threads(self) -> usize {
        self.subgroups_n * self.subgroups_t * 32
    }

    /// Workgroup memory of the kernel with matrices of 16 × 16.
    fn bytes(self) -> usize {
        (self.rows() + self.tokens()) * (8 * self.depth + 2) * 8 + self.threads() / 32 * 16 * 20 * 4
    }
}

/// The fragment of the matrix units' matrices.
pub fn matrix_fragment(caps: &Caps) -> &'static str {
    if caps.matrix_edge == 8 { "matrix/edge_8" } else { "matrix/edge_16" }
}
