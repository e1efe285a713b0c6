//! The tokenizer on vocabularies of a few tokens.

use super::*;

/// Pieces `▁`, letters and a few unions; scores as given.
fn sentencepiece(pieces: &[(&str, f32)], with_bytes: bool) -> VocabSpec {
    let mut spec = VocabSpec { model: "llama".to_string(), ..VocabSpec::default() };
    let mut add = |text: &str, score: f32, token_type: i32| {
        spec.tokens.push(text);
        spec.scores.push(score);
        spec.token_types.push(token_type);
    };
    add("<unk>", 0.0, 2);
    add("<s>", 0.0, 3);
    add("</s>", 0.0, 3);
    if with_bytes {
        (0..256).for_each(|byte| add(&format!("<0x{byte:02X}>"), 0.0, 6));
    }
    pieces.iter().for_each(|&(text, score)| add(text, score, 1));
    spec
}

/// All bytes, then the unions that `merges` make, then the control tokens.
fn byte_level(merges: &[&str], control: &[&str]) -> VocabSpec {
    let bytes = byte_level::byte_chars().into_iter().map(|c| c.to_string());
    let unions = merges.iter().map(|merge| merge.replace(' ', ""));
    let mut tokens: Texts = bytes.chain(unions).collect();
    let mut token_types = vec![1; tokens.len()];
    tokens.extend(control);
    token_types.resize(tokens.len(), 3);
    let merges = merges.iter().collect();
    VocabSpec { model: "gpt2".to_string(), pre: Some("gpt-2".to_string()), tokens, token_types, merges, ..VocabSpec::default() }
}

fn build(spec: VocabSpec) -> Tokenizer {
    Tokenizer::from_spec(spec).expect("a vocabulary")
}

fn pieces(tokenizer: &Tokenizer, ids: &[TokenId]) -> Vec<String> {
    ids.iter().map(|&id| tokenizer.token_text(id).expect("an id of the vocabulary").to_string()).collect()
}

fn encode(tokenizer: &Tokenizer, text: &str, specials: Specials) -> Vec<String> {
    pieces(tokenizer, &tokenizer.encode(text, specials, false))
}

#[test]
fn equal_scores_merge_from_the_left() {
    let letters = [("▁", -9.0), ("a", -9.0), ("b", -9.0), ("c", -9.0)];
    let tokenizer = build(sentencepiece(&[&letters[..], &[("ab", -1.0), ("bc", -1.0)]].concat(), false));
    assert_eq!(encode(&tokenizer, "abc", Specials::Plain), ["▁", "ab", "c"]);
    let tokenizer = build(sentencepiece(&[&letters[..], &[("ab", -2.0), ("bc", -1.0)]].concat(), false));
    assert_eq!(encode(&tokenizer, "abc", Specials::Plain), ["▁", "a", "bc"]);
}

#[test]
fn a_character_without_a_token_becomes_bytes_or_unknown() {
    let tokenizer = build(sentencepiece(&[("▁", -1.0)], true));
    assert_eq!(encode(&tokenizer, "é", Specials::Plain), ["▁", "<0xC3>", "<0xA9>"]);
    let ids = tokenizer.encode("é x", Specials::Plain, true);
    assert_eq!(tokenizer.decode(&ids), "é x");
    let tokenizer = build(sentencepiece(&[("▁", -1.0)], false));
    assert_eq!(encode(&tokenizer, "é", Specials::Plain), ["▁", "<unk>"]);
}

#[test]
fn merging_never_arrives_at_a_control_or_byte_token() {
    let tokenizer =
        build(sentencepiece(&[("▁", -9.0), ("<", -9.0), ("s", -9.0), (">", -9.0), ("<s", 5.0), ("<0x4", 5.0), ("1>", 5.0)], true));
    assert_eq!(encode(&tokenizer, "<s>", Specials::Plain), ["▁", "<s", ">"]);
    assert_eq!(encode(&tokenizer, "<s>", Specials::Parsed), ["<s>"]);
    assert!(!encode(&tokenizer, "<0x41>", Specials::Plain).contains(&"<0x41>".to_string()));
    let tokenizer = build(byte_level(&["< |", "<| e", "<|e |", "<|e| >"], &["<|e|>"]));
    assert_eq!(tokenizer.token_id("<|e|>").map(|id| tokenizer.is_special(id)), Some(true));
    assert!(!tokenizer.encode("<|e|>", Specials::Plain, false).iter().any(|&id| tokenizer.is_special(id)));
}

