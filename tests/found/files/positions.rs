//! Scaling of positions, windows and head counts by layer: used as the file says, or refused by name.

use serde_json::{Value, json};
use tensorlogic::format::hf::metadata_from_json;
use tensorlogic::format::{Metadata, MetadataArray};

use super::{TOKENS, apart, logits};
use crate::scratch::{Scratch, assert_contains};
use crate::support::parts::Parts;
use crate::support::programs::Mode;

/// Divisors for the four pairs of a head of tiny-f32.
const LONG: [f32; 4] = [1.0, 2.0, 3.5, 8.0];
const SHORT: [f32; 4] = [1.0, 1.1, 1.25, 1.5];

#[test]
fn scaling_that_lacks_its_numbers_is_refused_by_name() {
    let scratch = Scratch::new("no-numbers");
    let scaled = |kind: &str| Parts::of("tiny-f32").set("llama.rope.scaling.type", kind);
    let factor = "llama.rope.scaling.factor";
    let llama3 = || scaled("llama3").set(factor, 8.0f32).set("llama.rope.scaling.low_freq_factor", 1.0f32);
    let long = || Parts::of("tiny-f32").tensor("rope_factors_long.weight", [4], &LONG);
    let original = "llama.rope.scaling.original_context_length";
    let cases: [(&str, Parts, &[&str]); 13] = [
        ("linear", scaled("linear"), &["RoPE scaling `linear` lacks its `rope.scaling.factor`"]),
        ("yarn", scaled("yarn"), &["`yarn` lacks its `rope.scaling.factor`"]),
        ("llama3", scaled("llama3"), &["`llama3` lacks its `rope.scaling.factor`"]),
        ("llama3-high", llama3(), &["`llama3` lacks its `rope.scaling.high_freq_factor`"]),
        (
            "llama3-length",
            llama3().set("llama.rope.scaling.high_freq_factor", 4.0f32),
            &["`llama3` lacks its `rope.scaling.original_context_length`"],
        ),
        ("longrope", scaled("longrope"), &["`longrope` lacks its `rope.scaling.original_context_length`"]),
        ("no-divisors", scaled("longrope").set(original, 16u32), &["`longrope` lacks its `rope_factors_long.weight`"]),
        ("no-short", long().set(original, 16u32), &["`longrope` lacks its `rope_factors_short.weight`"]),
        ("dynamic", scaled("dynamic").set(factor, 2.0f32), &["RoPE scaling `dynamic` is not supported"]),
        ("strange", scaled("spiral"), &["RoPE scaling `spiral` is not supported"]),
        ("a-number", Parts::of("tiny-f32").set("llama.rope.scaling.type", 3u32), &["rope.scaling.type", "not a text"]),
        ("zero", scaled("linear").set(factor, 0.0f32), &["`rope.scaling.factor` is 0"]),
        ("three", Parts::of("tiny-f32").tensor("rope_freqs.weight", [3], &LONG[..3]), &["3 divisors for 8 rotated dimensions"]),
    ];
    for (name, parts, words) in cases {
        let error = logits(&parts.save(scratch.path(&format!("{name}.gguf")))).unwrap_err();
        assert!(!error.contains('\n'), "{error}");
        assert_contains(&error, words);
    }
}

