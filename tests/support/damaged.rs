//! Model files with damaged weights or metadata, made from the fixtures.

use tensorlogic::format::ModelFile;

use super::fixture;

/// A GGUF file's bytes, and where things are in them.
pub struct File {
    pub bytes: Vec<u8>,
    good: ModelFile,
}

impl File {
    pub fn open(model: &str) -> Self {
        let path = fixture(&format!("{model}.gguf"));
        File { bytes: std::fs::read(&path).unwrap(), good: ModelFile::open(&path, true).unwrap() }
    }

    pub fn find(&self, text: &str) -> usize {
        let framed: Vec<u8> = (text.len() as u64).to_le_bytes().into_iter().chain(text.bytes()).collect();
        self.bytes.windows(framed.len()).position(|w| w == framed).unwrap_or_else(|| panic!("no {text}")) + framed.len()
    }

    /// Where the directory keeps the offset of a tensor of two dimensions.
    pub fn offset_of(&self, tensor: &str) -> usize {
        self.find(tensor) + 4 + 2 * 8 + 4
    }

    pub fn swap(&mut self, a: &str, b: &str) {
        let (a, b) = (self.offset_of(a), self.offset_of(b));
        (0..8).for_each(|i| self.bytes.swap(a + i, b + i));
    }

    /// A metadata value of type f32.
    pub fn set_f32(&mut self, key: &str, value: f32) {
        let at = self.find(key) + 4;
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// A metadata value of type u32.
    pub fn set_u32(&mut self, key: &str, value: u32) {
        let at = self.find(key) + 4;
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Every f32 of a tensor replaced by `f(index, value)`.
    pub fn map(&mut self, tensor: &str, f: impl Fn(usize, f32) -> f32) {
        let old: Vec<f32> = self.data(tensor).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let new: Vec<u8> = old.iter().enumerate().flat_map(|(i, &v)| f(i, v).to_le_bytes()).collect();
        self.data(tensor).copy_from_slice(&new);
    }

    /// Names of all tensors.
    pub fn tensors(&self) -> Vec<String> {
        self.good.tensors().tensors().iter().map(|t| t.name.clone()).collect()
    }

    pub fn data(&mut self, tensor: &str) -> &mut [u8] {
        let info = self.good.tensors().get(tensor).unwrap();
        &mut self.bytes[info.offset..info.offset + info.len_bytes]
    }
}
