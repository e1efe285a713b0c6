//! Values to hold a trace against: of a file that anyone wrote, or of another trace.

use std::collections::HashMap;
use std::path::Path;

use crate::format::Safetensors;
use crate::tensor::{HostTensor, Shape};

use super::names::canonical;
use super::record::Trace;
use super::{TraceError, tokens::rows};

/// The tensor of the ids whose values these are.
pub(super) const TOKENS: &str = "tokens";
/// The tensor of the ids that were fed before them.
pub(super) const HISTORY: &str = "history";

/// Named values that a trace should have.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Where they are from: a path, or a backend.
    pub name: String,
    tensors: Vec<(String, HostTensor)>,
    by_name: HashMap<String, usize>,
    /// By our spelling; a file's `exact.*` wins over its other spellings of one step.
    by_canonical: HashMap<String, usize>,
    /// Names and types of a file's tensors that are of no type that is read.
    pub unread: Vec<(String, String)>,
    /// Whether something other than this program may have made it: a file. Then the program is held against it, too.
    pub is_foreign: bool,
    mapping: HashMap<String, String>,
}

impl Reference {
    /// Reads every tensor of a safetensors file, of f64 rounded to f32, of 64-bit integers where they fit 32. Names as in `names`, or mapped by [`Reference::with_mapping`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, TraceError> {
        let file = Safetensors::open(path, false)?;
        let names: Vec<String> = file.tensors.tensors().iter().map(|t| t.name.clone()).collect();
        let mut tensors: Vec<(String, HostTensor)> =
            names.into_iter().filter_map(|name| file.host(&name).map(|values| (name, values))).collect();
        let mut unread = Vec::new();
        for (name, dtype) in &file.unread {
            match file.host_of_wide(name) {
                Some(values) => tensors.push((name.clone(), values)),
                None => unread.push((name.clone(), dtype.clone())),
            }
        }
        Ok(Reference { unread, is_foreign: true, ..Reference::new(path.display().to_string(), tensors) })
    }

    pub fn from_trace(trace: &Trace) -> Self {
        Reference::new(trace.backend.clone(), trace.steps.iter().map(|s| (s.name.clone(), (*s.values).clone())).collect())
    }

    pub fn new(name: String, tensors: Vec<(String, HostTensor)>) -> Self {
        let tensors: Vec<(String, HostTensor)> = tensors.into_iter().map(with_ids_as_integers).collect();
        let by_name = tensors.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
        let mut by_canonical = HashMap::new();
        for (i, (name, _)) in tensors.iter().enumerate() {
            if name.starts_with("exact.") {
                by_canonical.insert(canonical(name), i);
            } else {
                by_canonical.entry(canonical(name)).or_insert(i);
            }
        }
        Reference { name, tensors, by_name, by_canonical, unread: Vec::new(), is_foreign: false, mapping: HashMap::new() }
    }

    /// Takes the names of a mapping: a JSON object from our name to theirs, `{"blk.0.q": "model.layers.0.q"}`.
    ///
    /// # Errors
    /// When the text is no such object, or names a tensor that is not in the file.
    pub fn with_mapping(mut self, json: &str) -> Result<Self, TraceError> {
        let mapping: HashMap<String, String> = serde_json::from_str(json)
            .map_err(|e| TraceError::Mapping(format!("the mapping is no JSON object from our names to theirs: {e}")))?;
        for (ours, theirs) in &mapping {
            if !self.by_name.contains_key(theirs) {
                let message = format!("the mapping gives `{ours}` the name `{theirs}`, which {} does not hold", self.name);
                return Err(TraceError::Mapping(message));
            }
        }
        self.mapping = mapping;
        Ok(self)
    }

    /// The steps that the mapping names.
    pub fn mapped(&self) -> impl Iterator<Item = &str> {
        self.mapping.keys().map(String::as_str)
    }

    /// The ids that the reference was made with: its tensor `tokens`.
    pub fn token_ids(&self) -> Option<&[i32]> {
        self.ids(TOKENS)
    }

    /// The ids that were fed before those, from position 0 on: its tensor `history`.
    pub fn history(&self) -> &[i32] {
        self.ids(HISTORY).unwrap_or_default()
    }

    fn ids(&self, name: &str) -> Option<&[i32]> {
        self.tensors[*self.by_name.get(name)?].1.as_i32()
    }

    /// All names and values, in the file's order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &HostTensor)> {
        self.tensors.iter().map(|(name, values)| (name.as_str(), values))
    }

    /// Their name of a step and its values, as stored.
    pub fn get(&self, step: &str) -> Option<(&str, &HostTensor)> {
        let theirs = self.mapping.get(step).and_then(|name| self.by_name.get(name));
        let index = theirs.or_else(|| self.by_name.get(step)).or_else(|| self.by_canonical.get(&canonical(step)))?;
        let (name, values) = &self.tensors[*index];
        Some((name, values))
    }

    /// The values of a step in the shape of `ours`. Shapes need not agree, elements do: `[T, H, D]` is `[T, H * D]`. Of a reference over
    /// more tokens the rows from `position` on are taken.
    ///
    /// # Errors
    /// Their shape, where it holds neither.
    pub fn values(&self, step: &str, ours: &Shape, position: usize) -> Option<Result<HostTensor, Shape>> {
        let (_, theirs) = self.get(step)?;
        Some(shaped_as(theirs, ours, position))
    }

    /// All tensors but one that can be read in the shape of `ours`, as [`Reference::values`] reads them.
    pub(super) fn others_like(&self, but: &str, ours: &Shape, position: usize) -> Vec<(&str, HostTensor)> {
        let others = self.tensors().filter(|(name, _)| ![but, TOKENS, HISTORY].contains(name));
        others.filter_map(|(name, values)| Some((name, shaped_as(values, ours, position).ok()?))).collect()
    }
}

