//! Damaged and hostile model files: whatever the bytes, a reader answers with a model or with one line, soon, and without
//! taking memory for what a file merely claims.
//!
//! `TL_FUZZ_SECONDS` lengthens the random part, `TL_FUZZ_SEED` starts it elsewhere.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tensorlogic::format::hf::metadata_from_json;
use tensorlogic::format::{FormatError, Gguf, GgufWriter, MetadataArray, Safetensors, TensorDirectory, save_safetensors};
use tensorlogic::tensor::quant::Quant;
use tensorlogic::tensor::{DType, HostTensor};

/// More than all tests of this file hold at once, and the bound for refusing a 1 KB file.
const MAX_HEAP_BYTES: usize = 50 << 20;

#[test]
fn every_truncation_is_refused_or_read() {
    let (gguf, safetensors) = (small_gguf(), small_safetensors());
    let last = gguf.len() - 32;
    for len in 0..gguf.len() {
        let result = read_gguf(&gguf[..len]);
        assert!(result.is_err() || len > last, "{len} of {} bytes are no model", gguf.len());
    }
    for len in 0..safetensors.len() {
        assert!(read_safetensors(&safetensors[..len]).is_err(), "{len} of {} bytes are no file", safetensors.len());
    }
    for len in 0..CONFIG.len() - 1 {
        assert!(read_config(&CONFIG[..len]).is_err());
    }
}

#[test]
fn every_changed_byte_is_survived() {
    let mut random = SplitMix(3);
    for (bytes, read) in corpus() {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            for value in [0, 0xff, changed[at] ^ 1, changed[at] ^ 0x80, random.next() as u8] {
                changed[at] = value;
                let _ = read(&changed);
            }
        }
    }
}

#[test]
fn a_huge_number_anywhere_takes_no_memory() {
    for (bytes, read) in corpus() {
        for at in 0..bytes.len().saturating_sub(8) {
            for huge in HUGE {
                let mut changed = bytes.clone();
                changed[at..at + 8].copy_from_slice(&huge.to_le_bytes());
                let _ = read(&changed);
            }
        }
    }
    assert_heap();
}

#[test]
fn random_damage_is_survived() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let (seconds, first_seed) = (number("TL_FUZZ_SECONDS").unwrap_or(2), number("TL_FUZZ_SEED").unwrap_or(1));
    let (corpus, start) = (corpus(), Instant::now());
    let mut n_models = 0u64;
    let mut seed = first_seed;
    while start.elapsed() < Duration::from_secs(seconds) {
        let _report = SeedReport(seed);
        let mut random = SplitMix(seed);
        let (bytes, read) = &corpus[random.below(corpus.len())];
        let mut damaged = bytes.clone();
        for _ in 0..1 + random.below(6) {
            damage(&mut damaged, bytes, &mut random);
        }
        let began = Instant::now();
        n_models += u64::from(read(&damaged).is_ok());
        assert!(began.elapsed() < Duration::from_secs(5), "seed {seed} took {:?}", began.elapsed());
        seed += 1;
    }
    assert_heap();
    println!(
        "{} files, of which {n_models} were read, heap at most {} KB",
        seed - first_seed,
        ALLOCATOR.peak.load(Ordering::Relaxed) >> 10
    );
}

type Read = fn(&[u8]) -> Result<(), FormatError>;

/// Numbers that overflow when they are added to, multiplied, doubled or taken for a length.
const HUGE: [u64; 6] = [1 << 60, u64::MAX, u64::MAX - 31, 1 << 63, 1 << 32, 1 << 31];

fn corpus() -> Vec<(Vec<u8>, Read)> {
    vec![(small_gguf(), read_gguf as Read), (small_safetensors(), read_safetensors), (CONFIG.to_vec(), read_config)]
}

/// Opens a model and touches everything that it gives out.
fn read_gguf(bytes: &[u8]) -> Result<(), FormatError> {
    let gguf = checked(Gguf::from_bytes("hostile.gguf", bytes.to_vec()))?;
    for (_, value) in gguf.metadata.iter() {
        let Some(array) = value.as_array() else { continue };
        let n_numbers = array.ints().map(Iterator::count).or(array.floats().map(Iterator::count)).or(array.bools().map(Iterator::count));
        let n = n_numbers.or(array.strs().map(Iterator::count));
        assert_eq!(n, Some(array.len()), "{value:?}");
    }
    touch(&gguf.tensors);
    Ok(())
}

fn read_safetensors(bytes: &[u8]) -> Result<(), FormatError> {
    let file = checked(Safetensors::from_bytes("hostile.safetensors", bytes.to_vec()))?;
    touch(&file.tensors);
    for tensor in file.tensors.tensors() {
        assert_eq!(file.host(&tensor.name).map(|t| t.len()), Some(tensor.shape.len()));
    }
    Ok(())
}

fn read_config(bytes: &[u8]) -> Result<(), FormatError> {
    checked(metadata_from_json(bytes, Some(bytes), Some(bytes))).map(|_| ())
}

