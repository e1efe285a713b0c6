//! Norm weights that GGUF stores with 1 added: checkpoints of these families hold w and compute with 1 + w.

use std::sync::Arc;

use half::{bf16, f16};

use super::families::Family;
use crate::format::{FileBytes, FormatError, Part, TensorDirectory, TensorInfo};
use crate::tensor::DType;

/// More values than the norm of any model has: its sums are held in memory.
const MAX_VALUES: usize = 1 << 20;

/// The directory with those weights made anew in f32. `tensors` is under GGUF's names.
pub(super) fn with_one_added(tensors: TensorDirectory, family: &Family) -> Result<TensorDirectory, FormatError> {
    let Some(first) = tensors.tensors().iter().find(|t| family.adds_one(&t.name)) else { return Ok(tensors) };
    let path = tensors.path_of(first).to_path_buf();
    let (mut parts, mut infos, mut sums) = (tensors.parts().to_vec(), tensors.tensors().to_vec(), Vec::new());
    for info in infos.iter_mut().filter(|t| family.adds_one(&t.name)) {
        let bytes = plus_one(&tensors, info)?;
        *info = TensorInfo { dtype: DType::F32, part: parts.len(), offset: sums.len(), len_bytes: bytes.len(), ..info.clone() };
        sums.extend(bytes);
    }
    parts.push(Part { path, bytes: Arc::new(FileBytes::from(sums)) });
    TensorDirectory::new(parts, infos)
}

fn plus_one(tensors: &TensorDirectory, info: &TensorInfo) -> Result<Vec<u8>, FormatError> {
    let invalid = |message: String| FormatError::invalid(tensors.path_of(info), message);
    if info.shape.len() > MAX_VALUES {
        return Err(invalid(format!("norm `{}` has {} values, at most {MAX_VALUES} are read", info.name, info.shape.len())));
    }
    let bytes = tensors.data(&info.name).unwrap_or_default();
    let halves = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    let sum = |value: f32| (value + 1.0).to_le_bytes();
    match info.dtype {
        DType::F32 => Ok(bytes.chunks_exact(4).flat_map(|b| sum(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()),
        DType::F16 => Ok(halves().flat_map(|b| sum(f16::from_le_bytes(b).to_f32())).collect()),
        DType::BF16 => Ok(halves().flat_map(|b| sum(bf16::from_le_bytes(b).to_f32())).collect()),
        other => Err(invalid(format!("norm `{}` is {other}, not floats", info.name))),
    }
}