#[test]
fn space_prefix_comes_first_and_after_each_special_token() {
    let list = [("▁", -1.0), ("a", -1.0)];
    let tokenizer = build(sentencepiece(&list, true));
    assert_eq!(encode(&tokenizer, "a<s>a", Specials::Parsed), ["▁", "a", "<s>", "▁", "a"]);
    assert_eq!(encode(&tokenizer, "", Specials::Plain), [""; 0]);
    let tokenizer = build(VocabSpec { add_space_prefix: Some(false), ..sentencepiece(&list, true) });
    let ids = tokenizer.encode(" a", Specials::Plain, false);
    assert_eq!(pieces(&tokenizer, &ids), ["▁", "a"]);
    assert_eq!(tokenizer.decode(&ids), " a");
}

#[test]
fn bos_and_eos_follow_the_metadata() {
    let list = [("▁", -1.0), ("a", -1.0)];
    let added = |add_bos, add_eos| {
        let tokenizer = build(VocabSpec { add_bos, add_eos, ..sentencepiece(&list, true) });
        pieces(&tokenizer, &tokenizer.encode("a", Specials::Plain, true)).join(" ")
    };
    assert_eq!(added(None, None), "<s> ▁ a");
    assert_eq!(added(Some(false), Some(true)), "▁ a </s>");
    let mut spec = byte_level(&["a b"], &["<|bos|>"]);
    spec.bos = Some(spec.tokens.len() as u32 - 1);
    assert_eq!(build(spec.clone()).encode("ab", Specials::Plain, true).len(), 1);
    spec.pre = Some("llama-bpe".to_string());
    assert_eq!(build(spec).encode("ab", Specials::Plain, true).len(), 2);
}

#[test]
fn end_tokens_are_known_by_id_and_by_name() {
    let mut spec = byte_level(&["a b"], &["<|im_end|>", "<|mine|>", "<|other|>"]);
    let first = spec.tokens.len() as u32 - 3;
    spec.eot = Some(first + 1);
    // A file that calls its end mark an ordinary token does not make it one.
    spec.token_types[first as usize] = 1;
    let tokenizer = build(spec);
    assert_eq!(tokenizer.eog_ids(), [TokenId(first), TokenId(first + 1)]);
    assert!(tokenizer.is_special(TokenId(first)));
    assert!(!tokenizer.is_eog(TokenId(first + 2)) && !tokenizer.is_eog(TokenId(u32::MAX)));
    let tokenizer = build(byte_level(&["a b"], &["<|end|>", "<|return|>", "<|call|>"]));
    assert_eq!(pieces(&tokenizer, &tokenizer.eog_ids()), ["<|return|>", "<|call|>"]);
}

#[test]
fn user_defined_tokens_are_ordinary_unless_they_look_like_marks() {
    let mut spec = byte_level(&["a b"], &["\n\n\n", "<｜User｜>", "[INST]"]);
    let n = spec.token_types.len();
    spec.token_types[n - 3..].fill(4);
    let tokenizer = build(spec);
    let ids = tokenizer.encode("ab\n\n\n<｜User｜>[INST]", Specials::Plain, false);
    assert_eq!(pieces(&tokenizer, &ids[..2]), ["ab", "\n\n\n"]);
    assert!(!ids.iter().any(|&id| tokenizer.is_special(id)));
    assert_eq!(tokenizer.decode(&ids), "ab\n\n\n<｜User｜>[INST]");
}

