//! The command line as typed.

mod shared;
mod values;

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

pub use shared::{BackendArg, ComputeArgs, DeviceArgs, DraftArgs, KvArg, ModelArgs, SamplingArgs, WindowArgs};
use values::{at_least_one, token, whole};

/// A tensor language, and the engine that runs it on any GPU through wgpu.
#[derive(Parser, Debug)]
#[command(name = "tl", version, long_version = VERSION, propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Examples:\n  tl chat                        talk to the small model inside the binary\n  tl chat model.gguf             \
                        talk to your own\n  tl run examples/01-hello.tl    run a program\n\n`tl COMMAND --help` has the flags."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// Log warnings of the engine and of wgpu on stderr; -vv what they do, too. RUST_LOG says it more finely
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
}

/// What a report of a fault needs: the commit of a release build, the target, and the backends that it has.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("BUILD_COMMIT"),
    "\ntarget: ",
    env!("BUILD_TARGET"),
    "\nbackends: cpu, ",
    env!("BUILD_BACKENDS")
);

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
    #[command(alias = "benchmark")]
    Bench(BenchArgs),
    /// Show what a model file holds
    #[command(aliases = ["show", "info"])]
    Inspect(InspectArgs),
    /// Turn text into token ids
    Tokenize(TokenizeArgs),
    /// Show the plan of a step: kernels, shapes, buffers, what was fused and what was not
    Explain(ExplainArgs),
    /// List the adapters, and which one would be chosen
    Devices(DevicesArgs),
    /// Check every kernel on this adapter against its definition
    Doctor(DoctorArgs),
    /// Show the documentation of the library
    Doc {
        /// A function; without one all of them are listed
        name: Option<String>,
        /// The whole library as a page in Markdown
        #[arg(long, conflicts_with = "name")]
        markdown: bool,
    },
    /// Answer an editor that speaks the Language Server Protocol
    Lsp,
    /// Print a script that completes commands and flags in a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual as a man page, or write one for each command
    Man {
        /// Write tl.1, tl-chat.1 and so on into this folder
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
        /// Let --out replace files
        #[arg(long, requires = "out")]
        force: bool,
    },
    /// Format programs
    #[command(alias = "format")]
    Fmt {
        /// Files, and folders of them
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Only say which files would change; exit code 1 when any would
        #[arg(long)]
        check: bool,
    },
}