/// With a factor of 1 on cos and sin, longrope is the division of the frequencies by one of its two lists.
#[test]
fn longrope_divides_by_the_list_for_what_the_cache_keeps_in_view() {
    let scratch = Scratch::new("longrope");
    let longrope = |parts: Parts| {
        let parts = parts.set("llama.rope.scaling.original_context_length", 32u32).set("llama.rope.scaling.attn_factor", 1.0f32);
        parts.save(scratch.path("longrope.gguf"))
    };
    let divided = |name: &str, divisors: &[f32]| {
        logits(&Parts::of("tiny-f32").tensor("rope_freqs.weight", [4], divisors).save(scratch.path(name))).unwrap()
    };
    let (long, short) = (divided("long.gguf", &LONG), divided("short.gguf", &SHORT));
    assert!(apart(&long, &short) > 1e-3);
    let tensors = || Parts::of("tiny-f32").tensor("rope_factors_long.weight", [4], &LONG).tensor("rope_factors_short.weight", [4], &SHORT);
    let lists = || {
        let parts = Parts::of("tiny-f32").set("llama.rope.scaling.type", "longrope");
        let parts = parts.set("llama.rope.scaling.long_factor", MetadataArray::from_f32s(&LONG));
        parts.set("llama.rope.scaling.short_factor", MetadataArray::from_f32s(&SHORT))
    };
    for parts in [tensors(), lists()] {
        let path = longrope(parts);
        let run = |window| Mode::precise(false).logits_in(&path, &TOKENS, TOKENS.len(), window).unwrap();
        assert_eq!(run(Some(33)), long);
        assert_eq!(run(Some(32)), short);
    }
    // Without a factor of the file's own it is sqrt(1 + ln(trained / original) / ln(original)): 2 for 8 times the original 2, squared.
    let computed = |trained: u32, original: u32| {
        let parts = tensors().set("llama.context_length", trained).set("llama.rope.scaling.original_context_length", original);
        logits(&parts.save(scratch.path("computed.gguf"))).unwrap()
    };
    let stated = |factor: f32| {
        let parts = tensors().set("llama.rope.scaling.attn_factor", factor).set("llama.rope.scaling.original_context_length", 2u32);
        logits(&parts.save(scratch.path("stated.gguf"))).unwrap()
    };
    assert!(apart(&computed(16, 2), &stated(2.0)) < 1e-5, "{}", apart(&computed(16, 2), &stated(2.0)));
}

#[test]
fn yarns_attention_factor_replaces_the_logarithm() {
    let scratch = Scratch::new("yarn");
    let yarn = |edit: fn(Parts) -> Parts| {
        let parts = Parts::of("tiny-f32").set("llama.rope.scaling.type", "yarn").set("llama.rope.scaling.factor", 8.0f32);
        let parts = edit(parts.set("llama.rope.scaling.original_context_length", 1024u32));
        logits(&parts.save(scratch.path("yarn.gguf"))).unwrap()
    };
    const KEY: &str = "llama.rope.scaling.yarn_attn_factor";
    let plain = yarn(|p| p);
    assert!(apart(&plain, &yarn(|p| p.set(KEY, (0.1 * 8f32.ln()) + 1.0))) < 1e-6, "the factor that the paper gives");
    assert!(apart(&plain, &yarn(|p| p.set(KEY, 1.0f32))) > 1e-3);
    // A multiplier of the logarithm goes to the scores, which leaves cos and sin as they are.
    assert_eq!(yarn(|p| p.set(KEY, 1.0f32)), yarn(|p| p.set("llama.rope.scaling.yarn_log_multiplier", 1.0f32)));
    assert_eq!(yarn(|p| p.set(KEY, 1.5f32)), yarn(|p| p.set(KEY, 3.0f32).set("llama.rope.scaling.attn_factor", 0.5f32)));
    assert!(apart(&plain, &yarn(|p| p.set("llama.rope.scaling.yarn_beta_fast", 2.0f32))) > 1e-4);
    assert!(apart(&plain, &yarn(|p| p.set("llama.rope.scaling.truncate", false))) > 1e-4, "the ramp's ends need not be whole");
    // Nothing kept of the plain frequencies is a division of all of them.
    let none_kept = yarn(|p| p.set("llama.rope.scaling.yarn_ext_factor", 0.0f32));
    let linear = Parts::of("tiny-f32").set("llama.rope.scaling.type", "linear").set("llama.rope.scaling.factor", 8.0f32);
    assert!(apart(&none_kept, &logits(&linear.save(scratch.path("linear.gguf"))).unwrap()) < 1e-6);
}

