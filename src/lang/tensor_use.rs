//! Which tensors of its file a model's program uses: a tensor that is neither computed with nor named as not needed makes another model.

use std::collections::BTreeSet;

use crate::graph::{Graph, NodeId, Op};

use super::model::ModelSource;

/// The patterns of a program's `ignore`.
#[derive(Default)]
pub struct Ignored(Vec<String>);

impl Ignored {
    pub fn add(&mut self, pattern: &str) {
        self.0.push(pattern.to_owned());
    }

    /// The tensors of the file that neither the graph behind `output` nor these patterns account for, by layer and name, and that are not among
    /// `read`: those whose values the program's statements took.
    pub fn unused(&self, graph: &Graph, output: NodeId, read: &BTreeSet<String>, source: &dyn ModelSource) -> Vec<String> {
        let (graph, _) = graph.subgraph(&[output]);
        let computed_with: BTreeSet<&str> =
            graph.nodes().filter_map(|(_, n)| if let Op::Weight(w) = &n.op { Some(w.name.as_str()) } else { None }).collect();
        let is_unused =
            |name: &&str| !computed_with.contains(name) && !read.contains(*name) && !self.0.iter().any(|pattern| matches(pattern, name));
        let mut unused: Vec<String> = source.weight_names().chain(source.unreadable_names()).filter(is_unused).map(str::to_owned).collect();
        unused.sort_by(|a, b| layer_of(a).cmp(&layer_of(b)).then_with(|| a.cmp(b)));
        unused
    }
}

/// The number in a name such as `blk.12.attn_q.weight`.
pub fn layer_of(name: &str) -> Option<usize> {
    name.split('.').find_map(|part| part.parse().ok())
}

/// Whether a pattern names a tensor: `*` stands for any text, and a pattern that ends in a dot for all names below it.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None if pattern.ends_with('.') => name.starts_with(pattern),
        None => name == pattern,
        Some((before, after)) => match name.strip_prefix(before) {
            Some(rest) => rest.char_indices().map(|(i, _)| i).chain([rest.len()]).any(|i| matches(after, &rest[i..])),
            None => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_tensors() {
        for (pattern, name, fits) in [
            ("output.bias", "output.bias", true),
            ("output.bias", "output.bias2", false),
            ("blk.*.nextn.", "blk.12.nextn.embed.weight", true),
            ("blk.*.nextn.", "blk.12.attn_q.weight", false),
            ("blk.3.", "blk.30.attn_q.weight", false),
            ("*", "anything.at.all", true),
            ("*.bias", "blk.0.attn_q.bias", true),
            ("blk.*.attn_*.bias", "blk.0.attn_q.bias", true),
            ("blk.*.attn_*.bias", "blk.0.ffn_up.bias", false),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} and {name}");
        }
    }

    #[test]
    fn layers_are_counted_as_numbers() {
        assert_eq!((layer_of("blk.12.attn_q.weight"), layer_of("output.bias")), (Some(12), None));
    }
}
