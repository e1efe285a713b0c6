//! Tiles and group sizes: rows a lane group, lanes a row, workgroup size, by device and shape.

use super::caps::Caps;
use super::quant::WeightFormat;

/// The shape of a matrix-vector kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatvecTuning {
    /// Activations in eight bits.
    pub int8: bool,
    pub workgroup: usize,
    /// Invocations that share a row.
    pub lanes: usize,
    /// Rows of one lane group, at most 4.
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
}

/// Rows shorter than this keep f32 activations: rounding averages out over too few terms.
const LEAST_INT8_WIDTH: usize = 512;

/// The tuning of an `[n, k]` weight for up to `n_rows` tokens. `normed`: the norm is a prologue.
pub fn matvec_tuning(caps: &Caps, format: &WeightFormat, n: usize, k: usize, n_rows: usize, normed: bool) -> MatvecTuning {
    let groups = k.div_ceil(32);
    let cols = if n_rows == 1 { 1 } else { 4 };
    // Quants and scales of the activations, and what reductions take.
    let fits = groups * 48 + 1024 <= caps.workgroup_memory as usize;
    let int8 = !caps.precise && format.integer && n_rows == 1 && k.is_multiple_of(32) && k >= LEAST_INT8_WIDTH && fits;
    if caps.software {
        let lanes = if caps.subgroup > 0 { caps.subgroup as usize } else { 4 };
        // Wide workgroups cost a switch at each barrier; the prologue is shared by many rows instead.
        let passes = if int8 || normed { (n / 256).clamp(1, 8) } else { 1 };
        return MatvecTuning { int8, workgroup: lanes * 2, lanes, rows: 4, cols, passes };
    }
    let least = if caps.subgroup > 0 { caps.subgroup as usize } else { 16 };
    let lanes = if groups >= 64 { 64.max(least) } else { 32.max(least) };
    MatvecTuning { int8, workgroup: 256.min(caps.workgroup_threads as usize).max(lanes), lanes, rows: 2, cols, passes: 1 }
}
