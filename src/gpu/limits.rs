//! What a device can bind at a time, held against what a plan's kernels bind, before a device says it in its own words.

use super::caps::Caps;
use super::lower::{Dispatch, Operand};
use crate::graph::ExecError;
use crate::plan::{Buf, Plan};

/// Refuses the first tensor that is longer than a binding may be.
///
/// # Errors
/// With the step, the tensor, its size and the limit.
pub fn check(plan: &Plan, dispatches: &[Dispatch], scratch_bytes: &[usize], caps: &Caps) -> Result<(), ExecError> {
    for dispatch in dispatches {
        for operand in dispatch.arguments.buffers() {
            let Some((what, bytes)) = size_of(plan, operand, scratch_bytes) else { continue };
            if bytes as u64 > caps.max_binding {
                let step = &plan.steps[dispatch.step_idx];
                return Err(ExecError::Unsupported {
                    message: refusal(&step.name, &what, bytes as u64, caps.max_binding),
                    origin: step.origin,
                });
            }
        }
    }
    Ok(())
}

/// One line that names the tensor, its size, the limit, and a way out.
pub fn refusal(step: &str, what: &str, bytes: u64, limit: u64) -> String {
    let mb = |bytes: u64| if bytes < 10_000_000 { format!("{:.1}", bytes as f64 / 1e6) } else { (bytes / 1_000_000).to_string() };
    format!(
        "{step} needs {what} of {} MB, and one buffer of this adapter holds {} MB: use smaller tensors, or give `--backend cpu`",
        mb(bytes),
        mb(limit)
    )
}

/// What an operand is called and its bytes; `None` of what is held to the limit where it is made: weights and caches.
fn size_of(plan: &Plan, operand: &Operand, scratch_bytes: &[usize]) -> Option<(String, usize)> {
    match *operand {
        Operand::Buf(Buf::Slot(slot)) => Some(("a tensor".to_owned(), plan.slots.get(slot.0 as usize)? * 4)),
        Operand::Buf(Buf::Input(input)) => {
            let (shape, dtype) = plan.inputs.get(input.0 as usize)?.as_ref()?;
            Some((format!("{dtype} {shape}"), shape.len() * 4))
        }
        Operand::Buf(Buf::Output(output)) => {
            let output = plan.outputs.get(output as usize)?;
            Some((format!("{} {}", output.dtype, output.shape), output.shape.len() * 4))
        }
        Operand::Buf(Buf::RopeRows(rows)) => {
            let rows = plan.rope_rows.get(rows as usize)?;
            Some(("a table of rotations".to_owned(), rows.rows.count * rows.spec.n_dims * 4))
        }
        Operand::Scratch(i) => Some(("room for a step".to_owned(), *scratch_bytes.get(i)?)),
        _ => None,
    }
}
