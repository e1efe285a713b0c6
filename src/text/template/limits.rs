//! Bounds on what a template from an untrusted file can use.
//!
//! Time: minijinja's fuel, one unit an instruction. Memory: each instruction whose result can be larger than its operands together is turned into
//! a call of a function of ours that adds the result's size to a budget and, where one step alone could exceed it, estimates that size before.
//! Depth: minijinja recurses over nested syntax and nested values, so a rendering has a thread with a large stack of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::machinery::{Instruction, Instructions, Token, WhitespaceConfig, tokenize};
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::{TemplateError, python};

/// The largest template in use has 30 kB.
pub const MAX_SOURCE_BYTES: usize = 256 << 10;
/// Instructions of a rendering, and further ones for each message.
pub const FUEL: u64 = 200_000;
pub const FUEL_PER_MESSAGE: u64 = 2_000;
/// Bytes that a rendering may produce, intermediate texts included, and further ones for each byte of its input.
pub const BUDGET_BYTES: usize = 4 << 20;
pub const BUDGET_PER_INPUT_BYTE: usize = 256;
/// Reserved, and used as far as the nesting goes.
pub const STACK_BYTES: usize = 256 << 20;
/// Of one tag, which bounds how deep its expression nests.
const MAX_TAG_TOKENS: usize = 20_000;
/// A list holds this many bytes for each item.
const ITEM_BYTES: usize = 32;

/// What is left of the bytes. Shared by all functions of one rendering.
#[derive(Clone)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub fn new(bytes: usize) -> Budget {
        Budget(Arc::new(AtomicUsize::new(bytes)))
    }

    pub fn spend(&self, bytes: usize) -> Result<(), Error> {
        let left = self.0.load(Ordering::Relaxed);
        if bytes > left {
            return Err(Error::new(ErrorKind::OutOfFuel, "produces too much text"));
        }
        self.0.store(left - bytes, Ordering::Relaxed);
        Ok(())
    }

    fn spend_value(&self, value: Value) -> Result<Value, Error> {
        self.spend(size(&value)).map(|()| value)
    }
}

fn size(value: &Value) -> usize {
    match value.kind() {
        ValueKind::String => value.as_str().map_or(0, str::len),
        _ => value.len().unwrap_or(0).saturating_mul(ITEM_BYTES),
    }
}

/// Refuses a template whose constant expressions the compiler would have to expand, or whose tags are endless. Returns the length of the
/// longest text between tags, which `fuel` needs.
pub fn check_source(source: &str, whitespace: WhitespaceConfig) -> Result<usize, TemplateError> {
    let mut longest_text = 0;
    let (mut n_tokens, mut n_repeats, mut has_text, mut largest) = (0, 0, false, 0);
    for token in tokenize(source, false, Default::default(), whitespace) {
        let (token, _) = token.map_err(|e| TemplateError::Syntax(e.to_string()))?;
        match token {
            Token::TemplateData(text) => longest_text = longest_text.max(text.len()),
            Token::VariableStart | Token::BlockStart => (n_tokens, n_repeats, has_text, largest) = (0, 0, false, 0),
            Token::Str(_) | Token::String(_) | Token::BracketOpen => has_text = true,
            Token::Mul | Token::Pow => n_repeats += 1,
            Token::Int(n) => largest = largest.max(n),
            Token::Int128(_) => largest = u64::MAX,
            _ => {}
        }
        n_tokens += 1;
        if n_tokens > MAX_TAG_TOKENS {
            return Err(TemplateError::Limit(format!("has a tag of more than {MAX_TAG_TOKENS} words")));
        }
        // Repeating a constant happens at compile time, before there is a budget.
        if has_text && n_repeats > 0 && (n_repeats > 1 || largest > 100) {
            return Err(TemplateError::Limit("repeats a text or list more than 100 times in one tag".to_string()));
        }
    }
    Ok(longest_text)
}

/// The instructions a rendering may run. Text between tags is written without a function of ours, so each instruction could write the longest of
/// them: what they may write together bounds the fuel as well, at no less than a straight pass through the template needs.
pub fn fuel(n_messages: usize, longest_text: usize, budget_bytes: usize) -> u64 {
    let fuel = FUEL + FUEL_PER_MESSAGE * n_messages as u64;
    let by_text = (16 * budget_bytes / longest_text.max(1)) as u64;
    fuel.min(by_text.max(20_000 + FUEL_PER_MESSAGE * n_messages as u64))
}

