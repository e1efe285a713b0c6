//! Typed key-value metadata, with the types of the GGUF specification.

use std::collections::HashMap;
use std::sync::Arc;

use super::FileBytes;

/// Metadata in file order. Keys are unique.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    entries: Vec<(String, MetadataValue)>,
    by_key: HashMap<String, usize>,
}

impl Metadata {
    pub fn new() -> Self {
        Metadata::default()
    }

    pub fn get(&self, key: &str) -> Option<&MetadataValue> {
        self.by_key.get(key).map(|&i| &self.entries[i].1)
    }

    /// A non-negative integer of any width.
    pub fn u64(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_u64()
    }

    /// A number of any type.
    pub fn f64(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    pub fn bool(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    pub fn str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    pub fn array(&self, key: &str) -> Option<&MetadataArray> {
        self.get(key)?.as_array()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &MetadataValue)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a pair, or replaces the value of a key that is there.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<MetadataValue>) {
        let (key, value) = (key.into(), value.into());
        match self.by_key.get(&key) {
            Some(&i) => self.entries[i].1 = value,
            None => {
                self.by_key.insert(key.clone(), self.entries.len());
                self.entries.push((key, value));
            }
        }
    }
}

/// A value with its type in the file.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataValue {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(MetadataArray),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl MetadataValue {
    pub fn value_type(&self) -> ValueType {
        match self {
            MetadataValue::U8(_) => ValueType::U8,
            MetadataValue::I8(_) => ValueType::I8,
            MetadataValue::U16(_) => ValueType::U16,
            MetadataValue::I16(_) => ValueType::I16,
            MetadataValue::U32(_) => ValueType::U32,
            MetadataValue::I32(_) => ValueType::I32,
            MetadataValue::F32(_) => ValueType::F32,
            MetadataValue::Bool(_) => ValueType::Bool,
            MetadataValue::String(_) => ValueType::String,
            MetadataValue::Array(_) => ValueType::Array,
            MetadataValue::U64(_) => ValueType::U64,
            MetadataValue::I64(_) => ValueType::I64,
            MetadataValue::F64(_) => ValueType::F64,
        }
    }

    /// An integer of any width, or `None` when it is negative or no integer.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            MetadataValue::U64(v) => Some(v),
            _ => u64::try_from(self.as_i64()?).ok(),
        }
    }

    /// An integer of any width, or `None` when it is above `i64::MAX` or no integer.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            MetadataValue::U8(v) => Some(v.into()),
            MetadataValue::I8(v) => Some(v.into()),
            MetadataValue::U16(v) => Some(v.into()),
            MetadataValue::I16(v) => Some(v.into()),
            MetadataValue::U32(v) => Some(v.into()),
            MetadataValue::I32(v) => Some(v.into()),
            MetadataValue::U64(v) => i64::try_from(v).ok(),
            MetadataValue::I64(v) => Some(v),
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            MetadataValue::F32(v) => Some(v.into()),
            MetadataValue::F64(v) => Some(v),
            MetadataValue::U64(v) => Some(v as f64),
            _ => self.as_i64().map(|v| v as f64),
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            MetadataValue::Bool(v) => Some(v),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            MetadataValue::String(v) => Some(v),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&MetadataArray> {
        match self {
            MetadataValue::Array(v) => Some(v),
            _ => None,
        }
    }
}

macro_rules! from_value {
    ($($from:ty => $variant:ident),*) => {
        $(impl From<$from> for MetadataValue {
            fn from(value: $from) -> Self {
                MetadataValue::$variant(value.into())
            }
        })*
    };
}
from_value!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, f32 => F32, bool => Bool, &str => String, String => String,
    MetadataArray => Array, u64 => U64, i64 => I64, f64 => F64);

/// The type of a value, with its number in a GGUF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    const ALL: [ValueType; 13] = [
        ValueType::U8,
        ValueType::I8,
        ValueType::U16,
        ValueType::I16,
        ValueType::U32,
        ValueType::I32,
        ValueType::F32,
        ValueType::Bool,
        ValueType::String,
        ValueType::Array,
        ValueType::U64,
        ValueType::I64,
        ValueType::F64,
    ];

    pub fn from_number(number: u32) -> Option<ValueType> {
        ValueType::ALL.get(number as usize).copied()
    }

    /// `u8`, `f32`, `string`, …
    pub fn name(self) -> &'static str {
        match self {
            ValueType::U8 => "u8",
            ValueType::I8 => "i8",
            ValueType::U16 => "u16",
            ValueType::I16 => "i16",
            ValueType::U32 => "u32",
            ValueType::I32 => "i32",
            ValueType::F32 => "f32",
            ValueType::Bool => "bool",
            ValueType::String => "string",
            ValueType::Array => "array",
            ValueType::U64 => "u64",
            ValueType::I64 => "i64",
            ValueType::F64 => "f64",
        }
    }

    /// Bytes of a value, or `None` for strings and arrays.
    pub fn size(self) -> Option<usize> {
        match self {
            ValueType::U8 | ValueType::I8 | ValueType::Bool => Some(1),
            ValueType::U16 | ValueType::I16 => Some(2),
            ValueType::U32 | ValueType::I32 | ValueType::F32 => Some(4),
            ValueType::U64 | ValueType::I64 | ValueType::F64 => Some(8),
            ValueType::String | ValueType::Array => None,
        }
    }
}

