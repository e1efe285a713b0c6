//! What a program computes, seen from outside: every graph that it forces.

use std::io::stderr;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use tensorlogic::diag::Diagnostic;
use tensorlogic::engine::Backend;
use tensorlogic::graph::{Binding, ExecError, Graph, NodeId, Origin, RunArgs};
use tensorlogic::lang::{Interp, SharedExecutor};
use tensorlogic::source::{SourceMap, Span};

use super::args::ComputeArgs;
use super::error::CliError;
use super::run::{interp_on, show};

/// A graph that a program forced, with its inputs on the host: any backend can run it again.
pub struct ForcedRun {
    pub graph: Graph,
    pub outputs: Vec<NodeId>,
    pub args: RunArgs,
}

/// A program that has run.
pub struct ForcedRuns {
    interp: Interp,
    pub runs: Vec<ForcedRun>,
    /// Whether the program stopped with an error, which has been shown.
    pub failed: bool,
}

impl ForcedRuns {
    /// Runs a program, its output to stderr, and keeps what it forces.
    pub fn of(path: &Path, backend: &Arc<Backend>, compute: &ComputeArgs) -> Result<ForcedRuns, CliError> {
        let mut interp = interp_on(backend, compute, &[], Box::new(stderr()))?;
        let seen: Arc<Mutex<Result<Vec<ForcedRun>, ExecError>>> = Arc::new(Mutex::new(Ok(Vec::new())));
        let (sink, executor) = (seen.clone(), backend.executor.clone());
        interp.session.observe(Box::new(move |graph, outputs, args| {
            let mut seen = sink.lock();
            if let Ok(runs) = &mut *seen {
                match on_host(args, &executor) {
                    Ok(args) => runs.push(ForcedRun { graph: graph.clone(), outputs: outputs.to_vec(), args }),
                    Err(error) => *seen = Err(error),
                }
            }
        }));
        let result = interp.run_file(path);
        let notes: Vec<Diagnostic> = std::mem::take(&mut interp.notes);
        show(&interp, &notes);
        if let Err(diagnostics) = &result {
            show(&interp, diagnostics);
        }
        let runs = std::mem::replace(&mut *seen.lock(), Ok(Vec::new())).map_err(CliError::failed)?;
        Ok(ForcedRuns { interp, runs, failed: result.is_err() })
    }

    /// `file:line:column` of what made a node.
    pub fn place(&self, origin: Origin) -> Option<String> {
        place(&self.interp.sources, self.interp.session.span_of(origin))
    }
}

/// `file:line:column` of a span.
pub fn place(sources: &SourceMap, span: Option<Span>) -> Option<String> {
    let span = span?;
    let (file, at) = (sources.file(span.file)?, sources.location(span)?);
    Some(format!("{}:{}:{}", file.name(), at.line, at.column))
}

fn on_host(args: &RunArgs, executor: &SharedExecutor) -> Result<RunArgs, ExecError> {
    let mut inputs = Vec::with_capacity(args.inputs.len());
    for input in &args.inputs {
        inputs.push(match input {
            Binding::Host(_) => input.clone(),
            Binding::Device(tensor) => Binding::Host(Arc::new(executor.lock().read(tensor)?)),
        });
    }
    Ok(RunArgs { inputs, ..args.clone() })
}
