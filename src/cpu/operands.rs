//! What a run brings, held against what the plan of its program takes: segments, inputs and outputs.

use crate::graph::{Binding, DeviceTensor, ExecError, Origin, RunArgs, Sequences};
use crate::plan::{Buf, Plan};
use crate::tensor::{HostData, HostTensor};

use super::buffer::Buffer;
use super::cache::{KvMemory, UsedCache};
use super::step::RunSegment;
use super::tensors::Tensors;

/// Every operand of every step is one that the plan has, and no step writes what it reads.
pub(super) fn check_operands(plan: &Plan) -> Result<(), ExecError> {
    let known = |buf: Buf| match buf {
        Buf::Slot(id) => (id.0 as usize) < plan.slots.len(),
        Buf::Input(id) => plan.inputs.get(id.0 as usize).is_some_and(Option::is_some),
        Buf::Output(i) => plan.outputs.get(i as usize).is_some_and(|o| o.buf == buf),
        Buf::Weight(id) => plan.placements.get(id.0 as usize).is_some_and(|p| p.storage == crate::plan::Storage::F32),
        Buf::RopeRows(i) => (i as usize) < plan.rope_rows.len(),
    };
    for step in &plan.steps {
        let (written, read) = (step.kernel.writes(), step.kernel.reads());
        let writable = written.iter().all(|buf| matches!(buf, Buf::Slot(_) | Buf::Output(_)));
        let apart = written.iter().all(|buf| !read.contains(buf));
        if !writable || !apart || !written.iter().chain(&read).all(|&buf| known(buf)) {
            let message = format!("the plan's step `{}` has operands that the cpu backend cannot take; please report it", step.name);
            return Err(ExecError::Unsupported { message, origin: step.origin });
        }
    }
    Ok(())
}

/// Refuses a run that the program cannot take.
pub(super) fn check_segments(plan: &Plan, args: &RunArgs) -> Result<(), ExecError> {
    let (n, n_tokens) = (args.segments.len(), args.n_tokens());
    if n == 0 || n > plan.segments {
        return Err(device(format!("a run of {n} segments is none for a program that takes up to {}", plan.segments)));
    }
    if let Some(bucket) = plan.bucket.filter(|&bucket| n_tokens > bucket) {
        return Err(device(format!("{n_tokens} tokens are more than the {bucket} that the program takes")));
    }
    if n == 1 {
        return Ok(());
    }
    if let Some(i) = args.segments.iter().position(|segment| segment.n_tokens == 0) {
        return Err(device(format!("segment {i} of {n} has no tokens")));
    }
    args.fault_of_positions(&plan.options.caches).map_or(Ok(()), |fault| Err(device(fault)))
}

/// The rows and the sequences of each segment.
pub(super) fn bind_segments<'a>(plan: &Plan, args: &RunArgs, sequences: &'a Sequences<KvMemory>) -> Result<Vec<RunSegment<'a>>, ExecError> {
    let mut segments = Vec::with_capacity(args.segments.len());
    let mut first_row = 0;
    for segment in &args.segments {
        let mut caches = Vec::with_capacity(plan.options.caches.len());
        for (i, spec) in plan.options.caches.iter().enumerate() {
            let used =
                segment.caches.get(i).ok_or_else(|| device(format!("the run binds {} of {} caches", segment.caches.len(), i + 1)))?;
            let sequence = sequences.get(used.cache)?;
            if sequence.spec != spec {
                return Err(device(format!("the program was made for a cache of {spec:?}, not {:?}", sequence.spec)));
            }
            caches.push(UsedCache { sequence, position: used.position });
        }
        segments.push(RunSegment { first_row, n_rows: segment.n_tokens, caches });
        first_row += segment.n_tokens;
    }
    Ok(segments)
}

