//! A run of `tl bench` as a value, and as JSON.
//!
//! The JSON is one object whose fields are those of [`Report`], in that order; a field that was not measured is `null` or an empty list.
//! Names end in their unit. `format` changes when a field changes its meaning or goes; fields may be added without that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cost::Cost;
use super::summary::Summary;
use crate::graph::{DeviceTime, TuneReport};

/// What a report's `format` says: name and version.
const FORMAT: &str = "tl-bench 1";

/// A report that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("is no report of `tl bench --json`: {0}")]
    Json(#[from] serde_json::Error),
    #[error("has the format `{0}`, this program reads `{FORMAT}`; measure the baseline again")]
    Format(String),
}

/// All that one run of `tl bench` measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    pub format: String,
    /// The file's name, without its folder.
    pub model: String,
    /// Bytes of all weights in their file's types.
    pub model_bytes: u64,
    /// `Executor::describe`.
    pub backend: String,
    /// Whether it ran with `--precise`.
    pub precise: bool,
    /// `f32`, `f16` or `q8_0`.
    pub kv: String,
    /// Measured on this adapter by a plain read loop.
    pub bandwidth_bytes_per_second: Option<f64>,
    /// The same by a plain copy, what is read and what is written.
    pub copy_bytes_per_second: Option<f64>,
    /// Measured on this adapter by its fastest matrix kernel.
    pub peak_flops_per_second: Option<f64>,
    pub prefill: Option<Phase>,
    pub decode: Option<Phase>,
    /// Of the device in a decode, from its second step on; `None` where it has no clock.
    pub decode_device: Option<DeviceShare>,
    /// From the prompt's ids to the first id on the host.
    pub time_to_first_token_seconds: Option<Summary>,
    /// From opening the file to the first program ready to run.
    pub load_seconds: Option<Summary>,
    /// By the executor's own counter, at the end, and the most there ever were.
    pub device_bytes: Option<u64>,
    pub peak_device_bytes: Option<u64>,
    /// How kernels were timed, where they were: `timestamps in one pass`, `one pass a kernel`, `the host's clock`.
    pub kernels_timed_by: Option<String>,
    pub kernels: Vec<KernelTime>,
    pub decode_over_context: Vec<ContextPoint>,
    pub batches: Vec<BatchPoint>,
    /// One decode step by each way to run it, the generate loop first.
    pub step_paths: Vec<StepPath>,
    /// The first way over the last.
    pub path_ratio: Option<PathRatio>,
    /// What `--tune` found; it is said once and not part of the JSON.
    #[serde(skip)]
    pub tuning: Option<TuneReport>,
}

impl Default for Report {
    fn default() -> Self {
        Report {
            format: FORMAT.to_owned(),
            model: String::new(),
            model_bytes: 0,
            backend: String::new(),
            precise: false,
            kv: "f16".to_owned(),
            bandwidth_bytes_per_second: None,
            copy_bytes_per_second: None,
            peak_flops_per_second: None,
            prefill: None,
            decode: None,
            decode_device: None,
            time_to_first_token_seconds: None,
            load_seconds: None,
            device_bytes: None,
            peak_device_bytes: None,
            kernels_timed_by: None,
            kernels: Vec::new(),
            decode_over_context: Vec::new(),
            batches: Vec::new(),
            step_paths: Vec::new(),
            path_ratio: None,
            tuning: None,
        }
    }
}

/// How much of the time between steps a device computes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceShare {
    /// Of one step, the mean.
    pub busy_seconds: f64,
    /// Between two steps, the mean.
    pub idle_seconds: f64,
}

impl DeviceShare {
    pub fn new(time: &DeviceTime) -> Option<DeviceShare> {
        let each = |of: Duration| of.as_secs_f64() / time.n_passes as f64;
        (time.n_passes > 0).then(|| DeviceShare { busy_seconds: each(time.busy), idle_seconds: each(time.idle) })
    }

