//! GGUF files, versions 2 and 3, little-endian. Source: the GGUF specification (ggml repository, `docs/gguf.md`).

mod element;
mod header;
mod split;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub use writer::GgufWriter;

use super::{FileBytes, FormatError, Metadata, Part, TensorDirectory, TensorInfo};
use header::Header;

/// An open GGUF model: its metadata and its tensors, which stay in the file until their bytes are asked for.
#[derive(Debug)]
pub struct Gguf {
    pub metadata: Metadata,
    pub tensors: TensorDirectory,
}

impl Gguf {
    /// Opens a file, by memory map or with `no_mmap` by reading it. A name like `model-00002-of-00003.gguf` opens all
    /// parts, whichever is named; the metadata is that of the first.
    pub fn open(path: &Path, no_mmap: bool) -> Result<Gguf, FormatError> {
        let first = read_part(path, no_mmap)?;
        split::refuse_joined(path, &first.0.bytes, first.1.end)?;
        match split::other_parts(path, &first.1.metadata)? {
            None => Gguf::join(vec![first]),
            Some(paths) => {
                let mut first = Some(first);
                let parts = paths
                    .iter()
                    .map(|p| if p == path { first.take().map_or_else(|| read_part(p, no_mmap), Ok) } else { read_part(p, no_mmap) });
                let parts = parts.collect::<Result<Vec<_>, _>>()?;
                split::check(&parts)?;
                Gguf::join(parts)
            }
        }
    }

    /// The metadata alone of a file, also where its tensors or other parts cannot be read.
    pub fn metadata_of(path: &Path) -> Result<Metadata, FormatError> {
        header::metadata(path, &Arc::new(FileBytes::open(path, false)?))
    }

    /// A model from bytes in memory; `name` stands for the path in errors. A part of a split model is refused.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Gguf, FormatError> {
        let path = Path::new(name);
        let (part, header) = parse_part(path, bytes.into())?;
        split::refuse_part(path, &header.metadata)?;
        Gguf::join(vec![(part, header)])
    }

    /// Whether these first bytes of a file are those of a GGUF file.
    pub fn is_gguf(start: &[u8]) -> bool {
        start.starts_with(&header::MAGIC)
    }

    pub fn data(&self, name: &str) -> Option<&[u8]> {
        self.tensors.data(name)
    }

    fn join(parts: Vec<(Part, Header)>) -> Result<Gguf, FormatError> {
        let mut files = Vec::with_capacity(parts.len());
        let mut tensors: Vec<TensorInfo> = Vec::new();
        let mut metadata = None;
        for (i, (part, header)) in parts.into_iter().enumerate() {
            files.push(part);
            tensors.extend(header.tensors.into_iter().map(|t| TensorInfo { part: i, ..t }));
            metadata.get_or_insert(header.metadata);
        }
        Ok(Gguf { metadata: metadata.unwrap_or_default(), tensors: TensorDirectory::new(files, tensors)? })
    }
}

fn read_part(path: &Path, no_mmap: bool) -> Result<(Part, Header), FormatError> {
    parse_part(path, FileBytes::open(path, no_mmap)?)
}

fn parse_part(path: &Path, bytes: FileBytes) -> Result<(Part, Header), FormatError> {
    let bytes = Arc::new(bytes);
    let header = header::parse(path, &bytes)?;
    Ok((Part { path: path.to_path_buf(), bytes }, header))
}
