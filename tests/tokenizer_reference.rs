//! The tokenizer against the vocabularies and cases of the reference data (`TL_REFERENCE`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use tensorlogic::format::ModelFile;
use tensorlogic::text::{Specials, TokenId, Tokenizer};

/// Those that `cases.json` has.
const VOCABS: [&str; 5] = ["llama-spm", "phi-3", "llama-bpe", "gpt-2", "qwen2"];
/// Those whose texts come back as they were.
const LOSSLESS: [&str; 6] = ["llama-spm", "phi-3", "llama-bpe", "gpt-2", "qwen2", "gemma-4"];
const ALL: [&str; 7] = ["llama-spm", "phi-3", "llama-bpe", "gpt-2", "qwen2", "gemma-4", "bert-bge"];

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("TL_REFERENCE").map(|root| PathBuf::from(root).join("tokenizer"));
    if folder.is_none() {
        println!("skipped: TL_REFERENCE is not set");
    }
    folder
}

fn open(folder: &Path, name: &str) -> ModelFile {
    ModelFile::open(&folder.join(format!("ggml-vocab-{name}.gguf")), false).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn load(folder: &Path, name: &str) -> Tokenizer {
    Tokenizer::from_model(&open(folder, name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn numbers(ids: &[TokenId]) -> Vec<u64> {
    ids.iter().map(|id| id.0.into()).collect()
}

fn expected(value: &Value) -> Vec<u64> {
    value.as_array().expect("a list").iter().map(|id| id.as_u64().expect("an id")).collect()
}

#[test]
fn every_case_of_every_vocabulary() {
    let Some(folder) = folder() else { return };
    let cases: Value = serde_json::from_slice(&std::fs::read(folder.join("cases.json")).expect("cases.json")).expect("JSON");
    let texts =
        |key: &str| -> Vec<String> { cases[key].as_array().expect(key).iter().map(|t| t.as_str().expect(key).to_string()).collect() };
    let (plain_texts, special_texts) = (texts("cases"), texts("special_texts"));
    let mut n_checked = 0;
    for name in VOCABS {
        let tokenizer = load(&folder, name);
        let expectations = [
            ("plain", &plain_texts, Specials::Plain, false),
            ("with_added", &plain_texts, Specials::Plain, true),
            ("special_plain", &special_texts, Specials::Plain, false),
            ("special_parsed", &special_texts, Specials::Parsed, false),
        ];
        for (key, texts, specials, add) in expectations {
            let want = cases["vocabs"][name][key].as_array().expect(key);
            assert_eq!(want.len(), texts.len());
            for (text, want) in texts.iter().zip(want) {
                assert_eq!(numbers(&tokenizer.encode(text, specials, add)), expected(want), "{name} {key} {text:?}");
                n_checked += 1;
            }
        }
    }
    assert_eq!(n_checked, 5 * (46 + 46 + 8 + 8));
}

/// The texts and ids that llama.cpp has beside each vocabulary.
fn vectors(folder: &Path, name: &str) -> Vec<(String, Vec<u64>)> {
    let inp = std::fs::read_to_string(folder.join(format!("ggml-vocab-{name}.gguf.inp"))).expect(".inp");
    let out = std::fs::read_to_string(folder.join(format!("ggml-vocab-{name}.gguf.out"))).expect(".out");
    // Gemma 4's file has no mark behind its last text.
    let inp = inp.strip_suffix("\n__ggml_vocab_test__\n").unwrap_or(&inp);
    let texts: Vec<String> = inp.split("\n__ggml_vocab_test__\n").map(String::from).collect();
    assert_eq!(texts.len(), out.lines().count());
    let ids = out.lines().map(|line| line.split_whitespace().map(|id| id.parse().expect("an id")).collect());
    texts.into_iter().zip(ids).collect()
}

#[test]
fn every_vector_of_llama_cpp() {
    let Some(folder) = folder() else { return };
    for name in ALL {
        let tokenizer = load(&folder, name);
        let vectors = vectors(&folder, name);
        for (text, want) in &vectors {
            let ids = tokenizer.encode(text, Specials::Plain, false);
            assert_eq!(&numbers(&ids), want, "{name} {text:?}");
            let decoded = tokenizer.decode(&ids);
            if LOSSLESS.contains(&name) {
                assert_eq!(&decoded, text, "{name}");
            } else if !ids.iter().any(|&id| tokenizer.is_special(id)) {
                // Without unknown words, the words are those of the text.
                assert_eq!(tokenizer.encode(&decoded, Specials::Plain, false), ids, "{name} {text:?} {decoded:?}");
            }
        }
        println!("{name}: {} lines", vectors.len());
        assert_eq!(vectors.len(), 46);
    }
}

#[test]
fn bert_puts_its_marks_around_a_text() {
    let Some(folder) = folder() else { return };
    let tokenizer = load(&folder, "bert-bge");
    let ids = tokenizer.encode("Hello, World! Don't", Specials::Plain, true);
    assert_eq!(numbers(&ids), [101, 7592, 1010, 2088, 999, 2123, 1005, 1056, 102]);
    assert_eq!(tokenizer.decode(&ids), "hello, world! don ' t");
}

/// A xorshift generator, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 33) % u64::from(n)) as u32
    }

    /// A character from one of several ranges, so that letters, white space, marks and rare planes all occur.
    fn char(&mut self) -> char {
        let (from, to) = match self.below(8) {
            0 | 1 => (0x20, 0x7f),
            2 => (0x00, 0x20),
            3 => (0x80, 0x250),
            4 => (0x300, 0x600),
            5 => (0x2000, 0x3100),
            6 => (0x4e00, 0xd800),
            _ => (0x1_0000, 0x11_0000),
        };
        char::from_u32(from + self.below(to - from)).unwrap_or(' ')
    }

    fn text(&mut self) -> String {
        (0..self.below(24)).map(|_| self.char()).collect()
    }
}

#[test]
fn random_unicode_round_trips() {
    let Some(folder) = folder() else { return };
    for name in LOSSLESS {
        let tokenizer = load(&folder, name);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..100_000 {
            let mut text = random.text();
            if matches!(name, "llama-spm" | "phi-3" | "gemma-4") {
                // The format writes a space as this character, so it cannot tell the two apart.
                text = text.replace('▁', " ");
            }
            let ids = tokenizer.encode(&text, Specials::Plain, false);
            assert_eq!(tokenizer.decode(&ids), text, "{name}");
            assert!(!ids.iter().any(|&id| tokenizer.is_special(id)), "{name} {text:?}");
        }
    }
}

#[test]
fn spelling_every_special_token_gives_ordinary_ids() {
    let Some(folder) = folder() else { return };
    for name in LOSSLESS {
        let tokenizer = load(&folder, name);
        let all = (0..tokenizer.vocab_size() as u32).map(TokenId);
        let specials: Vec<TokenId> = all.filter(|&id| tokenizer.is_special(id)).collect();
        assert!(!specials.is_empty());
        let message: String = specials.iter().filter_map(|&id| tokenizer.token_text(id)).collect();
        let plain = tokenizer.encode(&message, Specials::Plain, false);
        assert!(!plain.iter().any(|&id| tokenizer.is_special(id)), "{name}");
        assert_eq!(tokenizer.decode(&plain), message, "{name}");
        let parsed = tokenizer.encode(&message, Specials::Parsed, false);
        assert_eq!(parsed, specials, "{name}");
    }
}

#[test]
fn loading_and_encoding_are_fast() {
    let Some(folder) = folder() else { return };
    let seed = std::fs::read_to_string(folder.join("ggml-vocab-gpt-2.gguf.inp")).expect(".inp");
    let prose = "The quick brown fox jumps over the lazy dog, 42 times a day; Dr. O'Neil's notes don't say why.\n";
    let text: String = [seed.as_str(), prose, prose, prose].iter().cycle().take(2_000).copied().collect();
    let text = &text[..text.floor_char_boundary(1_000_000)];
    for name in ALL {
        let model = open(&folder, name);
        let start = std::time::Instant::now();
        let tokenizer = Tokenizer::from_model(&model).expect("a vocabulary");
        let load = start.elapsed();
        let start = std::time::Instant::now();
        let ids = tokenizer.encode(text, Specials::Plain, true);
        let encode = start.elapsed();
        println!(
            "{name}: {} tokens; load {load:.1?}, encode {} bytes to {} ids {encode:.1?}",
            tokenizer.vocab_size(),
            text.len(),
            ids.len()
        );
        // The bars are for release builds.
        if !cfg!(debug_assertions) {
            assert!(encode.as_secs_f64() < 2.0, "{name}: {encode:?}");
            assert!(tokenizer.vocab_size() != 32_000 || load.as_secs_f64() < 0.1, "{name}: {load:?}");
        }
    }
}
