//! Lists, ranges and what all collections share.

use std::sync::Arc;

use crate::lang::eval::{CallArg, Frame, check_items, check_text};
use crate::lang::interp::Interp;
use crate::lang::value::{Fault, IntRange, Items, Value};

use super::args::Args;
use super::{Builtin, Failure, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "len",
        signature: "len(x) -> int",
        section: "system",
        doc: "Items of a list, a tuple or a range, characters of a string, the first dimension of a tensor.",
        run: Run::Call(|interp, args| {
            let at = args.at(0);
            if let Value::Tensor(x) = args.value(0)
                && x.shape().rank() > 0
            {
                return Ok(interp.session.size(&x, 0));
            }
            let n = interp.n_items(&args.value(0), at)?;
            Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
        }),
    },
    Builtin {
        name: "range",
        signature: "range(start: int, end: int =, step: int = 1) -> range",
        section: "system",
        doc: "`0..n` of one argument, `start..end` of two; by `step`, which may be negative.",
        run: Run::Call(range),
    },
    Builtin {
        name: "list",
        signature: "list(x =) -> list",
        section: "system",
        doc: "The items of a range, a tuple, a string or a tensor, as a list.",
        run: Run::Call(|interp, args| {
            if !args.is_given(0) {
                return Ok(Value::list(Vec::new()));
            }
            let items = all_items(interp, &args, 0)?;
            Ok(Value::list(items))
        }),
    },
    Builtin {
        name: "enumerate",
        signature: "enumerate(x) -> list",
        section: "system",
        doc: "Pairs (0, first), (1, second), …",
        run: Run::Call(|interp, args| {
            let items = all_items(interp, &args, 0)?;
            Ok(Value::list(items.into_iter().enumerate().map(|(i, v)| Value::tuple(vec![Value::Int(i as i64), v])).collect()))
        }),
    },
    Builtin {
        name: "zip",
        signature: "zip(a, b) -> list",
        section: "system",
        doc: "Pairs of the items of both, as many as the shorter has.",
        run: Run::Call(|interp, args| {
            let (a, b) = (all_items(interp, &args, 0)?, all_items(interp, &args, 1)?);
            Ok(Value::list(a.into_iter().zip(b).map(|(a, b)| Value::tuple(vec![a, b])).collect()))
        }),
    },
    Builtin {
        name: "map",
        signature: "map(x, f: fn) -> list",
        section: "system",
        doc: "`f` of each item.",
        run: Run::Call(|interp, args| {
            let items = all_items(interp, &args, 0)?;
            let mut out = Vec::with_capacity(items.len());
            for item in items {
                out.push(call(interp, &args, 1, vec![item])?);
            }
            Ok(Value::list(out))
        }),
    },
    Builtin {
        name: "filter",
        signature: "filter(x, f: fn) -> list",
        section: "system",
        doc: "The items of which `f` is true.",
        run: Run::Call(|interp, args| {
            let items = all_items(interp, &args, 0)?;
            let mut out = Vec::new();
            for item in items {
                let keep = call(interp, &args, 1, vec![item.clone()])?;
                if interp.truth(&keep).map_err(|f| args.fail(1, f))? {
                    out.push(item);
                }
            }
            Ok(Value::list(out))
        }),
    },
    Builtin {
        name: "list.push",
        signature: "push(item)",
        section: "system",
        doc: "Adds an item at the end of the list.",
        run: Run::Change(|_, list, mut args| {
            let items = items_mut(list)?;
            check_items(items.len() + 1)?;
            items.push(args.take(0));
            Ok(Value::Unit)
        }),
    },
    Builtin {
        name: "list.pop",
        signature: "pop() -> value",
        section: "system",
        doc: "Takes the last item off the list.",
        run: Run::Change(|_, list, _| items_mut(list)?.pop().ok_or_else(|| Failure::Fault(Fault::new("the list is empty")))),
    },
    Builtin {
        name: "list.insert",
        signature: "insert(at: int, item)",
        section: "system",
        doc: "Puts an item before position `at`.",
        run: Run::Change(|interp, list, mut args| {
            let at = args.count(interp, 0)?;
            let items = items_mut(list)?;
            if at > items.len() {
                return Err(args.fail(0, Fault::new(format!("position {at} is past the end of {} items", items.len()))));
            }
            items.insert(at, args.take(1));
            Ok(Value::Unit)
        }),
    },
    Builtin {
        name: "list.remove",
        signature: "remove(at: int) -> value",
        section: "system",
        doc: "Takes the item at a position out of the list.",
        run: Run::Change(|interp, list, args| {
            let at = args.count(interp, 0)?;
            let items = items_mut(list)?;
            if at >= items.len() {
                return Err(args.fail(0, Fault::new(format!("position {at} is past the end of {} items", items.len()))));
            }
            Ok(items.remove(at))
        }),
    },
    Builtin {
        name: "list.contains",
        signature: "contains(x: list, item) -> bool",
        section: "system",
        doc: "Whether an item of the list equals `item`.",
        run: Run::Call(|interp, args| {
            let items = all_items(interp, &args, 0)?;
            for item in items {
                if interp.equal(&item, &args.value(1))? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }),
    },
    Builtin {
        name: "list.join",
        signature: "join(x: list, separator: string = \"\") -> string",
        section: "system",
        doc: "The texts of the items with the separator between them.",
        run: Run::Call(|interp, args| {
            let separator = if args.is_given(1) { args.str(1)? } else { "".into() };
            let (mut texts, mut len) = (Vec::new(), 0);
            for item in all_items(interp, &args, 0)? {
                let text = interp.text(&item)?;
                len += text.len() + separator.len();
                check_text(len)?;
                texts.push(text);
            }
            Ok(Value::str(&texts.join(&separator)))
        }),
    },
    Builtin {
        name: "list.reverse",
        signature: "reverse(x: list) -> list",
        section: "system",
        doc: "The items from the last to the first.",
        run: Run::Call(|interp, args| {
            let mut items = all_items(interp, &args, 0)?;
            items.reverse();
            Ok(Value::list(items))
        }),
    },
];

