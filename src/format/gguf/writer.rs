//! Writes GGUF files, version 3.

use std::borrow::Cow;
use std::io::{self, Write};

use super::element;
use super::header::{DEFAULT_ALIGNMENT, MAGIC};
use crate::format::{FormatError, Metadata, MetadataValue};
use crate::output::Output;
use crate::tensor::{DType, Shape};

/// A GGUF file to be written: metadata and tensors in the order in which they are added.
#[derive(Default)]
pub struct GgufWriter<'a> {
    metadata: Metadata,
    tensors: Vec<Tensor<'a>>,
}

struct Tensor<'a> {
    name: String,
    shape: Shape,
    ggml_type: u32,
    data: Cow<'a, [u8]>,
}

impl<'a> GgufWriter<'a> {
    pub fn new() -> Self {
        GgufWriter::default()
    }

    /// Adds a metadata pair, or replaces the value of a key that is there. `general.alignment` is kept to.
    pub fn set(&mut self, key: &str, value: impl Into<MetadataValue>) -> &mut Self {
        self.metadata.set(key, value);
        self
    }

    /// Adds a tensor: `shape` outermost first, `data` its blocks as a file holds them, which must fill it.
    pub fn tensor(&mut self, name: &str, shape: impl Into<Shape>, dtype: DType, data: impl Into<Cow<'a, [u8]>>) -> &mut Self {
        let (shape, data) = (shape.into(), data.into());
        assert_eq!(dtype.storage_bytes(shape.len()), Some(data.len()), "the bytes of `{name}` must fill {shape} {dtype}");
        let ggml_type = element::number(dtype).expect("every type a weight has is a type of GGUF");
        self.tensors.push(Tensor { name: name.to_owned(), shape, ggml_type, data });
        self
    }

    /// Adds an f32 tensor.
    pub fn f32(&mut self, name: &str, shape: impl Into<Shape>, values: &[f32]) -> &mut Self {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, shape, DType::F32, data)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// Those of the output.
    pub fn save(&self, output: impl Into<Output>) -> Result<(), FormatError> {
        Ok(output.into().write(|out| self.write(out))?)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes).expect("a vector takes every byte");
        bytes
    }

    pub fn write(&self, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        let header = self.header();
        out.write_all(&header)?;
        let alignment = self.alignment();
        let mut at = header.len();
        for tensor in &self.tensors {
            pad(out, &mut at, alignment)?;
            out.write_all(&tensor.data)?;
            at += tensor.data.len();
        }
        // The specification pads the last tensor too.
        pad(out, &mut at, alignment)
    }

    fn alignment(&self) -> usize {
        self.metadata.u64("general.alignment").map_or(DEFAULT_ALIGNMENT, |v| v as usize)
    }

    fn header(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            put_string(&mut out, key);
            out.extend((value.value_type() as u32).to_le_bytes());
            put_value(&mut out, value);
        }
        let mut offset = 0usize;
        for tensor in &self.tensors {
            put_string(&mut out, &tensor.name);
            out.extend((tensor.shape.rank() as u32).to_le_bytes());
            for &dim in tensor.shape.iter().rev() {
                out.extend((dim as u64).to_le_bytes());
            }
            out.extend(tensor.ggml_type.to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset = (offset + tensor.data.len()).next_multiple_of(self.alignment());
        }
        out
    }
}

fn put_string(out: &mut Vec<u8>, string: &str) {
    out.extend((string.len() as u64).to_le_bytes());
    out.extend(string.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &MetadataValue) {
    match value {
        MetadataValue::U8(v) => out.push(*v),
        MetadataValue::I8(v) => out.extend(v.to_le_bytes()),
        MetadataValue::U16(v) => out.extend(v.to_le_bytes()),
        MetadataValue::I16(v) => out.extend(v.to_le_bytes()),
        MetadataValue::U32(v) => out.extend(v.to_le_bytes()),
        MetadataValue::I32(v) => out.extend(v.to_le_bytes()),
        MetadataValue::F32(v) => out.extend(v.to_le_bytes()),
        MetadataValue::Bool(v) => out.push((*v).into()),
        MetadataValue::String(v) => put_string(out, v),
        MetadataValue::Array(v) => {
            out.extend((v.element_type() as u32).to_le_bytes());
            out.extend((v.len() as u64).to_le_bytes());
            out.extend(v.payload());
        }
        MetadataValue::U64(v) => out.extend(v.to_le_bytes()),
        MetadataValue::I64(v) => out.extend(v.to_le_bytes()),
        MetadataValue::F64(v) => out.extend(v.to_le_bytes()),
    }
}

fn pad(out: &mut (impl Write + ?Sized), at: &mut usize, alignment: usize) -> io::Result<()> {
    let padding = at.next_multiple_of(alignment) - *at;
    out.write_all(&vec![0; padding])?;
    *at += padding;
    Ok(())
}
