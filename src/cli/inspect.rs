//! `tl inspect`: what a model file holds. Reads the directory alone, never the weights.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::sync::Arc;

use serde::Serialize;

use tensorlogic::engine::built_in_program;
use tensorlogic::format::{Gguf, Metadata, MetadataArray, MetadataValue, ModelFile, TensorInfo};
use tensorlogic::model::ModelConfig;
use tensorlogic::text::{TokenId, Tokenizer};

use super::args::InspectArgs;
use super::error::{CliError, CliResult};
use super::setup::open_model;

/// Characters of a text value, and elements of an array, that are shown.
const TEXT_MAX: usize = 100;
const ARRAY_MAX: usize = 8;

pub fn run(args: &InspectArgs) -> CliResult {
    let everything = !(args.tensors || args.metadata || args.tokenizer || args.template || args.json);
    let mut out = stdout().lock();
    let file = match open_model(&args.model, false) {
        Ok(file) => Arc::new(file),
        Err(error) => {
            // What it is can be told although its tensors, or other parts of it, cannot be read.
            if everything && let Ok(meta) = Gguf::metadata_of(&args.model) {
                writeln!(out, "{}", args.model.display())?;
                partial_summary(&meta, &mut out)?;
                out.flush()?;
            }
            return Err(error);
        }
    };
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report(&file, args.tensors)).map_err(CliError::failed)?)?;
        return Ok(out.flush()?);
    }
    if everything {
        summary(&file, &mut out)?;
    }
    if args.metadata {
        metadata(&file, &mut out)?;
    }
    if args.tensors {
        tensors(&file, &mut out)?;
    }
    if args.tokenizer {
        tokenizer(&file, &mut out)?;
    }
    if args.template {
        match file.metadata().str("tokenizer.chat_template") {
            Some(template) => writeln!(out, "{template}")?,
            None => writeln!(out, "no chat template in the file: `tl chat` uses ChatML")?,
        }
    }
    Ok(out.flush()?)
}

/// What `--json` prints: one object. Stable.
#[derive(Serialize)]
struct Report {
    path: String,
    architecture: Option<String>,
    name: Option<String>,
    layers: Option<usize>,
    width: Option<usize>,
    heads: Option<usize>,
    kv_heads: Option<usize>,
    head_size: Option<usize>,
    vocabulary: Option<usize>,
    trained_context: Option<usize>,
    /// The program that runs it; `null` where none does, and then `refused` says why.
    program: Option<String>,
    refused: Option<String>,
    parameters: usize,
    bytes: usize,
    /// Bytes by weight type.
    types: BTreeMap<String, usize>,
    /// With `--tensors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<TensorEntry>>,
}

#[derive(Serialize)]
struct TensorEntry {
    name: String,
    r#type: String,
    shape: Vec<usize>,
    bytes: usize,
}

fn report(file: &Arc<ModelFile>, with_tensors: bool) -> Report {
    let config = ModelConfig::from_file(file).ok();
    let config = config.as_ref();
    let (program, refused) = match built_in_program(file) {
        Ok(program) => (Some(program), None),
        Err(why) => (None, Some(why)),
    };
    let tensors = file.tensors().tensors();
    let mut types: BTreeMap<String, usize> = BTreeMap::new();
    for tensor in tensors {
        *types.entry(tensor.dtype.name().to_owned()).or_default() += tensor.len_bytes;
    }
    let entry = |t: &TensorInfo| TensorEntry {
        name: t.name.clone(),
        r#type: t.dtype.name().to_owned(),
        shape: t.shape.dims().to_vec(),
        bytes: t.len_bytes,
    };
    Report {
        path: file.path().display().to_string(),
        architecture: config.map(|c| c.architecture.clone()).or_else(|| file.metadata().str("general.architecture").map(str::to_owned)),
        name: config.map(|c| c.name.clone()),
        layers: config.map(|c| c.n_layers),
        width: config.map(|c| c.width),
        heads: config.map(|c| c.n_heads),
        kv_heads: config.map(|c| c.n_kv_heads),
        head_size: config.map(|c| c.head_dim),
        vocabulary: config.map(|c| c.vocab_len),
        trained_context: config.map(|c| c.context_len),
        program,
        refused,
        parameters: tensors.iter().map(|t| t.shape.len()).sum(),
        bytes: tensors.iter().map(|t| t.len_bytes).sum(),
        types,
        tensors: with_tensors.then(|| tensors.iter().map(entry).collect()),
    }
}

fn summary(file: &Arc<ModelFile>, out: &mut impl Write) -> CliResult {
    writeln!(out, "{}", file.path().display())?;
    match ModelConfig::from_file(file) {
        Ok(config) => {
            writeln!(out, "  architecture   {}", config.architecture)?;
            writeln!(out, "  name           {}", config.name)?;
            writeln!(out, "  layers         {}", config.n_layers)?;
            writeln!(out, "  width          {}", config.width)?;
            writeln!(out, "  heads          {} queries, {} keys and values, {} each", config.n_heads, config.n_kv_heads, config.head_dim)?;
            writeln!(out, "  vocabulary     {}", config.vocab_len)?;
            writeln!(out, "  trained on     {} tokens of context", config.context_len)?;
        }
        Err(_) => partial_summary(file.metadata(), out)?,
    }
    match built_in_program(file) {
        Ok(program) => writeln!(out, "  program        {program}")?,
        Err(why) => writeln!(out, "  cannot run     {why}")?,
    }
    let tensors = file.tensors().tensors();
    let values: usize = tensors.iter().map(|t| t.shape.len()).sum();
    let bytes: usize = tensors.iter().map(|t| t.len_bytes).sum();
    writeln!(
        out,
        "  parameters     {:.3} G in {} tensors, {:.1} MiB",
        values as f64 / 1e9,
        tensors.len(),
        bytes as f64 / f64::from(1 << 20)
    )?;
    let mut by_type: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for tensor in tensors {
        let entry = by_type.entry(tensor.dtype.name()).or_default();
        *entry = (entry.0 + 1, entry.1 + tensor.len_bytes);
    }
    for (name, (count, bytes)) in by_type {
        writeln!(out, "    {name:<10} {count:>5} tensors {:>10.1} MiB", bytes as f64 / f64::from(1 << 20))?;
    }
    writeln!(out, "more: --metadata --tensors --tokenizer --template")?;
    Ok(())
}

