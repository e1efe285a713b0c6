//! References as other programs write them: f64, ids in 64 bits, other layouts, NaN, narrow types, heads joined.

use std::collections::HashMap;

use half::bf16;
use safetensors::tensor::{Dtype, TensorView};
use tensorlogic::format::save_safetensors;
use tensorlogic::tensor::HostTensor;
use tensorlogic::trace::{Diagnosis, Reference, Verdict, compare, diagnose};

use super::planted::{Mode, backend, file, judged, load, reference, tolerance, trace_of};
use crate::scratch::Scratch;
use crate::support::fixture;

fn good_model(mode: Mode) -> tensorlogic::engine::LoadedModel {
    let file = tensorlogic::format::ModelFile::open(&fixture("tiny-f32.gguf"), true).unwrap();
    load(file, None, &backend(mode), tensorlogic::graph::KvType::F32)
}

/// The good model against the reference with its tensors changed.
fn against(scratch: &Scratch, change: impl Fn(&str, &HostTensor) -> HostTensor) -> Option<Diagnosis> {
    let good = reference(scratch, "tiny-f32");
    let tensors: Vec<(String, HostTensor)> = good.tensors().map(|(name, values)| (name.to_owned(), change(name, values))).collect();
    let path = scratch.path("changed.safetensors");
    save_safetensors(&path, &tensors, HashMap::new()).unwrap();
    let reference = Reference::from_file(&path).unwrap();
    let trace = trace_of(&good_model(Mode::Precise));
    let comparison = compare(&trace, &reference, tolerance(Mode::Precise));
    diagnose(&trace, &reference, &comparison)
}

fn map(values: &HostTensor, f: impl Fn(usize, f32) -> f32) -> HostTensor {
    HostTensor::f32(values.shape.clone(), values.as_f32().unwrap().iter().enumerate().map(|(i, &v)| f(i, v)).collect())
}

