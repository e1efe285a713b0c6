//! `tokenizer.json` of Hugging Face folders: BPE and WordPiece models with the normalizers and pre-tokenizers of the `tokenizers` crate.
//!
//! The parts are taken from the file one by one instead of handing it to the crate whole: special tokens must be recognised in template text
//! alone, truncation and padding have no place here, and each part is checked against a list of kinds that bound their own work.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::bpe::{BPE, Merges, Vocab as BpeVocab};

use super::pipeline::Pipeline;
use super::spec::{MAX_MERGES, MAX_TOKEN_BYTES, MAX_TOKENS, check_limit};
use super::vocab::{NamedIds, TokenKind, Vocab, VocabStyle, WordMarks};
use super::wordpiece::{self, CONTINUATION, MAX_WORD_CHARS};
use super::{TokenId, TokenizerError};

/// What the other files of a Hugging Face folder say about special tokens; all of it may be absent.
#[derive(Clone, Debug, Default)]
pub struct JsonSpecials {
    pub bos_token: Option<String>,
    pub eos_token: Option<String>,
    pub unk_token: Option<String>,
    /// Used where the token's text is not given.
    pub bos_id: Option<u32>,
    pub eos_id: Option<u32>,
    /// All that end a generation, where there are several.
    pub end_ids: Vec<u32>,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
}

pub struct Parsed {
    pub vocab: Vocab,
    pub pipeline: Pipeline,
    pub add_bos: bool,
    pub add_eos: bool,
}

/// The largest published file has 34 MB.
const MAX_BYTES: usize = 128 << 20;
const MAX_STEPS: usize = 32;
/// Ids that no token has, where there are fewer tokens than this; published vocabularies leave out some hundreds. A lone high id would ask for
/// memory that the file does not fill.
const MAX_GAPS: usize = 1 << 16;
/// Of a pattern or a replacement; one that grows each character to a megabyte would fill the memory.
const MAX_STEP_TEXT: usize = 4 << 10;
const MAX_REPLACEMENT: usize = 32;
/// How many times longer all steps together may make a text. `▁` for a space and characters for bytes make it 3 and 2 times longer; ten
/// replacements of one letter by eight would fill any memory.
const MAX_GROWTH: usize = 64;

const NORMALIZERS: [&str; 11] =
    ["Sequence", "Prepend", "Replace", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "BertNormalizer"];
const PRE_TOKENIZERS: [&str; 9] =
    ["Sequence", "Split", "ByteLevel", "Digits", "Metaspace", "Whitespace", "WhitespaceSplit", "Punctuation", "BertPreTokenizer"];

#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: JsonModel,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
}

#[derive(Deserialize)]
struct JsonModel {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    vocab: Value,
    #[serde(default)]
    merges: Vec<Merge>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    max_input_chars_per_word: Option<usize>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

/// Written as one string until 2024, as a pair since.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Joined(String),
    Pair(String, String),
}

pub fn parse(bytes: &[u8], specials: &JsonSpecials) -> Result<Parsed, TokenizerError> {
    check_limit("bytes of tokenizer.json", bytes.len(), MAX_BYTES)?;
    let file: TokenizerFile = serde_json::from_slice(bytes).map_err(json)?;
    let model = file.model;
    let is_word_piece = match model.kind.as_deref() {
        None | Some("BPE") => false,
        Some("WordPiece") => true,
        Some(kind) => return Err(TokenizerError::Json(format!("model `{kind}` is not supported; supported are `BPE` and `WordPiece`"))),
    };
    let affix = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    if !is_word_piece && (affix(&model.continuing_subword_prefix) || affix(&model.end_of_word_suffix)) {
        return Err(TokenizerError::Json("word prefixes and suffixes in a BPE model are not supported".to_string()));
    }
    if let Some(prefix) = model.continuing_subword_prefix.as_deref().filter(|&prefix| is_word_piece && prefix != CONTINUATION) {
        return Err(TokenizerError::Json(format!(
            "the prefix `{prefix}` in a WordPiece model is not supported; supported is `{CONTINUATION}`"
        )));
    }
    let marks = WordMarks::Continuations;
    let style = match is_word_piece {
        true => VocabStyle::WordPiece { marks },
        false => style(&file.decoder, &file.pre_tokenizer, &file.normalizer),
    };
    let vocab = read_vocab(&model, &file.added_tokens, style, specials)?;
    let model = match is_word_piece {
        true => wordpiece::model(&vocab, marks, model.max_input_chars_per_word.unwrap_or(MAX_WORD_CHARS))?.into(),
        false => build_bpe(model, &vocab)?.into(),
    };
    let pipeline = Pipeline {
        normalizer: read_step(file.normalizer, &NORMALIZERS)?,
        pre_tokenizer_within: read_step(without_first_prefix(file.pre_tokenizer.clone()), &PRE_TOKENIZERS)?,
        pre_tokenizer: read_step(file.pre_tokenizer, &PRE_TOKENIZERS)?,
        model,
    };
    let adds = |token: Option<TokenId>| token.is_some_and(|id| template_adds(&file.post_processor, vocab.text(id).unwrap_or("")));
    let add_bos = specials.add_bos.unwrap_or_else(|| adds(vocab.bos));
    let add_eos = specials.add_eos.unwrap_or_else(|| vocab.eos != vocab.bos && adds(vocab.eos));
    Ok(Parsed { vocab, pipeline, add_bos, add_eos })
}

