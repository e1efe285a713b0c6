//! One rendering: environment, compilation, execution.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::thread;

use minijinja::machinery::{CodeGenerator, Instructions, Vm, WhitespaceConfig, make_string_output, parse};
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use super::limits::{self, Budget};
use super::{Message, RenderContext, TemplateError, guard, kinds, methods, ordered, python};

/// As Hugging Face sets jinja2 up; one newline at the end of the source does not count.
const WHITESPACE: WhitespaceConfig = WhitespaceConfig { keep_trailing_newline: false, lstrip_blocks: true, trim_blocks: true };
const NAME: &str = "chat template";

/// Parses without rendering.
pub fn check(source: &str) -> Result<(), TemplateError> {
    let source = prepare(source)?;
    on_large_stack(&source, || compile(&source).map(|_| ()))
}

pub fn render(source: &str, messages: &[Message], context: &RenderContext) -> Result<String, TemplateError> {
    let source = prepare(source)?;
    on_large_stack(&source, || {
        let compiled = compile(&source)?;
        let input_bytes = source.len() + messages.iter().map(|m| m.role.len() + m.content.len()).sum::<usize>();
        let budget = Budget::new(input_bytes, messages.len());
        let mut env = environment(context, &budget);
        env.set_fuel(Some(limits::fuel(messages.len())));
        let mut text = String::new();
        Vm::new(&env)
            .eval(&compiled.root, variables(messages, context), &compiled.blocks, &mut make_string_output(&mut text), AutoEscape::None)
            .map_err(explain)?;
        Ok(text)
    })
}

/// Runs on a thread whose stack holds the deepest nesting that the limits allow.
fn on_large_stack<T: Send>(source: &str, work: impl FnOnce() -> Result<T, TemplateError> + Send) -> Result<T, TemplateError> {
    thread::scope(|scope| {
        let thread =
            thread::Builder::new().name(NAME.to_string()).stack_size(limits::stack_bytes(source, WHITESPACE)).spawn_scoped(scope, work);
        let Ok(thread) = thread else {
            return Err(TemplateError::Failed("no thread could be started for it: the process has too little memory".to_string()));
        };
        thread.join().unwrap_or_else(|_| Err(TemplateError::Failed("the template engine gave up".to_string())))
    })
}

struct Compiled<'s> {
    root: Instructions<'s>,
    blocks: BTreeMap<&'s str, Instructions<'s>>,
}

/// Bounds the source, makes its line breaks one, and replaces the one tag that minijinja does not know: `generation`, which marks the assistant's text for training and
/// renders its body unchanged.
fn prepare(source: &str) -> Result<String, TemplateError> {
    if source.len() > limits::MAX_SOURCE_BYTES {
        let (found, limit) = (source.len(), limits::MAX_SOURCE_BYTES);
        return Err(TemplateError::Limit(format!("has {found} bytes, more than the limit of {limit}")));
    }
    // jinja2 reads every kind of line break as `\n`.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut prepared = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(open) = rest.find("{%") {
        let (before, tag) = rest.split_at(open + 2);
        prepared.push_str(before);
        let word_at = tag.len() - tag.trim_start_matches(['-', '+']).trim_start().len();
        let word_len = tag[word_at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tag.len() - word_at);
        prepared.push_str(&tag[..word_at]);
        prepared.push_str(match &tag[word_at..word_at + word_len] {
            "generation" => "if true",
            "endgeneration" => "endif",
            word => word,
        });
        rest = &tag[word_at + word_len..];
    }
    prepared.push_str(rest);
    Ok(prepared)
}

fn compile(source: &str) -> Result<Compiled<'_>, TemplateError> {
    limits::check_source(source, WHITESPACE)?;
    let tree = parse(source, NAME, Default::default(), WHITESPACE).map_err(|e| TemplateError::Syntax(in_one_line(&e)))?;
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&tree);
    let (root, blocks) = generator.finish();
    let blocks = blocks.into_iter().map(|(name, block)| (name, guard::guard(block))).collect();
    Ok(Compiled { root: guard::guard(root), blocks })
}

