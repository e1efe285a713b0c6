//! A plan as a Graphviz graph: `tl explain --dot | dot -Tsvg`.

use std::collections::HashMap;
use std::fmt::Write;

use crate::plan::{Buf, Epilogue, Kernel, Plan, Step};

/// One box a step, with its name, kernel, size of what it writes and the weights it reads; an edge where a step reads what another wrote,
/// dashed where that goes through a cache; inputs and outputs as ovals. Steps of one layer share a frame.
pub fn dot(plan: &Plan) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_dot(&mut out, plan);
    out
}

fn write_dot(out: &mut String, plan: &Plan) -> std::fmt::Result {
    writeln!(out, "digraph plan {{")?;
    writeln!(out, "  rankdir=TB; node [fontname=\"Helvetica\", fontsize=11]; edge [fontname=\"Helvetica\", fontsize=9];")?;
    for (i, input) in plan.inputs.iter().enumerate() {
        if let Some((shape, dtype)) = input {
            writeln!(out, "  in{i} [shape=oval, label=\"input {i}\\n{dtype}{shape}\"];")?;
        }
    }
    let layers: Vec<Option<usize>> = plan.steps.iter().map(layer).collect();
    let n_layers = layers.iter().flatten().max().map_or(0, |&l| l + 1);
    for (i, step) in plan.steps.iter().enumerate().filter(|(i, _)| layers[*i].is_none()) {
        writeln!(out, "  {}", node(plan, i, step))?;
    }
    for layer in 0..n_layers {
        let inside: Vec<usize> = (0..plan.steps.len()).filter(|&i| layers[i] == Some(layer)).collect();
        if inside.is_empty() {
            continue;
        }
        writeln!(out, "  subgraph cluster_{layer} {{ label=\"layer {layer}\"; color=\"#999999\"; fontname=\"Helvetica\";")?;
        for i in inside {
            writeln!(out, "    {}", node(plan, i, &plan.steps[i]))?;
        }
        writeln!(out, "  }}")?;
    }
    edges(out, plan)?;
    writeln!(out, "}}")
}

fn edges(out: &mut String, plan: &Plan) -> std::fmt::Result {
    // A slot is written again and again: an edge is from its last writer.
    let mut writer: HashMap<Buf, Vec<usize>> = HashMap::new();
    let mut stored: HashMap<_, Vec<usize>> = HashMap::new();
    for (i, step) in plan.steps.iter().enumerate() {
        let writes = step.kernel.writes();
        let mut seen: Vec<Buf> = Vec::new();
        for buf in step.kernel.reads() {
            if seen.contains(&buf) {
                continue;
            }
            seen.push(buf);
            match buf {
                Buf::Input(id) => writeln!(out, "  in{} -> s{i};", id.0)?,
                Buf::Slot(_) | Buf::Output(_) => {
                    for from in writer.get(&buf).into_iter().flatten() {
                        writeln!(out, "  s{from} -> s{i} [label=\"{buf}\"];")?;
                    }
                }
                Buf::Weight(_) | Buf::RopeRows(_) => {}
            }
        }
        for from in step.kernel.cache_read().and_then(|cache| stored.get(&cache)).into_iter().flatten() {
            writeln!(out, "  s{from} -> s{i} [style=dashed, label=\"cache\"];")?;
        }
        if let Some(cache) = step.kernel.cache_written() {
            stored.entry(cache).or_default().push(i);
        }
        for buf in writes {
            // A copy writes a window: the writers of the other windows stay.
            if !matches!(step.kernel, Kernel::Copy(_)) {
                writer.remove(&buf);
            }
            writer.entry(buf).or_default().push(i);
        }
    }
    for (i, output) in plan.outputs.iter().enumerate() {
        writeln!(out, "  out{i} [shape=oval, label=\"output {i}\\n{}{}\"];", output.dtype, output.shape)?;
        match output.buf {
            Buf::Input(id) => writeln!(out, "  in{} -> out{i};", id.0)?,
            buf => {
                for from in writer.get(&buf).into_iter().flatten() {
                    writeln!(out, "  s{from} -> out{i};")?;
                }
            }
        }
    }
    Ok(())
}