fn json(error: serde_json::Error) -> TokenizerError {
    TokenizerError::Json(error.to_string())
}

/// Byte-level where any part says so; a SentencePiece vocabulary otherwise, with the space prefix where a part prepends one.
fn style(decoder: &Value, pre_tokenizer: &Value, normalizer: &Value) -> VocabStyle {
    if has_step(decoder, &|step| step["type"] == "ByteLevel") || has_step(pre_tokenizer, &|step| step["type"] == "ByteLevel") {
        return VocabStyle::ByteLevel;
    }
    let prepends = has_step(normalizer, &|step| step["type"] == "Prepend")
        || has_step(pre_tokenizer, &|step| {
            step["type"] == "Metaspace" && step["prepend_scheme"] != "never" && step["add_prefix_space"] != false
        });
    VocabStyle::SentencePiece { space_prefix: prepends }
}

/// Whether `is` holds for the step or one inside of its sequences. serde_json bounds the depth.
fn has_step(step: &Value, is: &dyn Fn(&Value) -> bool) -> bool {
    let inside = ["normalizers", "pretokenizers", "decoders", "processors"].iter().filter_map(|key| step[*key].as_array());
    is(step) || inside.flatten().any(|inner| has_step(inner, is))
}

/// The step with each `"prepend_scheme": "first"` turned into `"never"`.
fn without_first_prefix(mut step: Value) -> Value {
    if step["prepend_scheme"] == "first" {
        step["prepend_scheme"] = Value::from("never");
    }
    if let Some(inner) = step.get_mut("pretokenizers").and_then(Value::as_array_mut) {
        inner.iter_mut().for_each(|step| *step = without_first_prefix(step.take()));
    }
    step
}

/// Whether the post-processor puts `token` around a single text.
fn template_adds(processor: &Value, token: &str) -> bool {
    has_step(processor, &|step| {
        // `BertProcessing` and `RobertaProcessing` have a pair of the token and its id each.
        let pair = step["cls"][0] == token || step["sep"][0] == token;
        pair || step["single"].as_array().is_some_and(|pieces| pieces.iter().any(|piece| piece["SpecialToken"]["id"] == token))
    })
}

fn read_vocab(model: &JsonModel, added: &[AddedToken], style: VocabStyle, specials: &JsonSpecials) -> Result<Vocab, TokenizerError> {
    let map = model.vocab.as_object().ok_or_else(|| TokenizerError::Json("the model has no `vocab`".to_string()))?;
    let mut n_tokens = 0;
    let mut entries = Vec::with_capacity(map.len());
    for (text, id) in map {
        let id = id.as_u64().ok_or_else(|| TokenizerError::Json(format!("the id of token `{text}` is no number")))?;
        entries.push((id, text.as_str()));
    }
    entries.extend(added.iter().map(|token| (token.id.into(), token.content.as_str())));
    for &(id, text) in &entries {
        check_limit("token id", usize::try_from(id).unwrap_or(usize::MAX), MAX_TOKENS - 1)?;
        check_limit("bytes of a token", text.len(), MAX_TOKEN_BYTES)?;
        n_tokens = n_tokens.max(id as usize + 1);
    }
    if n_tokens == 0 {
        return Err(TokenizerError::Json("the vocabulary is empty".to_string()));
    }
    check_limit("number of ids without a token", n_tokens.saturating_sub(entries.len()), MAX_GAPS.max(entries.len()))?;
    let mut texts = vec![""; n_tokens];
    let mut kinds = vec![TokenKind::Unused; n_tokens];
    for (id, text) in entries {
        texts[id as usize] = text;
        let byte = model.byte_fallback && text.len() == 6 && text.starts_with("<0x");
        kinds[id as usize] = if byte { TokenKind::Byte } else { TokenKind::Normal };
    }
    for token in added {
        kinds[token.id as usize] = if token.special { TokenKind::Control } else { TokenKind::UserDefined };
    }
    let find = |text: &Option<String>| texts.iter().position(|&t| Some(t) == text.as_deref() && !t.is_empty()).map(|i| i as u32);
    // BERT's configuration names these `cls_token` and `sep_token`.
    let of_bert = |name: &str| if matches!(style, VocabStyle::WordPiece { .. }) { find(&Some(name.to_string())) } else { None };
    let ids = NamedIds {
        bos: find(&specials.bos_token).or(specials.bos_id).or_else(|| of_bert("[CLS]")),
        eos: find(&specials.eos_token).or(specials.eos_id).or_else(|| of_bert("[SEP]")),
        unknown: find(&model.unk_token).or(find(&specials.unk_token)),
        end: specials.end_ids.clone(),
    };
    let mut vocab = Vocab::new(style, texts.into_iter().collect(), kinds, &ids);
    for token in added {
        vocab.set_strips(TokenId(token.id), token.lstrip, token.rstrip);
    }
    Ok(vocab)
}

