//! The instructions of a template, rewritten so that each step that makes a value asks the budget.
//!
//! minijinja counts instructions only. It compiles a template to instructions that its `unstable_machinery` lets one read and replace: those
//! whose result can be larger than what they work on become calls of functions of ours, which spend the result's size and, where one step
//! alone could exceed the budget, estimate that size before.

use minijinja::machinery::{Instruction, Instructions};
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::limits::{Budget, ITEM_BYTES, size};
use super::python;

const ADD: &str = "guard:add";
const MUL: &str = "guard:mul";
const CONCAT: &str = "guard:concat";
const SLICE: &str = "guard:slice";
const MADE: &str = "guard:made";
const STORED: &str = "guard:stored";
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

/// The instructions with each that makes a value asking the budget, through the functions that `install` defines.
pub fn guard<'s>(mut instructions: Instructions<'s>) -> Instructions<'s> {
    let mut guarded = Instructions::new(instructions.name(), instructions.source());
    let n = instructions.len() as u32;
    // The new place of each instruction, and of the end.
    let mut places = Vec::with_capacity(n as usize + 1);
    for i in 0..n {
        places.push(guarded.len() as u32);
        let line = instructions.get_line(i).and_then(|line| u16::try_from(line).ok()).unwrap_or(0);
        let Some(slot) = instructions.get_mut(i) else { continue };
        let instruction = std::mem::replace(slot, Instruction::DiscardTop);
        for instruction in replacement(instruction) {
            guarded.add_with_line(instruction, line);
        }
    }
    places.push(guarded.len() as u32);
    for i in 0..guarded.len() as u32 {
        if let Some(
            Instruction::Iterate(target)
            | Instruction::Jump(target)
            | Instruction::JumpIfFalse(target)
            | Instruction::JumpIfFalseOrPop(target)
            | Instruction::JumpIfTrueOrPop(target)
            | Instruction::BuildMacro(_, target, _),
        ) = guarded.get_mut(i)
        {
            *target = places.get(*target as usize).copied().unwrap_or(*target);
        }
    }
    guarded
}

fn replacement<'s>(instruction: Instruction<'s>) -> Vec<Instruction<'s>> {
    let call = |function, n_args| Instruction::CallFunction(function, Some(n_args));
    match instruction {
        // Text between tags goes through the formatter, which counts it, as values do.
        Instruction::EmitRaw(text) => vec![Instruction::LoadConst(Value::from(text)), Instruction::Emit],
        Instruction::Add => vec![call(ADD, 2)],
        Instruction::Mul => vec![call(MUL, 2)],
        Instruction::StringConcat => vec![call(CONCAT, 2)],
        // minijinja 2.24 panics when it reverses what is empty, as `messages[:0][::-1]`.
        Instruction::Slice => vec![call(SLICE, 4)],
        Instruction::ApplyFilter(name, n_args, local) => match FILTERS.iter().find(|(filter, _)| *filter == name) {
            Some((_, function)) => vec![Instruction::CallFunction(function, n_args)],
            None => vec![Instruction::ApplyFilter(name, n_args, local), call(MADE, 1)],
        },
        // Its items are numbers, and minijinja bounds how many.
        range @ Instruction::CallFunction("range", _) => vec![range],
        made @ (Instruction::BuildList(_) | Instruction::BuildMap(_) | Instruction::CallFunction(..) | Instruction::CallMethod(..)) => {
            vec![made, call(MADE, 1)]
        }
        // The value lies below the namespace.
        Instruction::SetAttr(name) => vec![Instruction::Swap, call(STORED, 1), Instruction::Swap, Instruction::SetAttr(name)],
        other => vec![other],
    }
}

