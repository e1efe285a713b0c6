//! Whether a file can be run: by which program, and whether that is the program of this very model.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::format::ModelFile;
use crate::lang::{Architectures, CacheShape, ModelProgram, ProgramError, SharedExecutor, StepOutput, TraceSpec, layer_of};
use crate::model::{ModelConfig, ModelError, ModelWeights};

use super::EngineError;
use super::model::FileSource;

/// Names that an error lists before it only counts.
const NAMES_SHOWN: usize = 3;

/// A file with the program that runs it.
pub(super) struct Fitted {
    pub config: ModelConfig,
    pub source: Arc<FileSource>,
    pub program: ModelProgram,
    /// What the program appends to a cache, if it keeps one.
    pub cache: Option<CacheShape>,
}

/// The built-in program's name that runs a file, such as `std/llama.tl`.
///
/// # Errors
/// What keeps the file from being run, without the file's path.
pub fn built_in_program(file: &Arc<ModelFile>) -> Result<String, String> {
    let fitted = fit(file, None, None).map_err(|e| e.to_string());
    let (name, _) = fitted
        .and_then(|f| Architectures::find(&f.config.architecture))
        .map_err(|e| e.strip_prefix(&place(file)).map(str::to_owned).unwrap_or(e))?;
    Ok(name)
}

/// Finds the program of a file, or takes the one of `arch`, and traces it once: the trace shows what the file lacks, and which of its tensors
/// are not used. Tensors of the program's own are computed on the executor, which a built-in program needs not have, and it prints to what
/// comes with it.
///
/// # Errors
/// For files that hold no model, unknown architectures, programs that fail on the file, and tensors that the program neither uses nor names
/// as not needed.
pub(super) fn fit(
    file: &Arc<ModelFile>,
    arch: Option<&Path>,
    on: Option<(SharedExecutor, Box<dyn Write + Send>)>,
) -> Result<Fitted, EngineError> {
    refuse_other_kinds(file)?;
    if let (None, Some(why)) = (arch, file.refusal()) {
        return Err(ModelError::Unsupported(format!("{}{why}", place(file))).into());
    }
    // An architecture that nobody knows says more than the keys it lacks.
    let (name, text) = program_text(ModelConfig::architecture_of(file.metadata())?, arch).map_err(|e| match experts_of(file) {
        Some(n) => {
            ModelError::Unsupported(format!("{}is a mixture of {n} experts, which no program here computes: {e}", place(file))).into()
        }
        None => e,
    })?;
    refuse_missing_experts(file, arch)?;
    let config = ModelConfig::from_file(file)?;
    let executor = on.as_ref().map(|(executor, _)| executor.clone());
    let source = Arc::new(FileSource { weights: ModelWeights::from_file(file), file: file.clone(), executor });
    let unfit = |e| unfit(e, file, &name, arch);
    let program = match on {
        Some((executor, printed)) => ModelProgram::load_on(executor, &name, &text, source.clone(), printed),
        None => ModelProgram::load(&name, &text, source.clone()),
    };
    let mut program = program.map_err(unfit)?;
    let spec = TraceSpec { bucket: 1, n_positions: 1, window: 1, output: StepOutput::LastLogits, position: 0 };
    let traced = program.trace_forward(&spec).map_err(unfit)?;
    refuse_unused(&program.unused_tensors(&traced), file, &name, &config)?;
    Ok(Fitted { config, source, program, cache: traced.cache })
}

/// Files that go with a model, but are none.
fn refuse_other_kinds(file: &ModelFile) -> Result<(), ModelError> {
    let meta = file.metadata();
    let tensors = file.tensors();
    let is_projector = || {
        let mut names = tensors.tensors().iter().map(|t| t.name.as_str());
        tensors.get("token_embd.weight").is_none() && names.any(|n| n.starts_with("v.") || n.starts_with("mm.") || n.starts_with("a."))
    };
    let what = match meta.str("general.type").unwrap_or("model") {
        "adapter" => {
            let kind = meta.str("adapter.type").unwrap_or("an unnamed method");
            format!("is an adapter ({kind}) for a model, not a model; merge it into its model and name the merged file")
        }
        "mmproj" => PROJECTOR.to_owned(),
        "model" if is_projector() => PROJECTOR.to_owned(),
        "model" if tensors.tensors().is_empty() => {
            "holds a vocabulary and no weights; `tl tokenize` takes it, all else needs the file with the model's weights".to_owned()
        }
        "model" => return Ok(()),
        other => format!("is of the type `{other}`, not a model; name the model's own file"),
    };
    Err(ModelError::OtherKind(format!("{}{what}", place(file))))
}

