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
use super::switches::{Choice, choices};

choices! {
    /// A rewrite rule: what it finds and rewrites is said at the function of its name.
    ///
    /// In the order in which they are applied: copies that a selection left without a purpose go first; sums join their linears before
    /// elementwise chains swallow them; linears merge while their norm is still a step of its own; epilogues that need merged linears come last.
    pub enum Rule ("rule") {
        SelectRowsEarly = "select_rows_early",
        DropCopies = "drop_copies",
        AddToLinear = "add_to_linear",
        FuseChains = "fuse_chains",
        RotateKeysWhileStoring = "rotate_keys_while_storing",
        MergeLinears = "merge_linears",
        NormInLinear = "norm_in_linear",
        GateInLinear = "gate_in_linear",
        RotateAndStoreInLinear = "rotate_and_store_in_linear",
    }
}

impl Rule {
    fn apply(self, draft: &mut Draft<'_>, target: &Target) {
        let rewrite: fn(&mut Edit<'_, '_>, &Target) = match self {
            Rule::SelectRowsEarly => return select_rows::select_rows_early(draft),
            Rule::DropCopies => copies::drop_copies,
            Rule::AddToLinear => store_epilogue::add_to_linear,
            Rule::FuseChains => elementwise::fuse_chains,
            Rule::RotateKeysWhileStoring => key_rotation::rotate_keys_while_storing,
            Rule::MergeLinears => merge_linears::merge_linears,
            Rule::NormInLinear => norm_prologue::norm_in_linear,
            Rule::GateInLinear => gated::gate_in_linear,
            Rule::RotateAndStoreInLinear => rope_store::rotate_and_store_in_linear,
        };
        let mut edit = Edit::new(draft);
        rewrite(&mut edit, target);
        edit.finish();
    }
}

pub(super) fn fuse(draft: &mut Draft<'_>, target: &Target) {
    for rule in Rule::ALL.iter().filter(|&&rule| !target.off.has(rule)) {
        rule.apply(draft, target);
    }
}
