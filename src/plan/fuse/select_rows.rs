//! One row of a result, computed from one row of its operands.

use std::collections::HashMap;

use crate::graph::Literal;
use crate::plan::draft::Draft;
use crate::plan::{Buf, Elementwise, Epilogue, Kernel, Linear, Norm, Role, Rows, ScalarRef, Softmax, Step, View};

/// Which part of a value the rest of the plan reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Full,
    Row(Row),
}

/// Some of `n_rows` rows of `len` elements: one, or the last of each segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Row {
    pick: Pick,
    n_rows: usize,
    len: usize,
}

/// Which row: known at run time, as `select_row` has it, or from the graph, as a slice has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pick {
    Word(ScalarRef),
    Fixed(usize),
    /// The last of each of so many segments.
    Last(usize),
}

impl Row {
    /// Rows that are picked.
    fn n_picked(&self) -> usize {
        if let Pick::Last(n) = self.pick { n } else { 1 }
    }
}

/// What a step selects: the value, its row, and the result.
fn selection(kernel: &Kernel) -> Option<(Buf, Row, Buf)> {
    match *kernel {
        Kernel::SelectRow { x, index, out, n_rows, len } => Some((x, Row { pick: Pick::Word(index), n_rows, len }, out)),
        Kernel::LastRows { x, out, n_rows, n_segments, len } => Some((x, Row { pick: Pick::Last(n_segments), n_rows, len }, out)),
        _ => None,
    }
}

/// Where only one row of a value is selected, or sliced, and the step that makes it works row by row, the selection is done before the step,
/// and so on up: logits of the last token need one row of the head and of the last block's feed-forward part.
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
    let rows: HashMap<Buf, usize> = draft.steps.iter().filter_map(|s| own_rows(&s.kernel)).collect();
    for step in draft.steps.iter().rev() {
        let mut wanted: Vec<(Buf, Demand)> = Vec::new();
        if let Some((x, row, _)) = selection(&step.kernel) {
            wanted.push((x, Demand::Row(row)));
        } else if let Some(row) = row_demand(&step.kernel, &demands)
            && let Some(kernel) = one_row(&draft.values, &step.kernel, row, &mut |operand| {
                wanted.push((operand.buf, Demand::Row(Row { len: operand.len, ..row })));
                (ROW, 0)
            })
        {
            wanted.extend(kernel.reads().into_iter().filter(|&b| b != ROW).map(|b| (b, Demand::Full)));
        } else {
            let mut kernel = step.kernel.clone();
            for (view, dims) in kernel.views_mut() {
                if let Some(row) = sliced_row(draft, &rows, view, &dims) {
                    wanted.push((view.buf, Demand::Row(row)));
                    view.buf = ROW;
                }
            }
            wanted.extend(kernel.reads().into_iter().filter(|&b| b != ROW).map(|b| (b, Demand::Full)));
        }
        for (buf, demand) in wanted {
            // Rows of a value's first part are not the rows that its step makes.
            let demand = match (demand, buf) {
                (Demand::Row(row), Buf::Slot(id)) if row.n_rows * row.len == draft.values[id.0 as usize] => demand,
                _ => Demand::Full,
            };
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

/// The result of a step that works row by row, and its rows.
fn own_rows(kernel: &Kernel) -> Option<(Buf, usize)> {
    let rows = match kernel {
        Kernel::Linear(k) => k.rows.count,
        Kernel::Norm(k) => k.rows.count,
        Kernel::Softmax(k) => k.outer,
        Kernel::Elementwise(k) => *k.dims.first()?,
        _ => return None,
    };
    kernel.writes().first().map(|&out| (out, rows))
}

/// The row that a view stays within, where its value has several.
fn sliced_row(draft: &Draft<'_>, rows: &HashMap<Buf, usize>, view: &View, dims: &[usize]) -> Option<Row> {
    let (Buf::Slot(id), &n_rows) = (view.buf, rows.get(&view.buf)?) else { return None };
    let extent = view.extent(dims).filter(|e| !e.is_empty() && n_rows > 1)?;
    let len = draft.values[id.0 as usize] / n_rows;
    let first = extent.start.checked_div(len)?;
    ((extent.end - 1) / len == first).then_some(Row { pick: Pick::Fixed(first), n_rows, len })
}

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
        if let Some((x, row, out)) = selection(&step.kernel)
            && demands.get(&x) == Some(&Demand::Row(row))
        {
            let row = self.row(x, row, &step);
            self.renamed.insert(out, row);
            return;
        }
        let one = row_demand(&step.kernel, demands).and_then(|row| {
            let values = self.draft.values.clone();
            one_row(&values, &step.kernel, row, &mut |operand| self.operand(operand, row, &step)).map(|kernel| (row, kernel))
        });
        let Some((row, mut kernel)) = one else {
            self.read_rows(&mut step.kernel, demands);
            self.draft.steps.push(step);
            return;
        };
        let out = self.draft.value(row.n_picked() * row.len);
        for operand in kernel.operands_mut().into_iter().filter(|o| o.role == Role::Write) {
            self.rows.insert((*operand.buf, row), out);
            *operand.buf = out;
        }
        self.draft.steps.push(Step { kernel, ..step });
    }

    /// Turns slices of values of which one row alone was made into views of that row.
    fn read_rows(&self, kernel: &mut Kernel, demands: &HashMap<Buf, Demand>) {
        for (view, _) in kernel.views_mut() {
            if let Some(&Demand::Row(row)) = demands.get(&view.buf)
                && let (Pick::Fixed(index), Some(&made)) = (row.pick, self.rows.get(&(view.buf, row)))
            {
                view.buf = made;
                view.offset -= index * row.len;
            }
        }
    }

    /// Where the operand's row is: a fixed one of a value that is there whole can be read in place.
    fn operand(&mut self, operand: RowOperand, row: Row, for_step: &Step) -> (Buf, usize) {
        let row = Row { len: operand.len, ..row };
        match row.pick {
            Pick::Fixed(index) if operand.is_view && !self.rows.contains_key(&(operand.buf, row)) => (operand.buf, index * row.len),
            _ => (self.row(operand.buf, row, for_step), 0),
        }
    }

    /// The row of a value: where no step made it alone, it is selected here.
    fn row(&mut self, x: Buf, row: Row, for_step: &Step) -> Buf {
        if let Some(&known) = self.rows.get(&(x, row)) {
            return known;
        }
        let Row { pick, n_rows, len } = row;
        let out = self.draft.value(row.n_picked() * len);
        let (kernel, name) = match pick {
            Pick::Word(index) => (Kernel::SelectRow { x, index, out, n_rows, len }, "select_row"),
            Pick::Fixed(index) => {
                let index = self.draft.constant(Literal::I32(index as i32));
                (Kernel::SelectRow { x, index, out, n_rows, len }, "select_row")
            }
            Pick::Last(n_segments) => (Kernel::LastRows { x, out, n_rows, n_segments, len }, "last_rows"),
        };
        self.draft.steps.push(Step { kernel, nodes: for_step.nodes.clone(), name: name.to_owned(), origin: for_step.origin });
        self.rows.insert((x, row), out);
        out
    }
}

