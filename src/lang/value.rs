//! What a name can stand for.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::graph::{ExecError, GraphError, Origin, RopeSpec, RopeStyle};
use crate::source::Span;
use crate::tensor::DType;
use crate::text::Prompt;

use super::builtins::Builtin;
use super::hir::{FnCode, StructCode};
use super::host::{EngineChat, ModelCache, ModelHandle};
use super::model::{ConfigPath, WeightPath};
use super::session::Tensor;

/// A value of the language. All but the engine's objects are values: a copy never changes with its original.
#[derive(Clone)]
pub enum Value {
    /// `none`, which is also the value of a block without one.
    Unit,
    Int(i64),
    Float(f64),
    Bool(bool),
    Str(Arc<str>),
    /// A conversation that a model's template rendered: a string that knows which parts of it came from messages, so that only the template's
    /// own marks become special tokens.
    Prompt(Arc<Prompt>),
    Range(IntRange),
    List(Arc<Items>),
    Tuple(Arc<Items>),
    Tensor(Tensor),
    /// `float32` as an argument: the element type a cast or a constructor makes.
    DType(DType),
    Fn(Arc<Closure>),
    Builtin(&'static Builtin),
    StructType(Arc<StructDef>),
    Record(Arc<Record>),
    /// `model`, loaded or being traced.
    Model(ModelHandle),
    /// `model.blk[0].attn_q`: a place in the tree of a model's weights.
    Layer(WeightPath),
    /// `config.attention`: a place in a model's metadata.
    Config(ConfigPath),
    /// What rotates queries and keys: frequencies and pairing.
    Rotation(Arc<RopeSpec>, RopeStyle),
    Cache(ModelCache),
    /// `model.tokenizer`.
    Tokenizer(ModelHandle),
    /// A conversation with a model.
    Chat(Arc<dyn EngineChat>),
    /// Stands in a variable whose value a call has been lent and may change. Reading it is an error, so it is never seen.
    Lent,
}

/// `start, start + step, …` before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntRange {
    pub start: i64,
    pub end: i64,
    pub step: i64,
}

impl IntRange {
    /// How many numbers it has.
    pub fn len(self) -> u64 {
        let (from, to, step) = if self.step > 0 { (self.start, self.end, self.step) } else { (self.end, self.start, -self.step) };
        if to <= from { 0 } else { (to.wrapping_sub(from) as u64).div_ceil(step.unsigned_abs()) }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The number at `i`, which is below `len()`.
    pub fn at(self, i: u64) -> i64 {
        self.start.wrapping_add((i as i64).wrapping_mul(self.step))
    }
}

/// The elements of a list or a tuple. Dropping them is iterative: a list may nest a million deep.
#[derive(Clone, Default)]
pub struct Items(pub Vec<Value>);

impl Drop for Items {
    fn drop(&mut self) {
        drop_flat(&mut self.0);
    }
}

/// A variable that a function literal shares with the scope that made it.
pub type SharedVar = Arc<Mutex<Value>>;

/// A function with the variables it captured.
pub struct Closure {
    pub code: Arc<FnCode>,
    pub captured: Vec<SharedVar>,
}

impl Drop for Closure {
    fn drop(&mut self) {
        let mut values: Vec<Value> = self.captured.drain(..).filter_map(Arc::into_inner).map(Mutex::into_inner).collect();
        drop_flat(&mut values);
    }
}

/// A struct's declaration with its methods.
pub struct StructDef {
    pub code: Arc<StructCode>,
    pub methods: Vec<Arc<Closure>>,
}

impl StructDef {
    pub fn name(&self) -> &str {
        &self.code.name
    }

    pub fn field(&self, name: &str) -> Option<usize> {
        self.code.fields.iter().position(|f| &*f.name == name)
    }

    pub fn method(&self, name: &str) -> Option<&Arc<Closure>> {
        self.methods.iter().find(|m| m.code.name.as_deref() == Some(name))
    }
}

/// A struct's value. Fields are in the order of the declaration.
#[derive(Clone)]
pub struct Record {
    pub def: Arc<StructDef>,
    pub fields: Vec<Value>,
}

impl Drop for Record {
    fn drop(&mut self) {
        drop_flat(&mut self.fields);
    }
}

/// Drops values without recursion: what an inner container held joins the outermost one's queue.
fn drop_flat(values: &mut Vec<Value>) {
    thread_local! {
        static QUEUE: RefCell<Option<Vec<Value>>> = const { RefCell::new(None) };
    }
    let nests = |v: &Value| matches!(v, Value::List(_) | Value::Tuple(_) | Value::Record(_) | Value::Fn(_));
    if !values.iter().any(nests) {
        return;
    }
    let values = std::mem::take(values);
    // Thread-local storage may be gone while a thread ends; then the plain order of drops has to do.
    let mut rest = Some(values);
    let outermost = QUEUE
        .try_with(|queue| {
            let mut queue = queue.borrow_mut();
            match &mut *queue {
                Some(pending) => {
                    pending.extend(rest.take().into_iter().flatten());
                    false
                }
                None => {
                    *queue = rest.take();
                    true
                }
            }
        })
        .unwrap_or(false);
    if outermost {
        while let Some(next) = QUEUE.try_with(|queue| queue.borrow_mut().as_mut().and_then(Vec::pop)).ok().flatten() {
            // What this one held joins the queue, which is not borrowed now.
            drop(next);
        }
        let _ = QUEUE.try_with(|queue| queue.borrow_mut().take());
    }
}

impl Value {
    pub fn str(text: &str) -> Value {
        Value::Str(text.into())
    }

