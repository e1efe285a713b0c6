//! A model's file as programs see it: `config.attention.head_count`, `model.blk[0].attn_q.weight`.

use std::sync::Arc;

use crate::format::{Metadata, MetadataValue};
use crate::graph::Weight;

use super::session::Tensor;
use super::value::{Fault, Value};

/// The metadata and the weights of one model.
pub trait ModelSource: Send + Sync {
    fn metadata(&self) -> &Metadata;

    /// A weight by its GGUF name. Equal names give one descriptor.
    fn weight(&self, name: &str) -> Option<Arc<Weight>>;

    fn weight_names(&self) -> Box<dyn Iterator<Item = &str> + '_>;

    /// The names of the file's tensors whose element type cannot be read, so that they are no weights.
    fn unreadable_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(std::iter::empty())
    }
}

/// A place in the tree that the dots of the weights' names make. Empty at the model itself.
#[derive(Clone)]
pub struct WeightPath {
    pub source: Arc<dyn ModelSource>,
    pub path: Arc<str>,
}

impl WeightPath {
    /// One step down: a weight where one has that name, else a place below which names lie.
    ///
    /// # Errors
    /// For `weight` and `bias`, which name a tensor, when there is none.
    pub fn step(&self, name: &str) -> Result<Value, Fault> {
        let path = join(&self.path, name);
        if let Some(weight) = self.source.weight(&path) {
            return Ok(Value::Tensor(Tensor::from_weight(weight)));
        }
        if matches!(name, "weight" | "bias") {
            return Err(missing(&path));
        }
        Ok(Value::Layer(WeightPath { source: self.source.clone(), path: path.into() }))
    }

    /// Whether the model has this tensor, or one below this place.
    pub fn has(&self, name: &str) -> bool {
        let path = join(&self.path, name);
        let below = format!("{path}.");
        self.source.weight(&path).is_some() || self.source.weight_names().any(|n| n.starts_with(&below))
    }
}

fn missing(path: &str) -> Fault {
    Fault::new(format!("the model has no tensor `{path}`")).hint("`tl inspect MODEL --tensors` lists what it has")
}

/// A place in the metadata, below `general.architecture`'s prefix.
#[derive(Clone)]
pub struct ConfigPath {
    pub source: Arc<dyn ModelSource>,
    pub path: Arc<str>,
}

impl ConfigPath {
    /// The whole metadata of the model.
    pub fn root(source: Arc<dyn ModelSource>) -> ConfigPath {
        ConfigPath { source, path: "".into() }
    }

    /// One step down: a value where a key ends here, else a place below which keys lie.
    ///
    /// # Errors
    /// When the metadata has neither.
    pub fn step(&self, name: &str) -> Result<Value, Fault> {
        let path = join(&self.path, name);
        if let Some(value) = self.lookup(&path) {
            return config_value(value, &path);
        }
        let below = [format!("{}.{path}.", self.architecture()), format!("{path}.")];
        if self.source.metadata().iter().any(|(key, _)| below.iter().any(|b| key.starts_with(b))) {
            return Ok(Value::Config(ConfigPath { source: self.source.clone(), path: path.into() }));
        }
        Err(Fault::new(format!("the model's metadata has no `{}.{path}`", self.architecture()))
            .hint(format!("write `config.get(\"{path}\", default)` if a model may lack it")))
    }

    /// The value of a key below this place, or `None` when it is absent.
    ///
    /// # Errors
    /// When the value is of a kind that programs cannot use.
    pub fn get(&self, key: &str) -> Result<Option<Value>, Fault> {
        let path = join(&self.path, key);
        self.lookup(&path).map(|v| config_value(v, &path)).transpose()
    }

    /// `attention.head_count` is the architecture's; `general.name` and `tl.rope_order` stand as they are.
    fn lookup(&self, path: &str) -> Option<&MetadataValue> {
        let metadata = self.source.metadata();
        metadata.get(&format!("{}.{path}", self.architecture())).or_else(|| metadata.get(path))
    }

    pub fn architecture(&self) -> &str {
        self.source.metadata().str("general.architecture").unwrap_or("general")
    }
}

/// Keys that some files give as a list with a number for each layer. Where all are equal, programs see the number.
const PER_LAYER: [&str; 3] = ["attention.head_count", "attention.head_count_kv", "feed_forward_length"];

fn config_value(value: &MetadataValue, path: &str) -> Result<Value, Fault> {
    if let Some(v) = value.as_bool() {
        return Ok(Value::Bool(v));
    }
    if let Some(v) = value.as_i64() {
        return Ok(Value::Int(v));
    }
    if let Some(v) = value.as_f64() {
        return Ok(Value::Float(v));
    }
    if let Some(v) = value.as_str() {
        return Ok(Value::str(v));
    }
    let array = value.as_array();
    if let Some(n) = array.and_then(|a| a.same_int()).filter(|_| PER_LAYER.contains(&path)) {
        return Ok(Value::Int(n));
    }
    if let Some(ints) = array.and_then(|a| a.ints()) {
        return Ok(Value::list(ints.map(Value::Int).collect()));
    }
    if let Some(bools) = array.and_then(|a| a.bools()) {
        return Ok(Value::list(bools.map(Value::Bool).collect()));
    }
    if let Some(floats) = array.and_then(|a| a.floats()) {
        return Ok(Value::list(floats.map(Value::Float).collect()));
    }
    if let Some(strs) = array.and_then(|a| a.strs()) {
        return Ok(Value::list(strs.map(Value::str).collect()));
    }
    Err(Fault::new(format!("metadata `{path}` is of a kind that a program cannot use")))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
