//! Damaged and hostile tokenizers and chat templates: whatever they hold, the answer is a result or an error, and comes soon.
//!
//! `TL_FUZZ_SECONDS` lengthens each test (2 seconds otherwise), `TL_FUZZ_SEED` starts them elsewhere.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tensorlogic::text::tokenizer::JsonSpecials;
use tensorlogic::text::{ChatTemplate, Message, RenderContext, Specials, TokenId, Tokenizer, VocabSpec};

/// No single input may take longer, in a debug build on a busy machine.
const LONGEST: Duration = Duration::from_secs(30);

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// Runs `attempt` on fresh randomness until the time is over.
fn fuzz(attempt: impl Fn(&mut Random)) {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let end = Instant::now() + Duration::from_secs(number("TL_FUZZ_SECONDS", 2));
    let mut seed = number("TL_FUZZ_SEED", 1).wrapping_mul(1 << 32);
    let first = seed;
    while Instant::now() < end {
        let start = Instant::now();
        attempt(&mut Random(seed));
        assert!(start.elapsed() < LONGEST, "seed {seed} took {:?}", start.elapsed());
        seed += 1;
    }
    println!("{} inputs", seed - first);
}

/// One to eight changes: characters and pieces removed, repeated, exchanged, or put in from `words`.
fn mutate(text: &str, words: &[&str], random: &mut Random) -> String {
    let mut text = text.to_string();
    for _ in 0..=random.below(8) {
        let boundary = |random: &mut Random, text: &str| text.floor_char_boundary(random.below(text.len() + 1));
        let (a, b) = (boundary(random, &text), boundary(random, &text));
        let (a, b) = (a.min(b), text.floor_char_boundary(a.max(b).min(a.min(b) + 60)));
        match random.below(5) {
            0 => text.replace_range(a..b, ""),
            1 => {
                let piece = text[a..b].repeat(1 + random.below(4));
                text.insert_str(a, &piece);
            }
            2 => {
                let at = boundary(random, &text);
                let piece = text[a..b].to_string();
                text.insert_str(at, &piece);
            }
            3 => text.insert(a, char::from_u32(random.below(0x3000) as u32).unwrap_or('x')),
            _ => text.insert_str(a, random.pick(words)),
        }
    }
    text
}

const TEMPLATES: [&str; 6] = [
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m.content|trim + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "{%- set ns = namespace(n=0, x='a', l=[]) -%}{%- for m in messages[::-1] -%}{%- set ns.n = ns.n + 1 -%}{%- set ns.x = ns.x ~ m.content -%}{%- set ns.l = ns.l + [m] -%}{%- endfor -%}{{ ns.x|replace('a', 'bb')|upper }}{{ ns.l|map(attribute='role')|join(', ') }}",
    "{% macro f(x, y=2) -%}{% if y > 0 %}{{ x }}{{ f(x, y - 1) }}{% endif %}{%- endmacro %}{{ f(messages[0].content, 3) }}{% set t %}{{ bos_token }}{% filter indent(4) %}a\nb{% endfilter %}{% endset %}{{ t * 2 }}",
    "{{ messages|tojson(indent=2) }}{{ {'b': 1, 'a': [1.5, none, true]}|tojson }}{{ 'x'.join(['a', 'b']) }}{{ '%s %d'|format('a', 3) }}{{ range(5)|list|batch(2, 'x')|list }}{{ strftime_now('%d %b %Y') }}",
    "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{% for k, v in {'a': 1}.items() %}{{ k ~ v }}{% if loop.first %}{% continue %}{% endif %}{% break %}{% endfor %}{{ messages[-1].content.split('</think>')[-1].lstrip('\n') }}",
    "{% generation %}{{ [1, 2]|zip([3, 4])|list|string }}{{ messages|selectattr('role', 'equalto', 'user')|list|length }}{{ 'a b'.title().strip('a').rsplit(' ', 1) }}{% endgeneration %}{% call(x) f() %}{{ x }}{% endcall %}",
];

