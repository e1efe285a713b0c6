//! The model types whose folders are read, from `families.json`. Rust names none of them: another is one more entry there.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::format::error::one_line;

static TABLE: LazyLock<Table> = LazyLock::new(|| serde_json::from_str(include_str!("families.json")).unwrap_or_default());

/// What makes a GGUF file of a folder.
const CONVERT: &str = "llama.cpp's convert_hf_to_gguf.py";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The modules of a layer that most families have, each with its GGUF name.
    layer: BTreeMap<String, String>,
    /// The same outside the layers.
    outside: BTreeMap<String, String>,
    /// Model types that run from the GGUF file made of them and not from their folder.
    only_as_gguf: Vec<String>,
    families: BTreeMap<String, Family>,
}

/// How the folders of one `model_type` become the metadata and tensors of GGUF.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Family {
    /// `general.architecture`, which chooses the program.
    pub architecture: String,
    /// `tl.rope_order`: how the folder pairs the elements of a head. Needed where the GGUF files of the architecture pair them in another
    /// way; elsewhere it tells a program given by `--arch`.
    pub rope_order: Option<String>,
    /// The modules of a layer, and those outside the layers, whose GGUF names are not those of the shared table.
    layer: BTreeMap<String, String>,
    outside: BTreeMap<String, String>,
    /// Further keys of `config.json`, with what follows `<architecture>.` in GGUF. A dot leads into an object.
    pub keys: BTreeMap<String, String>,
    /// What transformers takes for keys that `config.json` lacks.
    pub defaults: Map<String, Value>,
    /// Metadata that no key says.
    pub constants: BTreeMap<String, f64>,
    /// The types of the layers, repeated, where `config.json` does not list them.
    pub layer_types: Vec<String>,
    /// Whether `sliding_window` holds only with `use_sliding_window`.
    pub window_switch: bool,
    /// The values of a key that the program computes; null is an absent key, which is never refused.
    needs: BTreeMap<String, Vec<Value>>,
    /// What a list by layer must hold, repeated, since the program takes it from the layer's number.
    patterns: BTreeMap<String, Vec<Value>>,
    /// Norms whose weight GGUF stores with 1 added, by their GGUF names.
    pub plus_one: Vec<String>,
}

impl Family {
    /// The entry of a `model_type`.
    pub fn find(model_type: &str) -> Option<&'static Family> {
        TABLE.families.get(model_type)
    }

    /// Puts what transformers takes for absent keys into a configuration.
    pub fn fill(&self, config: &mut Value) {
        let Some(config) = config.as_object_mut() else { return };
        for (key, value) in &self.defaults {
            if !config.contains_key(key) {
                config.insert(key.clone(), value.clone());
            }
        }
    }

    /// What of a configuration the architecture's program does not compute.
    pub fn refusal(&self, model_type: &str, config: &Value) -> Option<String> {
        let refuse = |key: &str, has: &Value, computed: &str| {
            let has = one_line(&has.to_string());
            Some(format!(
                "has `{key}` {has}, and folders of `{model_type}` are computed with {computed}; give a program of your own with --arch FILE.tl"
            ))
        };
        for (key, values) in &self.needs {
            if let Some(has) = at(config, key)
                && !values.iter().any(|value| is_same(value, has))
            {
                return refuse(key, has, &listed(values, " or "));
            }
        }
        for (key, pattern) in &self.patterns {
            if let Some(Value::Array(list)) = at(config, key)
                && let Some((i, has)) = list.iter().enumerate().find(|(i, has)| !is_same(&pattern[i % pattern.len()], has))
            {
                return refuse(&format!("{key}[{i}]"), has, &format!("[{}], repeated", listed(pattern, ", ")));
            }
        }
        None
    }

    /// Whether GGUF stores this tensor with 1 added.
    pub fn adds_one(&self, gguf_name: &str) -> bool {
        let Some(name) = gguf_name.strip_suffix(".weight") else { return false };
        let module = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).map_or(name, |(_, module)| module);
        self.plus_one.iter().any(|norm| norm == module)
    }
}

/// The GGUF name of a module of a layer, or of one outside the layers.
pub(super) fn module_name(family: Option<&'static Family>, module: &str, is_in_layer: bool) -> Option<&'static str> {
    let shared = if is_in_layer { &TABLE.layer } else { &TABLE.outside };
    let own = family.map(|f| if is_in_layer { &f.layer } else { &f.outside });
    own.and_then(|names| names.get(module)).or_else(|| shared.get(module)).map(String::as_str)
}

/// What to say of a `model_type` without an entry.
pub(super) fn unknown(model_type: &str) -> String {
    let known: Vec<&str> = TABLE.families.keys().map(String::as_str).collect();
    let model_type = one_line(model_type);
    let program = "give a program of your own with --arch FILE.tl";
    if TABLE.only_as_gguf.contains(&model_type) {
        return format!(
            "folders of the model type `{model_type}` are not read; run the GGUF file that {CONVERT} makes of it, or {program}"
        );
    }
    format!(
        "folders of the model type `{model_type}` are not read, known are {}; a GGUF file that {CONVERT} makes of it runs where its architecture \
         is known, else {program}",
        known.join(", ")
    )
}

/// The value of a key, where a dot leads into an object. Null is an absent key.
pub(super) fn at<'a>(config: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(config, |value, key| value.get(key)).filter(|value| !value.is_null())
}

/// Equal values, where 1 and 1.0 are one number.
fn is_same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|a| b.as_f64() == Some(a))
}

fn listed(values: &[Value], between: &str) -> String {
    values.iter().map(Value::to_string).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_parses_and_says_all_that_it_must() {
        let table: Table = serde_json::from_str(include_str!("families.json")).expect("families.json");
        for (model_type, family) in &table.families {
            assert!(!family.architecture.is_empty(), "{model_type} has no architecture");
            assert!(family.patterns.values().all(|pattern| !pattern.is_empty()), "{model_type} has an empty pattern");
            assert!(!table.only_as_gguf.contains(model_type), "{model_type} is said to be read and not to be");
        }
    }
}
