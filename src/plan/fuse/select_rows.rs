//! One row of a result, computed from one row of its operands.

use std::collections::HashMap;

use crate::plan::draft::Draft;
use crate::plan::{Buf, Elementwise, Epilogue, Kernel, Linear, Norm, Role, Rows, ScalarRef, Softmax, Step, View};

/// Which part of a value the rest of the plan reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Full,
    Row(Row),
}

/// One of `n_rows` rows of `len` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Row {
    index: ScalarRef,
    n_rows: usize,
    len: usize,
}

/// Where only one row of a value is selected and the step that makes it works row by row, the selection is done before the step, and so on
/// up: logits of the last token need one row of the head and of the last block's feed-forward part.
pub(super) fn select_rows_early(draft: &mut Draft<'_>) {
    let demands = demands(draft);
    if !demands.values().any(|d| matches!(d, Demand::Row(_))) {
        return;
    }
    let steps = std::mem::take(&mut draft.steps);
    let mut rewrite = Rewrite { draft, rows: HashMap::new(), renamed: HashMap::new() };
    for step in steps {
        rewrite.step(step, &demands);
    }
    let renamed = rewrite.renamed;
    for output in &mut draft.outputs {
        output.buf = *renamed.get(&output.buf).unwrap_or(&output.buf);
    }
}

/// What is read of each value, found from the last step to the first.
fn demands(draft: &Draft<'_>) -> HashMap<Buf, Demand> {
    let mut demands: HashMap<Buf, Demand> = draft.outputs.iter().map(|o| (o.buf, Demand::Full)).collect();
    for step in draft.steps.iter().rev() {
        let mut wanted: Vec<(Buf, Demand)> = Vec::new();
        if let Kernel::SelectRow { x, index, n_rows, len, .. } = step.kernel {
            wanted.push((x, Demand::Row(Row { index, n_rows, len })));
        } else if let Some(row) = row_demand(&step.kernel, &demands)
            && let Some(kernel) = one_row(&draft.values, &step.kernel, row, &mut |buf, len| {
                wanted.push((buf, Demand::Row(Row { len, ..row })));
                ROW
            })
        {
            wanted.extend(kernel.reads().into_iter().filter(|&b| b != ROW).map(|b| (b, Demand::Full)));
        } else {
            wanted.extend(step.kernel.reads().into_iter().map(|b| (b, Demand::Full)));
        }
        for (buf, demand) in wanted {
            let known = demands.entry(buf).or_insert(demand);
            if *known != demand {
                *known = Demand::Full;
            }
        }
    }
    demands
}

/// Stands for a row's value while only its demand is asked for.
const ROW: Buf = Buf::Output(u32::MAX);

fn row_demand(kernel: &Kernel, demands: &HashMap<Buf, Demand>) -> Option<Row> {
    match kernel.writes().as_slice() {
        [out] => match demands.get(out) {
            Some(&Demand::Row(row)) => Some(row),
            _ => None,
        },
        _ => None,
    }
}

struct Rewrite<'d, 'g> {
    draft: &'d mut Draft<'g>,
    /// Rows of values that have been made.
    rows: HashMap<(Buf, Row), Buf>,
    /// By result of a selection: the row that it is.
    renamed: HashMap<Buf, Buf>,
}

impl Rewrite<'_, '_> {
    fn step(&mut self, mut step: Step, demands: &HashMap<Buf, Demand>) {
        for operand in step.kernel.operands_mut() {
            *operand.buf = *self.renamed.get(operand.buf).unwrap_or(operand.buf);
        }
        if let Kernel::SelectRow { x, index, out, n_rows, len } = step.kernel
            && let row = (Row { index, n_rows, len })
            && demands.get(&x) == Some(&Demand::Row(row))
        {
            let row = self.row(x, row, &step);
            self.renamed.insert(out, row);
            return;
        }
        let Some(row) = row_demand(&step.kernel, demands) else {
            self.draft.steps.push(step);
            return;
        };
        let values = self.draft.values.clone();
        let Some(mut kernel) = one_row(&values, &step.kernel, row, &mut |buf, len| self.row(buf, Row { len, ..row }, &step)) else {
            self.draft.steps.push(step);
            return;
        };
        let out = self.draft.value(row.len);
        for operand in kernel.operands_mut().into_iter().filter(|o| o.role == Role::Write) {
            self.rows.insert((*operand.buf, row), out);
            *operand.buf = out;
        }
        self.draft.steps.push(Step { kernel, ..step });
    }

