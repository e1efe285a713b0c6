//! Printing, checks, files and the clock.

use std::fs;
use std::io::stdin;
use std::path::Path;

use crate::lang::interp::Interp;
use crate::lang::session::Tensor;
use crate::lang::value::{Fault, Value};
use crate::output::{Existing, Output, OutputError};
use crate::source::{Line, read_line};

use super::args::Args;
use super::{Builtin, Failure, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "print",
        signature: "print(...values, end: string = \"\\n\")",
        section: "system",
        doc: "Writes values with a space between them, or a template with its values: `print(\"loss {:.3}\", loss)`. A long tensor is cut in the middle.",
        run: Run::Call(print),
    },
    Builtin {
        name: "assert",
        signature: "assert(condition: bool, message: string =)",
        section: "system",
        doc: "Stops the program when the condition does not hold.",
        run: Run::Call(assert),
    },
    Builtin {
        name: "assert_eq",
        signature: "assert_eq(a, b)",
        section: "system",
        doc: "Stops the program when two values differ. Tensors are equal when shapes and all elements are.",
        run: Run::Call(assert_eq),
    },
    Builtin {
        name: "assert_close",
        signature: "assert_close(a, b, tol: float = 1e-5)",
        section: "system",
        doc: "Stops the program when two numbers or tensors differ by more than `tol` times (1 + the larger size of the two).",
        run: Run::Call(assert_close),
    },
    Builtin {
        name: "type",
        signature: "type(x) -> string",
        section: "system",
        doc: "The name of a value's type.",
        run: Run::Call(|interp, args| match args.value(0) {
            Value::Tensor(x) if x.as_sizes().is_some() => Err(interp.session.needs_count().into()),
            x => Ok(Value::str(&x.type_name())),
        }),
    },
    Builtin {
        name: "input",
        signature: "input(prompt: string = \"\") -> string or none",
        section: "system",
        doc: "A line of standard input without its line break; `none` at its end.",
        run: Run::Call(input),
    },
    Builtin {
        name: "env",
        signature: "env(name: string, default =) -> string",
        section: "system",
        doc: "A variable of the environment, or the default where it is not set.",
        run: Run::Call(env),
    },
    Builtin {
        name: "args",
        signature: "args() -> list",
        section: "system",
        doc: "What was written after the program's name on the command line.",
        run: Run::Call(|interp, _| Ok(Value::list(interp.args.iter().map(|a| Value::str(a)).collect()))),
    },
    Builtin {
        name: "read_text",
        signature: "read_text(path: string) -> string",
        section: "system",
        doc: "The text of a UTF-8 file.",
        run: Run::Call(read_text),
    },
    Builtin {
        name: "write_text",
        signature: "write_text(path: string, text: string)",
        section: "system",
        doc: "Writes a text to a file, which it replaces.",
        run: Run::Call(write_text),
    },
    Builtin {
        name: "time",
        signature: "time() -> float",
        section: "system",
        doc: "Seconds since the program started, after everything asked for so far has been computed.",
        run: Run::Call(|interp, _| {
            interp.session.finish()?;
            Ok(Value::Float(interp.started.elapsed().as_secs_f64()))
        }),
    },
];

/// A text file larger than this is not read.
const TEXT_BYTES_MAX: u64 = 1 << 28;

/// A longer line of standard input is refused.
const LINE_BYTES_MAX: usize = 64 << 20;

impl Interp {
    pub(in crate::lang) fn print_line(&mut self, text: &str) -> Result<(), Fault> {
        self.write_out(text)?;
        self.write_out("\n")
    }

    /// A file that the program writes. It replaces what is there, as in any language, but none that a model of the program was read from.
    pub(in crate::lang) fn output(&self, path: &str) -> Result<Output, OutputError> {
        self.model_files.iter().try_fold(Output::new(Path::new(path), Existing::Replace)?, |output, file| output.apart_from(file))
    }

    fn write_out(&mut self, text: &str) -> Result<(), Fault> {
        self.out.write_all(text.as_bytes()).map_err(|e| Fault::new(format!("cannot write the output: {e}")))
    }
}

fn print(interp: &mut Interp, mut args: Args) -> Outcome {
    let end = if args.is_given(1) { args.str(1)? } else { "\n".into() };
    let values: Vec<Value> = args.take_rest().into_iter().map(|(v, _)| v).collect();
    interp.is_printing = true;
    let text = shown(interp, &values);
    interp.is_printing = false;
    interp.write_out(&text?)?;
    interp.write_out(&end)?;
    if !end.ends_with('\n') {
        // A piece of a line is meant to be seen now.
        let _ = interp.out.flush();
    }
    Ok(Value::Unit)
}

/// The line that `print` writes of these values.
fn shown(interp: &mut Interp, values: &[Value]) -> Result<String, Fault> {
    match values.split_first() {
        Some((Value::Str(template), rest)) if !rest.is_empty() && template.contains('{') => interp.format(template, rest),
        _ => {
            let texts = values.iter().map(|value| interp.text(value)).collect::<Result<Vec<_>, _>>()?;
            Ok(texts.join(" "))
        }
    }
}

