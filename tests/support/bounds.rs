//! What logits may err by, by the arithmetic that a user asks for.

use tensorlogic::graph::KvType;

/// `--precise` and `--kv`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arithmetic {
    pub name: &'static str,
    pub precise: bool,
    pub kv_type: KvType,
}

/// Those that are held against bounds, the most exact first.
pub const ARITHMETICS: [Arithmetic; 3] = [
    Arithmetic { name: "precise, kv f32", precise: true, kv_type: KvType::F32 },
    Arithmetic { name: "precise, kv f16", precise: true, kv_type: KvType::F16 },
    Arithmetic { name: "default", precise: false, kv_type: KvType::F16 },
];

/// The rms of what llama.cpp's own f32 arithmetic errs by, over that of the logits: at most 7e-7 on every model of the reference pack.
pub const F32_ERROR: f64 = 7e-7;

/// For a model of which only exact logits are known: ten times what f32 does, and what `src/doctor/model.rs` grants a whole block for the
/// modes that round.
pub fn granted(exact: &[f32]) -> [f64; 3] {
    [10.0 * F32_ERROR, 5e-3, 6e-2].map(|bound| bound * rms(exact))
}

/// For a model of the reference pack: ten times what llama.cpp errs by in f32, 1.5 times that with a cache in f16, 1.1 times that as it runs.
pub fn of_llama_cpp(summary: &serde_json::Value, model: &str) -> [f64; 3] {
    let rms_of = |column: &str| summary["models"][model][column]["rms_error"].as_f64().unwrap();
    [
        10.0 * rms_of("llamacpp_dequantized_f32"),
        1.5 * rms_of("llamacpp_dequantized_f32_kv_f16"),
        1.1 * rms_of("llamacpp").max(rms_of("llamacpp_kv_f32")),
    ]
}

pub fn rms(values: &[f32]) -> f64 {
    (values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}