    /// The row of a value: where no step made it alone, it is selected here.
    fn row(&mut self, x: Buf, row: Row, for_step: &Step) -> Buf {
        if let Some(&known) = self.rows.get(&(x, row)) {
            return known;
        }
        let Row { index, n_rows, len } = row;
        let out = self.draft.value(len);
        let kernel = Kernel::SelectRow { x, index, out, n_rows, len };
        self.draft.steps.push(Step { kernel, nodes: for_step.nodes.clone(), name: "select_row".to_owned(), origin: for_step.origin });
        self.rows.insert((x, row), out);
        out
    }
}

/// `kernel` for one row of its result, with the operands that have as many rows replaced by what `operand` gives for them and the length of
/// their row; or `None` when the kernel does not work row by row.
fn one_row(values: &[usize], kernel: &Kernel, row: Row, operand: &mut dyn FnMut(Buf, usize) -> Buf) -> Option<Kernel> {
    // Rows of the result may be several of the kernel's: heads of a token.
    let per_row = |rows: usize| (rows > 0 && rows.is_multiple_of(row.n_rows)).then(|| rows / row.n_rows);
    match kernel {
        Kernel::Linear(k) => {
            let Epilogue::Store { residual: None, .. } = k.epilogue else { return None };
            let count = per_row(k.rows.count)?;
            let x = operand(k.x, count * k.k);
            Some(Kernel::Linear(Linear { x, rows: Rows { count, dynamic: false }, ..k.clone() }))
        }
        Kernel::Norm(k) => {
            let count = per_row(k.rows.count)?;
            let x = operand(k.x, count * k.width);
            Some(Kernel::Norm(Norm { x, rows: Rows { count, dynamic: false }, ..k.clone() }))
        }
        Kernel::Softmax(k) => {
            let outer = per_row(k.outer)?;
            let x = operand(k.x, outer * k.len * k.inner);
            Some(Kernel::Softmax(Softmax { x, outer, ..k.clone() }))
        }
        Kernel::Elementwise(k) => elementwise_row(values, k, row, operand).map(Kernel::Elementwise),
        _ => None,
    }
}

fn elementwise_row(values: &[usize], k: &Elementwise, row: Row, operand: &mut dyn FnMut(Buf, usize) -> Buf) -> Option<Elementwise> {
    if k.dims.first() != Some(&row.n_rows) || k.dims.contains(&0) {
        return None;
    }
    // Either the same for every row, or within its own row of a value of as many.
    let follows_rows = |view: &View| {
        let row_len = usize::try_from(view.strides[0]).ok()?;
        let within = View { strides: view.strides[1..].to_vec(), ..view.clone() }.extent(&k.dims[1..])?.end <= row_len;
        let whole = matches!(view.buf, Buf::Slot(id) if values[id.0 as usize] == row_len * row.n_rows);
        (within && whole).then_some(row_len)
    };
    let row_lens: Vec<Option<usize>> = k
        .inputs
        .iter()
        .map(|(view, _)| if view.strides[0] == 0 { Some(None) } else { follows_rows(view).map(Some) })
        .collect::<Option<_>>()?;
    let mut one = Elementwise { dynamic: false, ..k.clone() };
    one.dims[0] = 1;
    for ((view, _), row_len) in one.inputs.iter_mut().zip(row_lens) {
        if let Some(row_len) = row_len {
            view.buf = operand(view.buf, row_len);
            view.strides[0] = 0;
        }
    }
    Some(one)
}