const ADD: &str = "guard:add";
const MUL: &str = "guard:mul";
const CONCAT: &str = "guard:concat";
const FILTER: &str = "guard:filter:";

/// minijinja's filters with results that can be large, each with the name of the function that takes its place.
const FILTERS: [(&str, &str); 36] = [
    ("batch", "guard:filter:batch"),
    ("capitalize", "guard:filter:capitalize"),
    ("chain", "guard:filter:chain"),
    ("dictsort", "guard:filter:dictsort"),
    ("e", "guard:filter:e"),
    ("escape", "guard:filter:escape"),
    ("format", "guard:filter:format"),
    ("groupby", "guard:filter:groupby"),
    ("indent", "guard:filter:indent"),
    ("items", "guard:filter:items"),
    ("join", "guard:filter:join"),
    ("lines", "guard:filter:lines"),
    ("list", "guard:filter:list"),
    ("lower", "guard:filter:lower"),
    ("map", "guard:filter:map"),
    ("pprint", "guard:filter:pprint"),
    ("reject", "guard:filter:reject"),
    ("rejectattr", "guard:filter:rejectattr"),
    ("replace", "guard:filter:replace"),
    ("reverse", "guard:filter:reverse"),
    ("safe", "guard:filter:safe"),
    ("select", "guard:filter:select"),
    ("selectattr", "guard:filter:selectattr"),
    ("slice", "guard:filter:slice"),
    ("sort", "guard:filter:sort"),
    ("split", "guard:filter:split"),
    ("string", "guard:filter:string"),
    ("strip", "guard:filter:strip"),
    ("sum", "guard:filter:sum"),
    ("title", "guard:filter:title"),
    ("tojson", "guard:filter:tojson"),
    ("trim", "guard:filter:trim"),
    ("unique", "guard:filter:unique"),
    ("upper", "guard:filter:upper"),
    ("urlencode", "guard:filter:urlencode"),
    ("zip", "guard:filter:zip"),
];

/// Turns the instructions that can grow values into calls of the functions that `install` defines.
pub fn guard(instructions: &mut Instructions<'_>) {
    for i in 0..instructions.len() as u32 {
        let Some(instruction) = instructions.get_mut(i) else { continue };
        let call = match instruction {
            Instruction::Add => Instruction::CallFunction(ADD, Some(2)),
            Instruction::Mul => Instruction::CallFunction(MUL, Some(2)),
            Instruction::StringConcat => Instruction::CallFunction(CONCAT, Some(2)),
            Instruction::ApplyFilter(name, n_args, _) => match FILTERS.iter().find(|(filter, _)| filter == name) {
                Some((_, function)) => Instruction::CallFunction(function, *n_args),
                None => continue,
            },
            _ => continue,
        };
        *instruction = call;
    }
}

pub fn install(env: &mut Environment<'_>, budget: &Budget) {
    let left = budget.clone();
    env.add_function(ADD, move |a: Value, b: Value| add(&a, &b, &left));
    let left = budget.clone();
    env.add_function(MUL, move |a: Value, b: Value| multiply(&a, &b, &left));
    let left = budget.clone();
    env.add_function(CONCAT, move |a: Value, b: Value| {
        let (a, b) = (python::str_of(&a), python::str_of(&b));
        left.spend(a.len() + b.len()).map(|()| Value::from(a + &b))
    });
    for (_, function) in FILTERS {
        let left = budget.clone();
        env.add_function(function, move |state: &State, args: Rest<Value>| {
            let name = &function[FILTER.len()..];
            before(name, &args, &left)?;
            left.spend_value(state.apply_filter(name, &args)?)
        });
    }
}

