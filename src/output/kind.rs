//! What a file's ending promises.

use std::path::Path;

/// A format that files are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileKind {
    /// As an error calls it.
    pub name: &'static str,
    /// In lower case, the usual one first.
    pub endings: &'static [&'static str],
}

/// Endings of formats that others read by them. One of these on a file of another format would be a lie; all others promise nothing.
const KNOWN: &[&str] = &[
    "svg",
    "png",
    "jpg",
    "jpeg",
    "gif",
    "bmp",
    "tif",
    "tiff",
    "webp",
    "pdf",
    "eps",
    "ps",
    "html",
    "htm",
    "md",
    "txt",
    "csv",
    "tsv",
    "json",
    "jsonl",
    "yaml",
    "yml",
    "toml",
    "xml",
    "gguf",
    "ggml",
    "safetensors",
    "npy",
    "npz",
    "pt",
    "pth",
    "pkl",
    "bin",
    "onnx",
    "h5",
    "hdf5",
    "parquet",
    "zip",
    "gz",
    "tar",
    "zst",
    "tl",
    "py",
    "rs",
    "c",
    "h",
    "js",
    "sh",
    "jinja",
];

impl FileKind {
    pub const SVG: FileKind = FileKind { name: "SVG", endings: &["svg"] };
    pub const JSON: FileKind = FileKind { name: "JSON", endings: &["json"] };
    pub const GGUF: FileKind = FileKind { name: "GGUF", endings: &["gguf"] };
    pub const SAFETENSORS: FileKind = FileKind { name: "safetensors", endings: &["safetensors"] };

    /// Whether a file of this kind may have this name.
    pub fn fits(self, path: &Path) -> bool {
        let Some(ending) = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase) else { return true };
        self.endings.contains(&ending.as_str()) || !KNOWN.contains(&ending.as_str())
    }
}
