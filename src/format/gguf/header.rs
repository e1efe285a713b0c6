//! Everything of a GGUF file before its tensor data.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::element;
use crate::format::{FileBytes, FormatError, Metadata, MetadataArray, MetadataValue, TensorInfo, ValueType};
use crate::tensor::Shape;

pub(super) const MAGIC: [u8; 4] = *b"GGUF";
pub(super) const DEFAULT_ALIGNMENT: usize = 32;

/// Real files have under 100 pairs; the cap bounds the table that is built of them.
const MAX_PAIRS: u64 = 65_536;
/// A model of 1,000 layers with each expert apart has fewer; the cap bounds the directory to some tens of MB.
const MAX_TENSORS: u64 = 262_144;
/// The specification's own limit for keys.
const MAX_KEY_BYTES: usize = 65_535;
/// ggml's own limit is 63; other writers go a little beyond.
const MAX_NAME_BYTES: usize = 1_024;
/// The longest real strings are chat templates and licences, well under 1 MB. Single strings are copied.
const MAX_STRING_BYTES: usize = 16 << 20;
/// The largest vocabularies with merges take some 20 MB. Bounds the time that opening a file takes.
const MAX_METADATA_BYTES: usize = 256 << 20;
/// The same for the number of elements of an array; vocabularies have up to 300,000 and their merges twice that.
const MAX_ARRAY_LEN: u64 = 16 << 20;
/// ggml's `GGML_MAX_DIMS`.
const MAX_RANK: u32 = 4;
/// Files use 32, rarely a page.
const MAX_ALIGNMENT: u64 = 65_536;

pub(super) struct Header {
    pub metadata: Metadata,
    /// Offsets are from the start of the file; whether they lie within it is the directory's question.
    pub tensors: Vec<TensorInfo>,
    /// Where the last tensor ends, or where data would begin.
    pub end: usize,
}

/// Reads a file from its magic to its tensor directory.
pub(super) fn parse(path: &Path, file: &Arc<FileBytes>) -> Result<Header, FormatError> {
    let mut cursor = Cursor { path, bytes: file, at: 0 };
    let (metadata, n_tensors) = read_metadata(&mut cursor, file)?;
    let alignment = alignment(&cursor, &metadata)?;

    let mut tensors = Vec::new();
    for i in 0..n_tensors {
        tensors.push(read_tensor(&mut cursor, i, n_tensors, alignment)?);
    }
    place(&cursor, &mut tensors, alignment)?;
    let end = tensors.iter().map(|t| t.offset.saturating_add(t.len_bytes)).max().unwrap_or(cursor.at);
    Ok(Header { metadata, tensors, end })
}

/// Reads the metadata alone, also of a file whose tensors cannot be read.
pub(super) fn metadata(path: &Path, file: &Arc<FileBytes>) -> Result<Metadata, FormatError> {
    let mut cursor = Cursor { path, bytes: file, at: 0 };
    read_metadata(&mut cursor, file).map(|(metadata, _)| metadata)
}

/// The metadata, and how many tensors follow.
fn read_metadata(cursor: &mut Cursor, file: &Arc<FileBytes>) -> Result<(Metadata, u64), FormatError> {
    check_magic_and_version(cursor)?;
    let n_tensors = cursor.u64(&"the tensor count")?;
    let n_pairs = cursor.u64(&"the metadata count")?;
    // A pair takes at least a key length, a type and one byte; a tensor a name length, a rank, a type and an offset.
    cursor.check_count(n_pairs, MAX_PAIRS, 13, "metadata pairs")?;
    cursor.check_count(n_tensors, MAX_TENSORS, 24, "tensors")?;

    let mut metadata = Metadata::new();
    for i in 0..n_pairs {
        let key = cursor.string(MAX_KEY_BYTES, &format_args!("metadata key {i} of {n_pairs}"))?;
        if metadata.get(key).is_some() {
            return Err(cursor.error(format!("metadata key `{key}` appears twice; convert the model again")));
        }
        let value = read_value(cursor, file, key)?;
        metadata.set(key, value);
        if cursor.at > MAX_METADATA_BYTES {
            return Err(cursor.error(format!("metadata is over {MAX_METADATA_BYTES} bytes at key `{key}`, the most that is read")));
        }
    }
    Ok((metadata, n_tensors))
}