/// Spends, before a filter or a method `name` runs on `args`, what it may make of them beyond a small multiple of their size.
pub fn before(name: &str, args: &[Value], budget: &Budget) -> Result<(), Error> {
    let text = |i: usize| args.get(i).and_then(|v| v.as_str()).unwrap_or("");
    let n_items = |i: usize| args.get(i).and_then(Value::len).unwrap_or(0);
    match name {
        "replace" => {
            let (from, to) = (text(1), text(2));
            let n_matches = if from.is_empty() { text(0).len() + 1 } else { text(0).len() / from.len() };
            budget.spend(if to.len() > from.len() { n_matches.saturating_mul(to.len()) } else { 0 })
        }
        // As a filter the list comes first, as a method the separator does.
        "join" => {
            let (list, separator) = if text(0).is_empty() { (0, 1) } else { (1, 0) };
            let items = args.get(list).and_then(|v| v.try_iter().ok());
            budget.spend(items.into_iter().flatten().map(|item| size(&item)).fold(0, usize::saturating_add))?;
            budget.spend(n_items(list).saturating_mul(text(separator).len()))
        }
        "split" | "rsplit" | "lines" | "splitlines" | "list" | "sort" | "unique" | "reverse" => {
            let parts = match text(1) {
                "" => text(0).len() / 2,
                separator => text(0).matches(separator).count(),
            };
            budget.spend(parts.saturating_mul(ITEM_BYTES))
        }
        "indent" | "batch" | "slice" | "ljust" | "rjust" | "center" | "zfill" => {
            let width = args.iter().skip(1).filter_map(|v| usize::try_from(v.clone()).ok()).max().unwrap_or(0);
            budget.spend(width.saturating_mul(text(0).lines().count().max(n_items(0).min(1)).max(1)))
        }
        // A width in a format can ask for any amount of padding.
        "format" => {
            let wide = text(0).contains('*') || text(0).split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 3);
            if wide { Err(Error::new(ErrorKind::InvalidOperation, "a width in a format has more than 3 digits")) } else { Ok(()) }
        }
        "map" if matches!(text(1), "replace" | "join" | "indent" | "batch" | "slice" | "format") => {
            Err(Error::new(ErrorKind::InvalidOperation, format!("`map` with the filter `{}` is not supported", text(1))))
        }
        _ => Ok(()),
    }
}

fn add(a: &Value, b: &Value, budget: &Budget) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        budget.spend(a.len() + b.len())?;
        return Ok(Value::from([a, b].concat()));
    }
    let is_list = |v: &Value| matches!(v.kind(), ValueKind::Seq | ValueKind::Iterable);
    if is_list(a) && is_list(b) {
        budget.spend(size(a) + size(b))?;
        return Ok(Value::from_iter(a.try_iter()?.chain(b.try_iter()?)));
    }
    arithmetic("+", a, b, i128::checked_add, |a, b| a + b)
}

fn multiply(a: &Value, b: &Value, budget: &Budget) -> Result<Value, Error> {
    let repeated = if a.is_integer() { (b, a) } else { (a, b) };
    if let (Some(text), true) = (repeated.0.as_str(), repeated.1.is_integer()) {
        let n = usize::try_from(repeated.1.clone()).unwrap_or(0);
        budget.spend(text.len().saturating_mul(n))?;
        return Ok(Value::from(text.repeat(n)));
    }
    if repeated.0.kind() == ValueKind::Seq && repeated.1.is_integer() {
        let n = usize::try_from(repeated.1.clone()).unwrap_or(0);
        budget.spend(size(repeated.0).max(1).saturating_mul(n))?;
        let items: Vec<Value> = repeated.0.try_iter()?.collect();
        return Ok(Value::from_iter(items.iter().cycle().take(items.len() * n).cloned()));
    }
    arithmetic("*", a, b, i128::checked_mul, |a, b| a * b)
}

fn arithmetic(op: &str, a: &Value, b: &Value, exact: fn(i128, i128) -> Option<i128>, float: fn(f64, f64) -> f64) -> Result<Value, Error> {
    let fails = || Error::new(ErrorKind::InvalidOperation, format!("cannot compute {} {op} {}", a.kind(), b.kind()));
    let is_number = |v: &Value| matches!(v.kind(), ValueKind::Number | ValueKind::Bool);
    if !is_number(a) || !is_number(b) {
        return Err(fails());
    }
    let integer = |v: &Value| match v.kind() {
        ValueKind::Bool => Some(i128::from(v.is_true())),
        _ if v.is_integer() => i128::try_from(v.clone()).ok(),
        _ => None,
    };
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => exact(a, b).map(Value::from).ok_or_else(fails),
        _ => {
            let number = |v: &Value| integer(v).map_or_else(|| f64::try_from(v.clone()), |n| Ok(n as f64));
            Ok(Value::from(float(number(a)?, number(b)?)))
        }
    }
}
