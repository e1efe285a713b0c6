//! Values written as Python writes them, where minijinja would write them otherwise.

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::limits::too_much;

/// `str(value)`, or an error where that is longer than `limit` bytes.
pub fn str_of(value: &Value, limit: usize) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(String::new()),
        ValueKind::String => match value.as_str() {
            Some(text) if text.len() <= limit => Ok(text.to_string()),
            _ => Err(too_much()),
        },
        _ => {
            let mut text = String::new();
            write_repr(value, limit, &mut text)?;
            Ok(text)
        }
    }
}

/// Appends `repr(value)`.
fn write_repr(value: &Value, limit: usize, text: &mut String) -> Result<(), Error> {
    if text.len() > limit {
        return Err(too_much());
    }
    match value.kind() {
        ValueKind::None => text.push_str("None"),
        ValueKind::Bool => text.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => text.push_str(&number(value)),
        ValueKind::String => write_quoted(value.as_str().unwrap_or(""), text),
        ValueKind::Seq => {
            text.push('[');
            write_items(value, text, |item, text| write_repr(item, limit, text))?;
            text.push(']');
        }
        ValueKind::Map => {
            text.push('{');
            write_items(value, text, |key, text| {
                write_repr(key, limit, text)?;
                text.push_str(": ");
                write_repr(&value.get_item(key)?, limit, text)
            })?;
            text.push('}');
        }
        // Writing to a string cannot fail.
        _ => drop(write!(text, "{value}")),
    }
    Ok(())
}

fn write_items(values: &Value, text: &mut String, mut write: impl FnMut(&Value, &mut String) -> Result<(), Error>) -> Result<(), Error> {
    for (i, item) in values.try_iter()?.enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        write(&item, text)?;
    }
    Ok(())
}

/// In single quotes, unless that alone would need escapes.
fn write_quoted(string: &str, text: &mut String) {
    let quote = if string.contains('\'') && !string.contains('"') { '"' } else { '\'' };
    text.push(quote);
    for c in string.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c == quote => text.extend(['\\', c]),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => drop(write!(text, "\\x{:02x}", c as u32)),
            c => text.push(c),
        }
    }
    text.push(quote);
}

/// Integers as they are, floats as the shortest text that reads back, with an exponent from 1e16 up and below 1e-4.
pub fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(float) = f64::try_from(value.clone()) else { return value.to_string() };
    if float.is_nan() {
        return "nan".to_string();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf" } else { "-inf" }.to_string();
    }
    let size = float.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{float:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{float:?}")
}

/// How `json.dumps` lays its text out.
pub struct JsonStyle {
    pub ensure_ascii: bool,
    /// What one level is indented by; without it all stands on one line.
    pub indent: Option<String>,
    pub item_separator: String,
    pub key_separator: String,
    pub sort_keys: bool,
}

/// `json.dumps(value)`, or an error for what JSON cannot express and for what is longer than `limit` bytes.
pub fn json(value: &Value, style: &JsonStyle, limit: usize) -> Result<String, Error> {
    let mut text = String::new();
    write_json(value, style, limit, 0, &mut text)?;
    Ok(text)
}

fn write_json(value: &Value, style: &JsonStyle, limit: usize, depth: usize, text: &mut String) -> Result<(), Error> {
    // An indent grows with the depth.
    if text.len().saturating_add(style.indent.as_deref().map_or(0, str::len).saturating_mul(depth)) > limit {
        return Err(too_much());
    }
    match value.kind() {
        ValueKind::None => text.push_str("null"),
        ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => text.push_str(&match number(value).as_str() {
            "nan" => "NaN".to_string(),
            "inf" => "Infinity".to_string(),
            "-inf" => "-Infinity".to_string(),
            number => number.to_string(),
        }),
        ValueKind::String => write_json_string(value.as_str().unwrap_or(""), style.ensure_ascii, text),
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort_keys {
                keys.sort();
            }
            write_json_items(("{", "}"), &keys, style, depth, text, |key, text| {
                let name = match key.kind() {
                    ValueKind::String => key.as_str().unwrap_or("").to_string(),
                    ValueKind::Bool => if key.is_true() { "true" } else { "false" }.to_string(),
                    ValueKind::None => "null".to_string(),
                    ValueKind::Number => number(key),
                    kind => {
                        return Err(Error::new(
                            ErrorKind::InvalidOperation,
                            format!("a key of a JSON object must be a string, not {kind}"),
                        ));
                    }
                };
                write_json_string(&name, style.ensure_ascii, text);
                text.push_str(&style.key_separator);
                write_json(&value.get_item(key)?, style, limit, depth + 1, text)
            })?;
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            write_json_items(("[", "]"), &items, style, depth, text, |item, text| write_json(item, style, limit, depth + 1, text))?;
        }
        kind => return Err(Error::new(ErrorKind::InvalidOperation, format!("{kind} cannot be written as JSON"))),
    }
    Ok(())
}

fn write_json_items(
    (open, close): (&str, &str),
    items: &[Value],
    style: &JsonStyle,
    depth: usize,
    text: &mut String,
    mut write: impl FnMut(&Value, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    let new_line = |depth: usize, text: &mut String| {
        if let Some(indent) = style.indent.as_deref().filter(|_| !items.is_empty()) {
            text.push('\n');
            (0..depth).for_each(|_| text.push_str(indent));
        }
    };
    text.push_str(open);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            text.push_str(&style.item_separator);
        }
        new_line(depth + 1, text);
        write(item, text)?;
    }
    new_line(depth, text);
    text.push_str(close);
    Ok(())
}

fn write_json_string(string: &str, ensure_ascii: bool, text: &mut String) {
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            c if (c as u32) < 0x20 || (ensure_ascii && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
            c => text.push(c),
        }
    }
    text.push('"');
}