const PROJECTOR: &str =
    "is a projector (mmproj) that turns images or sound into a model's input, not a model; name the file of the language model beside it";

/// A tensor that is left out makes another model, whose answers look like a poor model's.
fn refuse_unused(unused: &[String], file: &ModelFile, program: &str, config: &ModelConfig) -> Result<(), ModelError> {
    let Some(first) = unused.first() else { return Ok(()) };
    if unused.iter().any(|name| name.contains("_exps"))
        && let Some(text) = experts(file, program)
    {
        return Err(ModelError::Unsupported(text));
    }
    let shown: Vec<String> = unused.iter().take(NAMES_SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if unused.len() > NAMES_SHOWN { ", …" } else { "" };
    let n_tensors = file.tensors().tensors().len();
    let why = match unused.iter().all(|name| layer_of(name).is_some_and(|layer| layer >= config.n_layers)) {
        true => format!(" behind the {} layers of `{}.block_count`", config.n_layers, config.architecture),
        false => String::new(),
    };
    let pattern: Vec<&str> = first.split('.').map(|part| if part.parse::<usize>().is_ok() { "*" } else { part }).collect();
    let message = format!(
        "{}{program} does not use {} of {n_tensors} tensors{why}: {}{more}; give a program that does with --arch FILE.tl, or write there \
         what is not needed: ignore(\"{}\")",
        place(file),
        unused.len(),
        shown.join(", "),
        pattern.join(".")
    );
    Err(ModelError::UnusedTensors { names: unused.to_vec(), message })
}

/// How many experts a file says that it has.
fn experts_of(file: &ModelFile) -> Option<u64> {
    let meta = file.metadata();
    meta.u64(&format!("{}.expert_count", meta.str("general.architecture")?)).filter(|&n| n > 0)
}

/// A mixture of experts without their tensors would run as a model that it is not.
fn refuse_missing_experts(file: &ModelFile, arch: Option<&Path>) -> Result<(), ModelError> {
    let has_one = || file.tensors().tensors().iter().any(|t| t.name.contains("_exps") || t.name.contains("_inp."));
    match experts_of(file) {
        Some(n) if arch.is_none() && !has_one() => Err(ModelError::BadMetadata(format!(
            "{}says that it has {n} experts and holds none of their tensors; convert the model again",
            place(file)
        ))),
        _ => Ok(()),
    }
}

/// What is said of a mixture of experts where the program knows none.
fn experts(file: &ModelFile, program: &str) -> Option<String> {
    let n = experts_of(file)?;
    Some(format!(
        "{}is a mixture of {n} experts, which {program} does not compute; give a program that does with --arch FILE.tl",
        place(file)
    ))
}

/// Where the program is our own, its errors are the file's: one line, and no picture of a text that the user did not write.
pub(super) fn unfit(error: ProgramError, file: &ModelFile, program: &str, arch: Option<&Path>) -> EngineError {
    let (None, Some(first)) = (arch, error.diagnostics.first()) else { return error.into() };
    if first.message.contains("has no tensor")
        && let Some(text) = experts(file, program)
    {
        return ModelError::Unsupported(text).into();
    }
    // The line of the architecture, where a function that it shares with others failed.
    let spans = || first.labels.iter().map(|label| label.span);
    let in_program = spans().find(|span| error.sources.file(span.file).is_some_and(|file| file.name() == program));
    let at = in_program.or(first.span()).and_then(|span| Some((error.sources.file(span.file)?.name(), error.sources.location(span)?)));
    let at = at.map_or_else(String::new, |(name, at)| format!(" ({name}:{}:{})", at.line, at.column));
    ModelError::Program(format!("{}{}{at}; `tl inspect` shows what the file holds", place(file), first.message)).into()
}

fn place(file: &ModelFile) -> String {
    format!("`{}`: ", file.path().display())
}

fn program_text(architecture: &str, arch: Option<&Path>) -> Result<(String, String), EngineError> {
    match arch {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| ModelError::Program(format!("cannot read `{}`: {e}", path.display())))?;
            Ok((path.display().to_string(), text))
        }
        None => {
            let (name, text) = Architectures::find(architecture).map_err(ModelError::Unsupported)?;
            Ok((name, text.to_owned()))
        }
    }
}
