//! What hostile files of at most 1 KB cost: each is refused, or read, without the process ever holding 50 MB for it.
//!
//! One test, since what is measured is the whole process: its heap everywhere, its resident memory where Linux tells it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tensorlogic::format::hf::metadata_from_json;
use tensorlogic::format::{Gguf, GgufWriter, MetadataArray, ModelFile, Safetensors};
use tensorlogic::text::tokenizer::JsonSpecials;
use tensorlogic::text::{ChatTemplate, Message, RenderContext, Specials, Tokenizer};

const MAX_BYTES: usize = 50 << 20;

/// In a debug build, on a machine that does other things too.
const LONGEST: Duration = Duration::from_secs(30);

#[test]
fn refusing_a_file_of_1_kb_takes_less_than_50_mb() {
    let mut most_resident = None;
    for (reader, files) in [
        (gguf as fn(&[u8]) -> bool, gguf_files()),
        (safetensors, safetensors_files()),
        (tokenizer_json, tokenizer_files()),
        (template, template_files()),
        (config, config_files()),
    ] {
        for file in &files {
            assert!(file.len() <= 1024, "{} bytes", file.len());
            let shown = String::from_utf8_lossy(&file[..file.len().min(120)]).escape_debug().to_string();
            let before = resident_peak();
            PEAK.store(HELD.load(Ordering::Relaxed), Ordering::Relaxed);
            let (held, start) = (HELD.load(Ordering::Relaxed), Instant::now());
            let read = reader(file);
            let (heap, took) = (PEAK.load(Ordering::Relaxed) - held, start.elapsed());
            if heap > 1 << 20 || took > LONGEST / 30 {
                println!("{:>6} KB in {took:>9.1?} {} {shown}", heap >> 10, if read { "read   " } else { "refused" });
            }
            assert!(heap < MAX_BYTES, "{heap} bytes of heap for {shown}");
            assert!(took < LONGEST, "{took:?} for {shown}");
            if let Some(resident) = before.and_then(|before| Some(resident_bytes("VmHWM:")?.saturating_sub(before))) {
                assert!(resident < MAX_BYTES, "{resident} bytes resident for {shown}");
                most_resident = most_resident.max(Some(resident));
            }
        }
    }
    println!("resident memory grew by {most_resident:?} bytes at most");
}

fn gguf(bytes: &[u8]) -> bool {
    let Ok(gguf) = Gguf::from_bytes("hostile.gguf", bytes.to_vec()) else { return false };
    let finite = gguf.tensors.tensors().iter().all(|t| gguf.tensors.check_finite(t).is_ok());
    let file = ModelFile::from_bytes("hostile.gguf", bytes.to_vec());
    finite && file.is_ok_and(|file| Tokenizer::from_model(&file).is_ok())
}

fn safetensors(bytes: &[u8]) -> bool {
    Safetensors::from_bytes("hostile.safetensors", bytes.to_vec()).is_ok()
}

fn tokenizer_json(bytes: &[u8]) -> bool {
    let Ok(tokenizer) = Tokenizer::from_json(bytes, &JsonSpecials::default()) else { return false };
    let ids = tokenizer.encode(&"aa\u{e9} 12\n".repeat(20), Specials::Parsed, true);
    tokenizer.decode(&ids);
    true
}

fn template(bytes: &[u8]) -> bool {
    let Ok(template) = ChatTemplate::from_source(&String::from_utf8_lossy(bytes)) else { return false };
    let messages = [Message::new("user", "a".repeat(100)), Message::new("assistant", "b")];
    template.render(&messages, &RenderContext::default()).is_ok()
}

fn config(bytes: &[u8]) -> bool {
    metadata_from_json(bytes, Some(bytes), Some(bytes)).is_ok()
}

fn gguf_files() -> Vec<Vec<u8>> {
    let mut writer = GgufWriter::new();
    writer
        .set("general.architecture", "llama")
        .set("tokenizer.ggml.model", "gpt2")
        .set("tokenizer.ggml.tokens", MetadataArray::from_strs(["a", "b", "ab"]))
        .set("tokenizer.ggml.merges", MetadataArray::from_strs(["a b"]))
        .f32("token_embd.weight", [3, 4], &[1.0; 12]);
    let whole = writer.to_bytes();
    let mut files = vec![whole.clone()];
    // Each number of the header in turn is one that no memory holds.
    for at in 4..whole.len() - 8 {
        for huge in [1u64 << 60, u64::MAX, (1 << 28) - 1, 262_144] {
            let mut changed = whole.clone();
            changed[at..at + 8].copy_from_slice(&huge.to_le_bytes());
            files.push(changed);
        }
    }
    files
}

