//! Elementwise chains as one kernel.

use crate::plan::draft::Draft;
use crate::plan::edit::Edit;
use crate::plan::view::row_major;
use crate::plan::{Elementwise, ExprOp, Kernel, Target, View};

use super::expr::ExprBuilder;

/// Inputs of one kernel: with the output and the parameter block it stays within the eight storage buffers that every adapter binds.
const MAX_INPUTS: usize = 6;

/// Ops of one expression: past this, compiling it costs more than a step.
const MAX_OPS: usize = 64;

/// An elementwise step whose result one other elementwise step reads, through one view, is computed there. Its own views are composed with
/// that one, so that a slice or a transposition between the two costs nothing. A result with several readers stays.
pub(super) fn fuse_chains(edit: &mut Edit<'_, '_>, _: &Target) {
    for at in 0..edit.len() {
        while let Some((from, fused)) = next_fusion(edit, at) {
            edit.replace(&[from], at, Kernel::Elementwise(fused));
        }
    }
}

fn next_fusion(edit: &Edit<'_, '_>, at: usize) -> Option<(usize, Elementwise)> {
    let Some(Kernel::Elementwise(consumer)) = edit.kernel(at) else { return None };
    (0..consumer.inputs.len()).find_map(|input| {
        let buf = consumer.inputs[input].0.buf;
        let once = consumer.inputs.iter().filter(|(view, _)| view.buf == buf).count() == 1;
        match edit.writer(buf) {
            Some((from, Kernel::Elementwise(producer))) if once && edit.only_reader(buf) == Some(at) => {
                inlined(consumer, input, producer).map(|fused| (from, fused))
            }
            _ => None,
        }
    })
}

/// `consumer` with `producer` in place of one input.
fn inlined(consumer: &Elementwise, input: usize, producer: &Elementwise) -> Option<Elementwise> {
    let Aligned { dims, consumer_views, producer_views } = aligned(consumer, input, producer)?;
    if consumer.dynamic && dims.first() != consumer.dims.first() {
        return None;
    }
    let mut fused = Fused { inputs: Vec::new(), scalars: Vec::new(), code: ExprBuilder::default() };
    let inner = fused.add(producer, &producer_views, None);
    let value = fused.add(consumer, &consumer_views, Some((input, inner)));
    let expr = fused.code.finish(value);
    let fits = fused.inputs.len() <= MAX_INPUTS && expr.ops.len() <= MAX_OPS;
    fits.then(|| Elementwise { expr, inputs: fused.inputs, scalars: fused.scalars, dims, ..consumer.clone() })
}

/// A kernel being put together from two.
struct Fused {
    inputs: Vec<(View, crate::tensor::DType)>,
    scalars: Vec<crate::plan::ScalarRef>,
    code: ExprBuilder,
}

impl Fused {
    /// Adds the code of `kernel`, which reads `views`, with a known value for one of its inputs.
    fn add(&mut self, kernel: &Elementwise, views: &[View], known: Option<(usize, u32)>) -> u32 {
        let Fused { inputs, scalars, code } = self;
        code.add_expr(&kernel.expr, |code, leaf| match leaf {
            ExprOp::Input(i) => match known {
                Some((at, value)) if at == i as usize => value,
                _ => {
                    let read = (views[i as usize].clone(), kernel.inputs[i as usize].1);
                    code.add(ExprOp::Input(position_or_push(inputs, read)))
                }
            },
            ExprOp::Scalar(i) => code.add(ExprOp::Scalar(position_or_push(scalars, kernel.scalars[i as usize]))),
            other => code.add(other),
        })
    }
}

fn position_or_push<T: PartialEq>(list: &mut Vec<T>, item: T) -> u32 {
    let at = list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    });
    at as u32
}

/// Views of two kernels over common dimensions.
struct Aligned {
    dims: Vec<usize>,
    consumer_views: Vec<View>,
    producer_views: Vec<View>,
}

fn aligned(consumer: &Elementwise, input: usize, producer: &Elementwise) -> Option<Aligned> {
    if consumer.dims.contains(&0) || producer.dims.contains(&0) {
        return None;
    }
    let through = &consumer.inputs[input].0;
    let views = |kernel: &Elementwise| kernel.inputs.iter().map(|(view, _)| view.clone()).collect::<Vec<_>>();
    if let Some(coordinates) = coordinates(through, &consumer.dims, &producer.dims) {
        let producer_views = views(producer).iter().map(|view| composed(view, &coordinates)).collect::<Option<_>>()?;
        return Some(Aligned { dims: consumer.dims.clone(), consumer_views: views(consumer), producer_views });
    }
    // A reshape that merges or splits dimensions: both are read over the finer dimensions that the two have in common.
    let same_len = consumer.dims.iter().product::<usize>() == producer.dims.iter().product::<usize>();
    let whole = same_len && through.offset == 0 && through.is_row_major(&consumer.dims);
    let dims = if whole { common_refinement(&consumer.dims, &producer.dims)? } else { return None };
    let split = |kernel: &Elementwise| views(kernel).iter().map(|view| view.reshaped(&kernel.dims, &dims)).collect::<Option<_>>();
    Some(Aligned { consumer_views: split(consumer)?, producer_views: split(producer)?, dims })
}

