//! The devices of this machine, for a report that a program reads.

use serde::Serialize;

use crate::cpu::{CpuExecutor, CpuOptions};
use crate::gpu::{GpuOptions, adapters};
use crate::graph::Executor;

use super::Backend;

/// A device as `tl devices --json` shows it. Sizes are in bytes; `null` is not known, or does not apply.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceEntry {
    /// `vulkan`, `metal`, `dx12` or `cpu`.
    pub backend: &'static str,
    pub name: String,
    /// `discrete`, `integrated`, `virtual`, `software`, `other` or `cpu`.
    pub kind: &'static str,
    pub driver: Option<String>,
    /// Of the device's own memory, or of the machine's for the CPU.
    pub memory_bytes: Option<u64>,
    /// The largest part of a buffer that a kernel can be given: no tensor is larger.
    pub max_binding_bytes: Option<u64>,
    pub workgroup_memory_bytes: Option<u64>,
    /// The smallest and the largest size of a subgroup.
    pub subgroup_sizes: Option<(u32, u32)>,
    pub f16: Option<bool>,
}

impl Backend {
    /// An entry for each adapter, and the last one for the CPU.
    pub fn entries() -> Vec<DeviceEntry> {
        let found = adapters(&GpuOptions { backend: None, adapter: None, ..GpuOptions::from_env() });
        let mut entries: Vec<DeviceEntry> = found
            .into_iter()
            .map(|adapter| DeviceEntry {
                backend: adapter.backend,
                name: adapter.name,
                kind: adapter.kind,
                driver: Some(adapter.driver).filter(|driver| !driver.is_empty()),
                memory_bytes: adapter.memory_bytes,
                max_binding_bytes: Some(adapter.max_binding_mb << 20),
                workgroup_memory_bytes: Some(u64::from(adapter.workgroup_memory_kb) << 10),
                subgroup_sizes: Some(adapter.subgroups).filter(|sizes| *sizes != (0, 0)),
                f16: Some(adapter.f16),
            })
            .collect();
        let cpu = CpuExecutor::new(CpuOptions::default()).describe();
        entries.push(DeviceEntry {
            backend: "cpu",
            name: cpu.trim_start_matches("cpu: ").to_owned(),
            kind: "cpu",
            driver: None,
            memory_bytes: machine_memory(),
            max_binding_bytes: None,
            workgroup_memory_bytes: None,
            subgroup_sizes: None,
            f16: None,
        });
        entries
    }
}

/// Bytes of the machine's memory, where the system tells.
fn machine_memory() -> Option<u64> {
    let table = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