/// What can be told of a file that lacks what a model must have.
fn partial_summary(meta: &Metadata, out: &mut impl Write) -> CliResult {
    let architecture = meta.str("general.architecture");
    writeln!(out, "  architecture   {}", architecture.map_or_else(|| "not named (general.architecture)".to_owned(), shown_text))?;
    for (what, key) in [("type", "general.type"), ("name", "general.name"), ("adapter", "adapter.type")] {
        if let Some(text) = meta.str(key) {
            writeln!(out, "  {what:<14} {}", shown_text(text))?;
        }
    }
    let number = |key: &str| meta.get(&format!("{}.{key}", architecture?));
    for (what, key) in
        [("layers", "block_count"), ("width", "embedding_length"), ("heads", "attention.head_count"), ("trained on", "context_length")]
    {
        if let Some(value) = number(key) {
            writeln!(out, "  {what:<14} {}", shown(value))?;
        }
    }
    if let Some(tokens) = meta.array("tokenizer.ggml.tokens") {
        writeln!(out, "  vocabulary     {}", tokens.len())?;
    }
    Ok(())
}

/// A text of a file as part of a line: control characters are escaped.
fn shown_text(text: &str) -> String {
    text.chars().take(TEXT_MAX).flat_map(char::escape_debug).collect()
}

fn metadata(file: &ModelFile, out: &mut impl Write) -> CliResult {
    for (key, value) in file.metadata().iter() {
        writeln!(out, "{key} = {}", shown(value))?;
    }
    Ok(())
}

fn shown(value: &MetadataValue) -> String {
    if let Some(text) = value.as_str() {
        return cut(text);
    }
    if let Some(array) = value.as_array() {
        return shown_array(array);
    }
    match (value.as_bool(), value.as_i64(), value.as_f64()) {
        (Some(b), _, _) => b.to_string(),
        (_, Some(i), _) => i.to_string(),
        (_, _, Some(f)) => (f as f32).to_string(),
        _ => format!("{value:?}"),
    }
}

fn cut(text: &str) -> String {
    let quoted = format!("{:?}", text.chars().take(TEXT_MAX).collect::<String>());
    let n_chars = text.chars().count();
    if n_chars > TEXT_MAX { format!("{quoted}… ({n_chars} characters)") } else { quoted }
}

fn shown_array(array: &MetadataArray) -> String {
    let first: Vec<String> = if let Some(strs) = array.strs() {
        strs.take(ARRAY_MAX).map(|s| format!("{s:?}")).collect()
    } else if let Some(ints) = array.ints() {
        ints.take(ARRAY_MAX).map(|i| i.to_string()).collect()
    } else if let Some(floats) = array.floats() {
        floats.take(ARRAY_MAX).map(|f| (f as f32).to_string()).collect()
    } else if let Some(bools) = array.bools() {
        bools.take(ARRAY_MAX).map(|b| b.to_string()).collect()
    } else {
        Vec::new()
    };
    let more = if array.len() > ARRAY_MAX { ", …" } else { "" };
    format!("{}[{}] [{}{more}]", array.element_type().name(), array.len(), first.join(", "))
}

fn tensors(file: &ModelFile, out: &mut impl Write) -> CliResult {
    for tensor in file.tensors().tensors() {
        let dims: Vec<String> = tensor.shape.dims().iter().map(usize::to_string).collect();
        writeln!(out, "{:<36} {}[{}] {} bytes", tensor.name, tensor.dtype, dims.join(", "), tensor.len_bytes)?;
    }
    Ok(())
}

fn tokenizer(file: &ModelFile, out: &mut impl Write) -> CliResult {
    let tokenizer = match Tokenizer::from_model(file) {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            writeln!(out, "no tokenizer: {error}")?;
            return Ok(());
        }
    };
    writeln!(out, "style       {:?}", tokenizer.style())?;
    writeln!(out, "vocabulary  {}", tokenizer.vocab_size())?;
    let named =
        |id: Option<TokenId>| id.map_or_else(|| "none".to_owned(), |id| format!("{} {:?}", id.0, tokenizer.token_text(id).unwrap_or("")));
    writeln!(out, "bos         {}{}", named(tokenizer.bos()), if tokenizer.adds_bos() { ", added to a prompt" } else { "" })?;
    writeln!(out, "eos         {}", named(tokenizer.eos()))?;
    for id in tokenizer.eog_ids() {
        writeln!(out, "ends a turn {}", named(Some(id)))?;
    }
    Ok(())
}
