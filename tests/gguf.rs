//! The GGUF reader and writer: what comes back, split files, and one line for each thing that can be wrong.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod scratch;

use std::path::{Path, PathBuf};
use std::time::Instant;

use scratch::{Scratch, assert_contains, one_line};
use tensorlogic::format::{Gguf, GgufWriter, MetadataArray, MetadataValue, ValueType};
use tensorlogic::tensor::quant::{FORMATS, Quant};
use tensorlogic::tensor::{DType, Shape};

#[test]
fn what_is_written_is_read() {
    for alignment in [8u32, 32, 4096] {
        let bytes = sample().set("general.alignment", alignment).to_bytes();
        let folder = Scratch::new("round-trip");
        let path = folder.path("file.gguf");
        std::fs::write(&path, &bytes).unwrap();
        for gguf in
            [Gguf::open(&path, false).unwrap(), Gguf::open(&path, true).unwrap(), Gguf::from_bytes("sample", bytes.clone()).unwrap()]
        {
            assert_eq!(gguf.metadata.str("general.architecture"), Some("llama"));
            assert_eq!(gguf.metadata.u64("llama.block_count"), Some(2));
            assert_eq!(gguf.metadata.f64("llama.rope.freq_base"), Some(1e4));
            assert_eq!(gguf.metadata.bool("tokenizer.ggml.add_bos_token"), Some(true));
            let tokens = gguf.metadata.array("tokenizer.ggml.tokens").unwrap();
            assert_eq!(tokens.strs().unwrap().collect::<Vec<_>>(), ["<unk>", "", "▁a\n"]);
            assert!(tokens.ints().is_none() && tokens.floats().is_none());
            let scores = gguf.metadata.array("tokenizer.ggml.scores").unwrap();
            assert_eq!(scores.floats().unwrap().collect::<Vec<_>>(), [0.0, -1.5, -2.25]);
            assert_eq!(gguf.metadata.array("ids").unwrap().ints().unwrap().collect::<Vec<_>>(), [-1, 7]);
            assert_eq!(gguf.metadata.get("small"), Some(&MetadataValue::I8(-3)));
            assert_eq!(gguf.metadata.iter().count(), gguf.metadata.len());

            let tensor = gguf.tensors.get("blk.0.attn_q.weight").unwrap();
            assert_eq!((tensor.shape.clone(), tensor.dtype), (Shape::from([3, 64]), DType::Quant(Quant::from_name("q4_0").unwrap())));
            assert_eq!(gguf.data("blk.0.attn_q.weight").unwrap(), vec![0x35; 3 * 36]);
            assert_eq!(gguf.data("output_norm.weight").unwrap(), 1.5f32.to_le_bytes().repeat(5));
            assert_eq!(gguf.data("scalar").unwrap().len(), 4);
            assert!(gguf.tensors.get("scalar").unwrap().shape.dims().is_empty());
            assert!(gguf.tensors.tensors().iter().all(|t| t.offset.is_multiple_of(alignment as usize)));
            assert!(gguf.data("absent").is_none());
        }
    }
}

#[test]
fn every_element_type_is_written_and_read() {
    let mut types = vec![DType::F32, DType::F16, DType::BF16, DType::I32];
    types.extend(FORMATS.iter().map(|f| DType::Quant(Quant(f))));
    let mut writer = GgufWriter::new();
    for &dtype in &types {
        writer.tensor(dtype.name(), [2, 256], dtype, vec![0x11; dtype.storage_bytes(512).unwrap()]);
    }
    let gguf = Gguf::from_bytes("types", writer.to_bytes()).unwrap();
    assert_eq!(gguf.tensors.tensors().iter().map(|t| t.dtype).collect::<Vec<_>>(), types);
}

