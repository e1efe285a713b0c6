//! A report against a saved one.

use super::report::Report;
use super::summary::Summary;

/// What a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within both runs' stated spreads together.
    Same,
    Better,
    Worse,
    /// One of them was measured once: nothing says how much it would differ by itself.
    Unknown,
}

/// One figure of two reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// `prefill 512 (tokens/s)`
    pub name: String,
    pub before: Summary,
    pub after: Summary,
    /// `after / before - 1`, by the medians.
    pub relative: f64,
    /// The sum of both stated spreads: what the medians may differ by without a difference being shown. `None` where one states none.
    pub spread: Option<f64>,
    pub verdict: Verdict,
}

/// Every figure that both reports have. Reports of other models, backends or token counts are compared by what is comparable: phases of equal
/// token counts, kernels of equal names.
pub fn against_baseline(before: &Report, after: &Report) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, a, b) in [("prefill", &before.prefill, &after.prefill), ("decode", &before.decode, &after.decode)] {
        if let (Some(a), Some(b)) = (a, b)
            && a.tokens == b.tokens
        {
            changes.push(change(format!("{name} {} (tokens/s)", a.tokens), a.tokens_per_second, b.tokens_per_second, true));
        }
    }
    let times = [
        ("time to first token (s)", before.time_to_first_token_seconds, after.time_to_first_token_seconds),
        ("load (s)", before.load_seconds, after.load_seconds),
    ];
    changes.extend(times.into_iter().filter_map(|(name, a, b)| Some(change(name.to_owned(), a?, b?, false))));
    for kernel in &after.kernels {
        if let Some(old) = before.kernels.iter().find(|k| k.name == kernel.name && k.calls == kernel.calls) {
            changes.push(change(format!("{} ×{} (s)", kernel.name, kernel.calls), old.seconds, kernel.seconds, false));
        }
    }
    changes
}

fn change(name: String, before: Summary, after: Summary, more_is_better: bool) -> Change {
    let relative = if before.median > 0.0 { after.median / before.median - 1.0 } else { 0.0 };
    let spread = before.spread().zip(after.spread()).map(|(a, b)| a + b);
    let verdict = match spread {
        None => Verdict::Unknown,
        Some(spread) if relative.abs() <= spread => Verdict::Same,
        _ if (relative > 0.0) == more_is_better => Verdict::Better,
        _ => Verdict::Worse,
    };
    Change { name, before, after, relative, spread, verdict }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::*;

    fn slower(report: &Report, factor: f64) -> Report {
        let mut slow = report.clone();
        let scaled = |s: Summary| Summary { min: s.min / factor, median: s.median / factor, max: s.max / factor, ..s };
        if let Some(decode) = &mut slow.decode {
            decode.tokens_per_second = scaled(decode.tokens_per_second);
        }
        slow
    }

    #[test]
    fn a_run_is_the_same_as_itself_and_a_slower_one_is_worse() {
        let report = sample();
        let same = against_baseline(&report, &report);
        assert_eq!(same.len(), 4 + report.kernels.len());
        assert!(same.iter().all(|c| c.relative == 0.0));
        // Loading was measured once.
        let unknown: Vec<&str> = same.iter().filter(|c| c.verdict != Verdict::Same).map(|c| c.name.as_str()).collect();
        assert_eq!((&unknown[..], same.iter().filter(|c| c.verdict == Verdict::Unknown).count()), (&["load (s)"][..], 1));
        let decode = |before: &Report, after: &Report| {
            against_baseline(before, after).into_iter().find(|c| c.name == "decode 128 (tokens/s)").unwrap().verdict
        };
        assert_eq!(decode(&report, &slower(&report, 1.02)), Verdict::Same);
        assert_eq!(decode(&report, &slower(&report, 1.3)), Verdict::Worse);
        assert_eq!(decode(&slower(&report, 1.3), &report), Verdict::Better);
    }

    #[test]
    fn a_longer_kernel_is_worse_and_other_token_counts_are_not_compared() {
        let (before, mut after) = (sample(), sample());
        after.kernels[0].seconds = Summary::of(&[1e-3, 1.01e-3]);
        after.prefill.as_mut().unwrap().tokens = 64;
        let changes = against_baseline(&before, &after);
        assert!(!changes.iter().any(|c| c.name.starts_with("prefill")));
        assert_eq!(changes.iter().filter(|c| c.verdict == Verdict::Worse).count(), 1);
    }
}
