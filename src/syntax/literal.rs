//! The values of literal tokens.

use crate::diag::Diagnostic;
use crate::source::Span;

/// The value of an integer token: decimal or `0x…`, with `_` between digits.
pub fn int_value(text: &str, span: Span) -> Result<i64, Diagnostic> {
    let digits: String = text.chars().filter(|ch| *ch != '_').collect();
    let hexadecimal = digits.strip_prefix("0x");
    if let Some(digits) = hexadecimal
        && (digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        let error = Diagnostic::error(format!("`{text}` is no hexadecimal number")).at(span);
        return Err(error.hint("its digits are 0 to 9 and a to f: `0x1f`"));
    }
    let value = match hexadecimal {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    value.map_err(|_| {
        let error = Diagnostic::error(format!("integer {text} does not fit in 64 bits: the largest is {}", i64::MAX)).at(span);
        error.hint("write it as a float, with a dot or an exponent")
    })
}

/// The value of a float token, rounded to the nearest f64. One too large is an error: there is no literal for infinity.
pub fn float_value(text: &str, span: Span) -> Result<f64, Diagnostic> {
    let digits: String = text.chars().filter(|ch| *ch != '_').collect();
    match digits.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(Diagnostic::error(format!("float {text} is out of range: the largest is {:e}", f64::MAX)).at(span)),
    }
}

/// The value of a string token with its quotes. A wrong escape is reported and stands for itself.
pub fn string_value(text: &str, span: Span, diagnostics: &mut Vec<Diagnostic>) -> String {
    let inner = text.strip_prefix('"').unwrap_or(text);
    let mut value = String::with_capacity(inner.len());
    let mut rest = inner.char_indices().peekable();
    while let Some((at, ch)) = rest.next() {
        if ch == '"' {
            break;
        }
        if ch != '\\' {
            value.push(ch);
            continue;
        }
        let plain = match rest.next().map(|(_, ch)| ch) {
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('r') => Some('\r'),
            Some('0') => Some('\0'),
            Some('u') => code_point(inner, &mut rest),
            Some(quoted @ ('"' | '\\' | '\'')) => Some(quoted),
            _ => None,
        };
        if let Some(plain) = plain {
            value.push(plain);
            continue;
        }
        let end = rest.peek().map_or(inner.len(), |(at, _)| *at);
        let escape = &inner[at..end];
        value.push_str(escape);
        // The opening quote is the byte before `inner`.
        let place = Span { start: span.start + 1 + at as u32, end: span.start + 1 + end as u32, ..span };
        let error = Diagnostic::error(format!("unknown escape `{escape}` in a string")).at(place);
        diagnostics.push(error.hint(r#"one of `\n` `\t` `\r` `\0` `\"` `\\` `\u{1f600}`; a backslash itself is `\\`"#));
    }
    value
}

/// The character of `{1f600}` after `\u`; `None` where that is no code point.
fn code_point(text: &str, rest: &mut std::iter::Peekable<std::str::CharIndices<'_>>) -> Option<char> {
    let (open, _) = rest.next_if(|(_, ch)| *ch == '{')?;
    while rest.next_if(|(_, ch)| ch.is_ascii_hexdigit()).is_some() {}
    let (close, _) = rest.next_if(|(_, ch)| *ch == '}')?;
    u32::from_str_radix(&text[open + 1..close], 16).ok().and_then(char::from_u32)
}