/// A collection larger than this is not made into a list.
const ITEMS_MAX: u64 = 1 << 24;

fn range(interp: &mut Interp, args: Args) -> Outcome {
    let first = args.int(interp, 0)?;
    let (start, end) = if args.is_given(1) { (first, args.int(interp, 1)?) } else { (0, first) };
    let step = args.int_or(interp, 2, 1)?;
    // The negation of the step is needed to count downwards.
    if step == 0 || step == i64::MIN {
        return Err(args.fail(2, Fault::new(format!("a range cannot go by {step}"))));
    }
    Ok(Value::Range(IntRange { start, end, step }))
}

fn all_items(interp: &mut Interp, args: &Args, i: usize) -> Result<Vec<Value>, Failure> {
    let over = args.value(i);
    if let Value::List(items) | Value::Tuple(items) = &over {
        return Ok(items.0.clone());
    }
    if let Value::Str(text) = &over {
        return Ok(text.chars().map(|c| Value::str(&c.to_string())).collect());
    }
    let at = args.at(i);
    let n = interp.n_items(&over, at)?;
    if n > ITEMS_MAX {
        return Err(args.fail(i, Fault::new(format!("{n} items are too many for a list"))));
    }
    let mut items = Vec::with_capacity(n as usize);
    for k in 0..n {
        items.push(interp.item(&over, k, at)?);
    }
    Ok(items)
}

fn call(interp: &mut Interp, args: &Args, i: usize, values: Vec<Value>) -> Outcome {
    let at = args.at(i);
    let given = values.into_iter().map(|v| CallArg::positional(v, at)).collect();
    Ok(interp.call_value(&Frame::new(0, None), &args.value(i), given, args.span, at)?)
}

fn items_mut(list: &mut Value) -> Result<&mut Vec<Value>, Failure> {
    match list {
        Value::List(items) => Ok(&mut Arc::<Items>::make_mut(items).0),
        other => Err(Failure::Fault(Fault::new(format!("a list is needed here, not {}", other.type_name())))),
    }
}