/// An array that stays in its file until it is walked: a vocabulary of 150,000 strings costs one check when it is opened.
/// Keeps the file's bytes alive.
#[derive(Clone)]
pub struct MetadataArray {
    element_type: ValueType,
    len: usize,
    file: Arc<FileBytes>,
    start: usize,
    end: usize,
}

impl MetadataArray {
    /// `start..end` holds `len` checked elements as a GGUF file has them.
    pub(crate) fn in_file(element_type: ValueType, len: usize, file: &Arc<FileBytes>, start: usize, end: usize) -> Self {
        MetadataArray { element_type, len, file: Arc::clone(file), start, end }
    }

    pub fn from_strs<'a>(strings: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut bytes, mut len) = (Vec::new(), 0);
        for string in strings {
            bytes.extend((string.len() as u64).to_le_bytes());
            bytes.extend(string.as_bytes());
            len += 1;
        }
        MetadataArray::own(ValueType::String, len, bytes)
    }

    pub fn from_f32s(values: &[f32]) -> Self {
        MetadataArray::own(ValueType::F32, values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub fn from_i32s(values: &[i32]) -> Self {
        MetadataArray::own(ValueType::I32, values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub fn from_u32s(values: &[u32]) -> Self {
        MetadataArray::own(ValueType::U32, values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub fn from_bools(values: &[bool]) -> Self {
        MetadataArray::own(ValueType::Bool, values.len(), values.iter().map(|&v| v.into()).collect())
    }

    fn own(element_type: ValueType, len: usize, bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        MetadataArray { element_type, len, file: Arc::new(bytes.into()), start: 0, end }
    }

    pub fn element_type(&self) -> ValueType {
        self.element_type
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements as a GGUF file holds them.
    pub fn payload(&self) -> &[u8] {
        self.file.get(self.start..self.end).unwrap_or_default()
    }

    /// The strings, or `None` for another element type. They were checked when the file was opened; the walk ends early
    /// when someone has changed a mapped file since.
    pub fn strs(&self) -> Option<impl Iterator<Item = &str>> {
        let mut rest = self.payload();
        (self.element_type == ValueType::String).then(|| std::iter::from_fn(move || next_str(&mut rest)).take(self.len))
    }

    /// The integers (a `u64` above `i64::MAX` is that), or `None` for another element type.
    pub fn ints(&self) -> Option<impl Iterator<Item = i64>> {
        let element_type = self.element_type;
        let is_int = !matches!(element_type, ValueType::F32 | ValueType::F64 | ValueType::Bool | ValueType::String | ValueType::Array);
        let values = self.numbers().filter(|_| is_int)?;
        Some(values.map(move |b| if element_type == ValueType::U64 && b < 0 { i64::MAX } else { b }))
    }

    /// The integer that all elements are, or `None` for an empty array, for different ones and for another element type.
    pub fn same_int(&self) -> Option<i64> {
        let first = self.ints()?.next()?;
        self.ints()?.all(|n| n == first).then_some(first)
    }

    /// The numbers of an `f32` or `f64` array, or `None` for another element type.
    pub fn floats(&self) -> Option<impl Iterator<Item = f64>> {
        let single = self.element_type == ValueType::F32;
        let values = self.numbers().filter(|_| single || self.element_type == ValueType::F64)?;
        Some(values.map(move |b| if single { f32::from_bits(b as u32).into() } else { f64::from_bits(b as u64) }))
    }

    pub fn bools(&self) -> Option<impl Iterator<Item = bool>> {
        Some(self.numbers().filter(|_| self.element_type == ValueType::Bool)?.map(|b| b != 0))
    }

    /// Each element's bits, sign-extended where its type is signed.
    fn numbers(&self) -> Option<impl Iterator<Item = i64>> {
        let signed = matches!(self.element_type, ValueType::I8 | ValueType::I16 | ValueType::I32 | ValueType::I64);
        let size = self.element_type.size()?;
        let unused = 64 - 8 * size;
        Some(self.payload().chunks_exact(size).map(move |chunk| {
            let mut word = [0; 8];
            word[..size].copy_from_slice(chunk);
            let bits = u64::from_le_bytes(word);
            if signed { (bits << unused) as i64 >> unused } else { bits as i64 }
        }))
    }
}

impl PartialEq for MetadataArray {
    fn eq(&self, other: &Self) -> bool {
        self.element_type == other.element_type && self.len == other.len && self.payload() == other.payload()
    }
}

impl std::fmt::Debug for MetadataArray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.element_type.name(), self.len)
    }
}

fn next_str<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (len, tail) = rest.split_first_chunk()?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
    let string = std::str::from_utf8(tail.get(..len)?).ok()?;
    *rest = &tail[len..];
    Some(string)
}
