//! From values to buffers: a slot is a whole buffer that serves one live value after another.

use std::collections::HashMap;

use super::{Buf, OutputSpec, SlotId, Step};

/// Renames the values of `steps` to slots and outputs, and returns the elements of each slot.
///
/// A value lives from the step that first writes it to the last that reads it. What a step writes never shares a buffer with what it reads:
/// a device refuses to bind one buffer both ways. Among the free slots only one of the value's size class (sizes up to a power of two) is
/// taken, the one freed last, so that equal layers pass through the same few buffers. A value that is asked for is in a buffer of its own.
pub(super) fn assign(steps: &mut [Step], outputs: &mut [OutputSpec], values: &[usize]) -> Vec<usize> {
    let mut renamed: HashMap<Buf, Buf> = HashMap::new();
    for (i, output) in outputs.iter_mut().enumerate() {
        if let Buf::Slot(_) = output.buf {
            output.buf = *renamed.entry(output.buf).or_insert(Buf::Output(i as u32));
        }
    }
    let last_use = last_uses(steps);
    let mut slots: Vec<usize> = Vec::new();
    let mut free: Vec<SlotId> = Vec::new();
    for (i, step) in steps.iter_mut().enumerate() {
        for operand in step.kernel.operands_mut() {
            let Buf::Slot(value) = *operand.buf else { continue };
            let len = values[value.0 as usize].max(1);
            *operand.buf = *renamed.entry(Buf::Slot(value)).or_insert_with(|| {
                let class = len.next_power_of_two();
                let fits = |slot: &SlotId| slots[slot.0 as usize].next_power_of_two() == class;
                let slot = match free.iter().rposition(fits) {
                    Some(at) => free.remove(at),
                    None => {
                        slots.push(0);
                        SlotId(slots.len() as u32 - 1)
                    }
                };
                let size = &mut slots[slot.0 as usize];
                *size = len.max(*size);
                Buf::Slot(slot)
            });
        }
        for value in &last_use[i] {
            if let Some(&Buf::Slot(slot)) = renamed.get(value) {
                free.push(slot);
            }
        }
    }
    slots
}

/// Whether `after` computes from the values that `before` names: runs both with memories that hold names only. For debug builds and tests.
pub(super) fn same_values(before: &[Step], after: &[Step], outputs: &[(Buf, Buf)]) -> bool {
    let mut memory: HashMap<Buf, Buf> = HashMap::new();
    let holds = |memory: &HashMap<Buf, Buf>, value: Buf, buf: Buf| match value {
        Buf::Slot(_) => memory.get(&buf) == Some(&value),
        _ => value == buf,
    };
    for (before, after) in before.iter().zip(after) {
        let (before, after) = (&before.kernel, &after.kernel);
        if !before.reads().into_iter().zip(after.reads()).all(|(value, buf)| holds(&memory, value, buf)) {
            return false;
        }
        memory.extend(after.writes().into_iter().zip(before.writes()));
    }
    outputs.iter().all(|&(value, buf)| holds(&memory, value, buf) || !before.iter().any(|s| s.kernel.writes().contains(&value)))
}

/// By step: the values that no later step touches.
fn last_uses(steps: &[Step]) -> Vec<Vec<Buf>> {
    let mut last: HashMap<Buf, usize> = HashMap::new();
    for (i, step) in steps.iter().enumerate() {
        for buf in step.kernel.reads().into_iter().chain(step.kernel.writes()) {
            last.insert(buf, i);
        }
    }
    let mut by_step: Vec<Vec<Buf>> = vec![Vec::new(); steps.len()];
    for (buf, i) in last {
        by_step[i].push(buf);
    }
    by_step.iter_mut().for_each(|bufs| bufs.sort_unstable());
    by_step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Kernel;

    fn slot(i: u32) -> Buf {
        Buf::Slot(SlotId(i))
    }

    fn steps(kernels: &[Kernel]) -> Vec<Step> {
        kernels.iter().map(|k| Step { kernel: k.clone(), nodes: vec![], name: String::new(), origin: Default::default() }).collect()
    }

    fn softmax(x: Buf, out: Buf) -> Kernel {
        Kernel::Softmax(crate::plan::Softmax { x, out, outer: 1, len: 8, inner: 1 })
    }

    /// A chain of five values: 0 → 1 → 2 → 3, then a gather that needs 1 and 3.
    fn chain() -> Vec<Step> {
        let gather = crate::plan::Gather {
            x: slot(1),
            indices: slot(3),
            out: slot(4),
            outer: 1,
            len: 8,
            inner: 1,
            count: 8,
            dtype: crate::tensor::DType::F32,
        };
        let iota = Kernel::Iota { out: slot(0), len: 8 };
        steps(&[iota, softmax(slot(0), slot(1)), softmax(slot(1), slot(2)), softmax(slot(2), slot(3)), Kernel::Gather(gather)])
    }

    #[test]
    fn a_slot_serves_again_once_its_value_is_done() {
        let before = chain();
        let mut after = before.clone();
        let slots = assign(&mut after, &mut [], &[8; 5]);
        assert_eq!(slots.len(), 3, "{after:?}");
        assert!(same_values(&before, &after, &[]));
    }

    #[test]
    fn a_slot_taken_too_early_is_noticed() {
        let before = chain();
        let mut after = before.clone();
        assign(&mut after, &mut [], &[8; 5]);
        // The third value overwrites the first softmax, which the gather still needs.
        let first = after[1].kernel.writes()[0];
        let third = after[3].kernel.writes()[0];
        for operand in after[3..].iter_mut().flat_map(|step| step.kernel.operands_mut()) {
            if *operand.buf == third {
                *operand.buf = first;
            }
        }
        assert!(!same_values(&before, &after, &[]));
    }

    #[test]
    fn a_value_of_another_size_class_has_a_slot_of_its_own() {
        let mut after = chain();
        assert_eq!(assign(&mut after, &mut [], &[8, 8, 100, 8, 8]).iter().filter(|&&n| n == 100).count(), 1);
    }
}
