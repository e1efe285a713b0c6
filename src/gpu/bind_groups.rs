//! The bind-group cache: one group for each layout and list of buffer ranges.

use std::collections::HashMap;
use std::sync::Arc;

use super::device::{CountedBuffer, Gpu};
use super::pipelines::Layout;

/// A range of a buffer.
#[derive(Clone, Debug)]
pub struct BufferRange {
    pub buffer: Arc<CountedBuffer>,
    pub offset: u64,
    /// Bytes; None binds to the end.
    pub size: Option<u64>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    layout: u32,
    ranges: Vec<(u32, u64, u64, u64)>,
}

/// All bind groups in use. Emptied when it grows past what a program's working set explains.
#[derive(Default)]
pub struct BindGroupCache {
    groups: HashMap<Key, wgpu::BindGroup>,
    made: u64,
}

const MOST_GROUPS: usize = 1 << 15;

impl BindGroupCache {
    pub fn get(&mut self, gpu: &Gpu, layout: &Layout, bindings: &[(u32, BufferRange)]) -> wgpu::BindGroup {
        let ranges = bindings.iter().map(|(binding, r)| (*binding, r.buffer.id, r.offset, r.size.unwrap_or(0))).collect();
        if self.groups.len() > MOST_GROUPS {
            self.groups.clear();
        }
        let made = &mut self.made;
        self.groups
            .entry(Key { layout: layout.id, ranges })
            .or_insert_with(|| {
                *made += 1;
                let entries: Vec<wgpu::BindGroupEntry> = bindings
                    .iter()
                    .map(|(binding, r)| wgpu::BindGroupEntry {
                        binding: *binding,
                        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                            buffer: &r.buffer.buffer,
                            offset: r.offset,
                            size: r.size.and_then(std::num::NonZeroU64::new),
                        }),
                    })
                    .collect();
                gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout.bind_group, entries: &entries })
            })
            .clone()
    }

    /// Drops all groups, and with them the buffers that only they keep.
    pub fn clear(&mut self) {
        self.groups.clear();
    }

    /// Bind groups made since the start.
    pub fn made(&self) -> u64 {
        self.made
    }
}
