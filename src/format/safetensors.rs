//! Safetensors files, read and written with the `safetensors` crate, in one file or in shards with an index.
//! Source: the safetensors specification (Hugging Face, `safetensors` repository, README).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::{Component, Path};
use std::sync::Arc;

use ::safetensors::tensor::{Dtype, Metadata as Header, TensorInfo as HeaderEntry};
use half::{bf16, f16};

use super::{FileBytes, FormatError, Part, TensorDirectory, TensorInfo, json};
use crate::output::Output;
use crate::tensor::{DType, HostData, HostTensor, Shape};

/// Headers of the largest published files are under 1 MB; parsing one takes some ten times its length.
const MAX_HEADER_BYTES: u64 = 16 << 20;
/// Published models have up to some 200 shards; each is an open file.
const MAX_SHARDS: usize = 1_000;
/// More than any model has; broadcasting and printing take any rank, so this bounds nothing but nonsense.
const MAX_RANK: usize = 16;
/// What the header calls its table of strings.
const METADATA: &str = "__metadata__";
/// The index of shards in a folder.
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of an open safetensors file, or of all shards of a folder.
#[derive(Debug)]
pub struct Safetensors {
    pub tensors: TensorDirectory,
    /// The free-form strings of the header; of several shards those of the first.
    pub metadata: HashMap<String, String>,
    /// Names and types of tensors whose type the engine does not read, such as `I64` counters or `F8_E4M3` weights.
    pub unread: Vec<(String, String)>,
    wide: Vec<Wide>,
}

/// A tensor of a type that no weight may have and the host can read: a reference may be kept in it.
#[derive(Clone, Debug)]
struct Wide {
    name: String,
    dtype: Dtype,
    shape: Shape,
    bytes: Arc<FileBytes>,
    range: Range<usize>,
}

impl Safetensors {
    /// Opens one file, by memory map or with `no_mmap` by reading it.
    pub fn open(path: &Path, no_mmap: bool) -> Result<Safetensors, FormatError> {
        Safetensors::join(vec![parse(path, FileBytes::open(path, no_mmap)?, 0)?])
    }

    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    pub fn open_folder(folder: &Path, no_mmap: bool) -> Result<Safetensors, FormatError> {
        let index = folder.join(INDEX);
        let single = folder.join("model.safetensors");
        if index.exists() {
            return Safetensors::open_shards(&index, no_mmap);
        }
        if !single.exists() {
            return Err(FormatError::invalid(folder, without_weights(folder)));
        }
        Safetensors::open(&single, no_mmap)
    }

