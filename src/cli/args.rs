//! The command line as typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::gpu::Variant;
use crate::plan::{Off, Rule};

/// A tensor language, and the engine that runs it on any GPU through wgpu.
#[derive(Parser, Debug)]
#[command(name = "tl", version, propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Talk to a model
    Chat(ChatArgs),
    /// Complete a prompt
    Generate(GenerateArgs),
    /// Run a program
    Run(RunArgs),
    /// Evaluate line by line
    Repl(ReplArgs),
    /// Run the test blocks of files and folders
    Test(TestArgs),
    /// Show the values of every named step, beside a reference where there is one
    Trace(TraceArgs),
    /// Measure speed, memory and bandwidth
    Bench(BenchArgs),
    /// Show what a model file holds
    Inspect(InspectArgs),
    /// Turn text into token ids
    Tokenize(TokenizeArgs),
    /// Show the plan of a step: kernels, shapes, buffers, what was fused and what was not
    Explain(ExplainArgs),
    /// List the adapters, and which one would be chosen
    Devices(DeviceArgs),
    /// Check every kernel on this adapter against its definition
    Doctor(DoctorArgs),
    /// Show the documentation of the library
    Doc {
        /// A function or module
        name: Option<String>,
    },
    /// Format programs
    Fmt {
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Only say which files would change; exit code 1 when any would
        #[arg(long)]
        check: bool,
    },
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
pub struct DeviceArgs {
    /// The backend
    #[arg(long, env = "TL_BACKEND", value_enum, default_value = "auto")]
    pub backend: BackendArg,
    /// Part of the adapter's name
    #[arg(long, env = "TL_ADAPTER", value_name = "TEXT")]
    pub adapter: Option<String>,
    /// Rewrite rules to do without: `-norm_in_linear,-merge_linears` or `-all`
    #[arg(
        long,
        env = "TL_RULES",
        value_name = "-NAME,…",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true,
        hide = true
    )]
    pub rules: Off<Rule>,
    /// Kernel variants of the GPU to do without, in the same way
    #[arg(
        long,
        env = "TL_KERNELS",
        value_name = "-NAME,…",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true,
        hide = true
    )]
    pub variants: Off<Variant>,
}

/// How to compute.
#[derive(Args, Clone, Debug)]
pub struct ComputeArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// f32 activations, no int8 or f16 arithmetic: for comparing numbers
    #[arg(long)]
    pub precise: bool,
    /// How keys and values are stored
    #[arg(long, value_enum, default_value = "f16")]
    pub kv: KvArg,
    /// The architecture's program instead of the built-in one
    #[arg(long, value_name = "FILE.tl")]
    pub arch: Option<PathBuf>,
    /// Read model files instead of mapping them
    #[arg(long)]
    pub no_mmap: bool,
}

/// The window of the key-value cache.
#[derive(Args, Clone, Debug)]
pub struct WindowArgs {
    /// Tokens in view [default: the trained length, at most 4096]
    #[arg(long, value_name = "N")]
    pub ctx: Option<usize>,
    /// First tokens that always stay in view [default: the system block, at least 4]
    #[arg(long, value_name = "N")]
    pub sinks: Option<usize>,
}

