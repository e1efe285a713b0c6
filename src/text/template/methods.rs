//! Python's methods on strings, lists and dicts, within the budget.

use minijinja::value::from_args;
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::guard;
use super::limits::Budget;

pub fn call(budget: &Budget, state: &State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let all: Vec<Value> = std::iter::once(value).chain(args).cloned().collect();
    guard::before(method, &all, budget)?;
    let result = match value.as_str().map(|text| string_method(text, method, args)) {
        Some(Some(result)) => result,
        _ => unknown_method_callback(state, value, method, args),
    }?;
    budget.spend_value(result)
}

/// Methods that templates use and `pycompat` lacks.
fn string_method(text: &str, method: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    let affix = || -> Result<&str, Error> { from_args::<(&str,)>(args).map(|(affix,)| affix) };
    let list = |parts: [&str; 3]| Value::from_iter(parts.map(Value::from));
    Some(match method {
        "removeprefix" => affix().map(|affix| Value::from(text.strip_prefix(affix).unwrap_or(text))),
        "removesuffix" => affix().map(|affix| Value::from(text.strip_suffix(affix).unwrap_or(text))),
        "partition" => affix().map(|affix| match text.split_once(affix) {
            Some((before, after)) => list([before, affix, after]),
            None => list([text, "", ""]),
        }),
        "rpartition" => affix().map(|affix| match text.rsplit_once(affix) {
            Some((before, after)) => list([before, affix, after]),
            None => list(["", "", text]),
        }),
        "rsplit" => from_args::<(&str, Option<usize>)>(args).map(|(separator, limit)| {
            let mut parts: Vec<&str> = match limit {
                Some(limit) => text.rsplitn(limit.saturating_add(1), separator).collect(),
                None => text.rsplit(separator).collect(),
            };
            parts.reverse();
            Value::from_iter(parts.into_iter().map(Value::from))
        }),
        "count" => affix().and_then(|affix| match affix {
            "" => Err(Error::new(ErrorKind::InvalidOperation, "cannot count an empty text")),
            affix => Ok(Value::from(text.matches(affix).count())),
        }),
        _ => return None,
    })
}
