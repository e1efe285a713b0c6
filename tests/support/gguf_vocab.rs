//! Reads the tokenizer keys of a GGUF file for tests.

use std::collections::HashMap;
use std::path::Path;

use tensorlogic::text::VocabSpec;

enum Value {
    Number(f64),
    Text(String),
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("the file is complete");
        self.0 = rest;
        *head
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let len = self.u64() as usize;
        let (head, rest) = self.0.split_at(len);
        self.0 = rest;
        String::from_utf8(head.to_vec()).expect("texts are UTF-8")
    }

    fn number(&mut self, kind: u32) -> f64 {
        match kind {
            0 | 1 | 7 => self.take::<1>()[0].into(),
            2 | 3 => u16::from_le_bytes(self.take()).into(),
            4 => u32::from_le_bytes(self.take()).into(),
            5 => i32::from_le_bytes(self.take()).into(),
            6 => f32::from_le_bytes(self.take()).into(),
            10 | 11 => self.u64() as f64,
            12 => f64::from_le_bytes(self.take()),
            _ => panic!("value type {kind}"),
        }
    }

    fn value(&mut self) -> Value {
        let kind = u32::from_le_bytes(self.take());
        match kind {
            8 => Value::Text(self.text()),
            9 => {
                let inner = u32::from_le_bytes(self.take());
                let n = self.u64();
                match inner {
                    8 => Value::Texts((0..n).map(|_| self.text()).collect()),
                    _ => Value::Numbers((0..n).map(|_| self.number(inner)).collect()),
                }
            }
            _ => Value::Number(self.number(kind)),
        }
    }
}

pub fn read(path: &Path) -> VocabSpec {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut reader = Reader(&bytes[16..]);
    let n_pairs = reader.u64();
    let mut values: HashMap<String, Value> = (0..n_pairs).map(|_| (reader.text(), reader.value())).collect();
    let mut take = |key: &str| values.remove(key);
    let mut text = |key: &str| match take(key) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let mut spec = VocabSpec {
        model: text("tokenizer.ggml.model").expect("a model"),
        pre: text("tokenizer.ggml.pre"),
        architecture: text("general.architecture"),
        name: text("general.name"),
        ..VocabSpec::default()
    };
    let mut number = |key: &str| match values.remove(key) {
        Some(Value::Number(n)) => Some(n),
        _ => None,
    };
    spec.bos = number("tokenizer.ggml.bos_token_id").map(|n| n as u32);
    spec.eos = number("tokenizer.ggml.eos_token_id").map(|n| n as u32);
    spec.unknown = number("tokenizer.ggml.unknown_token_id").map(|n| n as u32);
    spec.add_bos = number("tokenizer.ggml.add_bos_token").map(|n| n != 0.0);
    spec.add_eos = number("tokenizer.ggml.add_eos_token").map(|n| n != 0.0);
    spec.add_space_prefix = number("tokenizer.ggml.add_space_prefix").map(|n| n != 0.0);
    if let Some(Value::Texts(tokens)) = values.remove("tokenizer.ggml.tokens") {
        spec.tokens = tokens;
    }
    if let Some(Value::Texts(merges)) = values.remove("tokenizer.ggml.merges") {
        spec.merges = merges;
    }
    if let Some(Value::Numbers(scores)) = values.remove("tokenizer.ggml.scores") {
        spec.scores = scores.iter().map(|&n| n as f32).collect();
    }
    if let Some(Value::Numbers(types)) = values.remove("tokenizer.ggml.token_type") {
        spec.token_types = types.iter().map(|&n| n as i32).collect();
    }
    spec
}
