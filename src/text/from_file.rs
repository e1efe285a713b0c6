//! Tokenizer, chat template and sampling parameters from an open model file.

use std::fs;
use std::path::Path;

use super::sampling::SamplingError;
use super::tokenizer::JsonSpecials;
use super::{ChatTemplate, RenderContext, SamplingOverrides, TemplateError, Texts, Tokenizer, TokenizerError, VocabSpec};
use crate::format::{Metadata, MetadataArray, ModelFile, ValueType, foreign};

impl Tokenizer {
    /// The tokenizer of a GGUF file's metadata, or of a Hugging Face folder's `tokenizer.json`.
    pub fn from_model(model: &ModelFile) -> Result<Tokenizer, TokenizerError> {
        let Some(path) = model.tokenizer_json() else {
            if let Some(folder) = model.folder() {
                return Err(without_tokenizer(folder));
            }
            return Tokenizer::from_spec(VocabSpec::from_metadata(model.metadata())?);
        };
        let bytes = fs::read(path).map_err(|e| TokenizerError::Json(format!("cannot read {}: {e}", path.display())))?;
        if let Some(what) = foreign(&bytes) {
            return Err(TokenizerError::Json(format!("{} {what}", path.display())));
        }
        Tokenizer::from_json(&bytes, &JsonSpecials::from_metadata(model.metadata()))
    }
}

/// A folder may have its vocabulary in another form.
fn without_tokenizer(folder: &Path) -> TokenizerError {
    const OTHERS: [&str; 4] = ["tokenizer.model", "vocab.json", "tekken.json", "spiece.model"];
    let other = OTHERS.into_iter().find(|name| folder.join(name).exists());
    let beside = other.map_or_else(String::new, |name| format!(" (its `{name}` is another form, which is not read)"));
    TokenizerError::NoTokenizerJson { folder: folder.display().to_string(), beside }
}

impl VocabSpec {
    /// The `tokenizer.ggml.*` keys; fails where the file has no vocabulary or a key has another type than it should.
    pub fn from_metadata(metadata: &Metadata) -> Result<VocabSpec, TokenizerError> {
        let model = metadata.str("tokenizer.ggml.model").ok_or(TokenizerError::Absent)?;
        let strings = |key: &'static str| -> Result<Texts, TokenizerError> {
            let Some(array) = array(metadata, key, ValueType::String)? else { return Ok(Texts::default()) };
            Ok(array.strs().into_iter().flatten().collect())
        };
        let scores = array(metadata, "tokenizer.ggml.scores", ValueType::F32)?;
        let token_types = array(metadata, "tokenizer.ggml.token_type", ValueType::I32)?;
        let charsmap = array(metadata, "tokenizer.ggml.precompiled_charsmap", ValueType::U8)?;
        let id = |name: &str| id(metadata, &format!("tokenizer.ggml.{name}_token_id"));
        let flag = |name: &str| metadata.bool(&format!("tokenizer.ggml.{name}"));
        Ok(VocabSpec {
            model: model.to_string(),
            pre: metadata.str("tokenizer.ggml.pre").map(str::to_string),
            tokens: strings("tokenizer.ggml.tokens")?,
            merges: strings("tokenizer.ggml.merges")?,
            scores: scores.and_then(MetadataArray::floats).into_iter().flatten().map(|v| v as f32).collect(),
            token_types: token_types.and_then(MetadataArray::ints).into_iter().flatten().map(|v| v as i32).collect(),
            bos: id("bos"),
            eos: id("eos"),
            eot: id("eot"),
            eom: id("eom"),
            unknown: id("unknown"),
            cls: id("cls"),
            // The key is spelled so.
            separator: id("seperator"),
            add_bos: flag("add_bos_token"),
            add_eos: flag("add_eos_token"),
            add_space_prefix: flag("add_space_prefix"),
            remove_extra_whitespaces: flag("remove_extra_whitespaces"),
            precompiled_charsmap: charsmap.and_then(MetadataArray::ints).into_iter().flatten().map(|v| v as u8).collect(),
            lowercase: flag("normalizer.lowercase"),
            strip_accents: flag("normalizer.strip_accents"),
            architecture: metadata.str("general.architecture").map(str::to_string),
            name: metadata.str("general.name").map(str::to_string),
        })
    }
}

impl JsonSpecials {
    /// What the reader of Hugging Face folders took from `tokenizer_config.json`, `generation_config.json` and `config.json`.
    pub fn from_metadata(metadata: &Metadata) -> JsonSpecials {
        let text = |key: &str| metadata.str(key).map(str::to_string);
        let ends = metadata.array("tl.eos_token_ids").and_then(MetadataArray::ints);
        JsonSpecials {
            bos_token: text("tl.bos_token"),
            eos_token: text("tl.eos_token"),
            unk_token: text("tl.unk_token"),
            bos_id: id(metadata, "tokenizer.ggml.bos_token_id"),
            eos_id: id(metadata, "tokenizer.ggml.eos_token_id"),
            end_ids: ends.into_iter().flatten().filter_map(|id| u32::try_from(id).ok()).collect(),
            add_bos: metadata.bool("tokenizer.ggml.add_bos_token"),
            add_eos: metadata.bool("tokenizer.ggml.add_eos_token"),
        }
    }
}

