//! Faults that were once blamed on another step or for another reason.

use half::bf16;
use tensorlogic::graph::KvType;
use tensorlogic::trace::Verdict;

use super::planted::{Mode, Planted, examined, file, judged, program, reference};
use crate::scratch::Scratch;
use crate::support::damaged::File;

const ATTENTION: &str = "let attn_out = attention(q_rope, cache.append(i, k_rope, v), window: window)";
const END: &str = "let output = ffn_inp + ffn_out";

/// Attention in plain ops without a mask: 2 key-value heads of 2 query heads.
const UNMASKED: &str = "let kept = cache.append(i, k_rope, v)
    let d = shape(q_rope)[2]
    let t = shape(q_rope)[0]
    let scores = einsum(\"tgrd,sgd->gtrs\", reshape(q_rope, [t, 2, 2, d]), k_rope) / sqrt(float(d))
    let attn_out = reshape(einsum(\"gtrs,sgd->tgrd\", softmax(scores, dim: 3), v), [t, 4, d])";

fn matrices_in_bf16(file: &mut File) {
    for name in file.tensors().into_iter().filter(|name| name.starts_with("blk.") && !name.contains("norm")) {
        file.map(&name, |_, v| bf16::from_f32(v).to_f32());
    }
}

fn all_in_bf16(file: &mut File) {
    for name in file.tensors() {
        file.map(&name, |_, v| bf16::from_f32(v).to_f32());
    }
}

fn times(file: &mut File, tensor: &str, factor: f32) {
    file.map(tensor, |_, v| v * factor);
}

fn planted() -> Vec<Planted> {
    vec![
        program(
            "the residual lost at the layer's end",
            &[(END, "let output = ffn_out")],
            "blk.0.output",
            &["the residual is lost: blk.0.ffn_inp"],
        ),
        program("the feed-forward part lost", &[(END, "let output = ffn_inp")], "blk.0.output", &["the residual is lost: blk.0.ffn_out"]),
        program(
            "the residual lost without a name",
            &[("let output = ffn_inp + ffn_out\n    output", "ffn_out")],
            "blk.0.output",
            &["blk.0.output is missing: blk.1.attn_norm reads blk.0.ffn_out", "the residual is lost"],
        ),
        program(
            "queries and keys not rotated",
            &[
                ("let q_rope = rope(q, cache.position, rotary)", "let q_rope = q"),
                ("let k_rope = rope(k, cache.position, rotary)", "let k_rope = k"),
            ],
            "blk.0.q_rope",
            &["no rotation"],
        ),
        program(
            "queries and keys not rotated, without a name",
            &[
                ("let q_rope = rope(q, cache.position, rotary)", ""),
                ("let k_rope = rope(k, cache.position, rotary)", ""),
                (ATTENTION, "let attn_out = attention(q, cache.append(i, k, v), window: window)"),
            ],
            "blk.0.q_rope",
            &["no rotation"],
        ),
        program(
            "no norm before attention",
            &[("let attn_norm = rms_norm(x, w.attn_norm.weight, eps)", "let attn_norm = x")],
            "blk.0.attn_norm",
            &["the norm left out"],
        ),
        program(
            "no norm before the feed-forward part",
            &[("let ffn_norm = rms_norm(ffn_inp, w.ffn_norm.weight, eps)", "let ffn_norm = ffn_inp")],
            "blk.0.ffn_norm",
            &["the norm left out"],
        ),
        program(
            "no final norm",
            &[("let final_norm = rms_norm(x, model.output_norm.weight, eps)", "let final_norm = x")],
            "final_norm",
            &["the norm left out"],
        ),
        program("no activation", &[("let silu_gate = silu(gate)", "let silu_gate = gate")], "blk.0.silu_gate", &["silu left out"]),
        program(
            "attention dropped",
            &[("let ffn_inp = x + attn_proj", "let ffn_inp = x")],
            "blk.0.ffn_inp",
            &["the residual is lost: blk.0.attn_proj"],
        ),
        program(
            "the stream dropped",
            &[("let ffn_inp = x + attn_proj", "let ffn_inp = attn_proj")],
            "blk.0.ffn_inp",
            &["the residual is lost: embedding"],
        ),
        program(
            "the gate dropped",
            &[("let gated = silu_gate * up", "let gated = up")],
            "blk.0.gated",
            &["the product with blk.0.silu_gate left out", "the product with blk.0.gate left out"],
        ),
        program(
            "keys not rotated",
            &[("let k_rope = rope(k, cache.position, rotary)", "let k_rope = k")],
            "blk.0.k_rope",
            &["no rotation"],
        ),
        program(
            "no output projection",
            &[("let attn_proj = project(merge(attn_out), w.attn_output)", "let attn_proj = merge(attn_out)")],
            "blk.0.attn_proj",
            &["blk.0.attn_output.weight"],
        ),
        program(
            "layers in another order",
            &[("x = block(x, model.blk[i], cache, i)", "x = block(x, model.blk[n_layers - 1 - i], cache, i)")],
            "blk.1.attn_norm",
            &["layers are in another order"],
        ),
        program("one layer fewer", &[("for i in 0..n_layers", "for i in 0..n_layers - 1")], "blk.1.output", &["a layer is missing"]),
        program("the first layer skipped", &[("for i in 0..n_layers", "for i in 1..n_layers")], "blk.0.output", &["a layer is missing"]),
        file(
            "another head count",
            |f| {
                f.set_u32("llama.attention.head_count", 2);
                f.set_u32("llama.attention.head_count_kv", 1);
            },
            "blk.0.q",
            &["another head count: 2 heads of 16 values here, 4 heads of 8 in the reference"],
        ),
        file(
            "half of each head rotated",
            |f| f.set_u32("llama.rope.dimension_count", 4),
            "blk.0.q_rope",
            &["8 of the 8 values of a head are rotated, here 4"],
        ),
        program("no causal mask", &[(ATTENTION, UNMASKED)], "blk.0.attn_out", &["the causal mask is missing"]),
        file(
            "matrices in bf16",
            matrices_in_bf16,
            "blk.0.q",
            &["blk.0.attn_q.weight is rounded in this file and not in the reference: every number of it is a bf16 number"],
        ),
        file("all weights in bf16", all_in_bf16, "embedding", &["rounded to bf16"]),
        file(
            "the vocabulary shifted by one",
            |f| {
                let copy: Vec<u8> = f.data("token_embd.weight").to_vec();
                let row = 32 * 4;
                f.data("token_embd.weight")[row..].copy_from_slice(&copy[..copy.len() - row]);
            },
            "embedding",
            &["the vocabulary is shifted by +1"],
        ),
        program(
            "ids one too low",
            &[("embedding(tokens, model", "embedding(tokens - 1, model")],
            "embedding",
            &["the vocabulary is shifted by +1"],
        ),
        Planted {
            file: |f| f.set_u32("llama.context_length", 6),
            ..program(
                "a window from the context's length",
                &[("layer_window(config, i)", "config.context_length")],
                "blk.0.attn_out",
                &["its window of 6 keys ignored"],
            )
        },
        file(
            "a cache shorter than the prompt",
            |f| f.set_u32("llama.context_length", 6),
            "blk.0.attn_out",
            &["the cache is shorter than the run: of 11 tokens queries see a window of the 5 newest keys, and the first 1"],
        ),
    ]
}

#[test]
fn each_is_blamed_on_its_step_for_its_reason_in_both_modes() {
    let scratch = Scratch::new("blame-named");
    let reference = reference(&scratch, super::planted::MODEL);
    let mut missed = Vec::new();
    for mode in [Mode::Precise, Mode::Default] {
        for planted in planted() {
            let diagnosis = examined(&planted, mode, &reference, &scratch);
            let (hit, text) = judged(&planted, diagnosis.as_ref());
            if !hit.step || !hit.reason || diagnosis.is_none_or(|d| d.verdict != Verdict::Program) {
                missed.push(format!("{mode:?}: {text}"));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed\n{}", missed.len(), missed.join("\n"));
}

/// The reference has these values; the type of the cache cannot hold them.
#[test]
fn a_cache_that_cannot_hold_its_values_is_no_fault_of_the_backend() {
    let scratch = Scratch::new("blame-cache");
    let mut missed = Vec::new();
    let cases: [(&str, fn(&mut File), &str); 3] = [
        ("values beyond f16", |f| times(f, "blk.0.attn_v.weight", 1e6), "f16 ends at 65504"),
        ("keys beyond f16", |f| times(f, "blk.0.attn_k.weight", 1e6), "f16 ends at 65504"),
        ("values below f16", |f| times(f, "blk.0.attn_v.weight", 1e-8), "nothing below 6e-8"),
    ];
    for (name, damage, says) in cases {
        let planted = Planted { kv: KvType::F16, ..file(name, damage, "blk.0.attn_out", &["--kv f32"]) };
        let exact = Planted { kv: KvType::F32, ..file(name, damage, "", &[]) };
        for mode in [Mode::Precise, Mode::Default] {
            let exact = super::planted::trace_of(&super::planted::faulty(&exact, &tensorlogic::engine::Backend::exact(), &scratch));
            let path = scratch.path("exact.safetensors");
            tensorlogic::trace::to_safetensors(&exact, &path).unwrap();
            for reference in [tensorlogic::trace::Reference::from_trace(&exact), tensorlogic::trace::Reference::from_file(&path).unwrap()] {
                let diagnosis = examined(&planted, mode, &reference, &scratch);
                let (hit, text) = judged(&planted, diagnosis.as_ref());
                let is_right = diagnosis.is_some_and(|d| d.verdict == Verdict::Setting && d.reasons[0].text.contains(says));
                if !hit.step || !hit.reason || !is_right {
                    missed.push(format!("{mode:?}: {text}"));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// What the cache loses stands before the fault, and is not all that is told.
#[test]
fn a_cache_that_cannot_hold_its_values_hides_no_fault_of_the_program() {
    let scratch = Scratch::new("blame-cache-and-program");
    let damage: fn(&mut File) = |f| times(f, "blk.0.attn_v.weight", 1e-8);
    let good = Planted { kv: KvType::F32, ..file("good", damage, "", &[]) };
    let good = super::planted::trace_of(&super::planted::faulty(&good, &tensorlogic::engine::Backend::exact(), &scratch));
    let path = scratch.path("exact.safetensors");
    tensorlogic::trace::to_safetensors(&good, &path).unwrap();
    let reference = tensorlogic::trace::Reference::from_file(&path).unwrap();
    let says = &["silu for gelu"];
    let planted = Planted { kv: KvType::F16, file: damage, ..program("gelu", &[("silu(gate)", "gelu(gate)")], "blk.0.silu_gate", says) };
    for mode in [Mode::Precise, Mode::Default] {
        let diagnosis = examined(&planted, mode, &reference, &scratch);
        let (hit, text) = judged(&planted, diagnosis.as_ref());
        let diagnosis = diagnosis.unwrap();
        assert!(hit.step && hit.reason && diagnosis.verdict == Verdict::Program, "{mode:?}: {text}");
        assert!(diagnosis.reasons.last().unwrap().text.contains("--kv f32"), "{mode:?}: {text}");
    }
}

/// A fault of a few parts in a hundred thousand is in one step: nothing grows before it.
#[test]
fn a_small_fault_is_no_growth_of_errors() {
    let scratch = Scratch::new("blame-small");
    let reference = reference(&scratch, super::planted::MODEL);
    let cases = [
        file(
            "an eps of 1e-5 more",
            |f| f.set_f32("llama.attention.layer_norm_rms_epsilon", 2e-5),
            "blk.0.attn_norm",
            &["with an eps of 1e-5"],
        ),
        file(
            "one number of a norm",
            |f| f.map("blk.0.attn_norm.weight", |i, v| if i == 17 { v * 1.0003 } else { v }),
            "blk.0.attn_norm",
            &["column is off", "columns are wrong: 17"],
        ),
    ];
    for planted in cases {
        let diagnosis = examined(&planted, Mode::Precise, &reference, &scratch);
        let (hit, text) = judged(&planted, diagnosis.as_ref());
        assert!(hit.step && hit.reason, "{text}");
        assert!(!text.contains("errors grow"), "{text}");
    }
}
