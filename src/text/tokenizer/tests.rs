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

/// Control tokens, bytes and pieces, whose merges are a list.
fn gemma(pieces: &[&str], merges: &[&str]) -> VocabSpec {
    let control = ["<pad>", "<eos>", "<bos>", "<unk>"];
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let mut tokens: Texts = control.iter().collect();
    tokens.extend(bytes);
    tokens.extend(pieces);
    let token_types = (0..tokens.len())
        .map(|id| {
            if id < 4 {
                3
            } else if id < 260 {
                6
            } else {
                1
            }
        })
        .collect();
    VocabSpec {
        model: "gemma4".to_string(),
        merges: merges.iter().collect(),
        bos: Some(2),
        eos: Some(1),
        unknown: Some(3),
        tokens,
        token_types,
        ..VocabSpec::default()
    }
}

#[test]
fn gemma4_merges_by_its_list_without_cutting_at_spaces() {
    let list = ["▁", "a", "b", "\n", "\n\n", "ab", "▁ab", "b▁", "</s>", "<", "/s>", "<turn|>", "<|tool_response>"];
    let tokenizer = build(gemma(&list, &["\n \n", "b ▁", "a b", "▁ ab", "< /s>", "< unk>"]));
    assert_eq!(encode(&tokenizer, "ab ab\n\n\n", Specials::Plain), ["a", "b▁", "ab", "\n\n", "\n"]);
    assert_eq!(encode(&tokenizer, " ab", Specials::Plain), ["▁ab"]);
    assert_eq!(encode(&tokenizer, "aé", Specials::Plain), ["a", "<0xC3>", "<0xA9>"]);
    for text in ["  ab é🦙\n\n\n\nb ", "<unk>", ""] {
        let ids = tokenizer.encode(text, Specials::Plain, true);
        assert_eq!((ids[0], tokenizer.decode(&ids).as_str()), (TokenId(2), text));
    }
    // `</s>` is a word of HTML here.
    assert_eq!(pieces(&tokenizer, &tokenizer.eog_ids()), ["<eos>", "<turn|>", "<|tool_response>"]);
    // Early files say so by mistake.
    let spec = VocabSpec { add_bos: Some(false), ..gemma(&list, &["a b"]) };
    assert_eq!(build(spec).encode("ab", Specials::Plain, true).len(), 2);
}

fn word_piece() -> VocabSpec {
    let texts = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁un", "aff", "able", "▁a", "▁b", "b", "▁.", "▁'", "▁東", "▁京", "▁café", "▁cafe",
        "▁C",
    ];
    let token_types = (0..texts.len()).map(|id| if id < 5 { 3 } else { 1 }).collect();
    VocabSpec { model: "bert".to_string(), tokens: texts.iter().collect(), token_types, ..VocabSpec::default() }
}

#[test]
fn word_piece_takes_the_longest_pieces_of_normalized_words() {
    let tokenizer = build(word_piece());
    let encode = |text: &str| encode(&tokenizer, text, Specials::Plain).join(" ");
    assert_eq!(encode("UNaffable\t a\u{0}b."), "▁un aff able ▁a b ▁.");
    assert_eq!(encode("Café cafe\u{301} CAFE"), "▁cafe ▁cafe ▁cafe");
    assert_eq!(encode("東京a'b"), "▁東 ▁京 ▁a ▁' ▁b");
    assert_eq!(encode("unx x un"), "[UNK] [UNK] ▁un");
    assert_eq!(encode(&format!("a{} a{}", "b".repeat(99), "b".repeat(100))), format!("▁a {}[UNK]", "b ".repeat(99)));
    assert_eq!(encode("  \n "), "");
    let ids = tokenizer.encode("unaffable a . B'a", Specials::Plain, true);
    assert_eq!(pieces(&tokenizer, &[ids[0], ids[ids.len() - 1]]), ["[CLS]", "[SEP]"]);
    assert_eq!(tokenizer.decode(&ids), "unaffable a. b ' a");
    assert_eq!(pieces(&tokenizer, &tokenizer.encode("a [MASK]b", Specials::Parsed, false)), ["▁a", "[MASK]", "▁b"]);
    assert!(!tokenizer.encode("[CLS]", Specials::Plain, false).contains(&ids[0]));
}