impl ChatTemplate {
    /// The file's own template, or `None` where it has none.
    pub fn from_metadata(metadata: &Metadata) -> Result<Option<ChatTemplate>, TemplateError> {
        metadata.str("tokenizer.chat_template").map(ChatTemplate::from_source).transpose()
    }
}

impl RenderContext {
    /// With the vocabulary's BOS and EOS, ending where an answer begins.
    pub fn for_tokenizer(tokenizer: &Tokenizer) -> RenderContext {
        let text = |id| tokenizer.token_text(id).map(str::to_string);
        RenderContext {
            add_generation_prompt: true,
            bos_token: tokenizer.bos().and_then(text),
            eos_token: tokenizer.eos().and_then(text),
            ..RenderContext::default()
        }
    }
}

impl SamplingOverrides {
    /// The file's `general.sampling.*`.
    pub fn from_metadata(metadata: &Metadata) -> Result<SamplingOverrides, SamplingError> {
        SamplingOverrides::from_file(|key| metadata.f64(&format!("general.sampling.{key}")))
    }
}

fn id(metadata: &Metadata, key: &str) -> Option<u32> {
    metadata.u64(key).and_then(|id| u32::try_from(id).ok())
}

/// The array under `key`, if there is one; it must hold strings, floats or integers as `element_type` does.
fn array<'m>(metadata: &'m Metadata, key: &'static str, element_type: ValueType) -> Result<Option<&'m MetadataArray>, TokenizerError> {
    let Some(value) = metadata.get(key) else { return Ok(None) };
    let fits = |array: &&MetadataArray| match element_type {
        ValueType::String => array.strs().is_some(),
        ValueType::F32 => array.floats().is_some(),
        _ => array.ints().is_some(),
    };
    match value.as_array().filter(fits) {
        Some(array) => Ok(Some(array)),
        None => Err(TokenizerError::Metadata { key, expected: element_type.name() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        let mut metadata = Metadata::new();
        metadata.set("tokenizer.ggml.model", "llama");
        metadata.set("tokenizer.ggml.tokens", MetadataArray::from_strs(["<unk>", "<s>", "</s>", "▁", "a", "▁a"]));
        metadata.set("tokenizer.ggml.scores", MetadataArray::from_f32s(&[0.0, 0.0, 0.0, -3.0, -2.0, -1.0]));
        metadata.set("tokenizer.ggml.token_type", MetadataArray::from_i32s(&[2, 3, 3, 1, 1, 1]));
        metadata.set("tokenizer.ggml.bos_token_id", 1u32);
        metadata.set("tokenizer.ggml.add_eos_token", true);
        metadata.set("general.sampling.temp", 0.5f32);
        metadata.set("general.sampling.top_k", 7i32);
        metadata
    }

    #[test]
    fn a_vocabulary_and_its_rules_are_read() {
        let tokenizer = Tokenizer::from_spec(VocabSpec::from_metadata(&metadata()).expect("a spec")).expect("a tokenizer");
        let ids: Vec<u32> = tokenizer.encode("a", super::super::Specials::Plain, true).iter().map(|id| id.0).collect();
        assert_eq!(ids, [1, 5, 2]);
        let context = RenderContext::for_tokenizer(&tokenizer);
        assert_eq!((context.bos_token.as_deref(), context.eos_token.as_deref()), (Some("<s>"), Some("</s>")));
        let sampling = SamplingOverrides::from_metadata(&metadata()).expect("good values");
        assert_eq!((sampling.temperature, sampling.top_k, sampling.top_p), (Some(0.5), Some(7), None));
    }

    #[test]
    fn the_keys_of_bert_and_t5_are_read() {
        let mut bert = metadata();
        bert.set("tokenizer.ggml.cls_token_id", 4u32);
        bert.set("tokenizer.ggml.seperator_token_id", 5u32);
        bert.set("tokenizer.ggml.normalizer.lowercase", false);
        bert.set("tokenizer.ggml.normalizer.strip_accents", true);
        let spec = VocabSpec::from_metadata(&bert).expect("a spec");
        assert_eq!((spec.cls, spec.separator, spec.lowercase, spec.strip_accents), (Some(4), Some(5), Some(false), Some(true)));
        let mut t5 = metadata();
        t5.set("tokenizer.ggml.remove_extra_whitespaces", false);
        // The bytes are of either sign.
        t5.set("tokenizer.ggml.precompiled_charsmap", MetadataArray::from_i32s(&[4, 255, -1]));
        let spec = VocabSpec::from_metadata(&t5).expect("a spec");
        assert_eq!((spec.remove_extra_whitespaces, spec.precompiled_charsmap), (Some(false), vec![4, 255, 255]));
        t5.set("tokenizer.ggml.precompiled_charsmap", MetadataArray::from_f32s(&[1.0]));
        assert!(VocabSpec::from_metadata(&t5).is_err());
    }

    #[test]
    fn absent_and_mistyped_keys_are_named() {
        assert_eq!(VocabSpec::from_metadata(&Metadata::new()).map(|_| ()), Err(TokenizerError::Absent));
        let mut mistyped = metadata();
        mistyped.set("tokenizer.ggml.scores", MetadataArray::from_strs(["x"]));
        let error = VocabSpec::from_metadata(&mistyped).map(|_| ()).expect_err("no numbers");
        assert_eq!(error.to_string(), "metadata key `tokenizer.ggml.scores`: expected an array of f32");
    }
}
