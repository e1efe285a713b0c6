//! The bytes of a file: mapped, or read into memory.

use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use super::FormatError;
use super::foreign::{START, foreign};

/// The bytes of a file. The start of a map is aligned to a page, that of a read file to 8 bytes.
pub struct FileBytes(Storage);

enum Storage {
    Mapped(Mmap),
    /// The words that hold the file, and the file's length in bytes.
    Read(Vec<u64>, usize),
    Owned(Vec<u8>),
}

impl FileBytes {
    /// Maps the file, or with `no_mmap` reads all of it. What can be no file of a model is refused by what it is. A mapped file that someone
    /// else truncates takes the process down when the lost part is touched: that is what reading is for.
    pub fn open(path: &Path, no_mmap: bool) -> Result<FileBytes, FormatError> {
        let (mut file, len) = open(path)?;
        let (start, _) = FileBytes::peek(path, START as u64)?;
        if let Some(what) = foreign(&start) {
            return Err(FormatError::invalid(path, what));
        }
        if len == 0 {
            return Err(FormatError::invalid(path, "the file is empty (0 bytes); download it again"));
        }
        let len =
            usize::try_from(len).map_err(|_| FormatError::invalid(path, format!("{len} bytes are more than this machine can address")))?;
        if !no_mmap {
            // SAFETY: the map is read-only and private to this process. Another process that writes to the file changes
            // bytes that are only ever read as numbers or checked again as UTF-8, so no Rust invariant rests on them.
            let map = unsafe { Mmap::map(&file) }.map_err(|e| FormatError::io(path, "map", e))?;
            return Ok(FileBytes(Storage::Mapped(map)));
        }
        let mut words = Vec::new();
        words
            .try_reserve_exact(len.div_ceil(8))
            .map_err(|_| FormatError::invalid(path, format!("no memory for its {} MB; leave out --no-mmap", len.div_ceil(1 << 20))))?;
        words.resize(len.div_ceil(8), 0);
        file.read_exact(&mut bytemuck::cast_slice_mut(&mut words)[..len]).map_err(|e| FormatError::io(path, "read", e))?;
        Ok(FileBytes(Storage::Read(words, len)))
    }

    /// The first bytes of a file, at most `len`, and the length of the whole.
    pub(crate) fn peek(path: &Path, len: u64) -> Result<(Vec<u8>, u64), FormatError> {
        let (file, file_bytes) = open(path)?;
        let mut start = Vec::new();
        file.take(len).read_to_end(&mut start).map_err(|e| FormatError::io(path, "read", e))?;
        Ok((start, file_bytes))
    }

    /// Tells the operating system that all bytes will be read soon and in order, so that it reads ahead.
    pub fn will_read_all(&self) {
        #[cfg(unix)]
        if let Storage::Mapped(map) = &self.0 {
            // Only advice: a system that cannot take it reads the file all the same.
            let _ = map.advise(memmap2::Advice::WillNeed);
        }
    }
}

impl std::fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl From<Vec<u8>> for FileBytes {
    fn from(bytes: Vec<u8>) -> Self {
        FileBytes(Storage::Owned(bytes))
    }
}

impl Deref for FileBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Storage::Mapped(map) => map,
            Storage::Read(words, len) => &bytemuck::cast_slice(words)[..*len],
            Storage::Owned(bytes) => bytes,
        }
    }
}

/// Opens a regular file and gives its length.
fn open(path: &Path) -> Result<(File, u64), FormatError> {
    let io = |e| FormatError::io(path, "open", e);
    // Opening a pipe would wait for its writer, so the kind of file is looked at first.
    let kind = std::fs::metadata(path).map_err(io)?;
    if kind.is_dir() {
        return Err(FormatError::invalid(path, "is a folder, not a file"));
    }
    if !kind.is_file() {
        return Err(FormatError::invalid(path, "is no regular file; copy it to a disk first"));
    }
    let file = File::open(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    Ok((file, len))
}