fn environment<'s>(context: &RenderContext, budget: &Budget) -> Environment<'s> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    guard::install(&mut env, budget);
    let left = budget.clone();
    env.set_formatter(move |out, _, value| {
        let text = python::str_of(value, left.left())?;
        left.spend(text.len())?;
        out.write_str(&text).map_err(Error::from)
    });
    let left = budget.clone();
    env.set_unknown_method_callback(move |state, value, method, args| methods::call(&left, state, value, method, args));
    kinds::install(&mut env);
    let clock = context.clock;
    env.add_function("strftime_now", move |format: &str| clock.format(format));
    env.add_function("raise_exception", |message: &str| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, "raised by the template").with_source(Raised(message.to_string())))
    });
    let left = budget.clone();
    env.add_filter("tojson", move |value: &Value, indent: Option<Value>, options: Kwargs| tojson(value, indent, options, left.left()));
    let left = budget.clone();
    env.add_filter("string", move |value: &Value| python::str_of(value, left.left()));
    let left = budget.clone();
    env.add_filter("join", move |values: &Value, separator: Option<&str>, options: Kwargs| -> Result<String, Error> {
        let separator = match separator {
            Some(separator) => separator.to_string(),
            None => options.get::<Option<String>>("d")?.unwrap_or_default(),
        };
        let attribute: Option<&str> = options.get("attribute")?;
        options.assert_all_used()?;
        let items = values.try_iter()?.map(|item| match attribute {
            Some(attribute) => python::str_of(&item.get_attr(attribute)?, left.left()),
            None => python::str_of(&item, left.left()),
        });
        Ok(items.collect::<Result<Vec<_>, _>>()?.join(&separator))
    });
    env
}

/// `json.dumps` with the arguments and defaults that transformers gives it: nothing is escaped for HTML.
fn tojson(value: &Value, indent: Option<Value>, options: Kwargs, limit: usize) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<Value>>("indent")?,
    };
    let indent = match indent.filter(|v| !v.is_none()) {
        None => None,
        Some(text) if text.as_str().is_some() => text.as_str().map(|text| text.chars().take(16).collect::<String>()),
        Some(width) => Some(" ".repeat(usize::try_from(width)?.min(16))),
    };
    let separators: Option<Vec<String>> = options.get("separators")?;
    let default = [if indent.is_some() { "," } else { ", " }, ": "].map(String::from);
    let [item_separator, key_separator] = match separators {
        None => default,
        Some(given) => {
            <[String; 2]>::try_from(given).map_err(|_| Error::new(ErrorKind::InvalidOperation, "`separators` needs two texts"))?
        }
    };
    let style = python::JsonStyle {
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        indent,
        item_separator,
        key_separator,
    };
    options.assert_all_used()?;
    python::json(value, &style, limit).map(Value::from)
}

fn variables(messages: &[Message], context: &RenderContext) -> Value {
    let mut variables: BTreeMap<&str, Value> = BTreeMap::new();
    variables.insert("tools", Value::from(()));
    variables.insert("documents", Value::from(()));
    for (name, text) in [("bos_token", &context.bos_token), ("eos_token", &context.eos_token)] {
        variables.extend(text.as_ref().map(|text| (name, Value::from(text))));
    }
    variables.extend(context.variables.iter().map(|(name, value)| (name.as_str(), ordered::from_json(value))));
    let message = |m: &Message| ordered::map([("role", Value::from(&m.role)), ("content", Value::from(&m.content))]);
    variables.insert("messages", Value::from_iter(messages.iter().map(message)));
    variables.insert("add_generation_prompt", Value::from(context.add_generation_prompt));
    Value::from_serialize(&variables)
}

/// What `raise_exception` was called with, carried through minijinja's error.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn explain(error: Error) -> TemplateError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(Raised(message)) = inner.downcast_ref() {
            return TemplateError::Raised(message.clone());
        }
        cause = inner.source();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => TemplateError::Limit(error.detail().unwrap_or("takes too many steps").to_string()),
        _ => TemplateError::Failed(in_one_line(&error)),
    }
}

/// The error without minijinja's own multi-line report.
fn in_one_line(error: &Error) -> String {
    let place = error.line().map_or(String::new(), |line| format!(" (line {line})"));
    let detail = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    format!("{}{place}", detail.replace('\n', " "))
}