#[test]
fn a_window_may_hold_for_some_layers_alone() {
    let scratch = Scratch::new("window-by-layer");
    let windows = |by_layer: &[bool]| {
        let parts = Parts::of("tiny-f32").set("llama.attention.sliding_window", 3u32);
        let parts = parts.set("llama.attention.sliding_window_pattern", MetadataArray::from_bools(by_layer));
        logits(&parts.save(scratch.path("windows.gguf"))).unwrap()
    };
    let plain = logits(&crate::support::fixture("tiny-f32.gguf")).unwrap();
    let all = logits(&Parts::of("tiny-f32").set("llama.attention.sliding_window", 3u32).save(scratch.path("all.gguf"))).unwrap();
    assert_eq!((windows(&[false, false]), windows(&[true, true])), (plain.clone(), all.clone()));
    let (first, second) = (windows(&[true, false]), windows(&[false, true]));
    for (a, b) in [(&first, &plain), (&first, &all), (&second, &plain), (&second, &all), (&first, &second)] {
        assert!(apart(a, b) > 1e-4);
    }
}

fn folder(config: Value) -> Result<Metadata, String> {
    metadata_from_json(config.to_string().as_bytes(), None, None).map_err(|e| e.to_string())
}

#[test]
fn a_folders_windows_are_those_of_transformers() {
    let window = |config: Value| {
        let metadata = folder(config).unwrap();
        let pattern = metadata.array("qwen2.attention.sliding_window_pattern").map(|a| a.bools().unwrap().collect::<Vec<bool>>());
        (metadata.u64("qwen2.attention.sliding_window"), pattern)
    };
    let qwen2 = |more: Value| {
        let mut config = json!({ "model_type": "qwen2", "num_hidden_layers": 3, "sliding_window": 8 });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    assert_eq!(window(qwen2(json!({}))), (None, None), "an absent switch is off");
    assert_eq!(window(qwen2(json!({ "max_window_layers": 1 }))), (None, None));
    assert_eq!(window(qwen2(json!({ "max_window_layers": 1, "use_sliding_window": false }))), (None, None));
    let on = json!({ "max_window_layers": 1, "use_sliding_window": true });
    assert_eq!(window(qwen2(on)), (Some(8), Some(vec![false, true, true])));
    let types = json!({ "use_sliding_window": true, "layer_types": ["full_attention", "full_attention", "sliding_attention"] });
    assert_eq!(window(qwen2(types)), (Some(8), Some(vec![false, false, true])));
    let mistral = folder(json!({ "model_type": "mistral", "sliding_window": 8 })).unwrap();
    assert_eq!(mistral.u64("llama.attention.sliding_window"), Some(8), "where there is no switch, the window holds");
}

#[test]
fn a_folders_positions_are_read_in_every_form() {
    let older =
        json!({ "model_type": "llama", "rope_theta": 5e5, "rope_scaling": { "type": "yarn", "factor": 4.0, "attention_factor": 1.3 } });
    let newer = json!({ "model_type": "llama", "rope_parameters": { "rope_theta": 5e5, "rope_type": "yarn", "factor": 4.0, "attention_factor": 1.3 } });
    for config in [older, newer] {
        let metadata = folder(config).unwrap();
        assert_eq!(metadata.f64("llama.rope.freq_base"), Some(5e5));
        assert_eq!(metadata.str("llama.rope.scaling.type"), Some("yarn"));
        assert_eq!(metadata.f64("llama.rope.scaling.yarn_attn_factor"), Some(1.3));
        assert!(metadata.get("llama.rope.scaling.attn_factor").is_none());
    }
    let scaled = |rope: Value| folder(json!({ "model_type": "llama", "head_dim": 8, "rope_parameters": rope }));
    let equal = scaled(json!({ "rope_type": "yarn", "factor": 4.0, "mscale": 0.7, "mscale_all_dim": 0.7, "truncate": false })).unwrap();
    assert_eq!(equal.f64("llama.rope.scaling.yarn_attn_factor"), Some(1.0));
    assert_eq!(equal.bool("llama.rope.scaling.truncate"), Some(false));
    let long = scaled(json!({ "rope_type": "su", "long_factor": [1, 2.5], "short_factor": [1.0, 1.0], "attention_factor": 1.1 })).unwrap();
    assert_eq!(long.str("llama.rope.scaling.type"), Some("longrope"));
    assert_eq!(long.array("llama.rope.scaling.long_factor"), Some(&MetadataArray::from_f32s(&[1.0, 2.5])));
    assert_eq!(long.f64("llama.rope.scaling.attn_factor"), Some(1.1));
    let partly = scaled(json!({ "rope_type": "default", "partial_rotary_factor": 0.5 })).unwrap();
    assert_eq!(partly.u64("llama.rope.dimension_count"), Some(4));
    let by_type = json!({ "full_attention": { "rope_type": "linear", "factor": 8.0, "rope_theta": 1e6 }, "sliding_attention": { "rope_type": "default", "rope_theta": 1e4 } });
    let by_type = scaled(by_type).unwrap();
    assert_eq!((by_type.f64("llama.rope.freq_base"), by_type.f64("llama.rope.freq_base_swa")), (Some(1e6), Some(1e4)));
    assert_eq!(by_type.str("llama.rope.scaling.type"), Some("linear"));

    assert_contains(&scaled(json!({ "factor": 8.0 })).unwrap_err(), &["config.json", "rope_type"]);
    assert_contains(&scaled(json!({ "rope_type": "longrope", "long_factor": [1, "x"] })).unwrap_err(), &["`long_factor`"]);
    assert_contains(&scaled(json!({ "chunked_attention": { "rope_theta": 1e4 } })).unwrap_err(), &["`chunked_attention`"]);
}

#[test]
fn head_counts_by_layer_are_used_or_refused_by_what_they_are() {
    let scratch = Scratch::new("heads-by-layer");
    let (heads, kv_heads) = ("llama.attention.head_count", "llama.attention.head_count_kv");
    let list = |counts: &[u32]| MetadataArray::from_u32s(counts);
    let run = |parts: Parts| logits(&parts.save(scratch.path("heads.gguf")));
    let plain = logits(&crate::support::fixture("tiny-f32.gguf")).unwrap();
    let constant =
        Parts::of("tiny-f32").set(heads, list(&[4, 4])).set(kv_heads, list(&[2, 2])).set("llama.feed_forward_length", list(&[72, 72]));
    assert_eq!(run(constant).unwrap(), plain);

    // Layer 1 with two of its four query heads.
    let mut fewer = Parts::of("tiny-f32").set(heads, list(&[4, 2])).set(kv_heads, list(&[2, 2])).set("llama.attention.key_length", 8u32);
    let rows = fewer.values("blk.1.attn_q.weight")[..16 * 32].to_vec();
    let columns: Vec<f32> = fewer.values("blk.1.attn_output.weight").chunks_exact(32).flat_map(|row| row[..16].to_vec()).collect();
    fewer.tensors.retain(|(name, ..)| !matches!(name.as_str(), "blk.1.attn_q.weight" | "blk.1.attn_output.weight"));
    let fewer = fewer.tensor("blk.1.attn_q.weight", [16, 32], &rows).tensor("blk.1.attn_output.weight", [32, 16], &columns);
    assert!(apart(&run(fewer).unwrap(), &plain) > 1e-3);

    let mut narrow = Parts::of("tiny-f32").set(heads, list(&[4, 4])).set(kv_heads, list(&[2, 1]));
    for name in ["blk.1.attn_k.weight", "blk.1.attn_v.weight"] {
        let rows = narrow.values(name)[..8 * 32].to_vec();
        narrow.tensors.retain(|(n, ..)| n != name);
        narrow = narrow.tensor(name, [8, 32], &rows);
    }
    assert_contains(&run(narrow).unwrap_err(), &["layer 1 appends 1 heads of 8, another 2 of 8: all layers of a cache have one shape"]);
    let short = Parts::of("tiny-f32").set(heads, list(&[4]));
    assert_contains(&run(short).unwrap_err(), &["`llama.attention.head_count` lists 1 layers, the model has 2"]);
    let uneven = Parts::of("tiny-f32").set(kv_heads, list(&[2, 3]));
    assert_contains(&run(uneven).unwrap_err(), &["4 query heads are no multiple of 3 key-value heads"]);
}
