//! Tiles and group sizes: rows a lane group, lanes a row, workgroup size, by device and shape; what `tl bench --tune` measured comes first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::caps::Caps;
use super::quant::{Quants, WeightFormat};

/// The shape of a matrix-vector kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatvecTuning {
    /// Activations in eight bits.
    pub int8: bool,
    pub workgroup: usize,
    /// Invocations that share a row.
    pub lanes: usize,
    /// Rows of one lane group; measured shapes have at most 4.
    pub rows: usize,
    /// Tokens of one workgroup.
    pub cols: usize,
    /// Blocks of rows that a workgroup takes one after another.
    pub passes: usize,
}

impl MatvecTuning {
    /// Rows of a block.
    pub fn slots(&self) -> usize {
        self.workgroup / self.lanes * self.rows
    }

    /// `512 threads, 32 lanes a row, 2 rows, int8`
    pub fn describe(&self) -> String {
        let bits = if self.int8 { "int8" } else { "f32" };
        format!("{} threads, {} lanes a row, {} rows, {bits}", self.workgroup, self.lanes, self.rows)
    }
}

/// What a matrix-vector kernel is asked to do.
pub struct MatvecWork<'a> {
    pub format: &'a WeightFormat,
    /// Rows and columns of the weight.
    pub n: usize,
    pub k: usize,
    /// The norm is a prologue.
    pub normed: bool,
    /// `store`, `gated` or `rope_store`.
    pub epilogue: &'static str,
}

impl MatvecWork<'_> {
    /// The name under which a measured shape is kept: `q4_0 2048x5632 store`.
    pub fn key(&self) -> String {
        let format = self.format.fragments.last().map_or("", |f| f.trim_start_matches("quant/"));
        format!("{format} {}x{} {}", self.n, self.k, self.epilogue)
    }
}

/// Measured shapes, and the one that is being tried.
#[derive(Clone, Debug, Default)]
pub struct Tuning {
    pub measured: BTreeMap<String, MatvecTuning>,
    pub trial: Option<MatvecTuning>,
}

/// Rows shorter than this keep f32 activations: rounding averages out over too few terms.
const LEAST_INT8_WIDTH: usize = 512;

impl Tuning {
    /// The shape of the kernel for this work of one token on this device.
    pub fn matvec(&self, caps: &Caps, work: &MatvecWork) -> MatvecTuning {
        let chosen = default_matvec(caps, work, may_round(caps, work) && caps.dot_products);
        let asked = self.trial.or_else(|| self.measured.get(&work.key()).copied());
        asked.filter(|t| fits(caps, t, may_round(caps, work))).unwrap_or(chosen)
    }
}

/// The shape of the kernel for 2 to 8 tokens, made from that for one token, `one`: lanes share a row of the weight in the same way, so that each token
/// gets the sums that it gets alone, and a block has as many rows.
pub fn of_few_rows(caps: &Caps, one: MatvecTuning, n_tokens: usize, k: usize) -> MatvecTuning {
    let cols = n_tokens.next_power_of_two();
    if one.int8 && takes_pairs(caps, k) {
        return MatvecTuning { cols, ..one };
    }
    // More rows would take registers for which fewer invocations then have room (NVIDIA H200).
    let rows = one.rows.min(2);
    let wanted = one.workgroup * one.rows / rows;
    let workgroup = wanted.min(caps.workgroup_threads as usize).max(one.lanes);
    MatvecTuning { cols, rows, workgroup, ..one }
}

/// Whether the device can run a shape, and the work allows it: `int8` says whether activations may be rounded.
fn fits(caps: &Caps, t: &MatvecTuning, int8: bool) -> bool {
    let whole = t.lanes > 0 && t.workgroup.is_multiple_of(t.lanes) && t.workgroup.is_power_of_two() && t.lanes.is_power_of_two();
    let subgroups = caps.subgroup == 0 || t.lanes.is_multiple_of(caps.subgroup as usize);
    let rows = (1..=4).contains(&t.rows) && t.rows <= t.lanes && (1..=64).contains(&t.passes) && t.slots() >= 2;
    whole && subgroups && rows && t.cols == 1 && t.workgroup <= caps.workgroup_threads as usize && (!t.int8 || int8)
}

