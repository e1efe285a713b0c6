//! Commands of a few lines.

use crate::engine::Backend;

use super::args::DeviceArgs;
use super::error::CliResult;

/// `tl devices`.
pub fn devices(args: &DeviceArgs) -> CliResult {
    for line in Backend::list() {
        println!("{line}");
    }
    let chosen = Backend::open(&args.request(false))?;
    println!("chosen: {}", chosen.note);
    Ok(())
}
