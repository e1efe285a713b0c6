//! `tl bench --csv`: a row for each figure.

use tensorlogic::bench::{Report, Summary};

/// The header, and the rows of each report. Speeds are in tokens a second, of all sequences together.
pub fn csv(reports: &[Report]) -> String {
    let mut out = "model,model_bytes,backend,precise,kv,test,tokens,sequences,measurements,median,min,max\n".to_owned();
    for report in reports {
        let phases = [("prefill", &report.prefill), ("decode", &report.decode)];
        for (test, phase) in phases.into_iter().filter_map(|(test, phase)| Some((test, phase.as_ref()?))) {
            row(&mut out, report, [test, &phase.tokens.to_string(), "1"], &phase.tokens_per_second);
        }
        for batch in &report.batches {
            row(&mut out, report, ["decode", "", &batch.sequences.to_string()], &batch.tokens_per_second);
        }
    }
    out
}

fn row(out: &mut String, report: &Report, [test, tokens, sequences]: [&str; 3], speed: &Summary) {
    let figure = |value: f64| format!("{value:.3}");
    let (bytes, precise, n) = (report.model_bytes.to_string(), report.precise.to_string(), speed.n.to_string());
    let (median, min, max) = (figure(speed.median), figure(speed.min), figure(speed.max));
    let cells = [&report.model, &bytes, &report.backend, &precise, &report.kv, test, tokens, sequences, &n, &median, &min, &max];
    out.push_str(&cells.map(cell).join(","));
    out.push('\n');
}

/// A cell as RFC 4180 has it: in quotes where it holds a comma, a quote or a line break.
fn cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_with_commas_and_quotes_stand_in_quotes() {
        let cells = ["cpu: 2 threads, AVX2", "plain", "a \"b\""].map(cell);
        assert_eq!(cells, ["\"cpu: 2 threads, AVX2\"", "plain", "\"a \"\"b\"\"\""]);
    }
}
