//! The way from a graph to a plan.

use std::collections::{BTreeSet, HashSet};

use crate::graph::{CompileOptions, Graph, InputId, NodeId, Op};
use crate::tensor::{DType, Shape};

use super::draft::Draft;
use super::fuse::{fuse, simplify_dims};
use super::lower::lower;
use super::operands::scalars_of;
use super::place::Placements;
use super::{Buf, Kernel, PlacedId, Placement, Plan, PlanError, Step, Target, slots, tokens};

/// Plans what `outputs` need of `graph`. The ids in the steps are those of `graph.subgraph(outputs)`, which is `graph` itself where the caller
/// has compacted it already; so are the literals that a run may replace.
///
/// With `options.fuse` off every node but views and scalars of the host is a step of its own.
///
/// # Errors
/// [`PlanError::MixesTokens`] when a plan for a bucket of tokens would be wrong, and the caller should compile for the exact number;
/// [`PlanError::Unsupported`] when no kernel takes an op's operands.
pub fn compile(graph: &Graph, outputs: &[NodeId], options: &CompileOptions, target: &Target) -> Result<Plan, PlanError> {
    let (graph, outputs) = graph.subgraph(outputs);
    let placements = Placements::of(&graph);
    let token_dims = tokens::token_dims(&graph)?;
    let mut draft = lower(&graph, &outputs, options, token_dims, placements)?;
    drop_dead_steps(&mut draft);
    if options.fuse {
        fuse(&mut draft, target);
    }
    simplify_dims(&mut draft);
    let segments = n_segments(&draft)?;
    Ok(finish(draft, options, segments))
}

/// Removes steps that write nothing anyone reads. A write to a cache, or to its history, is read by later runs.
fn drop_dead_steps(draft: &mut Draft<'_>) {
    let mut wanted: HashSet<Buf> = draft.outputs.iter().map(|o| o.buf).collect();
    let mut kept: Vec<Step> = Vec::new();
    while let Some(step) = draft.steps.pop() {
        let writes_cache = step.kernel.cache_written().is_some() || matches!(&step.kernel, Kernel::Sample(s) if s.history.is_some());
        if writes_cache || step.kernel.writes().iter().any(|buf| wanted.contains(buf)) {
            wanted.extend(step.kernel.reads());
            kept.push(step);
        }
    }
    kept.reverse();
    draft.steps = kept;
}

/// The segments that a run may have.
///
/// # Errors
/// For several, where a kernel takes a number that is another one for each sequence, or sequences have several caches.
fn n_segments(draft: &Draft<'_>) -> Result<usize, PlanError> {
    let of_node = |op: &Op| if let Op::LastRows { rows } = op { *rows } else { 1 };
    let n = draft.graph.nodes().map(|(_, node)| of_node(&node.op)).max().unwrap_or(1);
    if n == 1 {
        return Ok(1);
    }
    let differs = draft.scalars.of_segment();
    for step in &draft.steps {
        let is_drawn = matches!(&step.kernel, Kernel::Sample(k) if k.rows == n);
        if !is_drawn && scalars_of(&step.kernel).iter().any(|word| differs[word.0 as usize]) {
            let message =
                format!("`{}` takes the position or the number of tokens as one number, and each sequence has its own", step.name);
            return Err(PlanError::Unsupported { message, origin: step.origin });
        }
    }
    let caches: BTreeSet<u32> = draft.steps.iter().filter_map(|step| step.kernel.cache_written()).map(|(cache, _)| cache.0).collect();
    if caches.len() > 1 {
        return Err(PlanError::Unsupported { message: "several sequences of several caches each".to_owned(), origin: Default::default() });
    }
    Ok(n)
}

fn finish(draft: Draft<'_>, options: &CompileOptions, segments: usize) -> Plan {
    let Draft { graph, mut steps, values, placements, rope_rows, scalars, mut outputs } = draft;
    let (steps_before, outputs_before) = if cfg!(debug_assertions) { (steps.clone(), outputs.clone()) } else { Default::default() };
    let slots = slots::assign(&mut steps, &mut outputs, &values);
    if cfg!(debug_assertions) {
        let outputs: Vec<(Buf, Buf)> = outputs_before.iter().zip(&outputs).map(|(a, b)| (a.buf, b.buf)).collect();
        assert!(slots::same_values(&steps_before, &steps, &outputs), "a slot was taken while its value was alive");
    }
    let placements = keep_used(&mut steps, placements.into_list());
    let mut inputs: Vec<Option<(Shape, DType)>> = vec![None; graph.n_inputs()];
    for (_, node) in graph.nodes() {
        if let Op::Input(InputId(i)) = node.op {
            inputs[i as usize] = Some((node.shape.clone(), node.dtype));
        }
    }
    let bucket = graph.tokens().map(|t| graph.shape(t).len());
    Plan { steps, slots, placements, rope_rows, scalars, inputs, outputs, bucket, segments, options: options.clone() }
}

/// Drops the placements that no step reads and renumbers the others in the same order.
fn keep_used(steps: &mut [Step], placements: Vec<Placement>) -> Vec<Placement> {
    let of_bufs = |step: &Step| step.kernel.reads().into_iter().filter_map(|b| if let Buf::Weight(id) = b { Some(id) } else { None });
    let used: BTreeSet<PlacedId> = steps.iter().flat_map(|s| of_bufs(s).chain(s.kernel.placement())).collect();
    let renumbered = |id: PlacedId| PlacedId(used.range(..id).count() as u32);
    for step in steps {
        for operand in step.kernel.operands_mut() {
            if let Buf::Weight(id) = operand.buf {
                *id = renumbered(*id);
            }
        }
        if let Some(id) = step.kernel.placement_mut() {
            *id = renumbered(*id);
        }
    }
    placements.into_iter().enumerate().filter(|(i, _)| used.contains(&PlacedId(*i as u32))).map(|(_, p)| p).collect()
}