#[test]
fn an_array_has_every_number_type() {
    let check = |number: u32, payload: &[u8], ints: Option<Vec<i64>>, floats: Option<Vec<f64>>| {
        let mut bytes = header(3, 0, 1);
        put_key(&mut bytes, "a", 9);
        bytes.extend(number.to_le_bytes());
        bytes.extend(2u64.to_le_bytes());
        bytes.extend(payload);
        let gguf = Gguf::from_bytes("array", bytes).unwrap();
        let array = gguf.metadata.array("a").unwrap();
        assert_eq!(array.ints().map(Iterator::collect), ints, "type {number}");
        assert_eq!(array.floats().map(Iterator::collect), floats, "type {number}");
    };
    check(0, &[1, 255], Some(vec![1, 255]), None);
    check(1, &[1, 255], Some(vec![1, -1]), None);
    check(2, &[1, 0, 255, 255], Some(vec![1, 65535]), None);
    check(3, &[1, 0, 255, 255], Some(vec![1, -1]), None);
    check(4, &[1, 0, 0, 0, 255, 255, 255, 255], Some(vec![1, 0xffff_ffff]), None);
    check(5, &[1, 0, 0, 0, 255, 255, 255, 255], Some(vec![1, -1]), None);
    check(6, &[0, 0, 0x80, 0x3f, 0, 0, 0x80, 0xbf], None, Some(vec![1.0, -1.0]));
    check(7, &[1, 0], None, None);
    check(10, &[[1, 0, 0, 0, 0, 0, 0, 0], [255; 8]].concat(), Some(vec![1, i64::MAX]), None);
    check(11, &[[1, 0, 0, 0, 0, 0, 0, 0], [255; 8]].concat(), Some(vec![1, -1]), None);
    check(12, &[1f64.to_le_bytes(), (-1f64).to_le_bytes()].concat(), None, Some(vec![1.0, -1.0]));
}

#[test]
fn a_split_model_opens_from_any_part() {
    let folder = Scratch::new("split");
    let paths = write_parts(&folder.path(""), 3);
    for path in &paths {
        let gguf = Gguf::open(path, false).unwrap();
        assert_eq!(gguf.metadata.str("general.architecture"), Some("llama"), "the first part has the metadata");
        assert_eq!(gguf.tensors.parts().len(), 3);
        for (i, part) in paths.iter().enumerate() {
            assert_eq!(gguf.data(&format!("blk.{i}.w")).unwrap(), (i as f32).to_le_bytes());
            assert_eq!(gguf.tensors.path_of(gguf.tensors.get(&format!("blk.{i}.w")).unwrap()), part);
        }
    }
}

#[test]
fn a_split_model_with_parts_that_do_not_fit_is_refused() {
    let folder = Scratch::new("split-broken");
    let paths = write_parts(&folder.path(""), 3);
    let open = || one_line(Gguf::open(&paths[0], false));

    std::fs::copy(&paths[0], folder.path("renamed.gguf")).unwrap();
    assert_contains(&one_line(Gguf::open(&folder.path("renamed.gguf"), false)), &["part 1 of 3", "model-00001-of-00003.gguf"]);
    let name = paths[0].file_name().unwrap().to_str().unwrap();
    assert_contains(&one_line(Gguf::from_bytes(name, std::fs::read(&paths[0]).unwrap())), &["3 parts"]);

    let third = std::fs::read(&paths[2]).unwrap();
    std::fs::write(&paths[2], std::fs::read(&paths[1]).unwrap()).unwrap();
    assert_contains(&open(), &["00003-of-00003", "part 3 of 3", "split.no Some(1)"]);
    std::fs::write(&paths[2], part(2, 3, 9).set("split.tensors.count", 9i32).to_bytes()).unwrap();
    std::fs::write(&paths[0], part(0, 3, 0).set("split.tensors.count", 4i32).to_bytes()).unwrap();
    assert_contains(&open(), &["3 tensors", "says 4"]);
    std::fs::write(&paths[0], part(0, 3, 9).to_bytes()).unwrap();
    assert_contains(&open(), &["two tensors are named `blk.9.w`"]);
    std::fs::remove_file(&paths[1]).unwrap();
    assert_contains(&open(), &["3 parts", "model-00002-of-00003.gguf", "missing"]);
    std::fs::write(&paths[2], third).unwrap();
    std::fs::write(&paths[0], part(0, 4, 0).to_bytes()).unwrap();
    assert_contains(&open(), &["named part 1 of 3", "part 1 of 4"]);
    std::fs::write(&paths[0], GgufWriter::new().set("split.count", u32::MAX).to_bytes()).unwrap();
    assert_contains(&open(), &["4294967295", "1000"]);
}

