//! `tl doctor`: every kernel on this adapter against its definition, and whether the whole can be trusted.

use tensorlogic::engine::{Backend, examine};

use super::args::DoctorArgs;
use super::error::{CliError, CliResult};
use super::terminal::{self, Mark};

pub fn run(args: &DoctorArgs) -> CliResult {
    let requests = [args.device.request(false)?, args.device.request(true)?];
    let mut mark = Mark::new();
    let report = examine(|precise| Backend::open(&requests[usize::from(precise)]), args.filter.as_deref(), |what| mark.show(what));
    mark.clear();
    let report = report?;
    if let (0, Some(filter)) = (report.passed + report.failed, &args.filter) {
        return Err(CliError::usage(format!("no check's name holds `{filter}`; without --filter all are run")));
    }
    if args.json {
        terminal::say(serde_json::to_string_pretty(&report).map_err(CliError::failed)?)?;
    } else {
        terminal::say_text(report.to_markdown())?;
    }
    if report.is_healthy() { Ok(()) } else { Err(CliError::Silent) }
}
