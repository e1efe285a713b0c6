//! What a trace holds, and that it is what an independent program computed.

use tensorlogic::graph::{CacheUse, Executor};
use tensorlogic::reference::ReferenceExecutor;
use tensorlogic::trace::{Reference, Request, Select, Trace, TraceError, record, to_safetensors};

use crate::support::fixture;
use crate::support::traced::Subject;

fn trace(select: Select) -> Trace {
    Subject::new("tiny-f32", 13).trace(&mut ReferenceExecutor::new(), select)
}

#[test]
fn every_named_step_is_there_in_order_with_true_rows_alone() {
    let trace = trace(Select::Labelled);
    let layer_0: Vec<&str> = trace.steps.iter().filter_map(|s| s.name.strip_prefix("blk.0.")).collect();
    let expected = [
        "attn_norm",
        "q",
        "k",
        "v",
        "q_rope",
        "k_rope",
        "attn_out",
        "attn_proj",
        "ffn_inp",
        "ffn_norm",
        "gate",
        "up",
        "silu_gate",
        "gated",
        "ffn_out",
        "output",
    ];
    assert_eq!(layer_0, expected);
    assert_eq!((trace.steps[0].name.as_str(), trace.steps.last().unwrap().name.as_str()), ("embedding", "logits"));
    assert!(trace.steps.iter().all(|s| s.shape()[0] == 13), "the bucket has 16 rows");
    let named = |i: &usize| trace.steps[*i].name.as_str();
    let inputs = |name: &str| trace.step(name).unwrap().inputs.iter().map(named).collect::<Vec<_>>();
    assert_eq!(inputs("blk.0.attn_out"), ["blk.0.v", "blk.0.q_rope", "blk.0.k_rope"]);
    assert_eq!(inputs("blk.1.ffn_inp"), ["blk.0.output", "blk.1.attn_proj"]);
}

#[test]
fn the_committed_values_are_met_at_every_step_they_have() {
    let trace = trace(Select::Labelled);
    let reference = Reference::from_file(&fixture("tiny-f32.safetensors")).unwrap();
    assert_eq!(&trace.token_ids().unwrap(), &reference.token_ids().unwrap()[..13]);
    let mut met = 0;
    for step in &trace.steps {
        let Some(theirs) = reference.values(&step.name, step.shape(), 0) else { continue };
        let theirs = theirs.unwrap();
        let worst = (0..theirs.len()).map(|i| (theirs.value(i) - step.values.value(i)).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-5, "{}: {worst:e}", step.name);
        met += 1;
    }
    let layers = trace.steps.iter().filter(|s| s.name.ends_with(".output")).count();
    assert_eq!(met, 3 + layers + 15, "embedding, final norm and logits, each layer, and the inside of layer 0");
}

#[test]
fn every_op_adds_what_has_no_name() {
    let (named, all) = (trace(Select::Labelled), trace(Select::EveryOp));
    assert!(all.steps.len() > named.steps.len());
    assert!(all.steps.iter().any(|s| s.name.ends_with(" reshape")));
    assert!(!all.steps.iter().any(|s| s.name.contains("cache_append") || s.name.contains("rope_rows") || s.name.contains("weight")));
    for step in &named.steps {
        assert_eq!(step.values, all.step(&step.name).unwrap().values, "{}", step.name);
    }
}

#[test]
fn one_layer_is_chosen_and_an_absent_one_is_an_error() {
    let subject = Subject::new("tiny-f32", 3);
    let (graph, logits) = subject.graph();
    let mut executor = ReferenceExecutor::new();
    let args = subject.args(CacheUse { cache: executor.new_cache(&subject.spec).unwrap(), position: 0 });
    let request = Request { graph: &graph, outputs: &[logits], caches: &[subject.spec], select: Select::Labelled, layer_idx: Some(1) };
    let trace = record(&request, &args, &mut executor).unwrap();
    assert!(!trace.steps.is_empty() && trace.steps.iter().all(|s| s.name.starts_with("blk.1.")));
    let absent = record(&Request { layer_idx: Some(99), ..request }, &args, &mut executor);
    assert!(matches!(absent, Err(TraceError::Empty(message)) if message.contains("layer 99")));
}

#[test]
fn a_saved_trace_is_a_reference_for_another() {
    let trace = trace(Select::Labelled);
    let path = std::env::temp_dir().join(format!("tl-trace-{}.safetensors", std::process::id()));
    to_safetensors(&trace, &path).unwrap();
    let reference = Reference::from_file(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(reference.token_ids().unwrap(), trace.token_ids().unwrap());
    for step in &trace.steps {
        assert_eq!(reference.get(&step.name).unwrap().1, &*step.values, "{}", step.name);
    }
}