#[test]
fn word_piece_follows_the_metadata() {
    let cased = VocabSpec { lowercase: Some(false), add_bos: Some(false), add_eos: Some(false), ..word_piece() };
    let tokenizer = build(cased.clone());
    assert_eq!(encode(&tokenizer, "café cafe A", Specials::Plain), ["▁café", "▁cafe", "[UNK]"]);
    assert_eq!(tokenizer.encode("a", Specials::Plain, true).len(), 1);
    let tokenizer = build(VocabSpec { strip_accents: Some(true), ..cased });
    assert_eq!(encode(&tokenizer, "café", Specials::Plain), ["▁cafe"]);
    let mut without = word_piece();
    without.tokens = without.tokens.iter().map(|text| if text == "[UNK]" { "[unused]" } else { text }).collect();
    assert_eq!(encode(&build(without), "a x b", Specials::Plain), ["▁a", "▁b"]);
}

#[test]
fn unigram_gives_the_ids_that_sentencepiece_gives() {
    let list: Vec<serde_json::Value> = serde_json::from_str(include_str!("../../../tests/fixtures/unigram.json")).expect("JSON");
    let mut n_checked = 0;
    for file in &list {
        let array = |key: &str| file[key].as_array().expect(key).iter();
        let hex = file["precompiled_charsmap"].as_str().expect("hex");
        let spec = VocabSpec {
            model: "t5".to_string(),
            tokens: array("tokens").filter_map(|text| text.as_str()).collect(),
            scores: array("scores").filter_map(|score| score.as_f64()).map(|score| score as f32).collect(),
            token_types: array("token_type").filter_map(|kind| kind.as_i64()).map(|kind| kind as i32).collect(),
            add_space_prefix: file["add_space_prefix"].as_bool(),
            remove_extra_whitespaces: file["remove_extra_whitespaces"].as_bool(),
            precompiled_charsmap: (0..hex.len() / 2).filter_map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()).collect(),
            ..VocabSpec::default()
        };
        let tokenizer = build(spec);
        for case in array("cases") {
            let text = case["text"].as_str().expect("a text");
            let ids: Vec<u64> = tokenizer.encode(text, Specials::Plain, false).iter().map(|id| id.0.into()).collect();
            assert_eq!(serde_json::json!(ids), case["ids"], "{text:?}");
            n_checked += 1;
        }
        let ids = tokenizer.encode("The old lighthouse", Specials::Plain, true);
        assert_eq!(tokenizer.decode(&ids), "The old lighthouse");
        assert_eq!(ids.last(), Some(&TokenId(1)));
    }
    assert_eq!(n_checked, 316);
}

#[test]
fn unigram_is_calm_where_scores_are_not() {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -0.0];
    for score in odd {
        let list = [("▁", score), ("a", -1.0), ("aa", score), ("▁a", f32::NAN)];
        let tokenizer = build(VocabSpec { model: "t5".to_string(), unknown: Some(0), ..sentencepiece(&list, true) });
        let ids = tokenizer.encode(&"aé ".repeat(50), Specials::Plain, true);
        assert_eq!(tokenizer.decode(&ids), "aé ".repeat(50).trim_end());
    }
}

