//! What is said of plans: their costs, their pictures, what was not fused. On the plans of the tiny models.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use support::{Llama, fixture};
use tensorlogic::bench::{Cost, plan_cost, step_cost};
use tensorlogic::explain::{dot, unfused};
use tensorlogic::graph::{CompileOptions, KvType};
use tensorlogic::plan::{Choice, Kernel, Off, Plan, Rule, Target, compile};

const FOLD: Target = Target { norm_prologue_rows: 8, epilogue_rows: 8, off: Off::NONE };

fn plan(model: &str, tokens: usize, fuse: bool, target: &Target) -> Plan {
    let llama = Llama::open(&fixture(&format!("{model}.gguf")));
    let spec = llama.cache(64, 32, 4, KvType::F16);
    let step = llama.step(tokens, spec.n_positions());
    compile(&step.graph, &[step.logits], &CompileOptions { fuse, caches: vec![spec] }, target).unwrap()
}

/// Counted by hand for tiny-q4_0: what a decode step must read of the weights, and the products.
#[test]
fn a_decode_step_reads_every_weight_once() {
    let llama = Llama::open(&fixture("tiny-q4_0.gguf"));
    let plan = plan("tiny-q4_0", 1, true, &FOLD);
    let Cost { bytes, flops } = plan_cost(&plan, 1, 20);
    let weight_bytes = |name: &str| llama.weight(name).len_bytes() as f64;
    let tensors: Vec<String> = llama.file.tensors().tensors().iter().map(|t| t.name.clone()).collect();
    let read: f64 = tensors.iter().filter(|n| *n != "token_embd.weight").map(|n| weight_bytes(n)).sum();
    // One row of the table, and activations and cache beside: small against the weights even here.
    assert!(bytes > read && bytes < 1.35 * read, "{bytes} bytes, {read} of weights");
    let products: f64 = tensors
        .iter()
        .filter(|n| *n != "token_embd.weight" && llama.weight(n).shape.rank() == 2)
        .map(|n| 2.0 * llama.weight(n).shape.len() as f64)
        .sum();
    assert!(flops > products && flops < 1.2 * products, "{flops} operations, {products} of products");
}

#[test]
fn attention_grows_with_the_cache_and_with_the_rows() {
    let plan = plan("tiny-f32", 8, true, &FOLD);
    let step = plan.steps.iter().find(|s| matches!(s.kernel, Kernel::Attention(_))).unwrap();
    let cost = |n, len| step_cost(&plan, step, n, len);
    // 2 key-value heads of 8, keys and values in f16: 64 bytes a position; 4 query heads of 8 in and out: 256 bytes a row.
    assert_eq!(cost(1, 9).bytes, 10.0 * 64.0 + 256.0);
    assert_eq!(cost(3, 0).bytes, 3.0 * 64.0 + 3.0 * 256.0);
    // Four operations an element of 32 and five a head, for 1 + 2 + 3 keys.
    assert_eq!(cost(3, 0).flops, 6.0 * (4.0 * 32.0 + 5.0 * 4.0));
    assert_eq!(cost(1, 1000).flops, cost(1, 64).flops, "the window is 64");
}

#[test]
fn rows_past_the_true_count_cost_nothing() {
    let plan = plan("tiny-q4_0", 8, true, &FOLD);
    let (three, eight) = (plan_cost(&plan, 3, 0), plan_cost(&plan, 8, 0));
    assert!(three.flops < 0.4 * eight.flops && three.bytes < eight.bytes);
}

/// Fusing moves fewer bytes and computes the same.
#[test]
fn fusion_saves_bytes() {
    let (fused, plain) = (plan("tiny-q4_0", 1, true, &FOLD), plan("tiny-q4_0", 1, false, &FOLD));
    let (a, b) = (plan_cost(&fused, 1, 5), plan_cost(&plain, 1, 5));
    assert!(a.bytes < b.bytes && fused.steps.len() < plain.steps.len());
}

#[test]
fn a_picture_has_a_box_for_each_step_and_joins_them() {
    let plan = plan("tiny-mixed", 1, true, &FOLD);
    let text = dot(&plan);
    assert_eq!(text.matches("[shape=box").count(), plan.steps.len());
    assert_eq!(text.matches('{').count(), text.matches('}').count());
    assert!(text.matches("style=dashed").count() >= 2, "attention reads what was stored in each layer:\n{text}");
    // Every step but the first is reached from another, or from an input.
    for i in 0..plan.steps.len() {
        assert!(text.contains(&format!("-> s{i}")), "nothing leads to step {i}:\n{text}");
    }
    assert!(text.contains("cluster_0") && text.contains("-> out0;"));
}

#[test]
fn what_is_not_fused_says_why() {
    let prefill = unfused(&plan("tiny-q4_0", 32, true, &FOLD), &FOLD);
    let norm = prefill.iter().find(|u| u.name.contains("attn_norm")).unwrap();
    assert_eq!(norm.why, "not folded into a linear: <=32 rows, at most 8 are normed again by each linear that reads them");
    assert!(
        prefill.iter().any(|u| u.why.contains("the gate is no epilogue") && u.why.contains("32 rows, epilogues take at most 8")),
        "{prefill:#?}"
    );
    let plain = unfused(&plan("tiny-q4_0", 1, false, &FOLD), &FOLD);
    assert!(!plain.is_empty() && plain.iter().all(|u| u.why.starts_with("fusion is off")));
    let decode = unfused(&plan("tiny-q4_0", 1, true, &FOLD), &FOLD);
    assert!(decode.is_empty(), "{decode:#?}");
}

#[test]
fn a_rule_that_is_off_is_named_as_the_reason() {
    for (rule, step) in [
        (Rule::NormInLinear, "ffn_norm"),
        (Rule::GateInLinear, "gated"),
        (Rule::RotateAndStoreInLinear, "q_rope"),
        (Rule::AddToLinear, "ffn_inp"),
        // Nothing can be gated in a linear that does not give both halves.
        (Rule::MergeLinears, "gated"),
    ] {
        let target = Target { off: Off::of(&[rule]), ..FOLD };
        let found = unfused(&plan("tiny-q4_0", 1, true, &target), &target);
        let why = format!("the rule {} is off", rule.name());
        assert!(found.iter().any(|u| u.name.contains(step) && u.why == why), "{rule:?}: {found:#?}");
    }
}