#[test]
fn in_a_chat_only_the_template_makes_special_tokens() {
    let tokenizer = build(byte_level(&["a b"], &["<|e|>", "<|e|>|>"]));
    let text = "<|e|>ab<|e|>ab<|e|>";
    let encode = |text: &str, message: Range<usize>| tokenizer.encode_chat(text, std::slice::from_ref(&message));
    let ids = encode(text, 7..12);
    assert_eq!(pieces(&tokenizer, &ids), ["<|e|>", "ab", "<", "|", "e", "|", ">", "ab", "<|e|>"]);
    // A token may not reach into a message either, nor begin in one.
    let ids = encode("<|e|>|>", 5..7);
    assert_eq!(pieces(&tokenizer, &ids), ["<|e|>", "|", ">"]);
    let ids = encode("<|e|>", 0..1);
    assert_eq!(ids.len(), 5);
}

#[test]
fn a_chat_begins_with_one_bos() {
    let tokenizer = build(sentencepiece(&[("▁", -1.0), ("a", -1.0)], true));
    assert_eq!(pieces(&tokenizer, &tokenizer.encode_chat("<s>a", &[])), ["<s>", "▁", "a"]);
    assert_eq!(pieces(&tokenizer, &tokenizer.encode_chat("a", &[])), ["<s>", "▁", "a"]);
}

#[test]
fn streaming_never_splits_a_character() {
    let tokenizer = build(byte_level(&["a b"], &["<|e|>"]));
    let text = "aé🦙b";
    let ids = tokenizer.encode(text, Specials::Plain, false);
    let mut decoder = tokenizer.decoder();
    let parts: Vec<Option<String>> = ids.iter().map(|&id| decoder.push(id)).collect();
    assert_eq!(parts.iter().flatten().cloned().collect::<String>(), text);
    assert_eq!(parts.iter().flatten().count(), 4);
    assert_eq!(decoder.finish(), None);
    assert_eq!(decoder.push(ids[3]), None);
    assert_eq!(decoder.finish(), Some("\u{FFFD}".to_string()));
    // A byte that cannot continue what is pending makes it invalid at once.
    assert_eq!(decoder.push(ids[3]), None);
    assert_eq!(decoder.push(ids[0]), Some("\u{FFFD}a".to_string()));
    assert_eq!(decoder.push(TokenId(u32::MAX)), None);
}

#[test]
fn special_tokens_are_hidden_unless_asked_for_and_think_marks_are_not() {
    let tokenizer = build(byte_level(&["a b"], &["<|e|>", "<think>"]));
    let ids = tokenizer.encode("<|e|><think>ab", Specials::Parsed, false);
    assert_eq!(tokenizer.decode(&ids), "<think>ab");
    let mut decoder = tokenizer.decoder().showing_specials();
    assert_eq!(ids.iter().filter_map(|&id| decoder.push(id)).collect::<String>(), "<|e|><think>ab");
}

#[test]
fn the_first_space_is_dropped_at_the_start_only() {
    let tokenizer = build(sentencepiece(&[("▁", -1.0), ("a", -1.0), ("▁a", 0.0)], true));
    let ids = tokenizer.encode("a a", Specials::Plain, true);
    assert_eq!(tokenizer.decode(&ids), "a a");
    let mut decoder = tokenizer.continuation_decoder();
    assert_eq!(ids.iter().filter_map(|&id| decoder.push(id)).collect::<String>(), " a a");
}

#[test]
fn unusable_vocabularies_are_refused_in_one_line() {
    let error = |spec: VocabSpec| match Tokenizer::from_spec(spec) {
        Ok(_) => panic!("the vocabulary was taken"),
        Err(error) => error.to_string(),
    };
    let good = byte_level(&["a b"], &[]);
    assert!(error(VocabSpec { model: "t5".to_string(), ..good.clone() }).contains("`t5` is not supported"));
    assert!(error(VocabSpec { pre: Some("martian".to_string()), ..good.clone() }).contains("`martian`"));
    assert!(error(VocabSpec { tokens: Texts::default(), ..good.clone() }).contains("empty"));
    assert!(error(VocabSpec { token_types: vec![1; 3], ..good.clone() }).contains("`tokenizer.ggml.token_type` has 3 entries"));
    assert!(error(VocabSpec { merges: ["ab"].iter().collect(), ..good.clone() }).contains("merge 0 is `ab`"));
    assert!(error(VocabSpec { merges: Texts::default(), ..good.clone() }).contains("merges"));
    // Ids outside of the vocabulary occur in published files and are not used.
    assert_eq!(build(VocabSpec { bos: Some(u32::MAX), add_bos: Some(true), ..good }).encode("ab", Specials::Plain, true).len(), 1);
}

