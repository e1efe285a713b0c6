//! The library's functions that are not written in the language: one table of name, signature, doc and code.

mod args;
mod chat;
mod collections;
mod creation;
mod elementwise;
mod files;
mod indexing;
mod models;
mod neural;
mod reductions;
mod rotation;
mod sampling;
mod shape;
mod strings;
mod system;

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::diag::Diagnostic;
use crate::source::Span;

use super::eval::{CallArg, Signal};
use super::interp::Interp;
use super::resolve::{foreign, nearest};
use super::value::{Fault, Value};

pub use args::Args;

/// A function of the engine.
pub struct Builtin {
    /// `softmax`, or `list.push` for a method of one kind of value.
    pub name: &'static str,
    /// `softmax(x: tensor, dim: int = -1) -> tensor`: what may be given, and how `tl doc` shows it.
    pub signature: &'static str,
    /// `tensor`, `math`, `nn`, `sampling`, `model`, `system`.
    pub section: &'static str,
    pub doc: &'static str,
    pub run: Run,
}

/// How a builtin is run.
#[derive(Clone, Copy)]
pub enum Run {
    Call(fn(&mut Interp, Args) -> Outcome),
    /// Of its arguments alone.
    Text(fn(&Args) -> Outcome),
    /// A method that changes what it is called on, which is not among its arguments.
    Change(Change),
}

pub type Change = fn(&mut Interp, &mut Value, Args) -> Outcome;

pub type Outcome = Result<Value, Failure>;

/// Why a builtin has no value.
pub enum Failure {
    /// At the call.
    Fault(Fault),
    /// At an argument.
    At(Fault, Span),
    /// From a function that the builtin called.
    Signal(Signal),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Fault(fault)
    }
}

impl From<Signal> for Failure {
    fn from(signal: Signal) -> Failure {
        Failure::Signal(signal)
    }
}

/// A parameter, as the signature says.
pub struct Parameter {
    pub name: &'static str,
    pub is_optional: bool,
    /// Takes all further positional arguments.
    pub is_rest: bool,
    /// `x: tensor = none`: `none` leaves it out.
    pub takes_none: bool,
}

impl Builtin {
    pub fn parameter(&self, name: &str) -> Option<usize> {
        self.parameters().iter().position(|p| p.name == name)
    }

    /// The parameters that the signature lists.
    pub fn parameters(&self) -> &'static [Parameter] {
        static ALL: OnceLock<HashMap<&'static str, Vec<Parameter>>> = OnceLock::new();
        let all = ALL.get_or_init(|| table().map(|b| (b.name, parse_parameters(b.signature))).collect());
        all.get(self.name).map_or(&[], Vec::as_slice)
    }

    /// How it is written: `softmax(x: tensor, dim: int = -1) -> tensor`, and a method behind what it is called on: `model.forward(tokens: …)`.
    pub fn shown(&self) -> String {
        let Some((kind, _)) = self.name.split_once('.') else { return self.signature.to_owned() };
        let kind = kind.to_lowercase();
        let Some((name, rest)) = self.signature.split_once('(') else { return self.signature.to_owned() };
        if matches!(self.run, Run::Change(_)) {
            return format!("{kind}.{name}({rest}");
        }
        // The first parameter is what stands before the dot.
        let first = parse_parameters(self.signature).len().min(1);
        let rest = match rest.find([',', ')']) {
            Some(end) if first == 1 => rest[end..].trim_start_matches(',').trim_start(),
            _ => rest,
        };
        format!("{kind}.{name}({rest}")
    }

    /// The name without the kind of value it is a method of.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }
}

fn parse_parameters(signature: &'static str) -> Vec<Parameter> {
    let inside = signature.split_once('(').map_or("", |(_, rest)| rest);
    let mut depth = 0usize;
    let end = inside
        .char_indices()
        .find(|(_, c)| {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' if depth > 0 => depth -= 1,
                ')' => return true,
                _ => {}
            }
            false
        })
        .map_or(inside.len(), |(i, _)| i);
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (i, c) in inside[..end].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&inside[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..end]);
    parts
        .into_iter()
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .map(|part| {
            let is_rest = part.starts_with("...");
            let name = part.trim_start_matches('.').split([':', '=']).next().unwrap_or("").trim();
            let takes_none = part.split_once('=').is_some_and(|(_, default)| default.trim() == "none");
            Parameter { name, is_optional: is_rest || part.contains('='), is_rest, takes_none }
        })
        .collect()
}

/// Every builtin, by section.
pub fn table() -> impl Iterator<Item = &'static Builtin> {
    [
        creation::BUILTINS,
        shape::BUILTINS,
        indexing::BUILTINS,
        reductions::BUILTINS,
        elementwise::BUILTINS,
        neural::BUILTINS,
        rotation::BUILTINS,
        sampling::BUILTINS,
        models::BUILTINS,
        chat::BUILTINS,
        files::BUILTINS,
        collections::BUILTINS,
        strings::BUILTINS,
        system::BUILTINS,
    ]
    .into_iter()
    .flatten()
}