/// The bindings of the inputs that the plan needs; those with fewer elements than the plan's shape are copied to a buffer of that size, so that a
/// kernel that reads a whole bucket stays inside of it.
#[allow(clippy::type_complexity, reason = "two parallel lists")]
pub(super) fn stage_inputs<'a>(
    plan: &Plan,
    args: &'a RunArgs,
    tensors: &mut Tensors,
) -> Result<(Vec<Option<Buffer>>, Vec<Option<&'a Binding>>), ExecError> {
    let (mut staged, mut bound) = (Vec::new(), Vec::new());
    for (i, input) in plan.inputs.iter().enumerate() {
        let Some((shape, dtype)) = input else {
            staged.push(None);
            bound.push(None);
            continue;
        };
        let binding = args.inputs.get(i).ok_or_else(|| device(format!("input {i} of {shape} is not bound")))?;
        let (len, is_float) = match binding {
            Binding::Host(host) => (host.len(), host.dtype.is_float()),
            Binding::Device(tensor) => (tensor.shape.len(), tensor.dtype.is_float()),
        };
        if len > shape.len() || len < shape.len() && plan.bucket.is_none() || is_float != dtype.is_float() {
            return Err(device(format!("input {i} takes {dtype} {shape}, but is bound to {len} elements of another shape or type")));
        }
        staged.push(if len < shape.len() {
            let buffer = tensors.take(shape.len())?;
            match binding {
                Binding::Host(host) => copy_words(host_words(host), &buffer),
                // SAFETY: no step runs.
                Binding::Device(tensor) => copy_words(unsafe { &tensors.buffer(tensor)?.view().slice()[..len] }, &buffer),
            }
            Some(buffer)
        } else {
            None
        });
        bound.push(Some(binding));
    }
    Ok((staged, bound))
}

/// Handles to a run's outputs: a buffer of their own, another output's, or a copy of an input.
pub(super) fn keep_outputs(
    plan: &Plan,
    mut outputs: Vec<Option<Buffer>>,
    bound: &[Option<&Binding>],
    tensors: &mut Tensors,
) -> Result<Vec<DeviceTensor>, ExecError> {
    let mut kept: Vec<Option<DeviceTensor>> = vec![None; outputs.len()];
    for (i, buffer) in outputs.iter_mut().enumerate() {
        if let Some(buffer) = buffer.take() {
            kept[i] = Some(tensors.keep(buffer, plan.outputs[i].shape.clone(), plan.outputs[i].dtype));
        }
    }
    let mut handles = Vec::with_capacity(kept.len());
    for (i, spec) in plan.outputs.iter().enumerate() {
        let handle = match (&kept[i], spec.buf) {
            (Some(own), _) => own.clone(),
            (None, Buf::Output(other)) => {
                let other = kept.get(other as usize).cloned().flatten();
                let other = other.ok_or_else(|| device(format!("output {i} has no buffer; please report it")))?;
                let mut handle = other.reshaped(spec.shape.clone());
                handle.dtype = spec.dtype;
                handle
            }
            (None, Buf::Input(input)) => {
                let words: Vec<u32> = match bound.get(input.0 as usize).copied().flatten() {
                    Some(Binding::Host(host)) => host_words(host).to_vec(),
                    // SAFETY: no step runs.
                    Some(Binding::Device(tensor)) => unsafe {
                        tensors.buffer(tensor)?.view().slice::<u32>()[..tensor.shape.len()].to_vec()
                    },
                    None => return Err(device(format!("output {i} is an input that is not bound"))),
                };
                let buffer = tensors.take(spec.shape.len().max(1))?;
                copy_words(&words, &buffer);
                tensors.keep(buffer, spec.shape.clone(), spec.dtype)
            }
            (None, buf) => return Err(device(format!("output {i} lies in {buf:?}, which does not outlive a run; please report it"))),
        };
        handles.push(handle);
    }
    Ok(handles)
}

pub(super) fn host_words(host: &HostTensor) -> &[u32] {
    match &host.data {
        HostData::F32(values) => bytemuck::cast_slice(values),
        HostData::I32(values) => bytemuck::cast_slice(values),
    }
}

pub(super) fn copy_words(words: &[u32], buffer: &Buffer) {
    // SAFETY: no step runs, and the buffer is not yet a tensor.
    let out: &mut [u32] = unsafe { buffer.view().slice_mut() };
    let n = words.len().min(out.len());
    out[..n].copy_from_slice(&words[..n]);
}

pub(super) fn device(message: String) -> ExecError {
    ExecError::Device { message, origin: Origin::default() }
}
