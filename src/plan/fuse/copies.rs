//! Copies that copy nothing new.

use crate::plan::edit::Edit;
use crate::plan::{Buf, ExprOp, Kernel, Target};

/// A copy of a whole value, element for element, is that value.
pub(super) fn drop_copies(edit: &mut Edit<'_, '_>, _: &Target) {
    for at in 0..edit.len() {
        let Some(Kernel::Elementwise(copy)) = edit.kernel(at) else { continue };
        let ([ExprOp::Input(0)], [(view, _)]) = (copy.expr.ops.as_slice(), copy.inputs.as_slice()) else { continue };
        let len: usize = copy.dims.iter().product();
        let whole = view.offset == 0 && view.is_row_major(&copy.dims);
        if whole && matches!(view.buf, Buf::Slot(id) if edit.draft.values[id.0 as usize] == len) {
            let (copied, of) = (copy.out, view.buf);
            edit.rename(copied, of);
            edit.remove(at);
        }
    }
}