pub fn install(env: &mut Environment<'_>, budget: &Budget) {
    let left = budget.clone();
    env.add_function(ADD, move |a: Value, b: Value| add(&a, &b, &left));
    let left = budget.clone();
    env.add_function(MUL, move |a: Value, b: Value| multiply(&a, &b, &left));
    let left = budget.clone();
    env.add_function(CONCAT, move |a: Value, b: Value| {
        let (a, b) = (python::str_of(&a, left.left())?, python::str_of(&b, left.left())?);
        left.spend(a.len() + b.len()).map(|()| Value::from(a + &b))
    });
    let left = budget.clone();
    env.add_function(SLICE, move |value: Value, start: Value, stop: Value, step: Value| slice(&value, [&start, &stop, &step], &left));
    let left = budget.clone();
    env.add_function(MADE, move |value: Value| left.check_held(&value).map(|()| value));
    let left = budget.clone();
    env.add_function(STORED, move |value: Value| left.check_storable(&value).map(|()| value));
    for (_, function) in FILTERS {
        let left = budget.clone();
        env.add_function(function, move |state: &State, args: Rest<Value>| {
            let name = &function[FILTER.len()..];
            before(name, &args, &left)?;
            let made = state.apply_filter(name, &args)?;
            left.spend_value(collected(made, &left)?)
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

/// `value[start:stop:step]`, as Python has it.
fn slice(value: &Value, bounds: [&Value; 3], budget: &Budget) -> Result<Value, Error> {
    let bound = |v: &Value| if v.is_none() { Ok(None) } else { i64::try_from(v.clone()).map(Some) };
    let [start, stop, step] = bounds.map(bound);
    let (start, stop, step) = (start?, stop?, step?.unwrap_or(1));
    if step == 0 {
        return Err(Error::new(ErrorKind::InvalidOperation, "the step of a slice is 0"));
    }
    match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or("");
            budget.spend(text.len())?;
            let chars: Vec<char> = text.chars().collect();
            Ok(Value::from(places(chars.len(), start, stop, step).map(|i| chars[i]).collect::<String>()))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = collect(value.try_iter()?, budget)?;
            Ok(Value::from(places(items.len(), start, stop, step).map(|i| items[i].clone()).collect::<Vec<Value>>()))
        }
        ValueKind::Undefined | ValueKind::None => Ok(Value::from(Vec::<Value>::new())),
        kind => Err(Error::new(ErrorKind::InvalidOperation, format!("{kind} cannot be sliced"))),
    }
}

/// The indices below `len` that a slice takes, in its order.
fn places(len: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> impl Iterator<Item = usize> {
    let len = i128::try_from(len).unwrap_or(0);
    let (step, forward) = (i128::from(step), step > 0);
    // The bounds are clamped to what the direction can reach: one before the first item when it goes backwards.
    let (low, high) = if forward { (0, len) } else { (-1, len - 1) };
    let clamp = |bound: i64| {
        let bound = i128::from(bound);
        (if bound < 0 { bound + len } else { bound }).clamp(low, high)
    };
    let first = start.map_or(if forward { low } else { high }, clamp);
    let end = stop.map_or(if forward { high } else { low }, clamp);
    std::iter::successors(Some(first), move |at| Some(at + step))
        .take_while(move |&at| if forward { at < end } else { at > end })
        .map(|at| at as usize)
}

/// The value with its items in memory. minijinja's filters answer with lists that are made when they are walked, which can be of any length.
fn collected(value: Value, budget: &Budget) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => Ok(Value::from(collect(value.try_iter()?, budget)?)),
        _ => Ok(value),
    }
}

fn collect(items: impl Iterator<Item = Value>, budget: &Budget) -> Result<Vec<Value>, Error> {
    // No capacity is taken from the iterator: what a lazy list says of its length is not to be trusted.
    let mut collected = Vec::new();
    for item in items {
        budget.spend(ITEM_BYTES)?;
        collected.push(item);
    }
    Ok(collected)
}

fn add(a: &Value, b: &Value, budget: &Budget) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        budget.spend(a.len() + b.len())?;
        return Ok(Value::from([a, b].concat()));
    }
    let is_list = |v: &Value| matches!(v.kind(), ValueKind::Seq | ValueKind::Iterable);
    if is_list(a) && is_list(b) {
        return Ok(Value::from(collect(a.try_iter()?.chain(b.try_iter()?), budget)?));
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
        let items = collect(repeated.0.try_iter()?, budget)?;
        budget.spend(items.len().saturating_mul(n).saturating_mul(ITEM_BYTES))?;
        let n_items = items.len() * n;
        return Ok(Value::from(items.into_iter().cycle().take(n_items).collect::<Vec<Value>>()));
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