/// An operand with as many rows as the result, `len` elements each.
struct RowOperand {
    buf: Buf,
    len: usize,
    /// Whether it may start anywhere in its buffer.
    is_view: bool,
}

/// Gives the buffer that holds an operand's row, and where it starts there.
type FindRow<'f> = &'f mut dyn FnMut(RowOperand) -> (Buf, usize);

/// `kernel` for one row of its result, with the operands that have as many rows replaced by what `find` gives; or `None` when the kernel does not work row by row.
fn one_row(values: &[usize], kernel: &Kernel, row: Row, find: FindRow<'_>) -> Option<Kernel> {
    // Rows of the result may be several of the kernel's: heads of a token.
    let per_row = |rows: usize| (rows > 0 && rows.is_multiple_of(row.n_rows)).then(|| rows / row.n_rows);
    let picked = |per_row: usize| Rows { count: per_row * row.n_picked(), dynamic: false };
    match kernel {
        Kernel::Linear(k) => {
            let Epilogue::Store { residual: None, .. } = k.epilogue else { return None };
            let count = per_row(k.rows.count)?;
            let x = find(RowOperand { buf: k.x, len: count * k.k, is_view: false }).0;
            Some(Kernel::Linear(Linear { x, rows: picked(count), ..k.clone() }))
        }
        Kernel::Norm(k) => {
            let count = per_row(k.rows.count)?;
            let x = find(RowOperand { buf: k.x, len: count * k.width, is_view: false }).0;
            Some(Kernel::Norm(Norm { x, rows: picked(count), ..k.clone() }))
        }
        Kernel::Softmax(k) => {
            let outer = per_row(k.outer)?;
            let x = find(RowOperand { buf: k.x, len: outer * k.len * k.inner, is_view: false }).0;
            Some(Kernel::Softmax(Softmax { x, outer: picked(outer).count, ..k.clone() }))
        }
        Kernel::Elementwise(k) => elementwise_row(values, k, row, find).map(Kernel::Elementwise),
        _ => None,
    }
}

fn elementwise_row(values: &[usize], k: &Elementwise, row: Row, find: FindRow<'_>) -> Option<Elementwise> {
    if k.dims.first() != Some(&row.n_rows) || k.dims.contains(&0) {
        return None;
    }
    // Either the same for every row, or within its own row of a value of as many.
    let follows_rows = |view: &View| {
        let row_len = usize::try_from(view.strides[0]).ok()?;
        let within = View { strides: view.strides[1..].to_vec(), ..view.clone() }.extent(&k.dims[1..])?.end <= row_len;
        let whole = match view.buf {
            Buf::Slot(id) => values[id.0 as usize] == row_len * row.n_rows,
            _ => matches!(row.pick, Pick::Fixed(_)),
        };
        (within && whole).then_some(row_len)
    };
    let row_lens: Vec<Option<usize>> = k
        .inputs
        .iter()
        .map(|(view, _)| if view.strides[0] == 0 { Some(None) } else { follows_rows(view).map(Some) })
        .collect::<Option<_>>()?;
    let mut one = Elementwise { dynamic: false, ..k.clone() };
    one.dims[0] = row.n_picked();
    for ((view, _), row_len) in one.inputs.iter_mut().zip(row_lens) {
        if let Some(row_len) = row_len {
            let (buf, offset) = find(RowOperand { buf: view.buf, len: row_len, is_view: true });
            view.buf = buf;
            view.offset += offset;
            view.strides[0] = if row.n_picked() == 1 { 0 } else { row_len as isize };
        }
    }
    Some(one)
}
