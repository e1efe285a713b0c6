//! What is traced: a model's run, or all that a program computes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tensorlogic::engine::{Backend, LoadRequest, LoadedModel, TracePoint};
use tensorlogic::graph::{KvType, Op, Origin};
use tensorlogic::tensor::DType;
use tensorlogic::text::{Specials, TokenId};
use tensorlogic::trace::{Reference, Request, Rounding, Select, Trace, TraceError, record};

use super::super::args::TraceArgs;
use super::super::error::CliError;
use super::super::program::{ForcedRuns, place};
use super::super::setup::load;

/// What a trace runs on.
#[derive(Clone, Copy)]
pub enum On<'a> {
    /// The backend that the subject was opened on.
    Own,
    Other(&'a Backend),
    /// The definition in f64.
    Exact,
}

/// Something that can be run again and again, on any backend.
pub trait Subject {
    /// What was run, on what.
    fn title(&self) -> String;

    /// A trace of each run.
    fn trace(&self, on: On<'_>) -> Result<Vec<Trace>, CliError>;

    /// `file:line:column` of what made a node.
    fn place(&self, origin: Origin) -> Option<String>;

    /// What its own backend rounds to.
    fn rounding(&self) -> Rounding;

    /// Whether nothing is rounded below f32: no mode sees more.
    fn is_precise(&self) -> bool {
        self.rounding() == Rounding::F32
    }

    /// What another backend rounds to.
    fn rounding_on(&self, backend: &Backend) -> Rounding;

    /// The files that it is made of.
    fn inputs(&self) -> Vec<PathBuf>;

    /// Whether it stopped with an error that was shown.
    fn failed(&self) -> bool {
        false
    }
}

fn select(args: &TraceArgs) -> Select {
    if args.every_op { Select::EveryOp } else { Select::Labelled }
}

/// A loaded model and a run of it.
pub struct ModelSubject {
    model: LoadedModel,
    backend: Arc<Backend>,
    path: PathBuf,
    request: LoadRequest,
    point: TracePoint,
    select: Select,
    layer: Option<usize>,
}

impl ModelSubject {
    pub fn new(args: &TraceArgs, backend: Arc<Backend>, reference: Option<&Reference>) -> Result<Self, CliError> {
        let request = args.compute.load_request(None);
        let model = load(Some(&args.file), &backend, &request)?;
        let point = point(args, &model, reference)?;
        if let Some(id) = point.ids.iter().find(|id| id.0 as usize >= model.config.vocab_len) {
            return Err(CliError::usage(format!("token {} is outside of the vocabulary of {}", id.0, model.config.vocab_len)));
        }
        Ok(ModelSubject { model, backend, path: args.file.clone(), request, point, select: select(args), layer: args.layer })
    }
}

/// What is fed and looked at: as the arguments say, and where they leave it open as the reference was made.
fn point(args: &TraceArgs, model: &LoadedModel, reference: Option<&Reference>) -> Result<TracePoint, CliError> {
    // From position 0 on.
    let n_before = reference.map_or(0, |r| r.history().len());
    let known = reference.and_then(|r| Some(r.history().iter().chain(r.token_ids()?))).into_iter().flatten();
    let known: Vec<TokenId> = known.map(|&id| TokenId(id as u32)).collect();
    let prompt = match (&args.tokens, &args.prompt) {
        (Some(ids), _) => ids.iter().map(|&id| TokenId(id)).collect(),
        (None, Some(text)) => {
            let tokenizer = model.tokenizer().map_err(|e| CliError::failed(format!("{e}; give ids with --tokens 1,2,3")))?;
            tokenizer.encode(text, Specials::Plain, true)
        }
        (None, None) if n_before > 0 && args.step.is_none() => {
            return Ok(TracePoint { n_prompt: n_before, position: n_before, ids: known });
        }
        (None, None) if n_before > 0 => known[..known.len().saturating_sub(args.step.unwrap_or(0))].to_vec(),
        (None, None) if known.is_empty() => return Err(CliError::usage("nothing to feed: give --prompt TEXT or --tokens 1,2,3")),
        (None, None) => known.clone(),
    };
    if prompt.is_empty() {
        return Err(CliError::usage("the prompt has no tokens: give --tokens 1,2,3"));
    }
    match args.step {
        None => Ok(TracePoint::of_prompt(prompt)),
        // A faulty model would soon generate other tokens, and every step would differ.
        Some(n) if known.len() >= prompt.len() + n && known.starts_with(&prompt) => {
            let ids = known[..prompt.len() + n].to_vec();
            Ok(TracePoint { n_prompt: prompt.len(), position: ids.len() - 1, ids })
        }
        Some(n) => Ok(model.decode_point(prompt, n)?),
    }
}

impl Subject for ModelSubject {
    fn title(&self) -> String {
        let (n, at) = (self.point.ids.len() - self.point.position, self.point.position);
        let tokens = if n == 1 { "1 token".to_owned() } else { format!("{n} tokens") };
        format!("{} on {}: {tokens} from position {at}", self.path.display(), self.backend.note)
    }

