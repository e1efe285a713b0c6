//! Commands of a few lines.

use serde::Serialize;

use tensorlogic::engine::{Backend, DeviceEntry};

use super::args::DevicesArgs;
use super::error::{CliError, CliResult};
use super::terminal;

/// What `tl devices --json` prints: one object. Stable.
#[derive(Serialize)]
struct Report {
    devices: Vec<DeviceEntry>,
    /// The line that says which device was chosen, and why where that is not plain.
    chosen: String,
}

/// `tl devices`.
pub fn devices(args: &DevicesArgs) -> CliResult {
    if !args.json {
        for line in Backend::list() {
            terminal::say(line)?;
        }
    }
    let chosen = Backend::open(&args.device.request(false)?)?.note;
    if args.json {
        let report = Report { devices: Backend::entries(), chosen };
        return terminal::say(serde_json::to_string_pretty(&report).map_err(CliError::failed)?);
    }
    terminal::say(format_args!("chosen: {chosen}"))
}
