//! A plan as text for a person: first its steps, then the inputs, weights and numbers that the steps read. A layer with the same steps as an earlier
//! layer is not written again.

use std::fmt::Write;

use crate::graph::Literal;
use crate::plan::{Choice, Plan, ScalarExpr};

use super::unfused::Unfused;

/// The steps of a plan, what of it was not fused, its weights, and the numbers of a run. `every_layer`: also layers that are like an earlier one.
pub fn text(plan: &Plan, unfused: &[Unfused], every_layer: bool) -> String {
    let mut out = summary(plan);
    let steps = plan.steps.iter().enumerate().map(|(i, step)| {
        let kernel = with_values(&step.kernel.to_string(), plan);
        Line::new(&step.name, format!("{i:>3} {}: {kernel}", step.name), format!("{}: {kernel}", step.name))
    });
    part(&mut out, "steps", &steps.collect::<Vec<_>>(), every_layer);
    for (i, output) in plan.outputs.iter().enumerate() {
        push(&mut out, format_args!("output {i}: {}{} in {}", output.dtype, output.shape, output.buf));
    }
    let stays = unfused.iter().map(|step| {
        let why = format!("({}; {}): {}", step.name, step.rule.name(), step.why);
        Line::new(&step.name, format!("step {} stays one {why}", step.step), why)
    });
    part(&mut out, "not fused", &stays.collect::<Vec<_>>(), every_layer);
    let weights = plan.placements.iter().enumerate().map(|(i, placement)| {
        let shown = placement.to_string();
        Line::new(&shown, format!("w{i}: {shown}"), shown.clone())
    });
    part(&mut out, "weights", &weights.collect::<Vec<_>>(), every_layer);
    let mut rest = Vec::new();
    for (i, input) in plan.inputs.iter().enumerate() {
        rest.extend(input.as_ref().map(|(shape, dtype)| format!("in{i}: {dtype}{shape}")));
    }
    for (i, rows) in plan.rope_rows.iter().enumerate() {
        rest.push(format!("rope{i}: {:?} from {}, {} rows of {}", rows.kind, rows.first, rows.rows, rows.spec.n_dims));
    }
    for (i, len) in plan.slots.iter().enumerate() {
        rest.push(format!("b{i}: {len} words"));
    }
    for (i, word) in plan.scalars.words.iter().enumerate().filter(|(_, word)| !matches!(word, ScalarExpr::Literal(_))) {
        rest.push(format!("s{i} = {}", with_values(&word.to_string(), plan)));
    }
    let rest: Vec<Line> = rest.into_iter().map(|shown| Line { layer: None, shape: String::new(), shown }).collect();
    part(&mut out, "inputs, angles, buffers, and the numbers of a run", &rest, every_layer);
    out
}

fn summary(plan: &Plan) -> String {
    let tokens = match plan.bucket {
        None => String::new(),
        Some(1) => " for 1 token".to_owned(),
        Some(n) => format!(" for {n} tokens"),
    };
    let n_bytes: usize = plan.slots.iter().map(|len| len * 4).sum();
    let weights: usize = plan.placements.iter().flat_map(|p| &p.parts).map(|w| w.len_bytes()).sum();
    format!(
        "{} steps{tokens}; {} buffers of {n_bytes} bytes; {} placements of {weights} bytes in their file's types\n",
        plan.steps.len(),
        plan.slots.len(),
        plan.placements.len()
    )
}

/// A line, the layer of its step, and the text by which it is compared with the lines of other layers.
struct Line {
    layer: Option<usize>,
    shape: String,
    shown: String,
}

impl Line {
    /// `name` holds the layer as GGUF has it, `blk.3.`; `common` is the line without its number.
    fn new(name: &str, shown: String, common: String) -> Line {
        let layer = layer_of(name);
        let shape = layer.map_or_else(|| common.clone(), |layer| without_layer(&common, layer));
        Line { layer, shape, shown }
    }
}

fn layer_of(name: &str) -> Option<usize> {
    let (_, rest) = name.split_once("blk.")?;
    rest.split('.').next()?.parse().ok()
}

/// A line of a layer with marks in place of its number, its buffers and its weights.
fn without_layer(line: &str, layer: usize) -> String {
    // The layer after is named where two layers share a step.
    let [this, next] = [layer, layer + 1];
    let named = line.replace(&format!("blk.{this}."), "blk.*.").replace(&format!("blk.{next}."), "blk.*+1.");
    let stored = named.replace(&format!(" layer {layer},"), " layer *,");
    let end = format!(" layer {layer}");
    let stored = stored.strip_suffix(&end).map_or(stored.clone(), |start| format!("{start} layer *"));
    with_words(&stored, |word| operand(word, &['b', 'w']).map(|_| format!("{}*", &word[..1])))
}