/// For each dimension of a reader: the dimension of the producer that it runs along, and its step there; and where it starts in each.
struct Coordinates {
    start: Vec<isize>,
    steps: Vec<Option<(usize, isize)>>,
}

/// How a view of `dims` walks through a row-major tensor of `of`, or `None` when one of its dimensions runs along several of the tensor's.
fn coordinates(view: &View, dims: &[usize], of: &[usize]) -> Option<Coordinates> {
    let strides = row_major(of);
    let mut rest = view.offset as isize;
    let mut start = vec![0; of.len()];
    for (axis, &stride) in strides.iter().enumerate() {
        if of[axis] > 1 {
            start[axis] = rest / stride;
            rest %= stride;
        }
    }
    let (mut low, mut high) = (start.clone(), start.clone());
    let mut steps = Vec::with_capacity(dims.len());
    for (&size, &stride) in dims.iter().zip(&view.strides) {
        if size == 1 || stride == 0 {
            steps.push(None);
            continue;
        }
        let axis = (0..of.len()).find(|&axis| of[axis] > 1 && stride % strides[axis] == 0)?;
        let step = stride / strides[axis];
        let reach = (size as isize - 1) * step;
        low[axis] += reach.min(0);
        high[axis] += reach.max(0);
        steps.push(Some((axis, step)));
    }
    let inside = (0..of.len()).all(|axis| low[axis] >= 0 && high[axis] < of[axis] as isize);
    inside.then_some(Coordinates { start, steps })
}

/// A producer's input as its reader walks through the producer.
fn composed(view: &View, through: &Coordinates) -> Option<View> {
    let offset = view.offset as isize + through.start.iter().zip(&view.strides).map(|(start, stride)| start * stride).sum::<isize>();
    let strides = through.steps.iter().map(|step| step.map_or(0, |(axis, step)| view.strides[axis] * step)).collect();
    usize::try_from(offset).ok().map(|offset| View { buf: view.buf, offset, strides })
}

/// The coarsest dimensions of which both lists are groupings, or `None` when a dimension of one straddles two of the other.
fn common_refinement(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let cuts = |dims: &[usize]| {
        dims.iter()
            .rev()
            .scan(1, |product, &n| {
                *product *= n;
                Some(*product)
            })
            .collect::<Vec<usize>>()
    };
    let mut all: Vec<usize> = cuts(a).into_iter().chain(cuts(b)).collect();
    all.sort_unstable();
    all.dedup();
    let mut dims = Vec::new();
    let mut before = 1;
    for cut in all {
        if cut % before != 0 {
            return None;
        }
        if cut > before {
            dims.push(cut / before);
        }
        before = cut;
    }
    dims.reverse();
    Some(if dims.is_empty() { vec![1] } else { dims })
}

/// Merges dimensions that every operand walks through as one and drops those of size 1. The token bucket stays dimension 0; at least one
/// dimension is left.
pub(in crate::plan) fn simplify_dims(draft: &mut Draft<'_>) {
    for step in &mut draft.steps {
        match &mut step.kernel {
            Kernel::Elementwise(k) => simplify(&mut k.dims, k.dynamic, k.inputs.iter_mut().map(|i| &mut i.0).collect()),
            Kernel::Copy(k) => simplify(&mut k.dims, k.dynamic, vec![&mut k.x, &mut k.out]),
            _ => {}
        }
    }
}

fn simplify(dims: &mut Vec<usize>, dynamic: bool, mut views: Vec<&mut View>) {
    let mut kept: Vec<usize> = Vec::new();
    let mut strides: Vec<Vec<isize>> = vec![Vec::new(); views.len()];
    for (axis, &size) in dims.iter().enumerate() {
        let is_bucket = dynamic && axis == 0;
        let before_is_bucket = dynamic && kept.len() == 1;
        if size == 1 && !is_bucket {
            continue;
        }
        let walks_on = |(view, kept): (&&mut View, &Vec<isize>)| kept.last() == Some(&(view.strides[axis] * size as isize));
        match kept.last_mut() {
            Some(last) if !before_is_bucket && views.iter().zip(&strides).all(walks_on) => {
                *last *= size;
                strides.iter_mut().for_each(|kept| kept.truncate(kept.len() - 1));
            }
            _ => kept.push(size),
        }
        strides.iter_mut().zip(&views).for_each(|(kept, view)| kept.push(view.strides[axis]));
    }
    if kept.is_empty() {
        kept.push(1);
        strides.iter_mut().for_each(|kept| kept.push(0));
    }
    *dims = kept;
    views.iter_mut().zip(strides).for_each(|(view, strides)| view.strides = strides);
}