/// A function by its name. Methods of one kind of value are found by [`method`].
pub fn find(name: &str) -> Option<&'static Builtin> {
    static BY_NAME: OnceLock<HashMap<&'static str, &'static Builtin>> = OnceLock::new();
    BY_NAME.get_or_init(|| table().map(|b| (b.name, b)).collect()).get(name).copied().filter(|_| !name.contains('.'))
}

/// The names of all functions, without methods.
pub fn names() -> impl Iterator<Item = &'static str> {
    table().map(|b| b.name).filter(|n| !n.contains('.'))
}

/// A method that only this kind of value has.
pub fn method(value: &Value, name: &str) -> Option<&'static Builtin> {
    let kind = kind(value)?;
    table().find(|b| b.name.split_once('.').is_some_and(|(k, n)| k == kind && n == name))
}

/// Methods of this name, of any kind of value.
pub fn methods_named(name: &str) -> impl Iterator<Item = &'static Builtin> {
    table().filter(move |b| b.name.split_once('.').is_some_and(|(_, n)| n == name))
}

/// The methods that only this kind of value has.
pub fn method_names(value: &Value) -> impl Iterator<Item = &'static str> {
    let kind = kind(value).unwrap_or("no kind");
    table().filter_map(|b| b.name.split_once('.')).filter(move |(k, _)| *k == kind).map(|(_, n)| n)
}

fn kind(value: &Value) -> Option<&'static str> {
    Some(match value {
        Value::List(_) => "list",
        Value::Str(_) | Value::Prompt(_) => "string",
        Value::Model(_) => "Model",
        Value::Layer(_) => "Layer",
        Value::Config(_) => "Config",
        Value::Cache(_) => "Cache",
        Value::Chat(_) => "Chat",
        _ => return None,
    })
}

/// Sorts a call's arguments into a builtin's parameters.
pub fn bind(builtin: &'static Builtin, args: Vec<CallArg>, span: Span) -> Result<Args, Signal> {
    let parameters = builtin.parameters();
    let name = builtin.short_name();
    let mut slots: Vec<Option<(Value, Span)>> = parameters.iter().map(|_| None).collect();
    let mut rest = Vec::new();
    let n_args = args.len();
    for (i, arg) in args.into_iter().enumerate() {
        if arg.lent.is_some() {
            return Err(Diagnostic::error(format!("`{name}` changes none of its arguments")).at(arg.span).hint("remove `mut`").into());
        }
        let at = match &arg.name {
            Some((given, given_span)) => match parameters.iter().position(|p| *p.name == **given && !p.is_rest) {
                Some(at) => at,
                None => {
                    let mut error = Diagnostic::error(format!("`{name}` has no argument `{given}`")).at(*given_span);
                    let known = foreign::argument(given).filter(|n| parameters.iter().any(|p| p.name == *n));
                    if let Some(known) = known {
                        error = error.hint(format!("write `{known}: …`"));
                    } else if let Some(near) = nearest(given, parameters.iter().map(|p| p.name)) {
                        error = error.hint(format!("did you mean `{near}`?"));
                    }
                    return Err(error.hint(format!("it is `{}`", builtin.shown())).into());
                }
            },
            None => match parameters.iter().position(|p| p.is_rest) {
                Some(from) if i >= from => {
                    rest.push((arg.value, arg.span));
                    continue;
                }
                _ => i,
            },
        };
        match slots.get_mut(at) {
            None => {
                let error = Diagnostic::error(format!("`{name}` takes at most {} arguments, not {n_args}", parameters.len())).at(span);
                return Err(error.hint(format!("it is `{}`", builtin.shown())).into());
            }
            Some(Some(_)) => {
                return Err(Diagnostic::error(format!("argument `{}` of `{name}` is given twice", parameters[at].name))
                    .at(arg.span)
                    .into());
            }
            // What is left out and `none` are one where the signature says so.
            Some(_) if parameters[at].takes_none && matches!(arg.value, Value::Unit) => {}
            Some(slot) => *slot = Some((arg.value, arg.span)),
        }
    }
    if let Some(missing) = parameters.iter().zip(&slots).find(|(p, s)| s.is_none() && !p.is_optional) {
        let error = Diagnostic::error(format!("argument `{}` of `{name}` is missing", missing.0.name)).at(span);
        return Err(error.hint(format!("it is `{}`", builtin.shown())).into());
    }
    Ok(Args { slots, rest, span })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_say_what_a_call_may_give() {
        let parameters = parse_parameters("f(x: tensor, shape: (int, int), ...parts, eps: float = 1e-5) -> tensor");
        let shown: Vec<_> = parameters.iter().map(|p| (p.name, p.is_optional, p.is_rest)).collect();
        assert_eq!(shown, [("x", false, false), ("shape", false, false), ("parts", true, true), ("eps", true, false)]);
    }

    #[test]
    fn every_entry_is_documented_once() {
        let mut seen = std::collections::HashSet::new();
        for builtin in table() {
            assert!(seen.insert(builtin.name), "{} stands twice", builtin.name);
            assert!(!builtin.doc.is_empty() && builtin.signature.starts_with(builtin.short_name()), "{}", builtin.name);
        }
    }
}
