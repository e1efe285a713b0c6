//! A report as Markdown tables.

use std::fmt::Write;

use super::report::{KernelTime, Phase, Report, StepPath};
use super::summary::Summary;

/// A heading line, the table of phases, and where they were measured the tables of kernels and of context lengths.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut out, report);
    out
}

fn write_report(out: &mut String, report: &Report) -> std::fmt::Result {
    let arithmetic = if report.precise { ", precise" } else { "" };
    writeln!(
        out,
        "**{}** on {}{arithmetic}, {} cache, {} of weights",
        report.model,
        report.backend,
        report.kv,
        bytes(report.model_bytes as f64)
    )?;
    if let Some(bandwidth) = report.bandwidth_bytes_per_second {
        write!(out, "\nMeasured bandwidth {}/s", bytes(bandwidth))?;
        if let Some(copy) = report.copy_bytes_per_second {
            write!(out, " (a copy {}/s)", bytes(copy))?;
        }
        if let Some(peak) = report.peak_flops_per_second {
            write!(out, ", arithmetic {}", flops(peak))?;
        }
        writeln!(out, ".")?;
    }
    writeln!(out, "\n| | runs | min | median | max | spread | bandwidth | arithmetic |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for (name, phase) in [("prefill", &report.prefill), ("decode", &report.decode)] {
        if let Some(phase) = phase {
            phase_row(out, name, phase)?;
        }
    }
    for (name, seconds) in [("time to first token", report.time_to_first_token_seconds), ("load", report.load_seconds)] {
        if let Some(s) = seconds {
            let [min, median, max] = [s.min, s.median, s.max].map(time);
            writeln!(out, "| {name} | {} | {min} | {median} | {max} | {} | | |", s.n, spread(s))?;
        }
    }
    if let (Some(now), Some(peak)) = (report.device_bytes, report.peak_device_bytes) {
        writeln!(out, "\nDevice memory {}, at most {}.", bytes(now as f64), bytes(peak as f64))?;
    }
    if let Some(device) = &report.decode_device {
        let [busy, idle] = [device.busy_seconds, device.idle_seconds].map(time);
        writeln!(out, "\nA decode step takes the device {busy}, and {idle} pass until the next ({}).", percent(device.idle_share()))?;
    }
    kernels(out, report)?;
    step_paths(out, report)?;
    if !report.decode_over_context.is_empty() {
        writeln!(out, "\n| context | decode, tokens/s: min | median | max |")?;
        writeln!(out, "|---|---|---|---|")?;
        for point in &report.decode_over_context {
            let Summary { min, median, max, .. } = point.tokens_per_second;
            writeln!(out, "| {} | {} | {} | {} |", point.context, rate(min), rate(median), rate(max))?;
        }
    }
    if !report.batches.is_empty() {
        writeln!(out, "\n| sequences together | decode of all, tokens/s: min | median | max |")?;
        writeln!(out, "|---|---|---|---|")?;
        for point in &report.batches {
            let Summary { min, median, max, .. } = point.tokens_per_second;
            writeln!(out, "| {} | {} | {} | {} |", point.sequences, rate(min), rate(median), rate(max))?;
        }
    }
    Ok(())
}

/// `–` of one measurement.
fn spread(s: Summary) -> String {
    s.spread().map_or("–".to_owned(), percent)
}

fn phase_row(out: &mut String, name: &str, phase: &Phase) -> std::fmt::Result {
    let Summary { n, min, median, max } = phase.tokens_per_second;
    let share = phase.bandwidth_share.map_or(String::new(), |s| format!(" ({})", percent(s)));
    writeln!(
        out,
        "| {name} {} (tokens/s) | {n} | {} | {} | {} | {} | {}/s{share} | {} |",
        phase.tokens,
        rate(min),
        rate(median),
        rate(max),
        spread(phase.tokens_per_second),
        bytes(phase.bytes_per_second),
        flops(phase.flops_per_second),
    )
}