    pub fn list(items: Vec<Value>) -> Value {
        Value::List(Arc::new(Items(items)))
    }

    pub fn tuple(items: Vec<Value>) -> Value {
        Value::Tuple(Arc::new(Items(items)))
    }

    /// A rendered conversation as the plain string that it is for everything but a tokenizer; `None` for other values.
    pub fn plain(&self) -> Option<Value> {
        match self {
            Value::Prompt(prompt) => Some(Value::str(&prompt.text)),
            _ => None,
        }
    }

    /// The type's name for a message: `int`, `float32(4, 64)`.
    pub fn type_name(&self) -> String {
        match self {
            Value::Unit => "none".into(),
            Value::Int(_) => "int".into(),
            Value::Float(_) => "float".into(),
            Value::Bool(_) => "bool".into(),
            Value::Str(_) | Value::Prompt(_) => "string".into(),
            Value::Range(_) => "range".into(),
            Value::List(_) => "list".into(),
            Value::Tuple(_) => "tuple".into(),
            Value::Tensor(t) => format!("{}", TensorType(t)),
            Value::DType(_) => "dtype".into(),
            Value::Fn(_) | Value::Builtin(_) => "fn".into(),
            Value::StructType(def) => format!("struct {}", def.name()),
            Value::Record(r) => r.def.name().into(),
            Value::Model(_) => "Model".into(),
            Value::Layer(_) => "Layer".into(),
            Value::Config(_) => "Config".into(),
            Value::Rotation(..) => "Rotation".into(),
            Value::Cache(_) => "Cache".into(),
            Value::Tokenizer(_) => "Tokenizer".into(),
            Value::Chat(_) => "Chat".into(),
            Value::Lent => "lent to a call".into(),
        }
    }
}

/// The type names of the language for element types.
pub fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float32",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        DType::I32 => "int32",
        DType::Bool => "bool",
        DType::Quant(q) => q.name,
    }
}

/// Shows a tensor's type: `float32[4, 64]`.
pub struct TensorType<'a>(pub &'a Tensor);

impl fmt::Display for TensorType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", dtype_name(self.0.dtype()))?;
        for (i, dim) in self.0.shape().iter().enumerate() {
            write!(f, "{}{dim}", if i > 0 { ", " } else { "" })?;
        }
        write!(f, "]")
    }
}

/// An error of a value, without a place: the evaluator knows where it happened. Boxed, since every result carries room for one.
#[derive(Clone, Debug)]
pub struct Fault(Box<FaultParts>);

#[derive(Clone, Debug)]
pub struct FaultParts {
    pub message: String,
    pub hint: Option<String>,
    /// Words beside the caret.
    pub label: Option<String>,
    /// Another place that explains it.
    pub reason: Option<(Span, String)>,
    /// The node of the graph at fault, where it is not the expression that forced it.
    pub origin: Option<Origin>,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Fault {
        Fault(Box::new(FaultParts { message: message.into(), hint: None, label: None, reason: None, origin: None }))
    }

    /// With the message that `f` makes of it.
    pub fn reworded(mut self, f: impl FnOnce(&str) -> String) -> Fault {
        self.0.message = f(&self.0.message);
        self
    }

    pub fn into_parts(self) -> FaultParts {
        *self.0
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.0.hint = Some(hint.into());
        self
    }

    pub fn label(mut self, label: impl Into<String>) -> Fault {
        self.0.label = Some(label.into());
        self
    }

    pub fn reason(mut self, span: Span, message: impl Into<String>) -> Fault {
        self.0.reason = Some((span, message.into()));
        self
    }
}

impl Deref for Fault {
    type Target = FaultParts;

    fn deref(&self) -> &FaultParts {
        &self.0
    }
}

impl DerefMut for Fault {
    fn deref_mut(&mut self) -> &mut FaultParts {
        &mut self.0
    }
}

impl From<GraphError> for Fault {
    fn from(error: GraphError) -> Fault {
        let mut fault = Fault::new(error.message);
        fault.hint = error.hint;
        fault
    }
}

impl From<ExecError> for Fault {
    fn from(error: ExecError) -> Fault {
        let origin = match &error {
            ExecError::Unsupported { origin, .. } | ExecError::Device { origin, .. } if *origin != Origin::default() => Some(*origin),
            _ => None,
        };
        let mut fault = Fault::new(error.to_string());
        fault.origin = origin;
        fault
    }
}
