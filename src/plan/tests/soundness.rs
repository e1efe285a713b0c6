//! The check of plans finds what is broken on purpose.

use crate::plan::{Buf, Kernel, Plan, SlotId, verify};

use super::block::{LLAMA, Model, TARGET};

fn broken(change: impl FnOnce(&mut Plan)) -> String {
    let mut plan = Model::new(LLAMA).plan(64, true, &TARGET).unwrap();
    change(&mut plan);
    verify(&plan).expect_err("a broken plan passes")
}

#[test]
fn a_value_read_before_it_is_written() {
    let error = broken(|plan| {
        plan.steps.remove(0);
    });
    assert!(error.contains("b0 is read before it is written"), "{error}");
}

#[test]
fn a_cache_read_before_it_is_written() {
    let error = broken(|plan| plan.steps.retain(|s| !matches!(s.kernel, Kernel::CacheStore(_))));
    assert!(error.contains("attention reads layer 0 before its keys and values are written"), "{error}");
}

#[test]
fn a_slot_that_is_too_small() {
    let error = broken(|plan| plan.slots[0] -= 1);
    assert!(error.contains("elements are written to b0"), "{error}");
}

#[test]
fn a_slot_that_a_smaller_value_took() {
    let error = broken(|plan| {
        // The row of the attention takes the slot of the residual, whose row is still to be selected.
        let last = plan.steps.len() - 1;
        let Kernel::SelectRow { x: residual, .. } = plan.steps[last - 4].kernel else { panic!("{plan}") };
        let Kernel::SelectRow { out, .. } = &mut plan.steps[last - 5].kernel else { panic!("{plan}") };
        *out = residual;
    });
    assert!(error.contains("which holds"), "{error}");
}

#[test]
fn a_buffer_both_read_and_written() {
    let error = broken(|plan| {
        if let Kernel::Norm(norm) = &mut plan.steps[1].kernel {
            norm.out = norm.x;
        }
    });
    assert!(error.contains("is both read and written"), "{error}");
}

#[test]
fn what_does_not_exist() {
    let error = broken(|plan| {
        if let Kernel::Norm(norm) = &mut plan.steps[1].kernel {
            norm.x = Buf::Slot(SlotId(99));
        }
    });
    assert!(error.contains("b99"), "{error}");
    let error = broken(|plan| {
        if let Kernel::Linear(linear) = &mut plan.steps[2].kernel {
            linear.first_row = 1;
        }
    });
    assert!(error.contains("rows of 256"), "{error}");
    let error = broken(|plan| plan.scalars.words.clear());
    assert!(error.contains("there is no word"), "{error}");
}