fn check_magic_and_version(cursor: &mut Cursor) -> Result<(), FormatError> {
    let magic = cursor.take(4, &"the magic number")?;
    if magic != MAGIC {
        let start = String::from_utf8_lossy(magic).escape_debug().to_string();
        return Err(
            cursor.error(format!("is no GGUF file: it starts with `{start}`, not `GGUF`; name a .gguf file or a Hugging Face folder"))
        );
    }
    match cursor.u32(&"the version")? {
        2 | 3 => Ok(()),
        1 => Err(cursor.error("GGUF version 1 is not read (2 and 3 are); convert the model again with a current llama.cpp")),
        v if matches!(v.swap_bytes(), 1..=3) => Err(cursor
            .error(format!("big-endian GGUF version {} is not read; convert the model again for little-endian machines", v.swap_bytes()))),
        v => Err(cursor.error(format!("GGUF version {v} is unknown (2 and 3 are read); update tl or convert the model again"))),
    }
}

fn read_value(cursor: &mut Cursor, file: &Arc<FileBytes>, key: &str) -> Result<MetadataValue, FormatError> {
    let what = format_args!("the value of `{key}`");
    let value_type = read_type(cursor, key)?;
    Ok(match value_type {
        ValueType::U8 => MetadataValue::U8(cursor.array::<1>(&what)?[0]),
        ValueType::I8 => MetadataValue::I8(i8::from_le_bytes(cursor.array(&what)?)),
        ValueType::U16 => MetadataValue::U16(u16::from_le_bytes(cursor.array(&what)?)),
        ValueType::I16 => MetadataValue::I16(i16::from_le_bytes(cursor.array(&what)?)),
        ValueType::U32 => MetadataValue::U32(cursor.u32(&what)?),
        ValueType::I32 => MetadataValue::I32(i32::from_le_bytes(cursor.array(&what)?)),
        ValueType::F32 => MetadataValue::F32(f32::from_le_bytes(cursor.array(&what)?)),
        ValueType::Bool => MetadataValue::Bool(cursor.array::<1>(&what)?[0] != 0),
        ValueType::String => MetadataValue::String(cursor.string(MAX_STRING_BYTES, &what)?.to_owned()),
        ValueType::Array => MetadataValue::Array(read_array(cursor, file, key)?),
        ValueType::U64 => MetadataValue::U64(cursor.u64(&what)?),
        ValueType::I64 => MetadataValue::I64(i64::from_le_bytes(cursor.array(&what)?)),
        ValueType::F64 => MetadataValue::F64(f64::from_le_bytes(cursor.array(&what)?)),
    })
}

/// Checks every element once and copies none. No model has arrays of arrays, and reading none bounds the nesting.
fn read_array(cursor: &mut Cursor, file: &Arc<FileBytes>, key: &str) -> Result<MetadataArray, FormatError> {
    let element_type = read_type(cursor, key)?;
    let len = cursor.u64(&format_args!("the length of array `{key}`"))?;
    if element_type == ValueType::Array {
        return Err(cursor.error(format!("`{key}` is an array of arrays, which is not read; convert the model again")));
    }
    let size = element_type.size();
    cursor.check_count(len, MAX_ARRAY_LEN, size.unwrap_or(8), &format!("elements of array `{key}`"))?;
    // Both fit: the count was held against the bytes that are left.
    let len = len as usize;
    let start = cursor.at;
    match size {
        Some(size) => {
            cursor.take(len * size, &format_args!("array `{key}`"))?;
        }
        None => {
            for i in 0..len {
                cursor.string(MAX_STRING_BYTES, &format_args!("string {i} of {len} of array `{key}`"))?;
            }
        }
    }
    Ok(MetadataArray::in_file(element_type, len, file, start, cursor.at))
}

fn read_type(cursor: &mut Cursor, key: &str) -> Result<ValueType, FormatError> {
    let number = cursor.u32(&format_args!("the type of `{key}`"))?;
    ValueType::from_number(number).ok_or_else(|| cursor.error(format!("`{key}` has the unknown value type {number} (0 to 12 are known)")))
}

fn alignment(cursor: &Cursor, metadata: &Metadata) -> Result<usize, FormatError> {
    let Some(value) = metadata.get("general.alignment") else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    // A multiple of 8 by the specification; that also lets f32 data be read in place.
    match value.as_u64() {
        Some(v @ 8..=MAX_ALIGNMENT) if v.is_power_of_two() => Ok(v as usize),
        _ => Err(cursor.error(format!("`general.alignment` is {value:?}, not a power of two from 8 to {MAX_ALIGNMENT}"))),
    }
}