const TEMPLATE_WORDS: [&str; 40] = [
    "{% for i in range(100000) %}",
    "{% endfor %}",
    "{% set ns.x = [ns.x, ns.x] %}",
    "{% set ns.x = ns.x ~ ns.x %}",
    "{% set ns.x = ns %}",
    "{{ ns }}",
    "{{ ns.x }}",
    "{% if true %}",
    "{% endif %}",
    " ~ ns.x",
    " + ns.l",
    " * 99999",
    " ** 9",
    "|replace('', 'aaaa')",
    "|list",
    "|join",
    "|tojson",
    "|indent(9999)",
    "|batch(9999)",
    "|zip(ns.l)",
    "|sort",
    "|string",
    "|map('upper')",
    "|groupby('role')",
    "|pprint",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "'",
    "{{",
    "}}",
    "{%",
    "%}",
    "-",
    "not ",
    " recursive",
    "{% include 'x' %}",
];

#[test]
fn mutated_templates() {
    let messages = [Message::new("system", "a"), Message::new("user", "Hi <b> \n'x'"), Message::new("assistant", "<think>t</think>b")];
    let context = RenderContext { bos_token: Some("<s>".to_string()), add_generation_prompt: true, ..RenderContext::default() };
    fuzz(|random| {
        let mut source = mutate(random.pick(&TEMPLATES), &TEMPLATE_WORDS, random);
        if random.below(3) == 0 {
            source.push_str(random.pick(&TEMPLATES));
        }
        if let Ok(template) = ChatTemplate::from_source(&source) {
            let result = template.render(&messages[random.below(2)..], &context);
            assert!(!matches!(&result, Err(e) if e.to_string().contains("gave up")), "panicked: {source}");
            if let Ok(prompt) = template.render_prompt(&messages[1..], &context) {
                assert!(prompt.messages.iter().all(|range| prompt.text.get(range.clone()).is_some()), "{source}");
            }
            let _ = template.drops_thinking(&context);
        }
    });
}

fn byte_level_json() -> Value {
    let mut vocab = serde_json::Map::new();
    for byte in 0..=255u32 {
        let shown = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let c = char::from_u32(if shown { byte } else { 0x100 + byte % 0x44 }).unwrap();
        vocab.insert(c.to_string(), byte.into());
    }
    vocab.insert("ab".to_string(), 256.into());
    vocab.insert("Ġab".to_string(), 257.into());
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{"id": 258, "content": "<|e|>", "single_word": false, "lstrip": true, "rstrip": true, "normalized": false, "special": true}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "a+b"}, "content": "x"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|[^\\s]+|\\s+(?!\\S)"}, "behavior": "Isolated", "invert": false},
            {"type": "Digits", "individual_digits": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|e|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": ["a b", ["Ġ", "ab"]]},
    })
}

fn sentencepiece_json() -> Value {
    json!({
        "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true},
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "fuse_unk": true,
            "vocab": {"<unk>": 0, "<s>": 1, "▁": 2, "a": 3, "▁a": 4, "<0x0A>": 5}, "merges": ["▁ a"]},
    })
}

const JSON_WORDS: [&str; 27] = [
    "null",
    "true",
    "-1",
    "4294967295",
    "18446744073709551615",
    "1e300",
    "\"\"",
    "\"▁\"",
    "{}",
    "[]",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\"type\": \"Unigram\",",
    "\"Split\"",
    "\"Metaspace\"",
    "\"(a*)*b\"",
    "(?=",
    "\\\\p{L}",
    "{1,99999}",
    "\"Precompiled\"",
    "\"continuing_subword_prefix\": \"##\",",
    "\"Punctuation\"",
    "\"type\": \"WordPiece\",",
    "\"BertNormalizer\"",
    "\"BertPreTokenizer\"",
];