    /// A file from bytes in memory; `name` stands for the path in errors.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Safetensors, FormatError> {
        Safetensors::join(vec![parse(Path::new(name), bytes.into(), 0)?])
    }

    /// Whether a file with these first nine bytes and this length may be a safetensors file: a header length, then JSON.
    pub fn is_safetensors(start: &[u8], file_bytes: u64) -> bool {
        start.split_first_chunk::<8>().is_some_and(|(len, rest)| rest.first() == Some(&b'{') && u64::from_le_bytes(*len) <= file_bytes)
    }

    /// The values of a tensor in host memory, or `None` where there is none of that name.
    pub fn host(&self, name: &str) -> Option<HostTensor> {
        let info = self.tensors.get(name)?;
        let (bytes, shape) = (self.tensors.data(name)?, info.shape.clone());
        let data = match info.dtype {
            DType::I32 => HostData::I32(bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
            DType::Bool => HostData::I32(bytes.iter().map(|&b| i32::from(b != 0)).collect()),
            dtype => {
                let mut values = vec![0.0; shape.len()];
                dtype.dequantize(bytes, &mut values);
                HostData::F32(values)
            }
        };
        Some(HostTensor { shape, dtype: info.dtype, data })
    }

    /// The same for a tensor of `unread`: `F64` rounded to f32, integers as i32. `None` for any other type, and where an integer does not fit.
    pub fn host_of_wide(&self, name: &str) -> Option<HostTensor> {
        let wide = self.wide.iter().find(|w| w.name == name)?;
        let (bytes, shape) = (wide.bytes.get(wide.range.clone())?, wide.shape.clone());
        let ints = |values: &mut dyn Iterator<Item = i64>| {
            let data = values.map(|v| i32::try_from(v).ok()).collect::<Option<Vec<i32>>>()?;
            Some(HostTensor { shape: wide.shape.clone(), dtype: DType::I32, data: HostData::I32(data) })
        };
        let eight = || bytes.chunks_exact(8).map(|b| [b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        match wide.dtype {
            Dtype::F64 => {
                let data = eight().map(|b| f64::from_le_bytes(b) as f32).collect();
                Some(HostTensor { shape, dtype: DType::F32, data: HostData::F32(data) })
            }
            Dtype::I64 => ints(&mut eight().map(i64::from_le_bytes)),
            Dtype::U32 => ints(&mut bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]).into())),
            Dtype::I16 => ints(&mut bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]]).into())),
            Dtype::U16 => ints(&mut bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]).into())),
            _ => None,
        }
    }

    fn open_shards(index: &Path, no_mmap: bool) -> Result<Safetensors, FormatError> {
        let json = json::read(index)?;
        let map = json.get("weight_map").and_then(|m| m.as_object());
        let map = map.ok_or_else(|| FormatError::invalid(index, "has no object `weight_map`; download it again"))?;
        let mut names = BTreeSet::new();
        for (tensor, file) in map {
            let file = file.as_str().unwrap_or_default();
            // A name with a folder in it would open files outside the model.
            let mut components = Path::new(file).components();
            if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
                return Err(FormatError::invalid(
                    index,
                    format!("tensor `{tensor}` is said to be in `{file}`, which is no plain file name"),
                ));
            }
            names.insert(file);
        }
        if names.is_empty() || names.len() > MAX_SHARDS {
            return Err(FormatError::invalid(index, format!("names {} shards, 1 to {MAX_SHARDS} are read", names.len())));
        }
        let open = |(i, name): (usize, &&str)| {
            let path = index.with_file_name(name);
            parse(&path, FileBytes::open(&path, no_mmap)?, i)
        };
        let shards = Safetensors::join(names.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?)?;
        let unread: HashSet<&str> = shards.unread.iter().map(|(name, _)| name.as_str()).collect();
        for (tensor, file) in map {
            let part = shards.tensors.get(tensor).map(|t| shards.tensors.path_of(t));
            if !part.map_or_else(|| unread.contains(tensor.as_str()), |p| p.file_name().and_then(|n| n.to_str()) == file.as_str()) {
                return Err(FormatError::invalid(
                    index,
                    format!("tensor `{tensor}` is said to be in {file}, where it is not; download both again"),
                ));
            }
        }
        Ok(shards)
    }

    fn join(files: Vec<Parsed>) -> Result<Safetensors, FormatError> {
        let (mut parts, mut tensors, mut unread, mut wide, mut metadata) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), None);
        for file in files {
            parts.push(file.part);
            tensors.extend(file.tensors);
            unread.extend(file.unread);
            wide.extend(file.wide);
            metadata.get_or_insert(file.metadata);
        }
        Ok(Safetensors { tensors: TensorDirectory::new(parts, tensors)?, metadata: metadata.unwrap_or_default(), unread, wide })
    }
}

/// What to say of a folder that has neither one file of weights nor an index of several.
fn without_weights(folder: &Path) -> String {
    let names = names_in(folder);
    let of = |ends: &str| -> Vec<&str> { names.iter().filter(|n| n.ends_with(ends)).map(String::as_str).collect() };
    let (shards, gguf, torch) = (of(".safetensors"), of(".gguf"), of(".bin"));
    match (&shards[..], &gguf[..], &torch[..]) {
        ([first, ..], _, _) if first.contains("-of-") => {
            let (n, s) = (shards.len(), if shards.len() == 1 { "" } else { "s" });
            format!("has {n} shard{s} (`{first}`), but no `{INDEX}`, which says what is in each; download it beside them")
        }
        ([name, ..], _, _) => format!("has `{name}`, but neither `model.safetensors` nor `{INDEX}`; download the model's whole folder"),
        ([], [name, ..], _) => format!("has a GGUF file and no safetensors files; name the file, `{name}`"),
        ([], [], [name, ..]) => {
            format!("has its weights in PyTorch's form (`{name}`), which is not read; download its safetensors files, or a GGUF file")
        }
        _ => format!("has neither `model.safetensors` nor `{INDEX}`; download the model's safetensors files into it"),
    }
}

/// The names of a folder's files, sorted. A folder has some dozens; of more than that the first are enough to say what it is.
pub(super) fn names_in(folder: &Path) -> Vec<String> {
    const MAX: usize = 10_000;
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().take(MAX).filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Writes tensors as a safetensors file, each in its own type, with free-form strings in the header. Only one tensor's bytes
/// are held at a time beside the tensors themselves.
///
/// # Errors
/// Those of the output, and names that are there twice.
pub fn save_safetensors(
    output: impl Into<Output>,
    tensors: &[(String, HostTensor)],
    metadata: HashMap<String, String>,
) -> Result<(), FormatError> {
    let output = output.into();
    let path = output.path();
    let mut names = HashSet::new();
    if let Some((name, _)) = tensors.iter().find(|(name, _)| name == METADATA || !names.insert(name)) {
        let why = if name == METADATA { "is what the format calls its own table" } else { "names two tensors" };
        return Err(FormatError::invalid(path, format!("cannot be written: `{name}` {why}; give each tensor a name of its own")));
    }
    // Wide types first, so that every tensor is aligned to its type.
    let mut order: Vec<&(String, HostTensor)> = tensors.iter().collect();
    order.sort_by_key(|(_, tensor)| std::cmp::Reverse(stored_type(tensor.dtype).bitsize()));
    let (mut infos, mut end) = (Vec::with_capacity(order.len()), 0);
    for (name, tensor) in &order {
        let (dtype, start) = (stored_type(tensor.dtype), end);
        end += tensor.len() * dtype.bitsize() / 8;
        infos.push((name.clone(), HeaderEntry { dtype, shape: tensor.shape.to_vec(), data_offsets: (start, end) }));
    }
    let header = Header::new((!metadata.is_empty()).then_some(metadata), infos);
    let header = header.map_err(|e| FormatError::invalid(path, format!("cannot be written: {e}")))?;
    let mut header = serde_json::to_vec(&header).map_err(|e| FormatError::invalid(path, format!("cannot be written: {e}")))?;
    header.resize(header.len().next_multiple_of(8), b' ');

    output.write(|out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        order.iter().try_for_each(|(_, tensor)| out.write_all(&stored_bytes(tensor)))
    })?;
    Ok(())
}

