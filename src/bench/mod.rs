//! Measurements as values: statistics, reports as JSON and Markdown, comparison with a saved report, what each kernel of a plan must
//! move and compute, and plots. Who measures passes the times in; nothing here runs a model or prints.

mod baseline;
mod cost;
mod markdown;
pub mod plot;
mod report;
mod summary;

pub use baseline::{Change, Verdict, against_baseline};
pub use cost::{Cost, plan_cost, step_cost};
pub use markdown::markdown;
pub use report::{BatchPoint, ContextPoint, DeviceShare, KernelTime, PathRatio, Phase, Report, ReportError, StepPath};
pub use summary::Summary;