    /// Of the whole.
    pub fn idle_share(&self) -> f64 {
        self.idle_seconds / (self.busy_seconds + self.idle_seconds).max(f64::MIN_POSITIVE)
    }
}

/// Prefill, or decode: the same number of tokens, several times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Tokens of one measurement.
    pub tokens: usize,
    /// Of one measurement.
    pub seconds: Summary,
    pub tokens_per_second: Summary,
    /// What the plan's kernels must move and compute for one measurement, each buffer once a step ([`step_cost`](super::step_cost)).
    pub bytes: f64,
    pub flops: f64,
    /// By the median.
    pub bytes_per_second: f64,
    pub flops_per_second: f64,
    /// Of the measured bandwidth, where it was measured.
    pub bandwidth_share: Option<f64>,
}

impl Phase {
    /// From the seconds of each measurement of `tokens` tokens, and the cost of one measurement.
    pub fn new(tokens: usize, seconds: &[f64], cost: Cost, bandwidth: Option<f64>) -> Self {
        let seconds = Summary::of(seconds);
        let by_median = |amount: f64| if seconds.median > 0.0 { amount / seconds.median } else { 0.0 };
        let bytes_per_second = by_median(cost.bytes);
        Phase {
            tokens,
            seconds,
            tokens_per_second: seconds.rate(tokens as f64),
            bytes: cost.bytes,
            flops: cost.flops,
            bytes_per_second,
            flops_per_second: by_median(cost.flops),
            bandwidth_share: bandwidth.filter(|&b| b > 0.0).map(|b| bytes_per_second / b),
        }
    }
}

/// A decode step by one way to run it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepPath {
    pub name: String,
    pub seconds: Summary,
    /// Of all threads of this process, where the system tells.
    pub processor_seconds: Option<Summary>,
}

/// What one way takes over what another does, each measurement over its neighbour: a processor that changes its speed now and then is as
/// fast in both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathRatio {
    pub seconds: Summary,
    pub processor_seconds: Option<Summary>,
}

/// One kernel of a step, summed over its dispatches of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelTime {
    /// What it computes: `linear q4_0 gated`.
    pub name: String,
    /// Dispatches a run.
    pub calls: usize,
    /// All of them together, by run.
    pub seconds: Summary,
    /// All of them together.
    pub bytes: f64,
    pub flops: f64,
}

impl KernelTime {
    pub fn bytes_per_second(&self) -> f64 {
        if self.seconds.median > 0.0 { self.bytes / self.seconds.median } else { 0.0 }
    }

    pub fn flops_per_second(&self) -> f64 {
        if self.seconds.median > 0.0 { self.flops / self.seconds.median } else { 0.0 }
    }

    /// Operations a byte: the horizontal axis of a roofline.
    pub fn intensity(&self) -> f64 {
        if self.bytes > 0.0 { self.flops / self.bytes } else { 0.0 }
    }
}

/// Decoding with so many tokens in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContextPoint {
    pub context: usize,
    pub tokens_per_second: Summary,
}

/// Decoding of so many sequences together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchPoint {
    pub sequences: usize,
    /// Of all of them.
    pub tokens_per_second: Summary,
}