#[derive(Args, Debug)]
pub struct ChatArgs {
    /// The model; without one, the small model inside the binary
    #[command(flatten)]
    pub model: ModelArgs,
    /// The same as --prompt
    #[arg(value_name = "PROMPT", conflicts_with = "prompt")]
    pub words: Option<String>,
    /// The system message
    #[arg(long, alias = "system-prompt", value_name = "S")]
    pub system: Option<String>,
    /// Answer this once on stdout and exit; - takes standard input. A document on standard input is added to the prompt
    #[arg(short = 'p', long, value_name = "S")]
    pub prompt: Option<String>,
    /// Answer the text of a file once and exit
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with_all = ["prompt", "words"])]
    pub file: Option<PathBuf>,
    /// End an answer where this text would come; may be given several times
    #[arg(long, value_name = "S")]
    pub stop: Vec<String>,
    /// The longest answer
    #[arg(short = 'n', long, aliases = ["n-predict", "predict", "num-predict"], value_name = "N", default_value_t = 2048, value_parser = whole::<usize>)]
    pub max_tokens: usize,
    #[command(flatten)]
    pub draft: DraftArgs,
    /// A chat template instead of the file's own, or of ChatML where it has none
    #[arg(long, alias = "chat-template-file", value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// After each answer, print tokens and speed on stderr
    #[arg(long)]
    pub stats: bool,
    /// Keep nothing of what is typed for the next session's Up key
    #[arg(long)]
    pub no_history: bool,
    /// Write the built-in model to a file and exit
    #[arg(long, value_name = "PATH", conflicts_with_all = ["model", "named_model", "prompt"])]
    pub save_default: Option<PathBuf>,
    /// Let --save-default replace a file
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub window: WindowArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// The model
    #[command(flatten)]
    pub model: ModelArgs,
    /// The text to complete
    #[arg(short = 'p', long, value_name = "S", conflicts_with = "tokens", required_unless_present = "tokens")]
    pub prompt: Option<String>,
    /// Token ids to complete; needs no tokenizer
    #[arg(long, value_name = "1,2,3", value_delimiter = ',', value_parser = token)]
    pub tokens: Option<Vec<u32>>,
    /// So many completions at a time, whose seeds follow one another
    #[arg(long = "n", value_name = "N", value_parser = at_least_one, conflicts_with = "draft")]
    pub completions: Option<usize>,
    /// The likeliest completions instead of drawn ones: a search that goes on with so many at a time
    #[arg(long, value_name = "N", value_parser = at_least_one, conflicts_with_all = ["completions", "draft", "stats", "temperature", "top_k", "top_p",
        "min_p", "repeat_penalty", "repeat_last_n", "seed"])]
    pub beams: Option<usize>,
    /// The longest completion
    #[arg(short = 'n', long, value_name = "N", default_value_t = 256, value_parser = whole::<usize>)]
    pub max_tokens: usize,
    #[command(flatten)]
    pub draft: DraftArgs,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// After the completion, print tokens and speed on stderr
    #[arg(long, conflicts_with = "completions")]
    pub stats: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub window: WindowArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct RunArgs {
    /// The program
    pub file: PathBuf,
    /// What the program's `args()` returns
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct ReplArgs {
    /// Keep nothing of what is typed for the next session's Up key
    #[arg(long)]
    pub no_history: bool,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct TestArgs {
    /// Programs, and folders of them
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
    #[arg(short = 'p', long, value_name = "S", conflicts_with = "tokens")]
    pub prompt: Option<String>,
    /// Token ids to feed; without these and a prompt, those that the reference was made with
    #[arg(long, value_name = "1,2,3", value_delimiter = ',', value_parser = token)]
    pub tokens: Option<Vec<u32>>,
    /// Only this layer
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    pub layer: Option<usize>,
    /// The step that feeds generated token N, counted from 1, instead of the prompt; the reference's token, where it has that many
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    pub step: Option<usize>,
    /// Every node of the graph with its place in the program, not only the named steps
    #[arg(long)]
    pub every_op: bool,
    /// Write the values
    #[arg(long, value_name = "F.safetensors")]
    pub out: Option<PathBuf>,
    /// Let --out replace a file
    #[arg(long)]
    pub force: bool,
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
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<usize>)]
    pub runs: usize,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

#[derive(Args, Debug)]
pub struct BenchArgs {
    /// A model, or a program ending in .tl; without one, the built-in model
    file: Option<PathBuf>,
    /// The same by a flag
    #[arg(short = 'm', long = "model", value_name = "MODEL", conflicts_with = "file")]
    named: Option<PathBuf>,
    /// Prompt tokens; of several numbers each is measured
    #[arg(short = 'p', value_name = "N,…", default_value = "512", value_delimiter = ',', value_parser = whole::<usize>)]
    pub prompt_tokens: Vec<usize>,
    /// Generated tokens; of several numbers each is measured
    #[arg(short = 'n', value_name = "N,…", default_value = "128", value_delimiter = ',', value_parser = whole::<usize>)]
    pub new_tokens: Vec<usize>,
    /// Runs of each
    #[arg(short = 'r', value_name = "N", default_value_t = 5, value_parser = whole::<usize>)]
    pub runs: usize,
    /// The time of each kernel of a decode step; of a prefill run with -n 0
    #[arg(long)]
    pub kernels: bool,
    /// Also a decode step straight from its recording, beside the same step through the generate loop (GPU backends)
    #[arg(long)]
    pub recording: bool,
    /// Also decoding of so many sequences together, 64 tokens each after prompts of 128
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = at_least_one)]
    pub batch: Vec<usize>,
    /// First measure kernel shapes on this adapter and keep the best for this and later starts (GPU backends)
    #[arg(long)]
    pub tune: bool,
    /// Only `bench` blocks whose name holds this
    #[arg(long, value_name = "S")]
    pub filter: Option<String>,
    /// Print one JSON object: a report that --baseline reads; a list of them where -p or -n has several numbers
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Print CSV, a row for each figure
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    pub csv: bool,
    /// Print Markdown tables
    #[arg(long)]
    pub markdown: bool,
    /// Draw a roofline, and beside it the speed over context lengths as F.context.svg; implies --kernels
    #[arg(long, value_name = "F.svg")]
    pub plot: Option<PathBuf>,
    /// Let --plot replace files
    #[arg(long)]
    pub force: bool,
    /// Compare with a saved run
    #[arg(long, value_name = "F.json")]
    pub baseline: Option<PathBuf>,
    #[command(flatten)]
    pub window: WindowArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

impl BenchArgs {
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref().or(self.named.as_deref())
    }
}

#[derive(Args, Debug)]
pub struct InspectArgs {
    /// A GGUF file or a Hugging Face folder
    pub model: PathBuf,
    /// Every tensor: its name, type and shape
    #[arg(long)]
    pub tensors: bool,
    /// Every key of the metadata
    #[arg(long)]
    pub metadata: bool,
    /// The tokenizer, and the ids that begin and end a text
    #[arg(long)]
    pub tokenizer: bool,
    /// The chat template
    #[arg(long)]
    pub template: bool,
    /// Print one JSON object
    #[arg(long, conflicts_with_all = ["metadata", "tokenizer", "template"])]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct TokenizeArgs {
    /// A GGUF file or a Hugging Face folder
    pub model: PathBuf,
    /// The text; without it, a file or standard input
    pub text: Option<String>,
    /// The file with the text
    #[arg(short = 'f', long, conflicts_with = "text")]
    pub file: Option<PathBuf>,
    /// Only ids, on one line
    #[arg(long)]
    pub ids: bool,
    /// Print one JSON object
    #[arg(long, conflicts_with = "ids")]
    pub json: bool,
    /// Recognise special tokens and add BOS and EOS as the file asks
    #[arg(long)]
    pub special: bool,
}

#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// A model, or a program ending in .tl; without one, the built-in model
    pub file: Option<PathBuf>,
    /// Tokens of the explained step
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<usize>)]
    pub tokens: usize,
    /// Also the layers that are like an earlier one
    #[arg(long)]
    pub every_layer: bool,
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
pub struct DevicesArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
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
