//! Hugging Face folders: `config.json`, `tokenizer.json` and safetensors files, under GGUF's keys and names.

mod config;
mod families;
mod names;
mod norms;

use std::path::{Path, PathBuf};

pub use names::gguf_name;

use super::safetensors::names_in;
use super::{FormatError, Metadata, Safetensors, TensorDirectory, json};
use config::{Read, Sources};

/// What a folder holds.
pub(super) struct Folder {
    pub metadata: Metadata,
    pub tensors: TensorDirectory,
    pub tokenizer_json: Option<PathBuf>,
    /// Names and types of tensors whose type is not read.
    pub unread: Vec<(String, String)>,
    /// Why no built-in program computes it: what comes after its path in an error.
    pub refusal: Option<String>,
}

/// The metadata that the texts of a folder's configuration files give, without its weights.
///
/// # Errors
/// For texts that are no configuration, and for configurations that no built-in program computes.
pub fn metadata_from_json(
    config: &[u8],
    generation_config: Option<&[u8]>,
    tokenizer_config: Option<&[u8]>,
) -> Result<Metadata, FormatError> {
    let parse = |name: &str, text: Option<&[u8]>| text.map(|t| json::parse(Path::new(name), t)).transpose();
    let config = json::parse(Path::new("config.json"), config)?;
    let generation = parse("generation_config.json", generation_config)?;
    let tokenizer = parse("tokenizer_config.json", tokenizer_config)?;
    let sources = Sources { config, generation: generation.as_ref(), tokenizer: tokenizer.as_ref(), template: None };
    let read = config::metadata(Path::new("config.json"), sources)?;
    match read.refusal {
        Some(why) => Err(FormatError::invalid(Path::new("config.json"), why)),
        None => Ok(read.metadata),
    }
}

/// What to say of a folder without `config.json`.
fn without_config(folder: &Path) -> String {
    let names = names_in(folder);
    let has = |name: &str| names.iter().any(|n| n == name);
    // Of a split model any part opens all; a projector is no model.
    let is_model = |n: &&String| n.ends_with(".gguf") && !n.contains("mmproj") && (!n.contains("-of-") || n.contains("-00001-of-"));
    let gguf: Vec<String> = names.iter().filter(is_model).map(|n| format!("`{}`", folder.join(n).display())).collect();
    if let [first, rest @ ..] = &gguf[..] {
        let more = rest.first().map_or_else(String::new, |second| format!(" or {second}{}", if rest.len() > 1 { ", …" } else { "" }));
        return format!("is a folder with {} in GGUF; name the file: {first}{more}", models(gguf.len()));
    }
    if has("adapter_config.json") {
        return "holds an adapter (`adapter_config.json`) for a model, not a model; merge it into its model and name the merged folder"
            .to_owned();
    }
    if has("snapshots") {
        return "is an entry of Hugging Face's cache; name the folder below its `snapshots`".to_owned();
    }
    "has no `config.json`; name a Hugging Face model folder or a .gguf file".to_owned()
}

fn models(n: usize) -> String {
    if n == 1 { "a model".to_owned() } else { format!("{n} models") }
}

/// Opens a folder.
pub(super) fn open(folder: &Path, no_mmap: bool) -> Result<Folder, FormatError> {
    let config_path = folder.join("config.json");
    if !config_path.exists() {
        return Err(FormatError::invalid(folder, without_config(folder)));
    }
    let config = json::read(&config_path)?;
    // A checkpoint that ties its embeddings may still hold a copy of them under the head's name.
    let tied = config.get("tie_word_embeddings").and_then(|v| v.as_bool()).unwrap_or(false);
    let generation = json::read_optional(&folder.join("generation_config.json"))?;
    let tokenizer = json::read_optional(&folder.join("tokenizer_config.json"))?;
    let template_path = folder.join("chat_template.jinja");
    let template = match std::fs::read_to_string(&template_path) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(FormatError::io(&template_path, "read", e)),
    };
    let sources = Sources { config, generation: generation.as_ref(), tokenizer: tokenizer.as_ref(), template };
    let Read { mut metadata, family, refusal } = config::metadata(&config_path, sources)?;
    if let Some(name) = folder.file_name().and_then(|n| n.to_str()) {
        metadata.set("general.name", name);
    }

    let weights = Safetensors::open_folder(folder, no_mmap)?;
    // Buffers of other types are no weights of these models, but a weight in, say, F8_E4M3 must not be taken for absent.
    if let Some((name, dtype)) = weights.unread.iter().find(|(name, _)| names::is_weight(family, name)) {
        let message = format!("tensor `{name}` has the type {dtype}, which is not supported; use a folder with F32, F16 or BF16");
        return Err(FormatError::invalid(folder, message));
    }
    let tensors = weights.tensors.renamed(|name| names::renamed(family, name).filter(|name| !(tied && name == "output.weight")))?;
    let tensors = match family {
        Some(family) => norms::with_one_added(tensors, family)?,
        None => tensors,
    };
    let tokenizer_json = Some(folder.join("tokenizer.json")).filter(|p| p.exists());
    let unread = weights.unread.into_iter().filter(|(name, _)| names::renamed(family, name).is_some()).collect();
    Ok(Folder { metadata, tensors, tokenizer_json, unread, refusal })
}
