//! `tl explain`: the plan of a step.

use std::collections::HashMap;
use std::io::{IsTerminal, Write, stdout};
use std::path::Path;
use std::sync::Arc;

use tensorlogic::engine::Backend;
use tensorlogic::explain::{dot, text, unfused};
use tensorlogic::gpu::{Language, translate};
use tensorlogic::graph::CompileOptions;
use tensorlogic::model::StepPrograms;
use tensorlogic::plan::{self, Plan};

use super::args::ExplainArgs;
use super::error::{CliError, CliResult};
use super::program::ForcedRuns;
use super::setup::load;

/// The most tokens of one run.
const TOKENS_MAX: usize = 512;

pub fn run(args: &ExplainArgs) -> CliResult {
    if args.tokens == 0 || args.tokens > TOKENS_MAX {
        return Err(CliError::usage(format!("--tokens {}: a step has 1 to {TOKENS_MAX}", args.tokens)));
    }
    let backend = Arc::new(args.compute.open()?);
    let mut exact = None;
    let plans = match args.file.as_deref() {
        Some(path) if path.extension().is_some_and(|e| e == "tl") => plans_of_program(path, &backend, args)?,
        model => {
            let model = load(model, &backend, &args.compute.load_request(None))?;
            if args.shader.is_some() {
                // Kernels are assembled when a step is compiled.
                model.generator(0)?.programs_mut().step(args.tokens, 0)?;
            }
            let plan = model.plan(args.tokens, &backend.target)?;
            exact = model.exact_rows();
            vec![plan]
        }
    };
    if let Some(name) = &args.shader {
        return shader(name, &args.language, &backend);
    }
    let mut out = stdout().lock();
    for plan in &plans {
        if args.dot {
            write!(out, "{}", dot(plan))?;
        } else {
            write!(out, "{}", text(plan, &unfused(plan, &backend.target), args.every_layer))?;
        }
    }
    if let (Some(why), false) = (exact, args.dot) {
        writeln!(out, "each number of tokens has a step of its own, since {why}")?;
    }
    Ok(out.flush()?)
}

/// A plan for each time that the program's tensors were computed.
fn plans_of_program(path: &Path, backend: &Arc<Backend>, args: &ExplainArgs) -> Result<Vec<Plan>, CliError> {
    let runs = ForcedRuns::of(path, backend, &args.compute)?;
    if runs.failed {
        return Err(CliError::Silent);
    }
    if runs.runs.is_empty() {
        return Err(CliError::failed("the program computes no tensor: nothing that it makes is printed, read or saved"));
    }
    let options = CompileOptions { fuse: true, caches: Vec::new() };
    let plan = |run: &super::program::ForcedRun| plan::compile(&run.graph, &run.outputs, &options, &backend.target);
    runs.runs.iter().map(|run| plan(run).map_err(CliError::failed)).collect()
}

/// Prints a kernel that the backend compiled for the plans, or their names.
fn shader(name: &str, language: &str, backend: &Backend) -> CliResult {
    let mut kernels = backend.executor.lock().kernel_sources();
    if kernels.is_empty() {
        return Err(CliError::failed(format!("{} compiles no shaders: take a GPU with --backend vulkan, metal or dx12", backend.note)));
    }
    // One kernel with other constants is another kernel of the same name.
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (name, _) in &mut kernels {
        let times = seen.entry(name.clone()).or_default();
        *times += 1;
        if *times > 1 {
            *name = format!("{name} #{times}");
        }
    }
    let mut out = stdout().lock();
    if name == "list" {
        for (name, _) in &kernels {
            writeln!(out, "{name}")?;
        }
        return Ok(out.flush()?);
    }
    let Some((_, wgsl)) = kernels.iter().find(|(n, _)| n == name).or_else(|| kernels.iter().find(|(n, _)| n.contains(name))) else {
        return Err(CliError::failed(format!("no kernel of this plan is called `{name}`: --shader list names them")));
    };
    let language = match language {
        "msl" => Language::Msl,
        "hlsl" => Language::Hlsl,
        "spirv" if std::io::stdout().is_terminal() => {
            return Err(CliError::usage("SPIR-V is binary: pipe it, as into spirv-dis"));
        }
        "spirv" => Language::SpirV,
        _ => {
            out.write_all(wgsl.as_bytes())?;
            return Ok(out.flush()?);
        }
    };
    out.write_all(&translate(wgsl, language).map_err(CliError::failed)?)?;
    Ok(out.flush()?)
}