#[test]
fn a_json_tokenizer_equals_the_one_from_metadata() {
    let spec = byte_level(&["a b", "Ġ ab"], &["<|bos|>", "<|im_end|>"]);
    let vocab: serde_json::Map<_, _> = spec.tokens.iter().take(258).enumerate().map(|(i, t)| (t.to_string(), i.into())).collect();
    let file = serde_json::json!({
        "added_tokens": [{"id": 258, "content": "<|bos|>", "special": true}, {"id": 259, "content": "<|im_end|>", "special": true, "rstrip": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": " ?\\p{L}+| ?[^\\s\\p{L}]+|\\s+"}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|bos|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": ["a b", ["Ġ", "ab"]]},
    });
    let text = |text: &str| Some(text.to_string());
    let specials = JsonSpecials { bos_token: text("<|bos|>"), eos_token: text("<|im_end|>"), ..JsonSpecials::default() };
    let from_json = Tokenizer::from_json(file.to_string().as_bytes(), &specials).expect("a tokenizer");
    let from_spec = build(spec);
    for text in ["ab ab", "é🦙 ab<|im_end|>", "", "<|bos|>"] {
        assert_eq!(from_json.encode(text, Specials::Plain, false), from_spec.encode(text, Specials::Plain, false), "{text}");
        assert_eq!(from_json.decode(&from_json.encode(text, Specials::Plain, true)), text);
    }
    assert!(from_json.adds_bos() && from_json.is_eog(TokenId(259)));
    assert_eq!(from_json.encode("<|im_end|>  ab", Specials::Parsed, false).len(), 2);
}

#[test]
fn a_json_sentencepiece_tokenizer_prefixes_the_start_alone() {
    let file = serde_json::json!({
        "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true}],
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false},
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"},
        "model": {"type": "BPE", "unk_token": "<unk>", "vocab": {"<unk>": 0, "<s>": 1, "▁": 2, "a": 3, "▁a": 4}, "merges": ["▁ a"]},
    });
    let tokenizer = Tokenizer::from_json(file.to_string().as_bytes(), &JsonSpecials::default()).expect("a tokenizer");
    assert_eq!(encode(&tokenizer, "a<s>a", Specials::Parsed), ["▁a", "<s>", "a"]);
    assert_eq!(encode(&tokenizer, "b", Specials::Plain), ["▁", "<unk>"]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("a a", Specials::Plain, false)), "a a");
}

#[test]
fn unusable_json_is_refused_in_one_line() {
    let error = |text: &str| match Tokenizer::from_json(text.as_bytes(), &JsonSpecials::default()) {
        Ok(_) => panic!("{text} was taken"),
        Err(error) => error.to_string(),
    };
    assert!(error("").starts_with("tokenizer.json: "));
    assert!(error(r#"{"model": {"type": "Unigram", "vocab": []}}"#).contains("`Unigram` is not supported"));
    assert!(error(r#"{"model": {"type": "BPE"}}"#).contains("no `vocab`"));
    assert!(error(r#"{"model": {"type": "BPE", "vocab": {"a": 4294967295}}}"#).contains("exceeds the limit"));
    assert!(error(r#"{"model": {"type": "BPE", "vocab": {"a": 0}}, "normalizer": {"type": "Precompiled"}}"#).contains("`Precompiled`"));
    let long = format!(r#"{{"model": {{"vocab": {{"a": 0}}}}, "normalizer": {{"type": "Prepend", "prepend": "{}"}}}}"#, "x".repeat(99));
    assert!(error(&long).contains("limit of 32"));
}