fn word_piece_json() -> Value {
    json!({
        "added_tokens": [{"id": 0, "content": "[UNK]", "special": true}, {"id": 1, "content": "[CLS]", "special": true}],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": {"[UNK]": 0, "[CLS]": 1, "a": 2, "##a": 3, "ab": 4, "##b": 5, "é": 6}},
    })
}

fn try_text(tokenizer: &Tokenizer, random: &mut Random) {
    let text = mutate("ab 12 <|e|>\n<s> é🦙 aaaa ▁ab", &["ab ", "12", "<s>", "<0x0A>", "▁", "\u{FFFD}"], random);
    for specials in [Specials::Plain, Specials::Parsed] {
        let ids = tokenizer.encode(&text, specials, true);
        let _ = tokenizer.decode(&ids);
    }
    let end = text.floor_char_boundary(random.below(text.len() + 1));
    let _ = tokenizer.encode_chat(&text, std::slice::from_ref(&(0..end)));
    let ids: Vec<TokenId> = (0..40).map(|_| TokenId(random.below(tokenizer.vocab_size() + 3) as u32)).collect();
    let _ = tokenizer.decode(&ids);
    let _ = (tokenizer.eog_ids(), tokenizer.bos(), tokenizer.is_special(ids[0]));
}

#[test]
fn mutated_tokenizer_json() {
    let specials = JsonSpecials { bos_token: Some("<|e|>".to_string()), eos_id: Some(1), add_eos: Some(true), ..JsonSpecials::default() };
    let sources = [byte_level_json().to_string(), sentencepiece_json().to_string(), word_piece_json().to_string()];
    for source in &sources {
        Tokenizer::from_json(source.as_bytes(), &specials).unwrap();
    }
    // Changes spread over the file rarely meet its rules, so most of the vocabulary is left out for half of them.
    let mut small = byte_level_json();
    small["model"]["vocab"] = json!({"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ġab": 4});
    let small = small.to_string();
    fuzz(|random| {
        let source = if random.below(2) == 0 { &small } else { &sources[random.below(3)] };
        let mut bytes = mutate(source, &JSON_WORDS, random).into_bytes();
        if random.below(8) == 0 && !bytes.is_empty() {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        if let Ok(tokenizer) = Tokenizer::from_json(&bytes, &specials) {
            try_text(&tokenizer, random);
        }
    });
}

/// Nothing, or a trie of a few units with replacements, or bytes.
fn charsmap(random: &mut Random) -> Vec<u8> {
    match random.below(4) {
        0 => (0..random.below(40)).map(|_| random.next() as u8).collect(),
        1 => {
            let n_units = random.below(300);
            let mut bytes = ((n_units * 4) as u32).to_le_bytes().to_vec();
            for at in 0..n_units as u32 {
                // Labels that fit their places, children near or anywhere, values inside or outside.
                let label = match random.below(4) {
                    0 => random.next() as u32 & 0xff,
                    1 => 1 << 31 | random.below(9) as u32,
                    _ => at & 0xff,
                };
                bytes.extend((label | random.pick(&[0u32, 1 << 8, 1 << 9]) | (random.below(400) as u32) << 10).to_le_bytes());
            }
            bytes.extend(random.pick(&["", "a\0", "ab\0é \0", "▁\0  \0x", "no end"]).bytes());
            bytes
        }
        _ => Vec::new(),
    }
}

#[test]
fn random_vocabularies() {
    let pieces = [
        "",
        "a",
        "b",
        "ab",
        "ba",
        "▁",
        "▁a",
        "Ġ",
        "Ġab",
        "<s>",
        "</s>",
        "<|im_end|>",
        "<0x41>",
        "<0xZZ>",
        "<0x",
        "\n",
        "é",
        "🦙",
        " ",
        "<unk>",
        "<think>",
        "[INST]",
    ];
    let scores = [0.0, -1.0, 5.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MAX];
    let names = ["default", "llama-bpe", "gpt-2", "qwen2", "deepseek-llm", "superbpe", "nothing"];
    fuzz(|random| {
        let n = random.below(60);
        let tokens = (0..n).map(|_| random.pick(&pieces).repeat(1 + random.below(3))).collect();
        let id = |random: &mut Random| [None, Some(random.below(n + 2) as u32), Some(u32::MAX)][random.below(3)];
        let n_scores = if random.below(9) == 0 { random.below(70) } else { n };
        let spec = VocabSpec {
            model: random.pick(&["llama", "gpt2", "gemma4", "bert", "t5", "rwkv"]).to_string(),
            pre: Some(random.pick(&names)).filter(|_| random.below(2) == 0).map(String::from),
            scores: (0..n_scores).map(|_| random.pick(&scores)).collect(),
            token_types: (0..n).map(|_| random.below(9) as i32 - 1).collect(),
            merges: (0..random.below(40)).map(|_| format!("{} {}", random.pick(&pieces), random.pick(&pieces))).collect(),
            bos: id(random),
            eos: id(random),
            eot: id(random),
            unknown: id(random),
            add_bos: random.pick(&[None, Some(true), Some(false)]),
            add_eos: random.pick(&[None, Some(true)]),
            add_space_prefix: random.pick(&[None, Some(false)]),
            remove_extra_whitespaces: random.pick(&[None, Some(false)]),
            precompiled_charsmap: charsmap(random),
            cls: id(random),
            separator: id(random),
            lowercase: random.pick(&[None, Some(false)]),
            strip_accents: random.pick(&[None, Some(true), Some(false)]),
            name: random.pick(&[None, Some("Phi-3")]).map(String::from),
            tokens,
            ..VocabSpec::default()
        };
        if let Ok(tokenizer) = Tokenizer::from_spec(spec) {
            try_text(&tokenizer, random);
        }
    });
}

/// Texts that make naive tokenizers quadratic or overflow a stack.
#[test]
fn long_uniform_texts_take_linear_time() {
    let sentencepiece = VocabSpec {
        model: "llama".to_string(),
        tokens: ["<unk>", "<s>", "</s>", "▁", "a", "aa", "aaaa", "▁a", "▁▁", "▁▁▁▁"].iter().collect(),
        scores: vec![0.0, 0.0, 0.0, -9.0, -8.0, -1.0, -2.0, -3.0, -4.0, -5.0],
        token_types: vec![2, 3, 3, 1, 1, 1, 1, 1, 1, 1],
        ..VocabSpec::default()
    };
    let from_json = Tokenizer::from_json(byte_level_json().to_string().as_bytes(), &JsonSpecials::default()).unwrap();
    let with = |model: &str, merges: &[&str]| {
        let spec = VocabSpec { model: model.to_string(), merges: merges.iter().collect(), unknown: Some(0), ..sentencepiece.clone() };
        Tokenizer::from_spec(spec).unwrap()
    };
    let unigram = VocabSpec {
        model: "t5".to_string(),
        unknown: Some(0),
        tokens: ["<unk>".to_string()].into_iter().chain((1..200).map(|n| "a".repeat(n))).collect(),
        ..VocabSpec::default()
    };
    let word_piece = Tokenizer::from_json(word_piece_json().to_string().as_bytes(), &JsonSpecials::default()).unwrap();
    let tokenizers = [
        with("llama", &[]),
        with("gemma4", &["a a", "aa aa", "▁ a"]),
        with("t5", &[]),
        Tokenizer::from_spec(unigram).unwrap(),
        word_piece,
        from_json,
    ];
    for tokenizer in &tokenizers {
        for unit in ["a", " ", "ab", "<s", "\n", "é", "1"] {
            let text = unit.repeat(200_000 / unit.len());
            let start = Instant::now();
            let ids = tokenizer.encode(&text, Specials::Parsed, false);
            // Spaces alone are no text for some.
            assert!((!ids.is_empty() || text.trim().is_empty()) && start.elapsed() < LONGEST, "{unit:?} took {:?}", start.elapsed());
        }
    }
}