#[test]
fn each_fault_is_one_line_with_the_file_the_field_and_the_numbers() {
    let check = |bytes: Vec<u8>, words: &[&str]| assert_contains(&one_line(Gguf::from_bytes("bad.gguf", bytes)), words);
    check(b"PK\x03\x04zip".to_vec(), &["bad.gguf", "no GGUF", "PK"]);
    check(b"ggjt\x03\0\0\0".to_vec(), &["ggjt"]);
    check(header(1, 0, 0), &["version 1"]);
    check(header(4, 0, 0), &["version 4"]);
    check(header(3u32.swap_bytes(), 0, 0), &["big-endian"]);
    check(header(3, 1 << 60, 0), &["1152921504606846976 tensors"]);
    check(header(3, 0, 1 << 60), &["1152921504606846976 metadata pairs"]);
    check(header(3, 1000, 0), &["1000 tensors", "0 bytes behind offset 24"]);

    let mut key = header(3, 0, 1);
    key.extend((1u64 << 60).to_le_bytes());
    key.extend([0; 64]);
    check(key, &["metadata key 0 of 1", "1152921504606846976"]);
    check(with_value(77, &[0; 8]), &["`k`", "type 77"]);
    check(with_value(8, &(1u64 << 60).to_le_bytes()), &["value of `k`", "1152921504606846976"]);
    check(with_value(8, &[&2u64.to_le_bytes()[..], &[0xff, 0xfe]].concat()), &["value of `k`", "UTF-8"]);
    check(with_value(9, &[&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat()), &["array of arrays"]);
    for element in [0u32, 8, 12] {
        check(with_value(9, &[&element.to_le_bytes()[..], &(1u64 << 60).to_le_bytes()].concat()), &["array `k`", "1152921504606846976"]);
        check(with_value(9, &[&element.to_le_bytes()[..], &1000u64.to_le_bytes()].concat()), &["array `k`", "1000"]);
    }
    for alignment in [0u32, 4, 24, 1 << 31] {
        check(with_alignment(alignment), &["general.alignment", &alignment.to_string()]);
    }
    let mut twice = header(3, 0, 2);
    for _ in 0..2 {
        put_key(&mut twice, "k", 4);
        twice.extend([0; 4]);
    }
    check(twice, &["`k` appears twice"]);

    check(with_tensor(&[32], 17, 0), &["`t`", "iq2_xs", "q4_0"]);
    check(with_tensor(&[32], 12345, 0), &["`t`", "12345", "unknown"]);
    check(with_tensor(&[1, 1, 1, 1, 1], 0, 0), &["`t`", "5 dimensions"]);
    check(with_tensor(&[4, 0], 0, 0), &["`t`", "[4, 0]"]);
    check(with_tensor(&[33], 2, 0), &["`t`", "33", "32", "q4_0"]);
    check(with_tensor(&[1 << 32, 1 << 32], 0, 0), &["`t`", "4294967296"]);
    check(with_tensor(&[1 << 62], 0, 0), &["`t`", "4611686018427387904"]);
    check(with_tensor(&[1 << 60], 0, 0), &["`t`", "4611686018427387904"]);
    check(with_tensor(&[8], 0, 5), &["`t`", "offset 5", "32"]);
    check(with_tensor(&[8], 0, 4096), &["`t`", "32 bytes", "4160", "96"]);
    check(with_tensor(&[8], 0, u64::MAX - 31), &["`t`", "18446744073709551584"]);
    check(with_tensor(&[1024], 0, 0), &["`t`", "4096 bytes"]);

    let mut same = sample().to_bytes();
    let at = find(&same, b"scalar");
    same[at..at + 6].copy_from_slice(b"second");
    let at = find(&same, b"scalaR");
    same[at..at + 6].copy_from_slice(b"second");
    check(same, &["two tensors are named `second`"]);
    let mut overlap = sample().to_bytes();
    let at = find(&overlap, b"scalar") + 6 + 4 + 4;
    overlap[at..at + 8].copy_from_slice(&0u64.to_le_bytes());
    check(overlap, &["overlaps", "blk.0.attn_q.weight", "scalar"]);
}

#[test]
fn a_path_that_is_no_file_is_one_line() {
    let folder = Scratch::new("not-a-file");
    assert_contains(&one_line(Gguf::open(&folder.path("absent.gguf"), false)), &["cannot open", "absent.gguf"]);
    assert_contains(&one_line(Gguf::open(&folder.path(""), false)), &["is a folder"]);
    std::fs::write(folder.path("empty.gguf"), []).unwrap();
    assert_contains(&one_line(Gguf::open(&folder.path("empty.gguf"), true)), &["empty"]);
}

#[test]
fn inf_and_nan_are_refused_with_tensor_and_block() {
    let q4_0 = Quant::from_name("q4_0").unwrap();
    let mut data = q4_0.quantize_rows(&[1.0; 256]).unwrap();
    data[5 * 18 + 1] = 0x7c;
    data[5 * 18] = 0;
    let bytes = GgufWriter::new().tensor("blk.0.ffn_up.weight", [2, 128], DType::Quant(q4_0), data).f32("fine", [1], &[1.0]).to_bytes();
    let gguf = Gguf::from_bytes("model.gguf", bytes).unwrap();
    let error = gguf.tensors.check_finite(gguf.tensors.get("blk.0.ffn_up.weight").unwrap()).unwrap_err();
    assert_contains(&error.to_string(), &["model.gguf", "blk.0.ffn_up.weight", "q4_0", "block 5 of 8"]);
    gguf.tensors.check_finite(gguf.tensors.get("fine").unwrap()).unwrap();
}

#[test]
fn the_reference_models_open() {
    let Ok(folder) = std::env::var("TL_REFERENCE") else {
        println!("skipped: TL_REFERENCE is not set");
        return;
    };
    let mut n_files = 0;
    for sub in ["models", "tokenizer"] {
        for entry in std::fs::read_dir(Path::new(&folder).join(sub)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "gguf") {
                continue;
            }
            n_files += 1;
            let start = Instant::now();
            let gguf = Gguf::open(&path, false).unwrap();
            let tokens = gguf.metadata.array("tokenizer.ggml.tokens").unwrap();
            let opened = start.elapsed();
            assert_eq!(tokens.strs().unwrap().count(), tokens.len());
            gguf.tensors.tensors().iter().for_each(|t| gguf.tensors.check_finite(t).unwrap());
            println!("{}: {} tokens, {} tensors, opened in {opened:?}", path.display(), tokens.len(), gguf.tensors.tensors().len());
            assert!(opened.as_millis() < 500, "{} took {opened:?}", path.display());
        }
    }
    assert!(n_files >= 23, "only {n_files} files");
}

