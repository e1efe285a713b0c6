//! The committed random models: that they open, hold what their script says, and start where the exact pass starts.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use tensorlogic::format::ModelFile;
use tensorlogic::tensor::quant::FORMATS;

const MODELS: [&str; 3] = ["tiny-f32", "tiny-q4_0", "tiny-mixed"];

#[test]
fn the_models_open_and_are_finite() {
    for name in MODELS {
        let path = fixture(&format!("{name}.gguf"));
        assert!(path.metadata().unwrap().len() < 300_000, "{name}");
        let model = ModelFile::open(&path, false).unwrap();
        let vocab = model.metadata().array("tokenizer.ggml.tokens").unwrap().len();
        let embedding = model.tensors().get("token_embd.weight").unwrap();
        assert_eq!(embedding.shape.dims(), [vocab, model.metadata().u64("llama.embedding_length").unwrap() as usize]);
        for tensor in model.tensors().tensors() {
            model.tensors().check_finite(tensor).unwrap();
        }
    }
}

#[test]
fn the_mixed_model_has_every_format() {
    let model = ModelFile::open(&fixture("tiny-mixed.gguf"), true).unwrap();
    let present: BTreeSet<&str> = model.tensors().tensors().iter().map(|t| t.dtype.name()).collect();
    let expected: BTreeSet<&str> = FORMATS.iter().map(|f| f.name).chain(["f32", "f16", "bf16"]).collect();
    assert_eq!(present, expected);
}

#[test]
fn embedding_rows_equal_the_exact_ones() {
    for name in MODELS {
        let model = ModelFile::open(&fixture(&format!("{name}.gguf")), false).unwrap();
        let file = std::fs::read(fixture(&format!("{name}.safetensors"))).unwrap();
        let exact = SafeTensors::deserialize(&file).unwrap();
        let tokens =
            exact.tensor("tokens").unwrap().data().chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>();
        let rows = exact.tensor("exact.embedding").unwrap();
        let (width, embedding) = (rows.shape()[1], model.tensors().get("token_embd.weight").unwrap());
        let row_bytes = embedding.dtype.storage_bytes(width).unwrap();
        for (token, expected) in tokens.into_iter().zip(rows.data().chunks_exact(4 * width)) {
            let mut row = vec![0.0; width];
            embedding.dtype.dequantize(&model.data("token_embd.weight").unwrap()[token as usize * row_bytes..][..row_bytes], &mut row);
            assert_eq!(row.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>(), expected, "{name} token {token}");
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}
