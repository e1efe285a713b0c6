//! Values as text: what `print`, `str` and `format` show.

use crate::tensor::{DType, HostTensor};

use super::eval::{LOOK_DEPTH_MAX, check_text};
use super::interp::Interp;
use super::value::{Fault, IntRange, TensorType, Value, dtype_name};

/// A tensor of more elements is cut in the middle of its long dimensions.
const ELEMENTS_SHOWN: usize = 64;

/// Elements at either end of a dimension that is cut.
const EDGE: usize = 3;

/// Items of a list that are shown.
const ITEMS_SHOWN: usize = 1000;

impl Interp {
    /// As `print` shows it: strings bare.
    pub(super) fn text(&mut self, value: &Value) -> Result<String, Fault> {
        match value {
            Value::Str(text) => Ok(text.to_string()),
            Value::Prompt(prompt) => Ok(prompt.text.clone()),
            other => self.debug_text(other),
        }
    }

    /// As it stands within a list: strings quoted.
    pub(super) fn debug_text(&mut self, value: &Value) -> Result<String, Fault> {
        let mut out = String::new();
        self.write_value(&mut out, value, 0)?;
        Ok(out)
    }

    fn write_value(&mut self, out: &mut String, value: &Value, depth: usize) -> Result<(), Fault> {
        if depth > LOOK_DEPTH_MAX {
            out.push('…');
            return Ok(());
        }
        // Values may hold each other many times over.
        check_text(out.len())?;
        match value {
            Value::Unit => out.push_str("none"),
            Value::Int(v) => out.push_str(&v.to_string()),
            Value::Float(v) => out.push_str(&float_text(*v)),
            Value::Bool(v) => out.push_str(if *v { "true" } else { "false" }),
            Value::Str(text) => quote(out, text)?,
            Value::Prompt(prompt) => quote(out, &prompt.text)?,
            Value::Range(IntRange { start, end, step }) => {
                out.push_str(&if *step == 1 { format!("{start}..{end}") } else { format!("range({start}, {end}, {step})") });
            }
            Value::List(items) => {
                out.push('[');
                self.write_items(out, &items.0, depth)?;
                out.push(']');
            }
            Value::Tuple(items) => {
                out.push('(');
                self.write_items(out, &items.0, depth)?;
                out.push_str(if items.0.len() == 1 { ",)" } else { ")" });
            }
            Value::Record(record) => {
                out.push_str(record.def.name());
                out.push_str(" { ");
                for (i, field) in record.def.code.fields.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    out.push_str(&field.name);
                    out.push_str(": ");
                    self.write_value(out, &record.fields[i], depth + 1)?;
                }
                out.push_str(" }");
            }
            // While a model is traced its tensors have no values, and looking at the position would bind the trace to it.
            Value::Tensor(tensor) if self.is_printing && self.session.is_traced(tensor) => {
                out.push_str(&format!("{} (traced)", TensorType(tensor)));
            }
            Value::Tensor(tensor) => {
                let host = self.session.host(tensor)?;
                out.push_str(&tensor_text(&host));
                if tensor.shape().rank() > 0 {
                    out.push_str(&format!(" {}", TensorType(tensor)));
                }
            }
            Value::DType(dtype) => out.push_str(dtype_name(*dtype)),
            Value::Fn(closure) => out.push_str(&format!("fn {}", closure.code.name.as_deref().unwrap_or("(…)"))),
            Value::Builtin(builtin) => out.push_str(&format!("fn {}", builtin.name)),
            Value::StructType(def) => out.push_str(&format!("struct {}", def.name())),
            Value::Model(model) => {
                let name = model.engine.as_ref().map(|e| e.name());
                out.push_str(&format!("Model({})", name.as_deref().unwrap_or("traced")));
            }
            Value::Layer(path) => out.push_str(&format!("Layer({})", if path.path.is_empty() { "model" } else { &path.path })),
            Value::Config(path) => {
                out.push_str(&format!("Config({})", if path.path.is_empty() { path.architecture() } else { &path.path }))
            }
            Value::Rotation(spec, _) => out.push_str(&format!("Rotation({} dimensions, base {})", spec.n_dims, float_text(spec.base))),
            Value::Cache(_) => out.push_str("Cache"),
            Value::Tokenizer(_) => out.push_str("Tokenizer"),
            Value::Chat(chat) => out.push_str(&format!("Chat({} messages)", chat.messages().len())),
            Value::Lent => out.push('…'),
        }
        Ok(())
    }

    fn write_items(&mut self, out: &mut String, items: &[Value], depth: usize) -> Result<(), Fault> {
        for (i, item) in items.iter().take(ITEMS_SHOWN).enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            self.write_value(out, item, depth + 1)?;
        }
        if items.len() > ITEMS_SHOWN {
            out.push_str(&format!(", … {} more", items.len() - ITEMS_SHOWN));
        }
        Ok(())
    }

    /// `"loss {}, {:.3}"` with values in order. `{{` and `}}` are braces.
    pub(super) fn format(&mut self, template: &str, values: &[Value]) -> Result<String, Fault> {
        let mut out = String::new();
        let mut next = 0;
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let tail = &rest[at..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                out.push_str(&tail[..1]);
                rest = &tail[2..];
                continue;
            }
            let end = tail.find('}').filter(|_| tail.starts_with('{'));
            let Some(end) = end else {
                return Err(Fault::new(format!("`{template}` has a single brace")).hint("write `{{` or `}}` for a brace"));
            };
            let spec = &tail[1..end];
            let Some(value) = values.get(next) else {
                let n = values.len();
                return Err(
                    Fault::new(format!("`{template}` has more `{{}}` than the {n} values given")).hint("write `{{` and `}}` for braces")
                );
            };
            next += 1;
            let text = self.formatted(value, spec)?;
            check_text(out.len() + text.len())?;
            out.push_str(&text);
            rest = &tail[end + 1..];
        }
        out.push_str(rest);
        if next < values.len() {
            return Err(Fault::new(format!("`{template}` has {next} `{{}}` for {} values", values.len())));
        }
        Ok(out)
    }

    /// One value by a specification: `` (plain), `:.3`, `:8`, `:>8.2`, `:<8`, `:^8`, `:08`, `:e`, `:x`.
    fn formatted(&mut self, value: &Value, spec: &str) -> Result<String, Fault> {
        let Some(spec) = spec.strip_prefix(':') else {
            return if spec.is_empty() {
                self.text(value)
            } else {
                Err(Fault::new(format!("`{{{spec}}}` names a value")).hint("write `{}` and give the value after the string"))
            };
        };
        let bad = || {
            Fault::new(format!("`{{:{spec}}}` is no format"))
                .hint("formats are `{:.3}`, `{:8}`, `{:>8.2}`, `{:<8}`, `{:^8}`, `{:08}`, `{:e}`, `{:x}`")
        };
        let (align, body) = match spec.chars().next() {
            Some(c @ ('<' | '>' | '^')) => (Some(c), &spec[1..]),
            _ => (None, spec),
        };
        let (body, kind) = match body.chars().last() {
            Some(c @ ('e' | 'x' | 'b' | 'f' | 'd')) => (&body[..body.len() - 1], Some(c)),
            _ => (body, None),
        };
        let (width, precision) = match body.split_once('.') {
            Some((width, precision)) => (width, Some(precision.parse::<usize>().ok().filter(|p| *p <= 100).ok_or_else(bad)?)),
            None => (body, None),
        };
        let zeros = width.starts_with('0') && align.is_none();
        let width = if width.is_empty() { 0 } else { width.parse::<usize>().ok().filter(|w| *w <= 1000).ok_or_else(bad)? };
        let number = match value {
            Value::Tensor(t) if self.is_printing && self.session.is_traced(t) => return self.text(value),
            Value::Int(v) => Some(*v as f64),
            Value::Float(v) => Some(*v),
            Value::Tensor(t) if t.shape().rank() == 0 && t.dtype() != DType::Bool => Some(self.session.host(t)?.value(0)),
            _ => None,
        };
        let text = match (kind, precision, number, value) {
            (Some('e'), Some(p), Some(v), _) => format!("{v:.p$e}"),
            (Some('e'), None, Some(v), _) => format!("{v:e}"),
            (Some('x'), None, _, Value::Int(v)) => format!("{v:x}"),
            (Some('b'), None, _, Value::Int(v)) => format!("{v:b}"),
            (Some('d'), None, _, Value::Int(v)) => v.to_string(),
            (Some('f') | None, Some(p), Some(v), _) => format!("{v:.p$}"),
            (Some('f'), None, Some(v), _) => format!("{v:.6}"),
            (None, Some(p), None, Value::Str(text)) => text.chars().take(p).collect(),
            (None, None, _, _) => self.text(value)?,
            _ => return Err(bad()),
        };
        let pad = width.saturating_sub(text.chars().count());
        Ok(match align {
            _ if zeros && number.is_some() => match text.strip_prefix('-') {
                Some(digits) => format!("-{}{digits}", "0".repeat(pad)),
                None => format!("{}{text}", "0".repeat(pad)),
            },
            Some('>') => " ".repeat(pad) + &text,
            Some('^') => " ".repeat(pad / 2) + &text + &" ".repeat(pad - pad / 2),
            Some(_) => text + &" ".repeat(pad),
            None if number.is_some() => " ".repeat(pad) + &text,
            None => text + &" ".repeat(pad),
        })
    }
}

