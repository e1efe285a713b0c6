//! The library's own program, traced: its steps have the names of its variables, their places are lines of its file, their values are those of
//! the committed file.

use std::sync::Arc;

use tensorlogic::format::Metadata;
use tensorlogic::graph::{CacheUse, Executor, Weight};
use tensorlogic::lang::{Architectures, ModelProgram, ModelSource, StepOutput, TraceSpec};
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::trace::{Reference, Request, Rounding, Select, Tolerance, Trace, compare, diagnose, record};

use crate::support::fixture;
use crate::support::traced::Subject;

struct Source(Arc<Subject>);

impl ModelSource for Source {
    fn metadata(&self) -> &Metadata {
        self.0.llama.file.metadata()
    }

    fn weight(&self, name: &str) -> Option<Arc<Weight>> {
        let known = self.0.llama.file.tensors().get(name).is_some();
        known.then(|| self.0.llama.weight(name))
    }

    fn weight_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.0.llama.file.tensors().tensors().iter().map(|t| t.name.as_str()))
    }
}

/// The program's text with one replacement, loaded and traced on the definition.
fn traced(subject: &Arc<Subject>, from: &str, to: &str, select: Select) -> (ModelProgram, Trace) {
    let (name, text) = Architectures::find("llama").unwrap();
    assert!(text.contains(from), "{from}");
    let mut program = ModelProgram::load(&name, &text.replace(from, to), Arc::new(Source(subject.clone()))).unwrap();
    let spec = TraceSpec {
        bucket: subject.bucket,
        n_positions: subject.spec.n_positions(),
        window: subject.spec.window,
        output: StepOutput::Logits,
        position: 0,
    };
    let forward = program.trace_forward(&spec).unwrap();
    let mut executor = ReferenceExecutor::new();
    let cache = executor.new_cache(&subject.spec).unwrap();
    let request = Request { graph: &forward.graph, outputs: &[forward.output], caches: &[subject.spec], select, layer_idx: None };
    let trace = record(&request, &subject.args(CacheUse { cache, position: 0 }), &mut executor).unwrap();
    (program, trace)
}

/// The line of the program that a step is from.
fn line(program: &ModelProgram, trace: &Trace, step: usize) -> String {
    let span = program.span_of(trace.steps[step].origin).unwrap();
    let text = program.sources().file(span.file).unwrap().text();
    let start = text[..span.start as usize].rfind('\n').map_or(0, |i| i + 1);
    text[start..].lines().next().unwrap().trim().to_owned()
}

#[test]
fn the_library_meets_the_committed_values_under_their_names() {
    let subject = Arc::new(Subject::new("tiny-f32", 13));
    let reference = Reference::from_file(&fixture("tiny-f32.safetensors")).unwrap();
    for select in [Select::Labelled, Select::EveryOp] {
        let (_, trace) = traced(&subject, "silu", "silu", select);
        let comparison = compare(&trace, &reference, Tolerance::of(Rounding::F32));
        assert!(comparison.agrees(), "{:#?}", diagnose(&trace, &reference, &comparison));
        assert_eq!(comparison.unused, ["greedy"]);
    }
}

#[test]
fn a_fault_of_the_program_is_blamed_on_its_line() {
    let subject = Arc::new(Subject::new("tiny-f32", 6));
    let reference = Reference::from_file(&fixture("tiny-f32.safetensors")).unwrap();
    for (from, to, step, blamed, says) in [
        ("silu(gate)", "gelu(gate)", "blk.0.silu_gate", "let silu_gate = gelu(gate)", "silu"),
        ("x + attn_proj", "x - attn_proj", "blk.0.ffn_inp", "let ffn_inp = x - attn_proj", "sum for the difference"),
        ("project(ffn_norm, w.ffn_up)", "project(ffn_norm, w.ffn_gate)", "blk.0.up", "let up = project(ffn_norm, w.ffn_gate)", "gate"),
        (
            "rope(k, cache.position, rotary)",
            "rope(k, cache.position + 1, rotary)",
            "blk.0.k_rope",
            "let k_rope = rope(k, cache.position + 1, rotary)",
            "positions off by -1",
        ),
    ] {
        let (program, trace) = traced(&subject, from, to, Select::Labelled);
        let comparison = compare(&trace, &reference, Tolerance::of(Rounding::F32));
        let diagnosis = diagnose(&trace, &reference, &comparison).unwrap();
        let reasons: Vec<String> = diagnosis.reasons.iter().map(ToString::to_string).collect();
        assert_eq!((diagnosis.name.as_str(), diagnosis.backend_is_wrong), (step, Some(false)), "{reasons:#?}");
        assert!(reasons[0].contains(says), "{reasons:#?}");
        assert_eq!(line(&program, &trace, diagnosis.step), blamed);
    }
}
