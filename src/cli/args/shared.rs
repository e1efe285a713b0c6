//! Arguments that several commands take.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use tensorlogic::gpu::Variant;
use tensorlogic::plan::{Off, Rule};

use super::values::{at_least_one, drafted, seed, whole};

/// A model by its place or, as in llama.cpp, by a flag.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// A GGUF file or a Hugging Face folder
    model: Option<PathBuf>,
    /// The same by a flag
    #[arg(short = 'm', long = "model", id = "named_model", value_name = "MODEL", conflicts_with = "model")]
    named: Option<PathBuf>,
}

impl ModelArgs {
    pub fn path(&self) -> Option<&Path> {
        self.model.as_deref().or(self.named.as_deref())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// The best real GPU, else the CPU
    Auto,
    Metal,
    Vulkan,
    Dx12,
    Cpu,
    /// Validates and computes nothing: for tests of errors
    #[value(hide = true)]
    Noop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KvArg {
    F32,
    F16,
    #[value(name = "q8_0")]
    Q8_0,
}

/// Where to compute.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// The backend [default: TL_BACKEND, else auto]
    #[arg(long, value_enum)]
    pub backend: Option<BackendArg>,
    /// Part of the adapter's name [default: TL_ADAPTER]
    #[arg(long, value_name = "TEXT")]
    pub adapter: Option<String>,
    /// Rewrite rules to do without: `-norm_in_linear,-merge_linears` or `-all`
    #[arg(long, value_name = "-NAME,…", allow_hyphen_values = true, hide = true)]
    pub rules: Option<Off<Rule>>,
    /// Kernel variants of the GPU to do without, in the same way
    #[arg(long, value_name = "-NAME,…", allow_hyphen_values = true, hide = true)]
    pub variants: Option<Off<Variant>>,
    /// Threads of the CPU backend [default: one for each processor]
    #[arg(short = 't', long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
}

/// How to compute.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Computation")]
pub struct ComputeArgs {
    /// f32 activations, no int8 or f16 arithmetic: for comparing numbers
    #[arg(long)]
    pub precise: bool,
    /// How keys and values are stored
    #[arg(long, alias = "cache-type-k", value_enum, default_value = "f16")]
    pub kv: KvArg,
    /// The architecture's program instead of the built-in one
    #[arg(long, value_name = "FILE.tl")]
    pub arch: Option<PathBuf>,
    /// Read model files instead of mapping them
    #[arg(long)]
    pub no_mmap: bool,
    /// Accepted for those who know it from llama.cpp: all layers always run on the chosen device
    #[arg(long = "n-gpu-layers", alias = "gpu-layers", value_name = "N", hide = true)]
    pub n_gpu_layers: Option<String>,
    // Last, as a heading holds for what follows it.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// The window of the key-value cache.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Context")]
pub struct WindowArgs {
    /// Tokens in view [default: the trained length, at most 4096]
    #[arg(short = 'c', long, visible_alias = "ctx-size", value_name = "N", value_parser = whole::<usize>)]
    pub ctx: Option<usize>,
    /// First tokens that always stay in view [default: the system block, at least 4]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    pub sinks: Option<usize>,
}

/// Tokens that are guessed ahead and verified together.
#[derive(Args, Clone, Debug)]
pub struct DraftArgs {
    /// Guess tokens ahead, from the text so far or by a smaller model of the same vocabulary, and verify several in one run: the text stays the same
    #[arg(long, value_name = "ngram|MODEL")]
    pub draft: Option<PathBuf>,
    /// Tokens guessed at a time, 1 to 7
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = drafted, requires = "draft")]
    pub draft_n: usize,
}

/// How tokens are drawn; what is not given comes from the model's file, else from the defaults shown.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// 0 takes the likeliest token [default: 0.8]
    #[arg(long, visible_alias = "temp", value_name = "X")]
    pub temperature: Option<f32>,
    /// Keep the K likeliest tokens, 0 for all [default: 40]
    #[arg(long, value_name = "K", value_parser = whole::<u32>)]
    pub top_k: Option<u32>,
    /// Keep the likeliest tokens up to this share [default: 0.95]
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// Keep tokens at least this likely relative to the likeliest [default: 0.05]
    #[arg(long, value_name = "P")]
    pub min_p: Option<f32>,
    /// Divide the logits of recent tokens [default: 1.0]
    #[arg(long, value_name = "X")]
    pub repeat_penalty: Option<f32>,
    /// How many tokens are recent [default: 64]
    #[arg(long, value_name = "N", value_parser = whole::<u32>)]
    pub repeat_last_n: Option<u32>,
    /// The same seed gives the same text [default: random]
    #[arg(short = 's', long, value_name = "N", value_parser = seed)]
    pub seed: Option<u64>,
}