/// Ids that were written as floats, as integers.
fn with_ids_as_integers((name, tensor): (String, HostTensor)) -> (String, HostTensor) {
    let ids = tensor.as_f32().filter(|_| [TOKENS, HISTORY].contains(&name.as_str()));
    let whole = ids.filter(|ids| ids.iter().all(|&v| v >= 0.0 && v.fract() == 0.0 && v < 16_777_216.0));
    match whole.map(|ids| ids.iter().map(|&v| v as i32).collect()) {
        Some(ids) => (name, HostTensor::i32(tensor.shape.clone(), ids)),
        None => (name, tensor),
    }
}

fn shaped_as(theirs: &HostTensor, ours: &Shape, position: usize) -> Result<HostTensor, Shape> {
    // A batch of one is no dimension of ours.
    let n_ones = theirs.shape.dims().iter().take_while(|&&d| d == 1).count().min(theirs.shape.rank().saturating_sub(ours.rank()));
    let dims = &theirs.shape.dims()[n_ones..];
    let n = ours.dims().first().copied().unwrap_or(1);
    let is_row = |dims: &[usize]| match ours.rank() {
        0 => dims.iter().product::<usize>() == 1,
        // Another grouping of a row's values is the same row: `[T, H, D]` is `[T, H * D]`. Another order of dimensions is not.
        rank if dims.len() == rank => dims[1..] == ours.dims()[1..],
        _ => dims.iter().skip(1).product::<usize>() == ours.dims()[1..].iter().product::<usize>(),
    };
    if theirs.len() == ours.len() && (dims.first() == ours.dims().first() && is_row(dims) || dims.len() <= 1 && n == 1 || ours.rank() == 0)
    {
        return Ok(HostTensor { shape: ours.clone(), ..theirs.clone() });
    }
    if dims.first().is_some_and(|&all| all >= position + n && n > 0) && is_row(dims) {
        let theirs = HostTensor { shape: Shape::from(dims), ..theirs.clone() };
        return Ok(HostTensor { shape: ours.clone(), ..rows(&theirs, position, n) });
    }
    Err(theirs.shape.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> Reference {
        let values = |n: usize| HostTensor::f32([4, n], (0..4 * n).map(|v| v as f32).collect());
        let tensors = [("exact.layer0.q", 6), ("exact.layer.0", 2), ("their.norm", 3)];
        Reference::new("file".into(), tensors.into_iter().map(|(name, n)| (name.to_owned(), values(n))).collect())
    }

    #[test]
    fn steps_are_found_under_other_names_and_shapes() {
        let q = reference().values("blk.0.q", &Shape::from([4, 2, 3]), 0).unwrap().unwrap();
        assert_eq!(q.shape.dims(), [4, 2, 3]);
        assert_eq!(reference().get("blk.0.output").unwrap().0, "exact.layer.0");
        assert!(reference().get("blk.1.output").is_none());
        assert_eq!(reference().values("blk.0.output", &Shape::from([4, 3]), 0).unwrap().unwrap_err().dims(), [4, 2]);
    }

    #[test]
    fn a_decode_step_takes_the_row_of_its_position() {
        let row = reference().values("blk.0.output", &Shape::from([1, 2]), 3).unwrap().unwrap();
        assert_eq!(row, HostTensor::f32([1, 2], vec![6.0, 7.0]));
        assert!(reference().values("blk.0.output", &Shape::from([1, 2]), 4).unwrap().is_err());
    }

    #[test]
    fn a_mapping_names_any_tensor_and_must_name_one() {
        let mapped = reference().with_mapping(r#"{"final_norm": "their.norm"}"#).unwrap();
        assert_eq!(mapped.get("final_norm").unwrap().0, "their.norm");
        let wrong = reference().with_mapping(r#"{"final_norm": "theirs"}"#).unwrap_err().to_string();
        assert_eq!(wrong, "the mapping gives `final_norm` the name `theirs`, which file does not hold");
        assert!(reference().with_mapping("[]").is_err());
    }
}