    fn trace(&self, on: On<'_>) -> Result<Vec<Trace>, CliError> {
        let values = |model: &LoadedModel| model.trace_values(&self.point, self.select, self.layer);
        let trace = match on {
            On::Own => values(&self.model)?,
            On::Other(backend) => values(&load(Some(&self.path), backend, &self.request)?)?,
            On::Exact => {
                // Keys and values that are rounded would not be exact.
                let request = LoadRequest { kv_type: KvType::F32, ..self.request.clone() };
                values(&load(Some(&self.path), &Backend::exact(), &request)?)?
            }
        };
        Ok(vec![trace])
    }

    fn inputs(&self) -> Vec<PathBuf> {
        self.model.file().tensors().parts().iter().map(|part| part.path.clone()).collect()
    }

    fn place(&self, origin: Origin) -> Option<String> {
        let program = self.model.program();
        place(program.sources(), program.span_of(origin))
    }

    fn rounding(&self) -> Rounding {
        self.rounding_on(&self.backend)
    }

    fn rounding_on(&self, backend: &Backend) -> Rounding {
        let is_quantized = self.model.file().tensors().tensors().iter().any(|t| matches!(t.dtype, DType::Quant(_)));
        match self.request.kv_type {
            KvType::Q8_0 => Rounding::Int8,
            _ if is_quantized && !backend.precise => Rounding::Int8,
            KvType::F32 if backend.precise || backend.is_cpu => Rounding::F32,
            _ => Rounding::F16,
        }
    }
}

/// A program that has run, and the graphs that it forced.
pub struct ProgramSubject {
    runs: ForcedRuns,
    backend: Arc<Backend>,
    path: PathBuf,
    select: Select,
    layer: Option<usize>,
}

impl ProgramSubject {
    pub fn new(args: &TraceArgs, backend: Arc<Backend>) -> Result<Self, CliError> {
        if args.prompt.is_some() || args.tokens.is_some() || args.step.is_some() {
            return Err(CliError::usage("a program feeds its models itself: leave --prompt, --tokens and --step out"));
        }
        let runs = ForcedRuns::of(&args.file, &backend, &args.compute)?;
        Ok(ProgramSubject { runs, backend, path: args.file.clone(), select: select(args), layer: args.layer })
    }
}

impl Subject for ProgramSubject {
    fn title(&self) -> String {
        let n = self.runs.runs.len();
        let times = if n == 1 { "once".to_owned() } else { format!("{n} times") };
        format!("{} on {}: tensors were computed {times}", self.path.display(), self.backend.note)
    }

    /// Steps of one name in several runs are told apart as those of one run are: `x`, `x#2`, …
    fn trace(&self, on: On<'_>) -> Result<Vec<Trace>, CliError> {
        let exact = Backend::exact();
        let backend = match on {
            On::Own => &self.backend,
            On::Other(backend) => backend,
            On::Exact => &exact,
        };
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut traces = Vec::new();
        let mut nothing = TraceError::Empty("the program computes no tensor: nothing that it makes is printed, read or saved".to_owned());
        for run in &self.runs.runs {
            let request = Request { graph: &run.graph, outputs: &run.outputs, caches: &[], select: self.select, layer_idx: self.layer };
            let mut trace = match record(&request, &run.args, &mut *backend.executor.lock()) {
                Ok(trace) => trace,
                Err(error @ TraceError::Empty(_)) => {
                    nothing = error;
                    continue;
                }
                Err(error) => return Err(CliError::failed(error)),
            };
            let mut own: HashMap<String, usize> = HashMap::new();
            for step in &mut trace.steps {
                let label = step.name.split('#').next().unwrap_or_default().to_owned();
                let before = seen.get(&label).copied().unwrap_or(0);
                let times = own.entry(label.clone()).or_default();
                *times += 1;
                if before + *times > 1 {
                    step.name = format!("{label}#{}", before + *times);
                }
            }
            for (label, times) in own {
                *seen.entry(label).or_default() += times;
            }
            traces.push(trace);
        }
        if traces.is_empty() { Err(CliError::failed(nothing)) } else { Ok(traces) }
    }

    fn inputs(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn place(&self, origin: Origin) -> Option<String> {
        self.runs.place(origin)
    }

    fn rounding(&self) -> Rounding {
        self.rounding_on(&self.backend)
    }

    fn rounding_on(&self, backend: &Backend) -> Rounding {
        let reads_quantized = self.runs.runs.iter().any(|run| {
            run.graph.nodes().any(|(_, node)| matches!(&node.op, Op::Weight(weight) if matches!(weight.dtype, DType::Quant(_))))
        });
        match reads_quantized {
            _ if backend.precise => Rounding::F32,
            true => Rounding::Int8,
            false if backend.is_cpu => Rounding::F32,
            false => Rounding::F16,
        }
    }

    fn failed(&self) -> bool {
        self.runs.failed
    }
}
