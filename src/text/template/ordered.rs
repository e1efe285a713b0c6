//! JSON values for templates, with the keys of objects in the order they were written in, as Python's dicts have it.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};

#[derive(Debug)]
struct OrderedMap(Vec<(Value, Value)>);

impl Object for OrderedMap {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(name, _)| name.clone()).collect())
    }
}

pub fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::from_object(OrderedMap(entries.into_iter().map(|(name, value)| (Value::from(name), value)).collect()))
}

pub fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Array(items) => Value::from_iter(items.iter().map(from_json)),
        serde_json::Value::Object(entries) => {
            Value::from_object(OrderedMap(entries.iter().map(|(name, value)| (Value::from(name), from_json(value))).collect()))
        }
        scalar => Value::from_serialize(scalar),
    }
}