impl Report {
    /// Indented JSON, with a line break at the end.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        json
    }

    /// # Errors
    /// When the text is no report, or one of another format.
    pub fn from_json(json: &str) -> Result<Self, ReportError> {
        #[derive(Deserialize)]
        struct Format {
            format: String,
        }
        let Format { format } = serde_json::from_str(json)?;
        if format != FORMAT {
            return Err(ReportError::Format(format));
        }
        Ok(serde_json::from_str(json)?)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report with every field, of made-up figures.
    pub fn sample() -> Report {
        let cost = Cost { bytes: 6.0e8, flops: 2.2e9 };
        let kernel = |name: &str, calls, seconds, bytes, flops| KernelTime {
            name: name.to_owned(),
            calls,
            seconds: Summary::of(&[seconds, seconds * 1.1, seconds * 0.95]),
            bytes,
            flops,
        };
        Report {
            model: "tinyllama-q4_0.gguf".to_owned(),
            model_bytes: 636_000_000,
            backend: "vulkan: NVIDIA H200".to_owned(),
            bandwidth_bytes_per_second: Some(3.95e12),
            copy_bytes_per_second: Some(3.5e12),
            peak_flops_per_second: Some(3.0e14),
            prefill: Some(Phase::new(512, &[0.014, 0.0138, 0.0141], Cost { bytes: 3e9, flops: 1.1e12 }, Some(3.95e12))),
            decode: Some(Phase::new(
                128,
                &[0.08, 0.079, 0.083],
                Cost { bytes: 128.0 * cost.bytes, flops: 128.0 * cost.flops },
                Some(3.95e12),
            )),
            decode_device: Some(DeviceShare { busy_seconds: 0.0009, idle_seconds: 0.0001 }),
            time_to_first_token_seconds: Some(Summary::of(&[0.015, 0.016])),
            load_seconds: Some(Summary::of(&[1.25])),
            device_bytes: Some(800_000_000),
            peak_device_bytes: Some(900_000_000),
            kernels_timed_by: Some("timestamps in one pass".to_owned()),
            kernels: vec![
                kernel("linear q4_0 gated", 22, 160e-6, 280e6, 1.0e9),
                kernel("linear q4_0 rope_store", 22, 108e-6, 64e6, 0.23e9),
                kernel("linear q4_0 + residual", 44, 240e-6, 190e6, 0.68e9),
                kernel("linear q6_k", 1, 22e-6, 54e6, 0.13e9),
                kernel("attention", 22, 70e-6, 5e6, 0.01e9),
                kernel("sample", 1, 12e-6, 0.13e6, 0.001e9),
            ],
            decode_over_context: [0, 512, 1024, 2048, 4096]
                .map(|context| ContextPoint {
                    context,
                    tokens_per_second: Summary::of(&[1650.0, 1600.0, 1550.0].map(|v| v / (1.0 + context as f64 / 9000.0))),
                })
                .to_vec(),
            batches: [1, 8].map(|sequences| BatchPoint { sequences, tokens_per_second: Summary::of(&[900.0 * sequences as f64]) }).to_vec(),
            ..Report::default()
        }
    }

    /// Equal but for the last bit of a number, which the reader of JSON may round otherwise.
    fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
        use serde_json::Value::{Array, Number, Object};
        match (a, b) {
            (Number(a), Number(b)) => {
                let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                (a - b).abs() <= 1e-14 * a.abs()
            }
            (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Object(a), Object(b)) => a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b))),
            (a, b) => a == b,
        }
    }

    #[test]
    fn json_keeps_everything() {
        let report = sample();
        let again = Report::from_json(&report.to_json()).unwrap();
        assert!(same(&serde_json::to_value(&report).unwrap(), &serde_json::to_value(&again).unwrap()));
        assert!(report.to_json().starts_with("{\n  \"format\": \"tl-bench 1\",\n  \"model\": \"tinyllama-q4_0.gguf\""));
    }

    #[test]
    fn another_format_and_other_texts_are_refused() {
        let other = sample().to_json().replace(FORMAT, "tl-bench 9");
        assert!(matches!(Report::from_json(&other), Err(ReportError::Format(f)) if f == "tl-bench 9"));
        assert!(Report::from_json("{}").is_err() && Report::from_json("no").is_err());
    }

    #[test]
    fn a_phase_states_rates_by_its_median() {
        let phase = Phase::new(10, &[1.0, 2.0, 4.0], Cost { bytes: 8.0, flops: 16.0 }, Some(8.0));
        assert_eq!((phase.tokens_per_second.median, phase.bytes_per_second, phase.flops_per_second), (5.0, 4.0, 8.0));
        assert_eq!(phase.bandwidth_share, Some(0.5));
    }
}
