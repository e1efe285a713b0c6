//! Tiles of `matmul_cooperative`, by device, weight and number of tokens.

use super::super::assemble::Source;
use super::super::caps::Caps;
use super::super::variants::Variant;

/// How `matmul_cooperative` divides its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CooperativeTile {
    subgroups_n: usize,
    subgroups_t: usize,
    /// Blocks of 16 rows of a subgroup: 2 or 4.
    wide: usize,
    /// Blocks of 16 tokens of a subgroup: 1 or 2.
    tall: usize,
    /// Groups of 32 columns at a time: 1, 2, 4 or 8.
    depth: usize,
    /// Halves of a group that an invocation widens at a time.
    halves: usize,
}

impl CooperativeTile {
    /// 128 rows and 128 tokens: each weight is widened half as often.
    const LARGE: CooperativeTile = CooperativeTile { subgroups_n: 2, subgroups_t: 4, wide: 4, tall: 2, depth: 2, halves: 1 };
    /// 64 rows and 64 tokens.
    const SMALL: CooperativeTile = CooperativeTile { subgroups_n: 2, subgroups_t: 2, wide: 2, tall: 2, depth: 2, halves: 1 };
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
        if shares_columns(caps, n_tokens) {
            return Some(Self::of_few(n_tokens)).filter(fits).unwrap_or(Self::SMALL);
        }
        let is_worth = |tile: &Self| n.div_ceil(tile.rows()) * n_tokens.div_ceil(tile.tokens()) >= Self::LEAST_LARGE;
        let large = [Self::LARGE, Self::LARGE_SHALLOW].into_iter().find(fits);
        large.filter(is_worth).unwrap_or(Self::SMALL)
    }

    /// The tile for all of up to 128 tokens that was fastest on a large GPU (NVIDIA H200).
    fn of_few(n_tokens: usize) -> Self {
        let (subgroups_n, subgroups_t, wide, tall, depth) = match n_tokens {
            0..=16 => (2, 1, 2, 1, 4),
            17..=32 => (2, 1, 2, 2, 2),
            33..=64 => (4, 2, 2, 2, 2),
            _ => (2, 4, 4, 2, 2),
        };
        CooperativeTile { subgroups_n, subgroups_t, wide, tall, depth, halves: 2 }
    }

    pub fn rows(self) -> usize {
        self.subgroups_n * self.wide * 16
    }

    pub fn tokens(self) -> usize {
        self.subgroups_t * self.tall * 16
    }

    /// The kernel without the fragments of weight and epilogue.
    pub fn source(self, caps: &Caps) -> Source {
        Source::new("matmul_cooperative")
            .set("SUBGROUPS_N", self.subgroups_n)
            .set("SUBGROUPS_T", self.subgroups_t)
            .set("WIDE", self.wide)
            .set("TALL", self.tall)
            .set("DEPTH", self.depth)
            .set("HALVES", self.halves)
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

/// Rows of a run up to which workgroups share the columns of a sum.
pub const MOST_SHARED_ROWS: usize = 128;
/// Workgroups that hide the latency of a large GPU's memory, where a tile has 64 rows.
const WANTED_WORKGROUPS: usize = 512;
/// Shares of a sum's columns, at most: each adds to what is written and read again.
const MOST_SHARES: usize = 8;
/// Groups of 32 columns of which shares are made: as many as the deepest tile takes at a time.
const SHARE_GROUPS: usize = 8;

/// Whether runs of so many rows share the columns of a sum between workgroups.
fn shares_columns(caps: &Caps, n_tokens: usize) -> bool {
    caps.matrix_edge == 16 && n_tokens <= MOST_SHARED_ROWS && caps.uses(Variant::SharedColumns)
}

/// Workgroups that share the columns of each sum of a weight of n rows. It follows from the weight's shape alone, and so does the order of a sum.
pub fn shares(caps: &Caps, n: usize, k: usize, n_tokens: usize) -> usize {
    if !shares_columns(caps, n_tokens) {
        return 1;
    }
    let groups = k.div_ceil(32);
    let wanted = (WANTED_WORKGROUPS / n.div_ceil(64)).clamp(1, MOST_SHARES);
    let each = groups.div_ceil(wanted).next_multiple_of(SHARE_GROUPS);
    groups.div_ceil(each)
}

/// The fragment of the matrix units' matrices.
pub fn matrix_fragment(caps: &Caps) -> &'static str {
    if caps.matrix_edge == 8 { "matrix/edge_8" } else { "matrix/edge_16" }
}