fn stored_type(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 | DType::Quant(_) => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I32 => Dtype::I32,
        DType::Bool => Dtype::BOOL,
    }
}

fn stored_bytes(tensor: &HostTensor) -> Vec<u8> {
    match (&tensor.data, tensor.dtype) {
        (HostData::F32(v), DType::F16) => v.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        (HostData::F32(v), DType::BF16) => v.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        (HostData::F32(v), _) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        (HostData::I32(v), DType::Bool) => v.iter().map(|&v| u8::from(v != 0)).collect(),
        (HostData::I32(v), _) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

struct Parsed {
    part: Part,
    tensors: Vec<TensorInfo>,
    unread: Vec<(String, String)>,
    wide: Vec<Wide>,
    metadata: HashMap<String, String>,
}

/// Reads a header. The crate checks that shapes, types and offsets agree and leave no gap; where the data ends is checked
/// here, since the crate adds up the untrusted end with the header's length.
fn parse(path: &Path, bytes: FileBytes, part: usize) -> Result<Parsed, FormatError> {
    let invalid = |message: String| FormatError::invalid(path, message);
    let bytes = Arc::new(bytes);
    let file_bytes = bytes.len();
    let Some((len, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(invalid(format!("is no safetensors file: it has {file_bytes} bytes, the header's length alone takes 8")));
    };
    let len = u64::from_le_bytes(*len);
    if len > MAX_HEADER_BYTES {
        return Err(invalid(format!(
            "is no safetensors file, or damaged: its header would be {len} bytes, at most {MAX_HEADER_BYTES} are read"
        )));
    }
    let Some(header) = rest.get(..len as usize) else {
        return Err(invalid(format!(
            "ends within its header: {len} bytes are needed at offset 8, the file has {file_bytes}; download it again"
        )));
    };
    let data = 8 + len as usize;
    let header: Header = serde_json::from_slice(header).map_err(|e| invalid(format!("has a damaged header: {e}; download it again")))?;
    if header.data_len() != file_bytes - data {
        let (expected, left) = (header.data_len(), file_bytes - data);
        let behind = bytes.get(data.saturating_add(expected)..).unwrap_or_default();
        if Safetensors::is_safetensors(behind, behind.len() as u64) {
            return Err(invalid(format!(
                "holds another safetensors file from byte {} on: shards that were joined by `cat` are no model; download them apart, beside their \
                 `{INDEX}`",
                data + expected
            )));
        }
        return Err(invalid(format!(
            "has {left} bytes of data, its header says {expected}; it is truncated or damaged, download it again"
        )));
    }

    let (mut tensors, mut unread, mut wide) = (Vec::new(), Vec::new(), Vec::new());
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else { continue };
        if info.shape.len() > MAX_RANK {
            return Err(invalid(format!("tensor `{name}` has {} dimensions, at most {MAX_RANK} are read", info.shape.len())));
        }
        // With a dimension of 0 the others are unbounded, and their strides would overflow.
        if info.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1))).is_none() {
            return Err(invalid(format!("tensor `{name}` has the shape {:?}, more values than a file can hold", info.shape)));
        }
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::I32 => DType::I32,
            Dtype::BOOL => DType::Bool,
            other => {
                let range = data + info.data_offsets.0..data + info.data_offsets.1;
                let shape = Shape::from(info.shape.as_slice());
                wide.push(Wide { name: name.clone(), dtype: other, shape, bytes: bytes.clone(), range });
                unread.push((name, other.to_string()));
                continue;
            }
        };
        let (start, end) = info.data_offsets;
        tensors.push(TensorInfo {
            name,
            shape: Shape::from(info.shape.as_slice()),
            dtype,
            part,
            offset: data + start,
            len_bytes: end - start,
        });
    }
    let metadata = header.metadata().clone().unwrap_or_default();
    let part = Part { path: path.to_path_buf(), bytes };
    Ok(Parsed { part, tensors, unread, wide, metadata })
}