#[test]
fn unusable_vocabularies_are_refused_in_one_line() {
    let error = |spec: VocabSpec| match Tokenizer::from_spec(spec) {
        Ok(_) => panic!("the vocabulary was taken"),
        Err(error) => error.to_string(),
    };
    let good = byte_level(&["a b"], &[]);
    assert!(error(VocabSpec { model: "rwkv".to_string(), ..good.clone() }).contains("`rwkv` is not supported"));
    assert!(error(VocabSpec { pre: Some("martian".to_string()), ..good.clone() }).contains("`martian`"));
    assert!(error(VocabSpec { tokens: Texts::default(), ..good.clone() }).contains("empty"));
    assert!(error(VocabSpec { token_types: vec![1; 3], ..good.clone() }).contains("`tokenizer.ggml.token_type` has 3 entries"));
    assert!(error(VocabSpec { merges: ["ab"].iter().collect(), ..good.clone() }).contains("merge 0 is `ab`"));
    assert!(error(VocabSpec { merges: Texts::default(), ..good.clone() }).contains("merges"));
    let charsmap = |bytes: &[u8]| error(VocabSpec { model: "t5".to_string(), precompiled_charsmap: bytes.to_vec(), ..good.clone() });
    assert!(charsmap(&[1, 2]).contains("`tokenizer.ggml.precompiled_charsmap` cannot be used: it is too short"));
    assert!(charsmap(&[9, 0, 0, 0, 1]).contains("longer than the array"));
    assert!(charsmap(&[0; 8]).contains("empty"));
    assert!(charsmap(&[4, 0, 0, 0, 1, 2, 3, 4, 0xff]).contains("UTF-8"));
    assert!(charsmap(&[&[4, 0, 0, 0, 1, 2, 3, 4], &[b'a'; 200][..]].concat()).contains("limit of 128"));
    let long = VocabSpec { model: "t5".to_string(), tokens: ["a".repeat(2000)].iter().collect(), ..VocabSpec::default() };
    assert!(error(long).contains("limit of 1024"));
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
fn a_json_word_piece_tokenizer_equals_the_one_from_metadata() {
    let spec = word_piece();
    let text = |i: usize, text: &str| match text.strip_prefix('▁') {
        Some(word) => word.to_string(),
        None if i < 5 => text.to_string(),
        None => format!("##{text}"),
    };
    let vocab: serde_json::Map<_, _> = spec.tokens.iter().enumerate().map(|(i, t)| (text(i, t), i.into())).collect();
    let added: Vec<_> = (0..5).map(|id| serde_json::json!({"id": id, "content": spec.tokens.get(id), "special": true})).collect();
    let file = serde_json::json!({
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab},
    });
    let from_json = Tokenizer::from_json(file.to_string().as_bytes(), &JsonSpecials::default()).expect("a tokenizer");
    let from_spec = build(spec);
    for text in ["UNaffable a.", "Café 東京 xyz", "[CLS] a [SEP]", ""] {
        let ids = from_json.encode(text, Specials::Plain, true);
        assert_eq!(ids, from_spec.encode(text, Specials::Plain, true), "{text}");
        assert_eq!(from_json.decode(&ids), from_spec.decode(&ids), "{text}");
    }
}

#[test]
fn unusable_json_is_refused_in_one_line() {
    let error = |text: &str| match Tokenizer::from_json(text.as_bytes(), &JsonSpecials::default()) {
        Ok(_) => panic!("{text} was taken"),
        Err(error) => error.to_string(),
    };
    assert!(error("").starts_with("tokenizer.json: "));
    assert!(error(r#"{"model": {"type": "Unigram", "vocab": []}}"#).contains("`Unigram` is not supported"));
    let word_piece = |rest: &str| error(&format!(r#"{{"model": {{"type": "WordPiece", "vocab": {{"a": 0}}, {rest}}}}}"#));
    assert!(word_piece(r#""continuing_subword_prefix": "@@""#).contains("`@@`"));
    assert!(word_piece(r#""max_input_chars_per_word": 100000"#).contains("limit of 256"));
    assert!(error(r#"{"model": {"type": "BPE"}}"#).contains("no `vocab`"));
    assert!(error(r#"{"model": {"type": "BPE", "vocab": {"a": 4294967295}}}"#).contains("exceeds the limit"));
    assert!(error(r#"{"model": {"type": "BPE", "vocab": {"a": 0}}, "normalizer": {"type": "Precompiled"}}"#).contains("`Precompiled`"));
    let long = format!(r#"{{"model": {{"vocab": {{"a": 0}}}}, "normalizer": {{"type": "Prepend", "prepend": "{}"}}}}"#, "x".repeat(99));
    assert!(error(&long).contains("limit of 32"));
}