fn safetensors_files() -> Vec<Vec<u8>> {
    let with = |header: &str| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let huge = "18446744073709551615";
    vec![
        u64::MAX.to_le_bytes().to_vec(),
        100_000_000u64.to_le_bytes().to_vec(),
        with(&"[".repeat(1000)),
        with(&format!("{{\"a\":{}1{}}}", "{\"b\":".repeat(160), "}".repeat(160))),
        with(&format!(r#"{{"a":{{"dtype":"F32","shape":[{huge}],"data_offsets":[0,{huge}]}}}}"#)),
        with(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#),
        with(&format!(r#"{{"a":{{"dtype":"F32","shape":[{}0],"data_offsets":[0,0]}}}}"#, "0,".repeat(450))),
    ]
}

fn tokenizer_files() -> Vec<Vec<u8>> {
    let with = |vocab: &str, rest: &str| format!(r#"{{"model":{{"type":"BPE","vocab":{{{vocab}}},"merges":["a b"]}}{rest}}}"#).into_bytes();
    let letters = r#""a":0,"b":1,"ab":2"#;
    let split = |pattern: &str| {
        let pattern = serde_json::json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        with(letters, &format!(r#","pre_tokenizer":{pattern}"#))
    };
    let steps = |n: usize| format!("{}null{}", r#"{"type":"Sequence","normalizers":["#.repeat(n), "]}".repeat(n));
    let replace = serde_json::json!({"type": "Sequence", "normalizers": vec![serde_json::json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaa"}); 10]});
    vec![
        with(letters, ""),
        with(r#""a":0,"b":1048575"#, ""),
        with(r#""a":0,"b":4294967295"#, ""),
        with(r#""a":0,"b":18446744073709551615"#, ""),
        with(letters, r#","added_tokens":[{"id":1048575,"content":"x"}]"#),
        with(letters, r#","added_tokens":[{"id":1048575,"content":"","special":true}]"#),
        with(letters, &format!(r#","normalizer":{}"#, steps(20))),
        with(letters, &format!(r#","normalizer":{replace}"#)),
        with(
            letters,
            &format!(r#","pre_tokenizer":{{"type":"Sequence","pretokenizers":[{}null]}}"#, r#"{"type":"ByteLevel"},"#.repeat(30)),
        ),
        with(letters, r#","normalizer":{"type":"Replace","pattern":{"Regex":"(?:(?:(?:a{1,99}){1,99}){1,99}){1,99}"},"content":"b"}"#),
        split("(?:(?:a{999}){999}){999}"),
        split(r"\p{L}{999}\p{N}{999}\p{S}{999}"),
        split(&r"\w{50}".repeat(100)),
        split(&r"\p{L}".repeat(130)),
        split("(a*)*(a*)*(a*)*$(?=b)"),
        split(&"(".repeat(700)),
        b"[".repeat(1024),
        br#"{"model":"#.repeat(110),
    ]
}

fn template_files() -> Vec<Vec<u8>> {
    let texts = [
        "{{ 'a' * 1000000000 }}".to_owned(),
        "{{ [1] * 1000000000 }}".to_owned(),
        "{{ 9 ** 9999999 }}{{ 10 ** 400000 }}".to_owned(),
        "{{ range(1000000000)|list }}".to_owned(),
        "{{ range(100000)|list * 1000 }}".to_owned(),
        "{% for i in range(100000) %}{% for j in range(100000) %}{{ messages }}{% endfor %}{% endfor %}".to_owned(),
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}".to_owned(),
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}".to_owned(),
        "{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson }}".to_owned(),
        "{% set ns = namespace(x={}) %}{% for i in range(60) %}{% set ns.x = dict(a=ns.x, b=ns.x) %}{% endfor %}{{ ns.x|tojson(indent=16) }}".to_owned(),
        "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('aaaa') }}".to_owned(),
        "{% macro f(x) %}{{ f([x, x]) }}{% endmacro %}{{ f(1) }}".to_owned(),
        "{{ ('a' * 100)|replace('a', 'b' * 100)|replace('b', 'c' * 100)|replace('c', 'd' * 100)|replace('', 'e' * 100) }}".to_owned(),
        "{{ 'a\n'|indent(1000000000) }}{{ '%999999999d'|format(1) }}{{ 'x'.center(1000000000) }}{{ 'x'.zfill(1000000000) }}".to_owned(),
        "{{ 'x'.ljust(1000000000) }}".to_owned(),
        "{{ '{:>999999999}'.format('x') }}".to_owned(),
        "{{ range(99999)|batch(1)|list|tojson(indent=99999) }}".to_owned(),
        "{{ messages|map(attribute='content')|join('x' * 100)|list|join('y' * 100)|list|join('z' * 100) }}".to_owned(),
        "{% filter upper %}".repeat(60),
        "{% if a %}".repeat(100),
        "{{ ".to_owned() + &"(".repeat(1000),
        "{{ ".to_owned() + &"[".repeat(500) + &"]".repeat(500) + " }}",
        "{{ ".to_owned() + &"not ".repeat(250) + "a }}",
        "{{ ".to_owned() + &"-".repeat(1000) + "1 }}",
        "{{ a".to_owned() + &".a".repeat(500) + " }}",
        "{{ a".to_owned() + &"|list".repeat(200) + " }}",
        "{{ strftime_now('%9999999999Y%-d".to_owned() + &"%c".repeat(400) + "') }}",
        "{% raw %}".to_owned() + &"x".repeat(1000),
    ];
    texts.into_iter().map(|text| text.into_bytes()[..].iter().copied().take(1024).collect()).collect()
}

fn config_files() -> Vec<Vec<u8>> {
    let huge = "18446744073709551615";
    [
        "[".repeat(1024),
        "{\"a\":".repeat(200),
        format!(r#"{{"model_type":"llama","num_hidden_layers":{huge},"vocab_size":{huge},"hidden_size":{huge},"head_dim":{huge}}}"#),
        format!(
            r#"{{"model_type":"llama","hidden_size":{huge},"num_attention_heads":1,"partial_rotary_factor":1e308,"sliding_window":{huge}}}"#
        ),
        format!(r#"{{"model_type":"llama","eos_token_id":[{}0],"chat_template":[]}}"#, "0,".repeat(450)),
        r#"{"model_type":"llama","rope_scaling":{"rope_type":"llama3","factor":1e999}}"#.to_owned(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect()
}

/// Starts the system's record of the most that this process held in memory anew, and gives what it holds now.
fn resident_peak() -> Option<usize> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    resident_bytes("VmRSS:")
}

/// A line of what Linux says of this process.
fn resident_bytes(line: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let found = status.lines().find_map(|l| l.strip_prefix(line))?;
    Some(found.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? << 10)
}

/// The system's allocator, with the number of bytes held and its maximum.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator with the same arguments; the counters are atomic and allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}
