//! A step that reads another step's values: a residual taken from the wrong place, an input before its norm, a buffer that another step wrote.

use std::sync::Arc;

use crate::graph::{Binding, Op};
use crate::tensor::HostTensor;

use super::super::cut::Cut;
use super::super::reason::ReasonKind;
use super::{Hypothesis, Others};

/// Values tried for each operand. The right one was made near by.
const MAX_TRIED: usize = 24;

pub(super) fn about(cut: &Cut, at: usize, others: &Others) -> Vec<Hypothesis> {
    // Asked once for a piece.
    if at + 1 != cut.nodes.len() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for node in &cut.nodes {
        let Op::Input(id) = node.op else { continue };
        let Binding::Host(bound) = &cut.bindings[id.0 as usize] else { continue };
        let read = node.label.as_deref().unwrap_or("what it reads");
        let fits = |name: &str, values: &HostTensor| {
            name != read && values.len() == bound.len() && values.dtype.is_float() && bound.dtype.is_float()
        };
        for (name, values) in others.values.iter().filter(|(name, values)| fits(name, values)).take(MAX_TRIED) {
            let mut edited = cut.clone();
            let values = HostTensor { shape: bound.shape.clone(), ..(**values).clone() };
            edited.bindings[id.0 as usize] = Binding::Host(Arc::new(values));
            found.push(Hypothesis::new(ReasonKind::Swapped, format!("{name} in the place of {read}"), edited));
        }
    }
    found
}
