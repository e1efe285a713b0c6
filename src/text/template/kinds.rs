//! The tests of a value's kind (`x is sequence`) that minijinja answers otherwise than jinja2, by which templates were written.

use minijinja::value::ValueKind;
use minijinja::{Environment, Value};

pub fn install(env: &mut Environment<'_>) {
    env.add_test("iterable", |value: &Value| is_sequence(value) || value.kind() == ValueKind::Iterable);
    env.add_test("sequence", is_sequence);
    // In Python a bool is a number, though jinja2 does not call it an integer.
    env.add_test("number", |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool));
}

/// Whatever has a length and items. In jinja2 that is true of an undefined value too, which is empty, and not of `none`.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined)
}
