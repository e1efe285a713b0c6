//! An independent check of a finished plan: it trusts nothing of how the plan was made.

use std::collections::HashMap;

use crate::graph::CacheIdx;

use super::operands::scalars_of;
use super::{Buf, Epilogue, Kernel, Plan, Role, Step, Storage};

/// Follows the steps with an abstract memory.
///
/// # Errors
/// A sentence for the first thing that cannot be right: a buffer read before it was written, or after another value took its slot; more
/// elements used than a buffer has; one buffer both read and written by a step; a word, weight or output that does not exist.
pub fn verify(plan: &Plan) -> Result<(), String> {
    let mut memory = Memory { plan, written: HashMap::new(), rings: HashMap::new() };
    for (i, step) in plan.steps.iter().enumerate() {
        memory.run(step).map_err(|error| format!("step {i} ({}): {error}", step.name))?;
    }
    for (i, output) in plan.outputs.iter().enumerate() {
        memory.read(output.buf, output.shape.len()).map_err(|error| format!("output {i}: {error}"))?;
    }
    Ok(())
}

struct Memory<'p> {
    plan: &'p Plan,
    /// By slot or output: the elements of its value now.
    written: HashMap<Buf, usize>,
    /// By cache and layer: how many kinds of rows (keys, values) this plan wrote.
    rings: HashMap<(CacheIdx, usize), (bool, bool)>,
}

impl Memory<'_> {
    fn run(&mut self, step: &Step) -> Result<(), String> {
        let mut kernel = step.kernel.clone();
        let operands: Vec<(Buf, Role, usize)> = kernel.operands_mut().into_iter().map(|o| (*o.buf, o.role, o.len)).collect();
        for &(buf, _, len) in operands.iter().filter(|o| o.1 == Role::Read) {
            self.read(buf, len)?;
            if operands.iter().any(|o| o.1 != Role::Read && o.0 == buf) {
                return Err(format!("{buf} is both read and written"));
            }
        }
        for &(buf, role, len) in operands.iter().filter(|o| o.1 != Role::Read) {
            self.write(buf, role, len)?;
        }
        for word in scalars_of(&step.kernel) {
            if word.0 as usize >= self.plan.scalars.words.len() {
                return Err(format!("there is no word {}", word.0));
            }
        }
        self.native_weight(&step.kernel)?;
        self.cache(&step.kernel)
    }

    fn capacity(&self, buf: Buf) -> Result<usize, String> {
        let plan = self.plan;
        match buf {
            Buf::Slot(id) => plan.slots.get(id.0 as usize).copied(),
            Buf::Input(id) => plan.inputs.get(id.0 as usize).and_then(|i| i.as_ref()).map(|(shape, _)| shape.len()),
            Buf::Output(i) => plan.outputs.get(i as usize).map(|o| o.shape.len()),
            Buf::Weight(id) => plan.placements.get(id.0 as usize).filter(|p| p.storage == Storage::F32).map(|p| p.len()),
            Buf::RopeRows(i) => plan.rope_rows.get(i as usize).map(|r| r.rows.count * r.spec.n_dims),
        }
        .ok_or_else(|| format!("there is no {buf}"))
    }

    fn read(&self, buf: Buf, len: usize) -> Result<(), String> {
        let available = match buf {
            Buf::Slot(_) | Buf::Output(_) if len == 0 => return self.capacity(buf).map(|_| ()),
            Buf::Slot(_) | Buf::Output(_) => *self.written.get(&buf).ok_or_else(|| format!("{buf} is read before it is written"))?,
            _ => self.capacity(buf)?,
        };
        if len > available { Err(format!("{len} elements of {buf} are read, which holds {available}")) } else { Ok(()) }
    }

    fn write(&mut self, buf: Buf, role: Role, len: usize) -> Result<(), String> {
        if !matches!(buf, Buf::Slot(_) | Buf::Output(_)) {
            return Err(format!("{buf} is written"));
        }
        let capacity = self.capacity(buf)?;
        if len > capacity {
            return Err(format!("{len} elements are written to {buf}, which has {capacity}"));
        }
        let now = self.written.entry(buf).or_insert(0);
        *now = if role == Role::WriteWindow { len.max(*now) } else { len };
        Ok(())
    }

    fn native_weight(&self, kernel: &Kernel) -> Result<(), String> {
        let Some(id) = kernel.placement() else { return Ok(()) };
        let placement = self.plan.placements.get(id.0 as usize).ok_or_else(|| format!("there is no weight {}", id.0))?;
        if placement.storage != Storage::Native {
            return Err(format!("weight {} is not in its own type", id.0));
        }
        let (rows, row_len) = match kernel {
            Kernel::Linear(k) => (k.first_row + k.n, k.k),
            Kernel::ExpertLinear(k) => (k.first_row + k.n_experts * k.n, k.k),
            Kernel::Embedding(k) => (placement.n_rows(), k.width),
            _ => return Ok(()),
        };
        if rows > placement.n_rows() || row_len != placement.row_len() {
            return Err(format!("weight {} has {} rows of {}, not {rows} of {row_len}", id.0, placement.n_rows(), placement.row_len()));
        }
        Ok(())
    }

    /// Attention of a layer comes after the keys and the values of this run are in its cache.
    fn cache(&mut self, kernel: &Kernel) -> Result<(), String> {
        let caches = self.plan.options.caches.len();
        if let Some((cache, layer)) = kernel.cache_written().or(kernel.cache_read()) {
            if self.plan.options.caches.get(cache.0 as usize).is_none_or(|spec| layer >= spec.n_layers) {
                return Err(format!("there is no layer {layer} in cache {} of {caches}", cache.0));
            }
            let (keys, values) = self.rings.entry((cache, layer)).or_default();
            match kernel {
                Kernel::CacheStore(store) => {
                    *keys |= store.k.is_some();
                    *values |= store.v.is_some();
                }
                Kernel::Linear(linear) => {
                    *keys = true;
                    *values |= matches!(linear.epilogue, Epilogue::RopeStore { has_v: true, .. });
                }
                _ if !(*keys && *values) => return Err(format!("attention reads layer {layer} before its keys and values are written")),
                _ => {}
            }
        }
        Ok(())
    }
}