fn assert(interp: &mut Interp, args: Args) -> Outcome {
    if interp.truth(&args.value(0)).map_err(|f| args.fail(0, f))? {
        return Ok(Value::Unit);
    }
    let message = if args.is_given(1) { args.str(1)?.to_string() } else { "the assertion does not hold".into() };
    Err(args.fail(0, Fault::new(message)))
}

fn assert_eq(interp: &mut Interp, args: Args) -> Outcome {
    let (a, b) = (args.value(0), args.value(1));
    if interp.equal(&a, &b)? {
        return Ok(Value::Unit);
    }
    let (shown_a, shown_b) = (interp.debug_text(&a)?, interp.debug_text(&b)?);
    Err(Failure::Fault(Fault::new(format!("{shown_a} is not {shown_b}")).label("the two differ")))
}

fn assert_close(interp: &mut Interp, args: Args) -> Outcome {
    let tol = args.float_or(interp, 2, 1e-5)?;
    let (a, b) = (args.tensor(interp, 0)?, args.tensor(interp, 1)?);
    if a.shape() != b.shape() {
        return Err(Failure::Fault(Fault::new(format!("the shapes {} and {} differ", a.shape(), b.shape()))));
    }
    let (x, y) = (values(interp, &a)?, values(interp, &b)?);
    let far = x.iter().zip(&y).position(|(x, y)| {
        let close = (x - y).abs() <= tol * (1.0 + x.abs().max(y.abs()));
        !close && x != y
    });
    match far {
        None => Ok(Value::Unit),
        Some(i) => {
            let at = if a.shape().rank() == 0 { String::new() } else { format!(" at element {}", position_text(&a, i)) };
            let text = crate::lang::format::float_text;
            Err(Failure::Fault(
                Fault::new(format!("{} is not close to {}{at}", text(x[i]), text(y[i])))
                    .label(format!("they differ by {:e}, more than {tol:e} allows", (x[i] - y[i]).abs())),
            ))
        }
    }
}

fn values(interp: &mut Interp, x: &Tensor) -> Result<Vec<f64>, Fault> {
    let host = interp.session.host(x)?;
    Ok((0..host.len()).map(|i| host.value(i)).collect())
}

/// `[1, 2]` for a flat position.
fn position_text(x: &Tensor, flat: usize) -> String {
    let mut rest = flat;
    let at: Vec<String> = x
        .shape()
        .strides()
        .iter()
        .map(|stride| {
            let i = rest / stride;
            rest %= stride;
            i.to_string()
        })
        .collect();
    format!("[{}]", at.join(", "))
}

fn input(interp: &mut Interp, args: Args) -> Outcome {
    if args.is_given(0) {
        interp.write_out(&args.str(0)?)?;
    }
    let _ = interp.out.flush();
    let wrong = |what: String| Failure::Fault(Fault::new(format!("cannot read standard input: {what}")));
    match read_line(&mut stdin().lock(), LINE_BYTES_MAX).map_err(|e| wrong(e.to_string()))? {
        Line::Text(line) => Ok(Value::str(line.trim_end_matches('\r'))),
        Line::End => Ok(Value::Unit),
        Line::TooLong => Err(wrong(format!("a line has more than {LINE_BYTES_MAX} bytes"))),
        Line::NotText { at } => Err(wrong(format!("byte {at} of a line is no UTF-8 text"))),
    }
}

fn env(_: &mut Interp, args: Args) -> Outcome {
    let name = args.str(0)?;
    match std::env::var(&*name) {
        Ok(value) => Ok(Value::str(&value)),
        Err(_) if args.is_given(1) => Ok(args.value(1)),
        Err(_) => {
            Err(args.fail(0, Fault::new(format!("the environment has no variable `{name}`")).hint("give a default as the second argument")))
        }
    }
}

fn read_text(_: &mut Interp, args: Args) -> Outcome {
    let path = args.str(0)?;
    let fail = |e: String| args.fail(0, Fault::new(format!("cannot read `{path}`: {e}")));
    let size = fs::metadata(&*path).map_err(|e| fail(e.to_string()))?.len();
    if size > TEXT_BYTES_MAX {
        return Err(fail(format!("it has {size} bytes, more than {TEXT_BYTES_MAX}")));
    }
    Ok(Value::str(&fs::read_to_string(&*path).map_err(|e| fail(e.to_string()))?))
}

fn write_text(interp: &mut Interp, args: Args) -> Outcome {
    let path = args.str(0)?;
    let output = interp.output(&path).map_err(|e| args.fail(0, Fault::new(e.to_string())))?;
    output.write_bytes(args.str(1)?.as_bytes()).map_err(|e| args.fail(0, Fault::new(e.to_string())))?;
    Ok(Value::Unit)
}
