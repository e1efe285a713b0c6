//! The `tl` binary: all it does is call the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    tensorlogic::cli::main()
}
