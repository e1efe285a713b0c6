//! Rewrite rules over the steps of a draft, each a function of its own. None knows a model; they look at kernels and at who reads what.

mod copies;
mod elementwise;
mod expr;
mod gated;
mod key_rotation;
mod merge_linears;
mod norm_prologue;
mod rope_store;
mod select_rows;
mod store_epilogue;

pub(super) use elementwise::simplify_dims;

use super::Target;
use super::draft::Draft;
use super::edit::Edit;

/// A rule: what it finds and rewrites is said at its function.
type Rule = fn(&mut Edit<'_, '_>, &Target);

/// In this order: copies that a selection left without a purpose go first; sums join their linears before elementwise chains swallow them; linears merge while their norm is still a step of its
/// own; epilogues that need merged linears come last.
const RULES: &[Rule] = &[
    copies::drop_copies,
    store_epilogue::add_to_linear,
    elementwise::fuse_chains,
    key_rotation::rotate_keys_while_storing,
    merge_linears::merge_linears,
    norm_prologue::norm_in_linear,
    gated::gate_in_linear,
    rope_store::rotate_and_store_in_linear,
];

pub(super) fn fuse(draft: &mut Draft<'_>, target: &Target) {
    select_rows::select_rows_early(draft);
    for rule in RULES {
        let mut edit = Edit::new(draft);
        rule(&mut edit, target);
        edit.finish();
    }
}