fn node(plan: &Plan, i: usize, step: &Step) -> String {
    let name = short_name(&step.name);
    let kernel = kernel_name(&step.kernel);
    let mut lines = vec![if name.is_empty() { kernel.clone() } else { shortened(&name, 56) }, kernel];
    if lines[0] == lines[1] {
        lines.pop();
    }
    if let Some(placed) = step.kernel.placement() {
        let placement = &plan.placements[placed.0 as usize];
        let names: Vec<&str> = placement.parts.iter().map(|w| w.name.as_str()).collect();
        let len: usize = placement.parts.iter().map(|w| w.len_bytes()).sum();
        lines.push(shortened(&format!("{} {}", placement.dtype(), names.join(" + ")), 56));
        lines.push(format!("{}×{}, {} of weights", placement.n_rows(), placement.row_len(), bytes(len)));
    }
    let written: usize =
        step.kernel.clone().operands_mut().into_iter().filter(|o| o.role != crate::plan::Role::Read).map(|o| o.len * 4).sum();
    if written > 0 {
        lines.push(format!("writes {}", bytes(written)));
    }
    let label: Vec<String> = lines.iter().map(|l| escaped(l)).collect();
    format!("s{i} [shape=box, style=\"filled,rounded\", fillcolor=\"{}\", label=\"{}\"];", colour(&step.kernel), label.join("\\n"))
}

/// The labels of a step; a layer's frame says which layer.
fn short_name(name: &str) -> String {
    let without_layer = |label: &str| match label.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((digits, step)) if digits.parse::<usize>().is_ok() => step.to_owned(),
        _ => label.to_owned(),
    };
    name.split('+').map(without_layer).collect::<Vec<_>>().join(" + ")
}

/// The layer that a step's name or its cache says.
fn layer(step: &Step) -> Option<usize> {
    let cache = step.kernel.cache_written().or(step.kernel.cache_read()).map(|(_, layer)| layer);
    cache.or_else(|| {
        let digits = step.name.split("blk.").nth(1)?.split('.').next()?;
        digits.parse().ok()
    })
}

/// The kernel and what it does besides: `linear + residual`.
pub fn kernel_name(kernel: &Kernel) -> String {
    let name = match kernel {
        Kernel::Linear(k) => {
            let norm = if k.norm.is_some() { "rms_norm → " } else { "" };
            let epilogue = match &k.epilogue {
                Epilogue::Store { bias: None, residual: None, .. } => "",
                Epilogue::Store { bias: Some(_), residual: None, .. } => " + bias",
                Epilogue::Store { bias: None, residual: Some(_), .. } => " + residual",
                Epilogue::Store { .. } => " + bias + residual",
                Epilogue::Gated { .. } => " → gated",
                Epilogue::RopeStore { .. } => " → rope, cache",
            };
            return format!("{norm}linear{epilogue}");
        }
        Kernel::ExpertLinear(_) => "expert_linear",
        Kernel::Embedding(_) => "embedding",
        Kernel::Norm(_) => "rms_norm",
        Kernel::Rope(_) => "rope",
        Kernel::CacheStore(k) if k.k_rope.is_some() => "rope → cache",
        Kernel::CacheStore(_) => "cache",
        Kernel::Attention(_) => "attention",
        Kernel::Elementwise(_) => "elementwise",
        Kernel::Copy(_) => "copy",
        Kernel::Reduce(_) => "reduce",
        Kernel::Cumulate(_) => "cumsum",
        Kernel::Softmax(_) => "softmax",
        Kernel::Einsum(_) => "einsum",
        Kernel::Gather(_) => "gather",
        Kernel::ScatterAdd(_) => "scatter_add",
        Kernel::ArgSort { .. } => "argsort",
        Kernel::Iota { .. } => "iota",
        Kernel::Random { .. } => "random",
        Kernel::SelectRow { .. } => "select_row",
        Kernel::LastRows { .. } => "last_rows",
        Kernel::RecordedIds { .. } => "recorded_ids",
        Kernel::Scalar { .. } => "scalar",
        Kernel::Sample(_) => "sample",
    };
    name.to_owned()
}

fn colour(kernel: &Kernel) -> &'static str {
    match kernel {
        Kernel::Linear(_) | Kernel::ExpertLinear(_) | Kernel::Einsum(_) => "#d7e8f7",
        Kernel::Attention(_) | Kernel::CacheStore(_) => "#fde3cf",
        Kernel::Norm(_) | Kernel::Softmax(_) | Kernel::Reduce(_) => "#dff2e5",
        Kernel::Embedding(_) | Kernel::Sample(_) => "#f4e3f0",
        _ => "#f2f2f2",
    }
}

fn bytes(n: usize) -> String {
    match n {
        0..1000 => format!("{n} B"),
        1000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        _ => format!("{:.1} MB", n as f64 / 1e6),
    }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ")
}