#[test]
fn doubles_and_long_ids_are_read() {
    let scratch = Scratch::new("blame-doubles");
    let good = reference(&scratch, "tiny-f32");
    let bytes = |name: &str, values: &HostTensor| -> (Dtype, Vec<u8>) {
        match name {
            "tokens" => (Dtype::I64, values.as_i32().unwrap().iter().flat_map(|&v| i64::from(v).to_le_bytes()).collect()),
            _ => (Dtype::F64, values.as_f32().unwrap().iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect()),
        }
    };
    let stored: Vec<(String, Vec<usize>, Dtype, Vec<u8>)> = good
        .tensors()
        .map(|(name, values)| {
            let (dtype, bytes) = bytes(name, values);
            (name.to_owned(), values.shape.dims().to_vec(), dtype, bytes)
        })
        .collect();
    let views = stored.iter().map(|(name, shape, dtype, bytes)| (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    let path = scratch.path("doubles.safetensors");
    safetensors::serialize_to_file(views, None, &path).unwrap();
    let reference = Reference::from_file(&path).unwrap();
    assert_eq!(reference.token_ids(), good.token_ids());
    assert!(reference.unread.is_empty());
    let trace = trace_of(&good_model(Mode::Precise));
    let comparison = compare(&trace, &reference, tolerance(Mode::Precise));
    assert!(comparison.agrees() && comparison.n_compared() >= 35, "{}", comparison.n_compared());
}

#[test]
fn values_that_are_stored_transposed_are_the_references_fault() {
    let scratch = Scratch::new("blame-transposed");
    let heads_first = |name: &str, values: &HostTensor| {
        if !name.ends_with("q_rope") {
            return values.clone();
        }
        let (t, h, d) = (values.shape[0], values.shape[1], values.shape[2]);
        let v = values.as_f32().unwrap();
        HostTensor::f32([h, t, d], (0..v.len()).map(|i| v[(i / d % t) * h * d + i / d / t * d + i % d]).collect())
    };
    let diagnosis = against(&scratch, heads_first).unwrap();
    assert_eq!((diagnosis.name.as_str(), diagnosis.verdict), ("blk.0.q_rope", Verdict::Reference));
    assert!(diagnosis.reasons[0].text.contains("the reference's blk.0.q_rope is stored transposed"), "{:?}", diagnosis.reasons);
    let columns_first = |name: &str, values: &HostTensor| {
        if name != "blk.0.up" {
            return values.clone();
        }
        let (t, f) = (values.shape[0], values.shape[1]);
        let v = values.as_f32().unwrap();
        HostTensor::f32([f, t], (0..v.len()).map(|i| v[i % t * f + i / t]).collect())
    };
    let diagnosis = against(&scratch, columns_first).unwrap();
    assert_eq!((diagnosis.name.as_str(), diagnosis.verdict), ("blk.0.up", Verdict::Reference));
    // The same bytes under the right shape.
    let mislabelled = |name: &str, values: &HostTensor| HostTensor { shape: values.shape.clone(), ..columns_first(name, values) };
    let diagnosis = against(&scratch, mislabelled).unwrap();
    assert_eq!(diagnosis.name, "blk.0.up");
    assert!(diagnosis.reasons[0].text.contains("transposed"), "{:?}", diagnosis.reasons);
}

#[test]
fn nan_of_the_reference_is_not_blamed_on_the_run() {
    let scratch = Scratch::new("blame-nan");
    let broken = |name: &str, values: &HostTensor| {
        if name == "blk.1.v" { map(values, |i, v| if i == 37 { f32::NAN } else { v }) } else { values.clone() }
    };
    let diagnosis = against(&scratch, broken).unwrap();
    assert_eq!((diagnosis.name.as_str(), diagnosis.verdict), ("blk.1.v", Verdict::Reference));
    assert!(diagnosis.reasons[0].text.contains("1 NaN and 0 inf here, the first at row 2, column 5"), "{:?}", diagnosis.reasons);
}

#[test]
fn a_reference_in_bf16_is_told_from_a_fault() {
    let scratch = Scratch::new("blame-bf16");
    let narrow =
        |name: &str, values: &HostTensor| if name == "tokens" { values.clone() } else { map(values, |_, v| bf16::from_f32(v).to_f32()) };
    let diagnosis = against(&scratch, narrow).unwrap();
    assert_eq!(diagnosis.verdict, Verdict::Reference);
    assert!(diagnosis.reasons[0].text.contains("rounded to bf16"), "{:?}", diagnosis.reasons);
}

#[test]
fn other_rows_and_other_vocabularies_are_named_by_their_sizes() {
    let scratch = Scratch::new("blame-sizes");
    let longer = |name: &str, values: &HostTensor| {
        if name != "logits" {
            return values.clone();
        }
        let (t, v) = (values.shape[0], values.shape[1]);
        let old = values.as_f32().unwrap();
        HostTensor::f32(
            [t, v + 1],
            (0..t * (v + 1)).map(|i| if i % (v + 1) < v { old[i / (v + 1) * v + i % (v + 1)] } else { 0.0 }).collect(),
        )
    };
    let diagnosis = against(&scratch, longer).unwrap();
    assert!(diagnosis.reasons[0].text.contains("another vocabulary: 307 tokens here, 308 in the reference"), "{:?}", diagnosis.reasons);
}

/// Where the reference joins heads, shapes say nothing: the rotation does.
#[test]
fn another_head_count_is_seen_in_the_rotation() {
    let scratch = Scratch::new("blame-heads");
    let good = reference(&scratch, "tiny-f32");
    let joined = |values: &HostTensor| match *values.shape.dims() {
        [t, h, d] => HostTensor { shape: [t, h * d].into(), ..values.clone() },
        _ => values.clone(),
    };
    let tensors: Vec<(String, HostTensor)> = good.tensors().map(|(name, values)| (name.to_owned(), joined(values))).collect();
    let path = scratch.path("joined.safetensors");
    save_safetensors(&path, &tensors, HashMap::new()).unwrap();
    let reference = Reference::from_file(&path).unwrap();
    let planted = file(
        "another head count",
        |f| {
            f.set_u32("llama.attention.head_count", 2);
            f.set_u32("llama.attention.head_count_kv", 1);
        },
        "blk.0.q_rope",
        &["heads have 8 values, here 16"],
    );
    for mode in [Mode::Precise, Mode::Default] {
        let diagnosis = super::planted::examined(&planted, mode, &reference, &scratch);
        let (hit, text) = judged(&planted, diagnosis.as_ref());
        assert!(hit.step && hit.reason, "{text}");
    }
}
