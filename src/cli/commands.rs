//! Commands of a few lines.

use tensorlogic::engine::Backend;

use super::args::DeviceArgs;
use super::error::CliResult;
use super::terminal;

/// `tl devices`.
pub fn devices(args: &DeviceArgs) -> CliResult {
    for line in Backend::list() {
        terminal::say(line)?;
    }
    let chosen = Backend::open(&args.request(false)?)?;
    terminal::say(format_args!("chosen: {}", chosen.note))?;
    Ok(())
}