/// The number of an operand, `b3`, that one of these letters begins.
fn operand(word: &str, letters: &[char]) -> Option<usize> {
    word.strip_prefix(letters)?.parse().ok()
}

/// A text with some of its words replaced. A word is a run of letters, digits, `_` and `.`.
fn with_words(text: &str, replaced: impl Fn(&str) -> Option<String>) -> String {
    let is_inside = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        out += &replaced(word).unwrap_or_else(|| word.to_owned());
        let sign = after.chars().next().map_or(0, char::len_utf8);
        out += &after[..sign];
        rest = &after[sign..];
    }
    out
}

/// Numbers of the program in place of the words that hold them.
fn with_values(text: &str, plan: &Plan) -> String {
    with_words(text, |word| match plan.scalars.words.get(operand(word, &['s'])?)? {
        ScalarExpr::Literal(i) => Some(match plan.scalars.literals.get(*i as usize)? {
            Literal::F32(value) => value.to_string(),
            Literal::I32(value) => value.to_string(),
        }),
        _ => None,
    })
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    // A String takes every line.
    let _ = writeln!(out, "{line}");
}

/// A part under its heading. A run of layers that are like an earlier one is a line.
fn part(out: &mut String, heading: &str, lines: &[Line], every_layer: bool) {
    if lines.is_empty() {
        return;
    }
    push(out, format_args!("\n{heading}:"));
    let mut written: Vec<(usize, &[Line])> = Vec::new();
    let mut run: Option<Run> = None;
    for group in lines.chunk_by(|a, b| a.layer == b.layer) {
        let like = |layers: &[(usize, &[Line])]| {
            layers.iter().find(|(_, lines)| lines.iter().map(|l| &l.shape).eq(group.iter().map(|l| &l.shape))).map(|(layer, _)| *layer)
        };
        match (group[0].layer, group[0].layer.and_then(|_| like(&written)).filter(|_| !every_layer)) {
            (Some(layer), Some(like)) => match &mut run {
                Some(run) if run.like == like && run.last + 1 == layer => run.last = layer,
                _ => end(out, run.replace(Run { first: layer, last: layer, like })),
            },
            (layer, _) => {
                end(out, run.take());
                group.iter().for_each(|line| push(out, format_args!("{}", line.shown)));
                written.extend(layer.map(|layer| (layer, group)));
            }
        }
    }
    end(out, run);
}

/// Neighbouring layers that are like an earlier one.
struct Run {
    first: usize,
    last: usize,
    like: usize,
}

fn end(out: &mut String, run: Option<Run>) {
    let Some(Run { first, last, like }) = run else { return };
    let layers = if first == last { format!("blk.{first}") } else { format!("blk.{first} to blk.{last}") };
    push(out, format_args!("    {layers}: as blk.{like}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, kernel: &str) -> Line {
        Line::new(name, format!("{name}: {kernel}"), format!("{name}: {kernel}"))
    }

    #[test]
    fn layers_like_an_earlier_one_are_a_line() {
        let mut lines = vec![line("embedding", "embedding(in0, w0) -> b0")];
        for layer in 0..6 {
            let window = if layer == 3 { 0 } else { 512 };
            lines.push(line(&format!("blk.{layer}.q"), &format!("linear(b{layer}, w{}) -> b{}", layer + 1, layer + 2)));
            lines.push(line(&format!("blk.{layer}.attn"), &format!("attention(b1, cache 0 layer {layer}, window {window}) -> b2")));
        }
        lines.push(line("logits", "linear(b2, w9) -> out0"));
        let mut out = String::new();
        part(&mut out, "steps", &lines, false);
        let expected = "\nsteps:\nembedding: embedding(in0, w0) -> b0\nblk.0.q: linear(b0, w1) -> b2\n\
                        blk.0.attn: attention(b1, cache 0 layer 0, window 512) -> b2\n    blk.1 to blk.2: as blk.0\n\
                        blk.3.q: linear(b3, w4) -> b5\nblk.3.attn: attention(b1, cache 0 layer 3, window 0) -> b2\n    blk.4 to blk.5: as blk.0\n\
                        logits: linear(b2, w9) -> out0\n";
        assert_eq!(out, expected);
        let mut whole = String::new();
        part(&mut whole, "steps", &lines, true);
        assert_eq!(whole.lines().count(), 2 + lines.len());
    }

    #[test]
    fn the_number_of_a_layer_is_no_part_of_what_layers_share() {
        let of = |layer: usize, text: &str| without_layer(text, layer);
        assert_eq!(of(1, "blk.1.q: w12[0..64] -> b1, k -> cache 0 layer 1"), of(11, "blk.11.q: w3[0..64] -> b2, k -> cache 0 layer 11"));
        assert_ne!(of(1, "blk.1.q: rope0"), of(2, "blk.2.q: rope1"));
        assert_ne!(of(1, "blk.1.q: k 1"), of(2, "blk.2.q: k 2"));
    }
}