/// The shortest text that reads back as the same number; of an f32 when it is one, so that an element of a tensor that was written
/// `0.1` shows so.
pub fn float_text(v: f64) -> String {
    if v.is_nan() {
        return "nan".into();
    }
    if v.is_infinite() {
        return if v > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let narrow = v as f32;
    if f64::from(narrow) == v { format!("{narrow:?}") } else { format!("{v:?}") }
}

/// Appends a text in quotes. Each list may hold one text many times, and lists nest, so the whole is held to the limit of texts.
fn quote(out: &mut String, text: &str) -> Result<(), Fault> {
    check_text(out.len() + text.len())?;
    out.push_str(&quoted(text));
    Ok(())
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The values of a tensor in nested brackets, cut in the middle where it is long.
pub fn tensor_text(host: &HostTensor) -> String {
    let is_cut = host.len() > ELEMENTS_SHOWN;
    let mut shown = Vec::new();
    visit(host, is_cut, 0, 0, &mut |flat| shown.push(flat));
    let texts = element_texts(host, &shown);
    let width = if host.shape.rank() > 1 { texts.iter().map(|t| t.chars().count()).max().unwrap_or(0) } else { 0 };
    let mut texts = texts.into_iter();
    let mut out = String::new();
    write_dim(host, is_cut, 0, &mut texts, width, &mut out);
    out
}

/// The positions along a dimension that are shown; `None` stands for those left out.
fn shown_along(n: usize, is_cut: bool) -> impl Iterator<Item = Option<usize>> {
    let cut = is_cut && n > 2 * EDGE + 1;
    let head = if cut { EDGE } else { n };
    let tail = if cut { n - EDGE } else { n };
    (0..head).map(Some).chain(cut.then_some(None)).chain((tail..n).map(Some))
}

fn visit(host: &HostTensor, is_cut: bool, axis: usize, base: usize, f: &mut impl FnMut(usize)) {
    if axis == host.shape.rank() {
        return f(base);
    }
    let n = host.shape[axis];
    for i in shown_along(n, is_cut).flatten() {
        visit(host, is_cut, axis + 1, base * n + i, f);
    }
}

fn write_dim(host: &HostTensor, is_cut: bool, axis: usize, texts: &mut impl Iterator<Item = String>, width: usize, out: &mut String) {
    let rank = host.shape.rank();
    if axis == rank {
        if let Some(text) = texts.next() {
            out.push_str(&" ".repeat(width.saturating_sub(text.chars().count())));
            out.push_str(&text);
        }
        return;
    }
    out.push('[');
    let mut is_first = true;
    for i in shown_along(host.shape[axis], is_cut) {
        if !is_first {
            out.push(',');
            if axis + 1 < rank {
                out.push_str(&"\n".repeat(rank - axis - 1));
                out.push_str(&" ".repeat(axis + 1));
            } else {
                out.push(' ');
            }
        }
        is_first = false;
        match i {
            Some(_) => write_dim(host, is_cut, axis + 1, texts, width, out),
            None => out.push('…'),
        }
    }
    out.push(']');
}

/// One notation for all elements that are shown.
fn element_texts(host: &HostTensor, shown: &[usize]) -> Vec<String> {
    match host.dtype {
        DType::I32 => shown.iter().map(|&i| format!("{}", host.value(i) as i64)).collect(),
        DType::Bool => shown.iter().map(|&i| if host.value(i) != 0.0 { "true".into() } else { "false".into() }).collect(),
        _ => {
            let values: Vec<f64> = shown.iter().map(|&i| host.value(i)).collect();
            let sizes = || values.iter().filter(|v| v.is_finite() && **v != 0.0).map(|v| v.abs());
            let largest = sizes().fold(0.0, f64::max);
            let smallest = sizes().fold(f64::INFINITY, f64::min);
            let is_whole = values.iter().all(|v| !v.is_finite() || v.fract() == 0.0);
            if host.shape.rank() == 0 {
                return values.iter().map(|v| float_text(*v)).collect();
            }
            let is_small_or_large = largest >= 1e5 || smallest < 1e-3;
            // As many digits for all as one of them needs, so that columns line up.
            let n_digits = |v: f64| format!("{v:.4}").trim_end_matches('0').rsplit('.').next().map_or(1, |d| d.len().max(1));
            let digits = values.iter().filter(|v| v.is_finite()).map(|v| n_digits(*v)).max().unwrap_or(1);
            let text = |v: f64| {
                // A zero's sign is not part of what an op defines.
                let v = if v == 0.0 { 0.0 } else { v };
                if !v.is_finite() {
                    float_text(v)
                } else if is_whole && largest < 1e7 {
                    format!("{v:.1}")
                } else if is_small_or_large {
                    format!("{v:.4e}")
                } else {
                    format!("{v:.digits$}")
                }
            };
            values.into_iter().map(text).collect()
        }
    }
}