fn kernels(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.kernels.is_empty() {
        return Ok(());
    }
    let total: f64 = report.kernels.iter().map(|k| k.seconds.median).sum();
    let timed_by = report.kernels_timed_by.as_deref().map_or(String::new(), |by| format!(" (timed by {by})"));
    writeln!(out, "\n| kernel{timed_by} | calls | time | share | bandwidth | of the measured | arithmetic |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let mut sorted: Vec<&KernelTime> = report.kernels.iter().collect();
    sorted.sort_by(|a, b| b.seconds.median.total_cmp(&a.seconds.median));
    for kernel in sorted {
        let share = report.bandwidth_bytes_per_second.map_or(String::new(), |b| percent(kernel.bytes_per_second() / b));
        writeln!(
            out,
            "| {} | {} | {} | {} | {}/s | {share} | {} |",
            kernel.name,
            kernel.calls,
            time(kernel.seconds.median),
            percent(kernel.seconds.median / total.max(f64::MIN_POSITIVE)),
            bytes(kernel.bytes_per_second()),
            flops(kernel.flops_per_second()),
        )?;
    }
    writeln!(out, "| all | {} | {} | | | | |", report.kernels.iter().map(|k| k.calls).sum::<usize>(), time(total))
}

fn step_paths(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.step_paths.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n| decode step | runs | min | median | max | processor, all threads |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for StepPath { name, seconds, processor_seconds } in &report.step_paths {
        let [min, median, max] = [seconds.min, seconds.median, seconds.max].map(time);
        let processor = processor_seconds.map_or("–".to_owned(), |s| time(s.median));
        writeln!(out, "| {name} | {} | {min} | {median} | {max} | {processor} |", seconds.n)?;
    }
    if let Some(ratio) = &report.path_ratio {
        let more = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
        let [min, median, max] = [ratio.seconds.min, ratio.seconds.median, ratio.seconds.max].map(more);
        let processor = ratio.processor_seconds.map_or("–".to_owned(), |s| more(s.median));
        writeln!(out, "| the first over the last, by neighbours | {} | {min} | {median} | {max} | {processor} |", ratio.seconds.n)?;
    }
    Ok(())
}

/// Tokens a second: three digits or more.
pub(super) fn rate(v: f64) -> String {
    if v >= 100.0 {
        format!("{v:.0}")
    } else if v >= 10.0 {
        format!("{v:.1}")
    } else {
        format!("{v:.2}")
    }
}

/// `3.95 TB`, decimal units.
pub(super) fn bytes(v: f64) -> String {
    scaled(v, &["B", "kB", "MB", "GB", "TB"])
}

/// `81.3 TFLOP/s`
pub(super) fn flops(v: f64) -> String {
    scaled(v, &["FLOP/s", "kFLOP/s", "MFLOP/s", "GFLOP/s", "TFLOP/s", "PFLOP/s"])
}

/// `3.2 µs`
pub(super) fn time(seconds: f64) -> String {
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 1e-3 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{:.1} µs", seconds * 1e6)
    }
}

fn percent(v: f64) -> String {
    if v >= 0.1 { format!("{:.0} %", v * 100.0) } else { format!("{:.1} %", v * 100.0) }
}

fn scaled(v: f64, units: &[&str]) -> String {
    let mut v = v;
    let mut unit = 0;
    while v >= 1000.0 && unit + 1 < units.len() {
        v /= 1000.0;
        unit += 1;
    }
    let digits = if v >= 100.0 || unit == 0 {
        0
    } else if v >= 10.0 {
        1
    } else {
        2
    };
    format!("{v:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::*;

    #[test]
    fn figures_have_units_that_fit() {
        assert_eq!([bytes(3.95e12), bytes(599e6), bytes(12.0), flops(8.13e13)], ["3.95 TB", "599 MB", "12 B", "81.3 TFLOP/s"]);
        assert_eq!([time(1.5), time(0.0123), time(3.2e-6)], ["1.50 s", "12.30 ms", "3.2 µs"]);
        assert_eq!([rate(1630.4), rate(46.97), rate(3.415)], ["1630", "47.0", "3.42"]);
    }

    #[test]
    fn every_row_of_a_table_has_its_columns() {
        let text = markdown(&sample());
        let mut columns = None;
        for line in text.lines() {
            let n = line.matches('|').count();
            if n == 0 {
                columns = None;
            } else {
                assert_eq!(*columns.get_or_insert(n), n, "{line}");
            }
        }
        assert!(text.contains("| prefill 512 (tokens/s) | 3 | 36312 | 36571 | 37101 |"), "{text}");
        assert!(text.contains("| linear q4_0 + residual | 44 | 240.0 µs |"), "{text}");
        assert!(!markdown(&Report::default()).contains("NaN"));
    }
}
