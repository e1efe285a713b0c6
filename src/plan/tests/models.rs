//! What fusion makes of whole models.

use crate::plan::{Kernel, Off, Target};

use super::block::{D, Family, LLAMA, Model, Q6, TARGET};
use super::snapshot;

fn steps(family: Family, tokens: usize) -> usize {
    Model::new(family).plan(tokens, true, &TARGET).unwrap().steps.len()
}

/// Steps of one more layer.
fn steps_a_layer(family: Family, tokens: usize) -> usize {
    steps(Family { n_layers: 4, ..family }, tokens) - steps(Family { n_layers: 3, ..family }, tokens)
}

fn snapshot(name: &str, family: Family, tokens: usize) {
    let plan = Model::new(family).plan(tokens, true, &TARGET).unwrap();
    snapshot::check(name, &plan.to_string());
}

#[test]
fn a_llama_layer_is_five_steps_when_decoding() {
    assert_eq!(steps_a_layer(LLAMA, 1), 5);
    snapshot("llama_decode", LLAMA, 1);
}

#[test]
fn a_llama_layer_of_many_tokens_keeps_its_epilogues_apart() {
    snapshot("llama_prefill", LLAMA, 64);
}

#[test]
fn values_of_another_type_have_a_linear_of_their_own() {
    let family = Family { v_dtype: Q6, ..LLAMA };
    assert_eq!(steps_a_layer(family, 1), 7);
    snapshot("mixed_values_decode", family, 1);
    snapshot("mixed_values_prefill", family, 64);
}

#[test]
fn biases_join_the_merged_linear() {
    let family = Family { biases: true, ..LLAMA };
    assert_eq!(steps_a_layer(family, 1), 5);
    snapshot("biases_decode", family, 1);
    snapshot("biases_prefill", family, 64);
}

#[test]
fn normed_queries_and_keys_are_rotated_on_their_own() {
    snapshot("qk_norm_decode", Family { qk_norm: true, ..LLAMA }, 1);
}

#[test]
fn a_parallel_residual_has_one_residual_a_linear() {
    let family = Family { parallel: true, ..LLAMA };
    assert_eq!(steps_a_layer(family, 1), 5);
    snapshot("parallel_decode", family, 1);
}

#[test]
fn heads_rotated_in_part_or_not_at_all_keep_a_cache_write() {
    snapshot("partial_rotation_decode", Family { n_rotated: D / 2, ..LLAMA }, 1);
    snapshot("no_rotation_decode", Family { n_rotated: 0, ..LLAMA }, 1);
}

#[test]
fn a_spelled_out_gate_is_found_too() {
    assert_eq!(steps_a_layer(Family { spelled_out_gate: true, ..LLAMA }, 1), 5);
}

#[test]
fn without_fusion_every_node_is_a_step() {
    let plan = Model::new(Family { n_layers: 1, ..LLAMA }).plan(5, false, &TARGET).unwrap();
    snapshot::check("llama_unfused", &plan.to_string());
}

#[test]
fn weights_are_placed_alike_for_every_number_of_tokens() {
    for family in [LLAMA, Family { v_dtype: Q6, tied: true, ..LLAMA }, Family { biases: true, ..LLAMA }] {
        let model = Model::new(family);
        let native = |tokens: usize, fuse: bool| {
            let plan = model.plan(tokens, fuse, &TARGET).unwrap();
            plan.placements.into_iter().filter(|p| p.storage == crate::plan::Storage::Native).collect::<Vec<_>>()
        };
        let decode = native(1, true);
        assert_eq!(decode, native(64, true));
        assert_eq!(decode, native(64, false));
        let mut ids: Vec<_> = decode.iter().flat_map(|p| p.parts.iter().map(|w| w.id)).collect();
        ids.sort_unstable();
        let n = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), n, "a weight is placed twice");
    }
}

#[test]
fn only_the_last_token_goes_through_the_head_and_the_last_feed_forward_part() {
    let plan = Model::new(Family { n_layers: 1, ..LLAMA }).plan(64, true, &TARGET).unwrap();
    let rows: Vec<usize> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.kernel {
            Kernel::Linear(linear) => Some(linear.rows.count),
            _ => None,
        })
        .collect();
    assert_eq!(rows, [64, 1, 1, 1, 1], "{plan}");
}

#[test]
fn layers_share_a_handful_of_slots() {
    for tokens in [1, 64] {
        let slots = |n_layers| Model::new(Family { n_layers, ..LLAMA }).plan(tokens, true, &TARGET).unwrap().slots.len();
        assert_eq!(slots(3), slots(22));
        assert!(slots(22) <= 9, "{} slots", slots(22));
    }
}

#[test]
fn a_target_without_epilogues_gets_none() {
    let none = Target { norm_prologue_rows: 0, epilogue_rows: 0, off: Off::NONE };
    let plan = Model::new(LLAMA).plan(1, true, &none).unwrap();
    for step in &plan.steps {
        if let Kernel::Linear(linear) = &step.kernel {
            assert!(linear.norm.is_none() && matches!(linear.epilogue, crate::plan::Epilogue::Store { .. }), "{step}");
        }
    }
}