/// Whether the work's activations may be rounded to eight bits.
fn may_round(caps: &Caps, work: &MatvecWork) -> bool {
    // Quants, scales and sums of the activations, and what reductions take.
    let fits = work.k.div_ceil(32) * 48 + 128 + 4096 <= caps.workgroup_memory as usize;
    let whole = work.k.is_multiple_of(32) && work.k >= LEAST_INT8_WIDTH;
    caps.int8 && work.format.quants != Quants::Floats && whole && fits
}

/// Whether eight-bit activations multiply pairs of groups (`matvec_pairs`): on software adapters a load costs by the lane, hardly by the word.
pub fn takes_pairs(caps: &Caps, k: usize) -> bool {
    caps.software && k.is_multiple_of(64)
}

/// Neighbouring pairs of groups that a lane takes at a time, of so many a row: the more, the fewer loads, as long as hardly more lanes idle
/// at a row's end than with one.
pub fn pairs_at_once(pairs: usize, lanes: usize) -> usize {
    let places = |n: usize| pairs.next_multiple_of(n * lanes);
    [4, 2].into_iter().find(|n| pairs.is_multiple_of(*n) && places(*n) * 5 <= places(1) * 6).unwrap_or(1)
}

/// The shape of the kernel for the matrices of experts, with f32 activations.
pub fn of_experts(caps: &Caps, work: &MatvecWork) -> MatvecTuning {
    default_matvec(caps, work, false)
}

/// Where nothing was measured.
fn default_matvec(caps: &Caps, work: &MatvecWork, int8: bool) -> MatvecTuning {
    let groups = work.k.div_ceil(32);
    if caps.software {
        let lanes = if caps.subgroup > 0 { caps.subgroup as usize } else { 4 };
        // Wide workgroups cost a switch at each barrier; many rows share the prologue instead, and activations that were read.
        if int8 {
            // A block is twice as many rows: 32 where rows are unrolled, and where a block must lie in a head, of 32 or 96 elements, say.
            let in_loop = takes_pairs(caps, work.k) && work.epilogue != "rope_store";
            let (workgroup, rows) = (lanes * 2, if in_loop { 32 } else { 16 });
            let blocks = work.n / (workgroup / lanes * rows);
            return MatvecTuning { int8, workgroup, lanes, rows, cols: 1, passes: (blocks / 16).clamp(1, 16) };
        }
        let passes = if work.normed { (work.n / 256).clamp(1, 8) } else { 1 };
        return MatvecTuning { int8, workgroup: lanes * 2, lanes, rows: 4, cols: 1, passes };
    }
    let least = if caps.subgroup > 0 { caps.subgroup as usize } else { 16 };
    // Quantizing a row is shared by as many rows as a workgroup holds. More lanes a row hide more of memory's latency; where an epilogue
    // follows, more rows a workgroup were faster (NVIDIA H200).
    let wide = if int8 { work.epilogue == "store" } else { groups >= 64 };
    let lanes = if wide { 64.max(least) } else { 32.max(least) };
    // One token's f32 activations, and the norm's weights, are read anew for each group of rows: the more of them, the fewer loads.
    let rows = if !int8 && wide { 4 } else { 2 };
    let wanted = match (int8, rows) {
        (true, _) => 512,
        (false, 4) => 128,
        (false, _) => 256,
    };
    MatvecTuning { int8, workgroup: wanted.min(caps.workgroup_threads as usize).max(lanes), lanes, rows, cols: 1, passes: 1 }
}

/// The shapes that tuning tries on this device, for work of one token.
pub fn candidates(caps: &Caps) -> Vec<MatvecTuning> {
    // Wide workgroups cost a switch at each barrier on software adapters, which also take long to compile.
    let workgroups: &[usize] = if caps.software { &[8, 16, 32] } else { &[64, 128, 256, 512, 1024] };
    let mut all = Vec::new();
    for int8 in [true, false] {
        for &workgroup in workgroups {
            for lanes in [8, 16, 32, 64, 128] {
                for rows in [1, 2, 4] {
                    let t = MatvecTuning { int8, workgroup, lanes, rows, cols: 1, passes: 1 };
                    let whole = caps.software || (8..=128).contains(&t.slots());
                    if lanes <= workgroup && whole && fits(caps, &t, caps.int8) {
                        all.push(t);
                    }
                }
            }
        }
    }
    all
}
