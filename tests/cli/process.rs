//! Runs the binary.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tensorlogic::gpu::{GpuExecutor, GpuOptions};

/// How a run ended and what it said.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The binary on the CPU, whatever the environment of the tests asks for, with nothing kept between runs.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tl"));
    command.args(args).env("TL_BACKEND", "cpu").env("TL_CACHE", "").env("TL_CONFIG", "");
    for name in ["TL_ADAPTER", "RUST_LOG", "RUST_BACKTRACE", "TL_REQUIRE_GPU", "TL_FAULT"] {
        command.env_remove(name);
    }
    command
}

pub fn tl(args: &[&str]) -> Run {
    ended(command(args).stdin(Stdio::null()).output().unwrap())
}

pub fn tl_reading(args: &[&str], input: &str) -> Run {
    reading(&mut command(args), input)
}

/// A command that reads `input`.
pub fn reading(command: &mut Command, input: &str) -> Run {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Dropped at the end of the statement, which ends the input.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    ended(child.wait_with_output().unwrap())
}

pub fn ended(output: Output) -> Run {
    Run { code: output.status.code(), stdout: String::from_utf8(output.stdout).unwrap(), stderr: String::from_utf8(output.stderr).unwrap() }
}

impl Run {
    /// What it said on stderr beside the line that names the backend.
    pub fn said(&self) -> Vec<&str> {
        let names = |line: &&str| ["cpu: ", "noop: ", "vulkan: ", "metal: ", "dx12: "].iter().any(|name| line.starts_with(name));
        self.stderr.lines().filter(|line| !names(line)).collect()
    }

    /// What it printed, when all went well and it said nothing more than the backend's name.
    pub fn answer(&self) -> &str {
        assert_eq!((self.code, self.said()), (Some(0), vec![]), "{self:?}");
        &self.stdout
    }

    /// The one line of a failure with this exit code that printed nothing.
    pub fn refusal(&self, code: i32) -> &str {
        assert_eq!((self.code, &self.stdout[..]), (Some(code), ""), "{self:?}");
        match self.said()[..] {
            [line] if line.starts_with("error: ") && !line.chars().any(char::is_control) => line,
            _ => panic!("not one line that begins with `error: `: {self:?}"),
        }
    }
}

/// The values of `--backend` that this machine has, software adapters included. Under `TL_REQUIRE_GPU=1` the absence of a GPU is a failure.
pub fn backends() -> Vec<&'static str> {
    let gpu = if cfg!(target_os = "macos") {
        "metal"
    } else if cfg!(windows) {
        "dx12"
    } else {
        "vulkan"
    };
    match GpuExecutor::new(&GpuOptions { backend: Some(gpu.to_owned()), ..GpuOptions::default() }) {
        Ok(_) => vec!["cpu", gpu],
        Err(error) => {
            assert!(std::env::var("TL_REQUIRE_GPU").is_err(), "{error}");
            println!("skipped: {error}");
            vec!["cpu"]
        }
    }
}

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The path of a fixture as an argument.
pub fn tiny(name: &str) -> String {
    fixture(&format!("tiny-{name}.gguf")).to_str().unwrap().to_owned()
}