/// How tokens are drawn; what is not given comes from the model's file, else from the defaults shown.
#[derive(Args, Clone, Debug)]
pub struct SamplingArgs {
    /// 0 takes the likeliest token [default: 0.8]
    #[arg(long, value_name = "X")]
    pub temperature: Option<f32>,
    /// Keep the K likeliest tokens, 0 for all [default: 40]
    #[arg(long, value_name = "K")]
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
    #[arg(long, value_name = "N")]
    pub repeat_last_n: Option<u32>,
    /// The same seed gives the same text [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

#[derive(Args, Debug)]
pub struct ChatArgs {
    /// A GGUF file or a Hugging Face folder; without one, the small model inside the binary
    pub model: Option<PathBuf>,
    /// The system message
    #[arg(long, value_name = "S")]
    pub system: Option<String>,
    /// Answer this once on stdout and exit
    #[arg(long, value_name = "S")]
    pub prompt: Option<String>,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// The longest answer
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub max_tokens: usize,
    #[command(flatten)]
    pub window: WindowArgs,
    /// A chat template instead of the file's own, or of ChatML where it has none
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// After each answer, print tokens and speed on stderr
    #[arg(long)]
    pub stats: bool,
    /// Write the built-in model to a file and exit
    #[arg(long, value_name = "PATH", conflicts_with_all = ["model", "prompt"])]
    pub save_default: Option<PathBuf>,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// A GGUF file or a Hugging Face folder
    pub model: PathBuf,
    /// The text to complete
    #[arg(long, value_name = "S", conflicts_with = "tokens", required_unless_present = "tokens")]
    pub prompt: Option<String>,
    /// Token ids to complete; needs no tokenizer
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    pub tokens: Option<Vec<u32>>,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// The longest completion
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub max_tokens: usize,
    #[command(flatten)]
    pub window: WindowArgs,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct RunArgs {
    pub file: PathBuf,
    /// What the program's `args()` returns
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct ReplArgs {
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct TestArgs {
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Only tests whose name holds this
    #[arg(long, value_name = "S")]
    pub filter: Option<String>,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct TraceArgs {
    /// A model, or a program ending in .tl
    pub file: PathBuf,
    /// The text to feed
    #[arg(long, value_name = "S", conflicts_with = "tokens")]
    pub prompt: Option<String>,
    /// Token ids to feed; without these and a prompt, those that the reference was made with
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    pub tokens: Option<Vec<u32>>,
    /// Only this layer
    #[arg(long, value_name = "N")]
    pub layer: Option<usize>,
    /// The step that feeds generated token N, counted from 1, instead of the prompt; the reference's token, where it has that many
    #[arg(long, value_name = "N")]
    pub step: Option<usize>,
    /// Every node of the graph with its place in the program, not only the named steps
    #[arg(long)]
    pub every_op: bool,
    /// Write the values
    #[arg(long, value_name = "F.safetensors")]
    pub out: Option<PathBuf>,
    /// Compare with a file of values, or with `exact`, computed here in f64
    #[arg(long, value_name = "F.safetensors|exact")]
    pub reference: Option<String>,
    /// Names of the reference's tensors: a JSON object from our name to theirs
    #[arg(long, value_name = "F.json", requires = "reference")]
    pub mapping: Option<PathBuf>,
    /// Compare two backends, as vulkan,cpu
    #[arg(long, value_name = "A,B", value_delimiter = ',', num_args = 1, conflicts_with = "reference")]
    pub compare_backends: Option<Vec<BackendArg>>,
    /// Run this many times and compare bits
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub runs: usize,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct BenchArgs {
    /// A model, or a program ending in .tl; without one, the built-in model
    pub file: Option<PathBuf>,
    /// Prompt tokens
    #[arg(short = 'p', value_name = "N", default_value_t = 512)]
    pub prompt_tokens: usize,
    /// Generated tokens
    #[arg(short = 'n', value_name = "N", default_value_t = 128)]
    pub new_tokens: usize,
    /// Runs of each
    #[arg(short = 'r', value_name = "N", default_value_t = 5)]
    pub runs: usize,
    /// The time of each kernel of a decode step; of a prefill run with -n 0
    #[arg(long)]
    pub kernels: bool,
    /// Also a decode step straight from its recording, beside the same step through the generate loop (GPU backends)
    #[arg(long)]
    pub recording: bool,
    /// First measure kernel shapes on this adapter and keep the best for this and later starts (GPU backends)
    #[arg(long)]
    pub tune: bool,
    /// Only `bench` blocks whose name holds this
    #[arg(long, value_name = "S")]
    pub filter: Option<String>,
    /// Print one JSON object: a report that --baseline reads
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Print Markdown tables
    #[arg(long)]
    pub markdown: bool,
    /// Draw a roofline, and beside it the speed over context lengths as F.context.svg; implies --kernels
    #[arg(long, value_name = "F.svg")]
    pub plot: Option<PathBuf>,
    /// Compare with a saved run
    #[arg(long, value_name = "F.json")]
    pub baseline: Option<PathBuf>,
    #[command(flatten)]
    pub window: WindowArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct InspectArgs {
    pub model: PathBuf,
    #[arg(long)]
    pub tensors: bool,
    #[arg(long)]
    pub metadata: bool,
    #[arg(long)]
    pub tokenizer: bool,
    #[arg(long)]
    pub template: bool,
}

#[derive(Args, Debug)]
pub struct TokenizeArgs {
    pub model: PathBuf,
    /// The text; without it, a file or standard input
    pub text: Option<String>,
    #[arg(long, conflicts_with = "text")]
    pub file: Option<PathBuf>,
    /// Only ids, on one line
    #[arg(long)]
    pub ids: bool,
    /// Recognise special tokens and add BOS and EOS as the file asks
    #[arg(long)]
    pub special: bool,
}

#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// A model, or a program ending in .tl; without one, the built-in model
    pub file: Option<PathBuf>,
    /// Tokens of the explained step
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub tokens: usize,
    /// The plan as a Graphviz graph
    #[arg(long, conflicts_with = "shader")]
    pub dot: bool,
    /// The assembled source of a kernel; `list` names them
    #[arg(long, value_name = "NAME")]
    pub shader: Option<String>,
    /// The language of `--shader`
    #[arg(long = "as", value_name = "LANGUAGE", default_value = "wgsl", value_parser = ["wgsl", "msl", "spirv", "hlsl"])]
    pub language: String,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Only checks whose name holds this
    #[arg(long, value_name = "S")]
    pub filter: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}