/// One directory entry. Its offset is still from the start of the data section.
fn read_tensor(cursor: &mut Cursor, i: u64, n: u64, alignment: usize) -> Result<TensorInfo, FormatError> {
    let name = cursor.string(MAX_NAME_BYTES, &format_args!("the name of tensor {i} of {n}"))?.to_owned();
    let what = format_args!("the directory entry of tensor `{name}`");
    let rank = cursor.u32(&what)?;
    if rank > MAX_RANK {
        return Err(cursor.error(format!("tensor `{name}` has {rank} dimensions, at most {MAX_RANK} are allowed")));
    }
    let mut dims = Vec::with_capacity(rank as usize);
    for _ in 0..rank {
        dims.push(cursor.u64(&what)?);
    }
    let number = cursor.u32(&what)?;
    let dtype = element::from_number(number).map_err(|e| cursor.error(format!("tensor `{name}` has {e}")))?;
    let offset = cursor.u64(&what)?;

    let too_large = || cursor.error(format!("tensor `{name}` has dimensions {dims:?}, more values than a file can hold"));
    if dims.contains(&0) {
        return Err(cursor.error(format!("tensor `{name}` has dimensions {dims:?}, none may be 0")));
    }
    let n_values = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).and_then(|n| usize::try_from(n).ok()).ok_or_else(too_large)?;
    let columns = dims.first().map_or(1, |&c| c as usize);
    if !columns.is_multiple_of(dtype.block_len()) {
        let block_len = dtype.block_len();
        return Err(
            cursor.error(format!("tensor `{name}` has rows of {columns} values, no multiple of the {block_len} in a {dtype} block"))
        );
    }
    let len_bytes = dtype.storage_bytes(n_values).ok_or_else(too_large)?;
    if !offset.is_multiple_of(alignment as u64) {
        return Err(cursor.error(format!("tensor `{name}` is at offset {offset}, no multiple of the alignment {alignment}")));
    }
    let offset = usize::try_from(offset)
        .map_err(|_| cursor.error(format!("tensor `{name}` is at offset {offset}, the file has {} bytes", cursor.bytes.len())))?;
    let shape = Shape::new(dims.iter().rev().map(|&d| d as usize).collect::<Vec<_>>());
    Ok(TensorInfo { name, shape, dtype, part: 0, offset, len_bytes })
}

/// Makes the offsets absolute: the data section starts at the first aligned byte behind the directory.
fn place(cursor: &Cursor, tensors: &mut [TensorInfo], alignment: usize) -> Result<(), FormatError> {
    let data = cursor.at.next_multiple_of(alignment);
    for tensor in tensors {
        let Some(offset) = tensor.offset.checked_add(data) else {
            let message = format!("tensor `{}` is at offset {}, the file has {} bytes", tensor.name, tensor.offset, cursor.bytes.len());
            return Err(cursor.error(message));
        };
        tensor.offset = offset;
    }
    Ok(())
}

/// A position in the file, which every read moves on after holding its length against what is left.
struct Cursor<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize, what: &dyn fmt::Display) -> Result<&'a [u8], FormatError> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..len) else {
            let message = format!(
                "ends within {what}: {len} bytes are needed at offset {}, the file has {}; it is truncated or damaged, download it again",
                self.at,
                self.bytes.len()
            );
            return Err(self.error(message));
        };
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &dyn fmt::Display) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    fn u32(&mut self, what: &dyn fmt::Display) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &dyn fmt::Display) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A length and that many bytes of UTF-8.
    fn string(&mut self, max_bytes: usize, what: &dyn fmt::Display) -> Result<&'a str, FormatError> {
        let len = self.u64(what)?;
        let Some(len) = usize::try_from(len).ok().filter(|&len| len <= max_bytes) else {
            return Err(
                self.error(format!("{what} is {len} bytes long, at most {max_bytes} are read; the file is damaged, download it again"))
            );
        };
        let start = self.at;
        std::str::from_utf8(self.take(len, what)?).map_err(|e| {
            self.error(format!("{what} is not UTF-8 at offset {}; the file is damaged, download it again", start + e.valid_up_to()))
        })
    }

    /// Refuses a count above `max`, or of more elements than the rest of the file can hold at `min_bytes` each.
    fn check_count(&self, count: u64, max: u64, min_bytes: usize, what: &str) -> Result<(), FormatError> {
        if count > max {
            return Err(self.error(format!("{count} {what} are more than the {max} that are read; the file is damaged, download it again")));
        }
        let left = (self.bytes.len() - self.at) as u64;
        if count > left / min_bytes as u64 {
            let message = format!(
                "{count} {what} do not fit in the {left} bytes behind offset {}; the file is truncated or damaged, download it again",
                self.at
            );
            return Err(self.error(message));
        }
        Ok(())
    }

    fn error(&self, message: impl Into<String>) -> FormatError {
        FormatError::invalid(self.path, message)
    }
}
