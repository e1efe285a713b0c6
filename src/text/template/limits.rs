//! Bounds on what a template from an untrusted file can use.
//!
//! Time: minijinja's fuel, one unit an instruction. Memory: `guard` has each step that makes a value ask a `Budget` first. Depth: minijinja
//! recurses over nested syntax and nested values, so both are bounded and a rendering has a thread with a large stack of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::machinery::{Token, WhitespaceConfig, tokenize};
use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::TemplateError;

/// The largest template in use has 30 kB.
pub const MAX_SOURCE_BYTES: usize = 256 << 10;
/// Instructions of a rendering, and further ones for each message.
pub const FUEL: u64 = 200_000;
pub const FUEL_PER_MESSAGE: u64 = 2_000;
/// Bytes that a rendering may produce, intermediate texts included, and further ones for each byte of its input.
pub const BUDGET_BYTES: usize = 4 << 20;
pub const BUDGET_PER_INPUT_BYTE: usize = 256;
/// Stack for values and macros within one another, whatever the template; and for each word of the longest tag, since an expression may nest a
/// level deeper with each. Reserved, and used as far as the nesting goes.
const STACK_BYTES: usize = 32 << 20;
const STACK_BYTES_A_WORD: usize = 12 << 10;
/// Lists and dicts, counted as often as they are reached, in one value; and further ones for each message.
const MAX_NODES: usize = 50_000;
const NODES_PER_MESSAGE: usize = 16;
/// Of lists and dicts in one another.
const MAX_DEPTH: usize = 256;
/// Of one tag, which bounds how deep its expression nests.
const MAX_TAG_TOKENS: usize = 20_000;
/// A list holds this many bytes for each item.
pub const ITEM_BYTES: usize = 32;

/// What one rendering may still use. Shared by all functions of it.
#[derive(Clone)]
pub struct Budget {
    left: Arc<AtomicUsize>,
    total: usize,
    max_nodes: usize,
}

impl Budget {
    pub fn new(input_bytes: usize, n_messages: usize) -> Budget {
        let total = BUDGET_BYTES + BUDGET_PER_INPUT_BYTE * input_bytes;
        Budget { left: Arc::new(AtomicUsize::new(total)), total, max_nodes: MAX_NODES + NODES_PER_MESSAGE * n_messages }
    }

    pub fn spend(&self, bytes: usize) -> Result<(), Error> {
        let left = self.left();
        if bytes > left {
            return Err(too_much());
        }
        self.left.store(left - bytes, Ordering::Relaxed);
        Ok(())
    }

    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Spends the size of a value that was just made, and checks what it holds.
    pub fn spend_value(&self, value: Value) -> Result<Value, Error> {
        self.spend(size(&value))?;
        self.check_held(&value)?;
        Ok(value)
    }

    /// Refuses a container that, written out, would exceed the budget, or that holds a namespace. Values share what they hold, so `[x, x]` sixty
    /// times over is small in memory and endless for all that walks it; and a namespace inside of another could hold itself.
    pub fn check_held(&self, value: &Value) -> Result<(), Error> {
        match value.kind() {
            ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Plain => self.walk().items(value),
            _ => Ok(()),
        }
    }

    /// The same, and the value itself must be no namespace.
    pub fn check_storable(&self, value: &Value) -> Result<(), Error> {
        self.walk().value(value)
    }

    fn walk(&self) -> Walk {
        Walk { nodes: self.max_nodes, bytes: self.total, depth: MAX_DEPTH }
    }
}

struct Walk {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Walk {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        match value.kind() {
            ValueKind::String => {
                self.bytes = self.bytes.checked_sub(value.as_str().map_or(0, str::len)).ok_or_else(too_much)?;
                Ok(())
            }
            _ if is_namespace(value) => Err(Error::new(ErrorKind::InvalidOperation, "a namespace cannot be held by another value")),
            ValueKind::Seq | ValueKind::Map => self.items(value),
            _ => Ok(()),
        }
    }

    fn items(&mut self, value: &Value) -> Result<(), Error> {
        // What iterates only once or lazily is walked when something is made of it.
        if value.len().is_none() {
            return Ok(());
        }
        self.depth = self.depth.checked_sub(1).ok_or_else(too_much)?;
        let is_map = value.kind() == ValueKind::Map;
        for item in value.try_iter()? {
            self.nodes = self.nodes.checked_sub(1).ok_or_else(too_much)?;
            if is_map {
                self.value(&value.get_item(&item)?)?;
            }
            self.value(&item)?;
        }
        self.depth += 1;
        Ok(())
    }
}

fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

pub fn too_much() -> Error {
    Error::new(ErrorKind::OutOfFuel, "produces too much text")
}

/// A text's bytes, or what a list of so many items takes.
pub fn size(value: &Value) -> usize {
    match value.kind() {
        ValueKind::String => value.as_str().map_or(0, str::len),
        _ => value.len().unwrap_or(0).saturating_mul(ITEM_BYTES),
    }
}

pub fn fuel(n_messages: usize) -> u64 {
    FUEL + FUEL_PER_MESSAGE * n_messages as u64
}

/// The stack that compiling and rendering a template takes at most.
pub fn stack_bytes(source: &str, whitespace: WhitespaceConfig) -> usize {
    let (mut n_words, mut longest) = (0, 0);
    // A template that is no sequence of words is refused before anything of it nests.
    for token in tokenize(source, false, Default::default(), whitespace).map_while(|token| Some(token.ok()?.0)) {
        n_words = if matches!(token, Token::VariableStart | Token::BlockStart) { 0 } else { n_words + 1 };
        longest = n_words.max(longest);
    }
    STACK_BYTES + STACK_BYTES_A_WORD * longest.min(MAX_TAG_TOKENS)
}

/// Refuses a template whose constant expressions the compiler would have to expand, or whose tags are endless.
pub fn check_source(source: &str, whitespace: WhitespaceConfig) -> Result<(), TemplateError> {
    let (mut n_tokens, mut n_repeats, mut largest, mut has_items) = (0, 0, 0, false);
    // Whether the word before could end a constant, and whether it was `*` behind one.
    let (mut after_constant, mut repeats) = (false, false);
    for token in tokenize(source, false, Default::default(), whitespace) {
        let (token, _) = token.map_err(|e| TemplateError::Syntax(e.to_string()))?;
        if matches!(token, Token::VariableStart | Token::BlockStart) {
            (n_tokens, n_repeats, largest, has_items, after_constant, repeats) = (0, 0, 0, false, false, false);
        }
        n_tokens += 1;
        if n_tokens > MAX_TAG_TOKENS {
            return Err(TemplateError::Limit(format!("has a tag of more than {MAX_TAG_TOKENS} words")));
        }
        match token {
            Token::Int(n) => largest = largest.max(n),
            Token::Int128(_) => largest = u64::MAX,
            Token::Str(_) | Token::String(_) | Token::BracketOpen => has_items = true,
            _ => {}
        }
        if repeats && !matches!(token, Token::Ident(_)) {
            n_repeats += 1;
        }
        repeats = after_constant && matches!(token, Token::Mul | Token::Pow);
        after_constant = matches!(
            token,
            Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) | Token::BracketClose | Token::ParenClose
        );
        // Constant texts and lists are repeated at compile time, before there is a budget.
        if has_items && (n_repeats > 1 || (n_repeats > 0 && largest > 100)) {
            return Err(TemplateError::Limit("repeats a constant more than 100 times in one tag".to_string()));
        }
    }
    Ok(())
}
