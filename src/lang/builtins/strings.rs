//! Strings, and numbers from and to them.

use crate::lang::eval::check_text;
use crate::lang::eval::number::float_to_int;
use crate::lang::interp::Interp;
use crate::lang::value::{Fault, Value};
use crate::tensor::DType;

use super::args::Args;
use super::{Builtin, Failure, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "str",
        signature: "str(x) -> string",
        section: "system",
        doc: "The text of a value, as `print` shows it.",
        run: Run::Call(|interp, args| Ok(Value::str(&interp.text(&args.value(0))?))),
    },
    Builtin {
        name: "int",
        signature: "int(x) -> int",
        section: "system",
        doc: "An int from a float (towards zero), a bool, a string, or a tensor of one element.",
        run: Run::Call(int),
    },
    Builtin {
        name: "float",
        signature: "float(x) -> float",
        section: "system",
        doc: "A float from an int, a bool, a string, or a tensor of one element.",
        run: Run::Call(float),
    },
    Builtin {
        name: "string.format",
        signature: "format(template: string, ...values) -> string",
        section: "system",
        doc: "The template with each `{}` replaced by a value: `\"{} of {:.2}\".format(3, x)`. `{:>8}`, `{:<8}`, `{:^8}`, `{:08}` pad, `{:.3}` and `{:e}` set digits.",
        run: Run::Call(|interp, mut args| {
            let template = args.str(0)?;
            let values: Vec<Value> = args.take_rest().into_iter().map(|(v, _)| v).collect();
            Ok(Value::str(&interp.format(&template, &values)?))
        }),
    },
    text_fn("string.upper", "upper(text: string) -> string", "In upper case.", |args| Ok(Value::str(&args.str(0)?.to_uppercase()))),
    text_fn("string.lower", "lower(text: string) -> string", "In lower case.", |args| Ok(Value::str(&args.str(0)?.to_lowercase()))),
    text_fn("string.trim", "trim(text: string) -> string", "Without white space at either end.", |args| {
        Ok(Value::str(args.str(0)?.trim()))
    }),
    text_fn("string.split", "split(text: string, separator: string = white space) -> list", "The parts between separators.", |args| {
        let text = args.str(0)?;
        if !args.is_given(1) {
            return Ok(Value::list(text.split_whitespace().map(Value::str).collect()));
        }
        Ok(split_text(&text, &args.str(1)?))
    }),
    text_fn("string.lines", "lines(text: string) -> list", "The lines, without their line breaks.", |args| {
        Ok(Value::list(args.str(0)?.lines().map(Value::str).collect()))
    }),
    text_fn("string.contains", "contains(text: string, part: string) -> bool", "Whether the text holds the part.", |args| {
        Ok(Value::Bool(args.str(0)?.contains(&*args.str(1)?)))
    }),
    text_fn("string.starts_with", "starts_with(text: string, part: string) -> bool", "Whether the text starts with the part.", |args| {
        Ok(Value::Bool(args.str(0)?.starts_with(&*args.str(1)?)))
    }),
    text_fn("string.ends_with", "ends_with(text: string, part: string) -> bool", "Whether the text ends with the part.", |args| {
        Ok(Value::Bool(args.str(0)?.ends_with(&*args.str(1)?)))
    }),
    text_fn("string.replace", "replace(text: string, part: string, by: string) -> string", "With every part replaced.", |args| {
        let (text, part, by) = (args.str(0)?, args.str(1)?, args.str(2)?);
        // An empty part stands between all characters, so its replacement could multiply the text without bound.
        if part.is_empty() {
            return Err(args.fail(1, Fault::new("the part to replace is empty")));
        }
        let n = text.matches(&*part).count();
        check_text((text.len() - n * part.len()).saturating_add(n.saturating_mul(by.len())))?;
        Ok(Value::str(&text.replace(&*part, &by)))
    }),
    text_fn("string.find", "find(text: string, part: string) -> int", "The character at which the part first stands, or -1.", |args| {
        let (text, part) = (args.str(0)?, args.str(1)?);
        Ok(Value::Int(text.find(&*part).map_or(-1, |at| text[..at].chars().count() as i64)))
    }),
];

const fn text_fn(name: &'static str, signature: &'static str, doc: &'static str, f: fn(&Args) -> Outcome) -> Builtin {
    Builtin { name, signature, section: "system", doc, run: Run::Text(f) }
}

pub(super) fn split_text(text: &str, separator: &str) -> Value {
    if separator.is_empty() {
        return Value::list(text.chars().map(|c| Value::str(&c.to_string())).collect());
    }
    Value::list(text.split(separator).map(Value::str).collect())
}

fn int(interp: &mut Interp, args: Args) -> Outcome {
    let fail = |fault| args.fail(0, fault);
    match args.value(0) {
        Value::Int(v) => Ok(Value::Int(v)),
        Value::Float(v) => float_to_int(v).map(Value::Int).map_err(fail),
        Value::Bool(v) => Ok(Value::Int(v.into())),
        Value::Str(text) => {
            let parsed = text.trim().replace('_', "").parse::<i64>();
            parsed.map(Value::Int).map_err(|_| args.fail(0, Fault::new(format!("{text:?} is no int"))))
        }
        Value::Tensor(t) if t.shape().rank() == 0 && interp.session.trace.is_some() => {
            Ok(Value::Tensor(interp.session.build(&[&t], |g, n| g.cast(n[0], DType::I32))?))
        }
        Value::Tensor(t) if t.shape().len() == 1 => float_to_int(interp.session.host(&t)?.value(0)).map(Value::Int).map_err(fail),
        other => Err(args.fail(0, Fault::new(format!("an int cannot be made of {}", other.type_name())))),
    }
}

fn float(interp: &mut Interp, args: Args) -> Outcome {
    match args.value(0) {
        Value::Int(v) => Ok(Value::Float(v as f64)),
        Value::Float(v) => Ok(Value::Float(v)),
        Value::Bool(v) => Ok(Value::Float(f64::from(u8::from(v)))),
        Value::Str(text) => {
            let parsed = text.trim().replace('_', "").parse::<f64>();
            parsed.map(Value::Float).map_err(|_| args.fail(0, Fault::new(format!("{text:?} is no float"))))
        }
        Value::Tensor(t) if t.shape().rank() == 0 && interp.session.trace.is_some() => {
            Ok(Value::Tensor(interp.session.build(&[&t], |g, n| g.cast(n[0], DType::F32))?))
        }
        Value::Tensor(t) if t.shape().len() == 1 => Ok(Value::Float(interp.session.host(&t)?.value(0))),
        other => Err(Failure::Fault(Fault::new(format!("a float cannot be made of {}", other.type_name())))),
    }
}