fn build_bpe(model: JsonModel, vocab: &Vocab) -> Result<BPE, TokenizerError> {
    check_limit("number of merges", model.merges.len(), MAX_MERGES)?;
    // Tokens of structure stay outside of the model, so that no merge can arrive at one; its own unknown token must be inside.
    let inside = |id: TokenId| vocab.is_mergeable(id) || vocab.byte(id).is_some() || vocab.text(id) == model.unk_token.as_deref();
    let find = |text: &str| vocab.id(text).filter(|&id| inside(id));
    let texts = vocab.ids().filter_map(|id| vocab.text(id)).filter(|text| !text.is_empty());
    let pieces: BpeVocab = texts.filter_map(|text| Some((text.to_string(), find(text)?.0))).collect();
    let mut merges = Merges::with_capacity(model.merges.len());
    for (index, merge) in model.merges.into_iter().enumerate() {
        let (left, right) = match merge {
            Merge::Pair(left, right) => (left, right),
            Merge::Joined(joined) => match joined.split_once(' ') {
                Some((left, right)) => (left.to_string(), right.to_string()),
                None => return Err(TokenizerError::Merge { index, merge: joined }),
            },
        };
        if find(&left).is_some() && find(&right).is_some() && find(&format!("{left}{right}")).is_some() {
            merges.push((left, right));
        }
    }
    let mut builder = BPE::builder()
        .vocab_and_merges(pieces, merges)
        .fuse_unk(model.fuse_unk)
        .byte_fallback(model.byte_fallback)
        .ignore_merges(model.ignore_merges);
    if let Some(unknown) = model.unk_token.filter(|text| vocab.id(text).is_some()) {
        builder = builder.unk_token(unknown);
    }
    builder.build().map_err(|e| TokenizerError::Bpe(e.to_string()))
}

/// A normalizer or pre-tokenizer, once all its steps are of `allowed` kinds and of bounded size.
fn read_step<T: serde::de::DeserializeOwned>(step: Value, allowed: &[&str]) -> Result<Option<T>, TokenizerError> {
    if step.is_null() {
        return Ok(None);
    }
    let mut total = Total { n_steps: 0, growth: 1 };
    check_step(&step, allowed, &mut total)?;
    serde_json::from_value(step).map(Some).map_err(json)
}

/// What all steps of a pipeline come to.
struct Total {
    n_steps: usize,
    growth: usize,
}

fn check_step(step: &Value, allowed: &[&str], total: &mut Total) -> Result<(), TokenizerError> {
    let kind = step["type"].as_str().unwrap_or("");
    if !allowed.contains(&kind) {
        return Err(TokenizerError::Json(format!("step `{kind}` is not supported; supported are {}", allowed.join(", "))));
    }
    total.n_steps += 1;
    check_limit("number of steps in tokenizer.json", total.n_steps, MAX_STEPS)?;
    for (key, limit) in [("content", MAX_REPLACEMENT), ("prepend", MAX_REPLACEMENT), ("pattern", MAX_STEP_TEXT)] {
        let len = step[key].as_str().map_or_else(|| step[key].to_string().len(), str::len);
        check_limit("bytes of a text in a step of tokenizer.json", len, limit)?;
    }
    total.growth = total.growth.saturating_mul(growth(kind, step));
    check_limit("growth of a text by the steps of tokenizer.json", total.growth, MAX_GROWTH)?;
    let inner = ["normalizers", "pretokenizers"].iter().filter_map(|key| step[*key].as_array());
    inner.flatten().try_for_each(|inner| check_step(inner, allowed, total))
}

/// How many times longer a step may make a text, in bytes.
fn growth(kind: &str, step: &Value) -> usize {
    let len = |text: &Value| text.as_str().map_or(0, str::len);
    match kind {
        "Replace" => {
            let content = len(&step["content"]);
            match step["pattern"]["String"].as_str().map_or(0, str::len) {
                // A pattern that matches nothing puts the content beside each character.
                0 => content + 1,
                pattern => content.div_ceil(pattern).max(1),
            }
        }
        "ByteLevel" => 2,
        // A space on each side of a Chinese character; and decomposition, of which only the marks above letters are removed.
        "BertNormalizer" => 3,
        "Metaspace" => len(&step["replacement"]).max(1),
        _ => 1,
    }
}
