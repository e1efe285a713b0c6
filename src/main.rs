//! The `tl` binary: the command line over the library. All it does is call it.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