fn touch(tensors: &TensorDirectory) {
    for tensor in tensors.tensors() {
        let data = tensors.data(&tensor.name).expect("a listed tensor has data");
        assert_eq!(data.len(), tensor.len_bytes);
        assert_eq!(tensor.dtype.storage_bytes(tensor.shape.len()), Some(tensor.len_bytes));
        assert!(tensor.shape.strides().len() == tensor.shape.rank() && tensor.shape.rows() * tensor.shape.last_dim() == tensor.shape.len());
        let _ = checked(tensors.check_finite(tensor));
    }
}

fn checked<T>(result: Result<T, FormatError>) -> Result<T, FormatError> {
    result.inspect_err(|e| {
        let message = e.to_string();
        assert!(!message.chars().any(char::is_control) && message.len() < 3000, "{message:?}");
    })
}

fn damage(bytes: &mut Vec<u8>, original: &[u8], random: &mut SplitMix) {
    if bytes.is_empty() {
        bytes.extend(original);
    }
    let at = random.below(bytes.len());
    let word = |random: &mut SplitMix| match random.below(3) {
        0 => HUGE[random.below(HUGE.len())],
        1 => random.below(300) as u64,
        _ => random.next(),
    };
    match random.below(8) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 => bytes.truncate(at),
        3 => {
            let value = word(random).to_le_bytes();
            let end = bytes.len().min(at + [4, 8][random.below(2)]);
            bytes[at..end].copy_from_slice(&value[..end - at]);
        }
        4 => {
            let end = at + random.below(bytes.len() - at + 1).min(64);
            let copy = bytes[at..end].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        5 => {
            let end = at + random.below(bytes.len() - at + 1).min(64);
            bytes.drain(at..end);
        }
        6 => {
            let (from, len) = (random.below(original.len()), random.below(64));
            let piece = &original[from..original.len().min(from + len)];
            let end = bytes.len().min(at + piece.len());
            bytes[at..end].copy_from_slice(&piece[..end - at]);
        }
        _ => {
            let digits = word(random).to_string();
            bytes.splice(at..at, digits.into_bytes());
        }
    }
}

/// A model of under 1 KB with every kind of value.
fn small_gguf() -> Vec<u8> {
    let mut writer = GgufWriter::new();
    writer
        .set("general.architecture", "llama")
        .set("general.alignment", 32u32)
        .set("a", 1u8)
        .set("b", -1i16)
        .set("c", 1e-5f32)
        .set("d", true)
        .set("e", 7u64)
        .set("f", 0.5f64)
        .set("tokens", MetadataArray::from_strs(["<s>", "▁the", "", "x"]))
        .set("scores", MetadataArray::from_f32s(&[0.0, -1.0, -2.0, -3.0]))
        .set("types", MetadataArray::from_i32s(&[3, 1, 1, 1]))
        .tensor("q", [2, 32], DType::Quant(Quant::from_name("q4_0").expect("a format")), vec![0x21; 36])
        .tensor("m", [32], DType::Quant(Quant::from_name("mxfp4").expect("a format")), vec![0x7f; 17])
        .f32("n", [3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let bytes = writer.to_bytes();
    assert!(bytes.len() <= 1024, "{} bytes", bytes.len());
    bytes
}

fn small_safetensors() -> Vec<u8> {
    let path = std::env::temp_dir().join(format!("tl-hostile-{}-{:?}.safetensors", std::process::id(), std::thread::current().id()));
    let tensors = [("a".to_owned(), HostTensor::f32([2, 3], vec![1.0; 6])), ("b".to_owned(), HostTensor::bool([3], vec![true; 3]))];
    save_safetensors(Path::new(&path), &tensors, HashMap::from([("k".to_owned(), "v".to_owned())])).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

/// All three configuration files of a folder in one, since their keys do not collide.
const CONFIG: &[u8] = br#"{"model_type":"qwen2","hidden_size":64,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":null,"vocab_size":9,
"rms_norm_eps":1e-6,"rope_theta":1000000.0,"rope_scaling":{"rope_type":"longrope","factor":8.0,"short_factor":[1.0,2],"long_factor":[1.0,3]},
"partial_rotary_factor":0.5,"sliding_window":32,"use_sliding_window":true,"tie_word_embeddings":false,"hidden_act":"silu","eos_token_id":[1,2],
"bos_token_id":1,"bos_token":{"content":"<s>"},"add_bos_token":true,"chat_template":[{"name":"default","template":"T"}],"temperature":0.5}"#;

fn assert_heap() {
    let peak = ALLOCATOR.peak.load(Ordering::Relaxed);
    assert!(peak < MAX_HEAP_BYTES, "{peak} bytes of heap");
}

/// Names the seed of a file that brought the reader down.
struct SeedReport(u64);

impl Drop for SeedReport {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the damaged file has the seed {}: TL_FUZZ_SEED={} repeats it first", self.0, self.0);
        }
    }
}

/// The system's allocator, with the number of bytes held and its maximum.
struct Counting {
    held: AtomicUsize,
    peak: AtomicUsize,
}

#[global_allocator]
static ALLOCATOR: Counting = Counting { held: AtomicUsize::new(0), peak: AtomicUsize::new(0) };

// SAFETY: every call goes to the system's allocator with the same arguments; the counters are atomic and allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = self.held.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        self.peak.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.held.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The generator of Steele, Lea and Flood (2014): a seed is a whole test.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