fn sample() -> GgufWriter<'static> {
    let mut writer = GgufWriter::new();
    writer
        .set("general.architecture", "llama")
        .set("llama.block_count", 2u32)
        .set("llama.rope.freq_base", 1e4f32)
        .set("tokenizer.ggml.add_bos_token", true)
        .set("tokenizer.ggml.tokens", MetadataArray::from_strs(["<unk>", "", "▁a\n"]))
        .set("tokenizer.ggml.scores", MetadataArray::from_f32s(&[0.0, -1.5, -2.25]))
        .set("ids", MetadataArray::from_i32s(&[-1, 7]))
        .set("small", -3i8)
        .tensor("blk.0.attn_q.weight", [3, 64], DType::Quant(Quant::from_name("q4_0").unwrap()), vec![0x35; 3 * 36])
        .f32("output_norm.weight", [5], &[1.5; 5])
        .f32("scalar", Shape::scalar(), &[2.0])
        .f32("scalaR", Shape::scalar(), &[2.0]);
    writer
}

fn part(no: u16, count: u16, tensor: usize) -> GgufWriter<'static> {
    let mut writer = GgufWriter::new();
    if no == 0 {
        writer.set("general.architecture", "llama");
    }
    writer.set("split.no", no).set("split.count", count).set("split.tensors.count", 3i32);
    writer.f32(&format!("blk.{tensor}.w"), [1], &[tensor as f32]);
    writer
}

fn write_parts(folder: &Path, count: u16) -> Vec<PathBuf> {
    let write = |no: u16| {
        let path = folder.join(format!("model-{:05}-of-{count:05}.gguf", no + 1));
        part(no, count, no.into()).save(&path).unwrap();
        path
    };
    (0..count).map(write).collect()
}

/// A file that claims any alignment, which the writer would keep to.
fn with_alignment(alignment: u32) -> Vec<u8> {
    let mut bytes = header(3, 0, 1);
    put_key(&mut bytes, "general.alignment", ValueType::U32 as u32);
    bytes.extend(alignment.to_le_bytes());
    bytes
}

fn header(version: u32, n_tensors: u64, n_pairs: u64) -> Vec<u8> {
    [&b"GGUF"[..], &version.to_le_bytes(), &n_tensors.to_le_bytes(), &n_pairs.to_le_bytes()].concat()
}

fn put_key(bytes: &mut Vec<u8>, key: &str, value_type: u32) {
    bytes.extend((key.len() as u64).to_le_bytes());
    bytes.extend(key.as_bytes());
    bytes.extend(value_type.to_le_bytes());
}

fn with_value(value_type: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(3, 0, 1);
    put_key(&mut bytes, "k", value_type);
    bytes.extend(payload);
    bytes
}

/// One tensor `t` and 32 bytes of data.
fn with_tensor(dims: &[u64], ggml_type: u32, offset: u64) -> Vec<u8> {
    let mut bytes = header(3, 1, 0);
    bytes.extend(1u64.to_le_bytes());
    bytes.push(b't');
    bytes.extend((dims.len() as u32).to_le_bytes());
    dims.iter().for_each(|d| bytes.extend(d.to_le_bytes()));
    bytes.extend(ggml_type.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(32) + 32, 0);
    bytes
}

fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|w| w == needle).unwrap()
}
