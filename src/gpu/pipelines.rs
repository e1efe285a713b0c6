//! The pipeline cache: assembled source → compute pipeline with its layout.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::assemble::{Source, Target};
use super::contract::{Arguments, Contract, take_step_as_immediate};
use super::device::Gpu;
use super::disk;
use super::errors::first_lines;
use super::options::Faults;
use super::prune::prune;
use super::vulkan::Kernel;
use crate::graph::{ExecError, Origin};

/// A bind-group layout, shared by all pipelines whose bindings have the same kinds.
pub struct Layout {
    pub id: u32,
    pub bind_group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

pub struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: Arc<Layout>,
    /// The bindings that the module uses.
    pub bindings: Vec<(u32, BindingKind)>,
    /// What the module declares.
    contract: Contract,
    /// Whether the step's numbers come with the dispatch; else they lie in a buffer.
    is_immediate: bool,
    text: Text,
    /// The same for Vulkan's own command buffers, where runs with it are recorded.
    kernel: OnceLock<Arc<Kernel>>,
}

impl Pipeline {
    /// The numbers of a step that come with the dispatch.
    pub fn immediates<'a>(&self, step: &'a [u32]) -> &'a [u8] {
        if self.is_immediate { bytemuck::cast_slice(step) } else { &[] }
    }

    /// The words of the step and the buffers by binding, of what a lowering gives this kernel by name.
    ///
    /// # Errors
    /// When the lowering names a member of `Step` or a buffer that the module does not declare, or leaves out one that it does. The message names the
    /// kernel, and the member or buffer.
    pub fn resolve<B: Copy>(&self, arguments: &Arguments<B>) -> Result<(Vec<u32>, Vec<(u32, B)>), ExecError> {
        let of_kernel = |problem: String| device_error(format!("kernel {} {problem}", self.text.source.name()));
        let step = self.contract.step(arguments).map_err(of_kernel)?;
        let buffers = self.contract.buffers(arguments, self.bindings.iter().map(|b| b.0)).map_err(of_kernel)?;
        Ok((step, buffers))
    }

    /// Sets the step's numbers for the next dispatch, where they come with it.
    pub fn set_step(&self, pass: &mut wgpu::ComputePass, step: &[u32]) {
        let immediates = self.immediates(step);
        if !immediates.is_empty() {
            pass.set_immediates(0, immediates);
        }
    }

    /// The pipeline for Vulkan's own command buffers, once [`PipelineCache::prepare_to_record`] made it.
    pub fn kernel(&self) -> Option<Arc<Kernel>> {
        self.kernel.get().cloned()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BindingKind {
    Uniform,
    Read,
    ReadWrite,
}

/// Pipelines by source, layouts by kinds.
#[derive(Default)]
pub struct PipelineCache {
    /// The driver's own, kept on disk.
    driver: Option<DriverCache>,
    pipelines: HashMap<Source, Arc<Pipeline>>,
    layouts: HashMap<(Vec<(u32, BindingKind)>, u32), Arc<Layout>>,
    made: usize,
}

/// Pipelines that no program uses are kept up to so many others: compiling one takes 30 to 100 ms.
const MOST_PIPELINES: usize = 1024;

impl PipelineCache {
    /// Pipelines made since the start.
    pub fn made(&self) -> usize {
        self.made
    }

    /// Compiles anew what is asked for from now on: kernels of the same source would be others.
    pub fn forget(&mut self) {
        self.pipelines.clear();
    }

    /// Drops the pipelines that no recording holds, where there are many.
    pub fn drop_unused(&mut self) {
        if self.pipelines.len() > MOST_PIPELINES {
            self.pipelines.retain(|_, pipeline| Arc::strong_count(pipeline) > 1);
        }
    }

    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.pipelines.keys()
    }

    pub fn get(&self, source: &Source) -> Option<Arc<Pipeline>> {
        self.pipelines.get(source).cloned()
    }

    /// Compiles those of `sources` that are missing, on all processors: drivers take 30 to 100 ms a pipeline.
    ///
    /// # Errors
    /// When a module does not parse or the driver refuses it: a bug of ours, or of the driver.
    pub fn prepare(&mut self, gpu: &Gpu, sources: &[&Source]) -> Result<(), ExecError> {
        let mut missing: Vec<&Source> = Vec::new();
        for source in sources {
            if !self.pipelines.contains_key(*source) && !missing.contains(source) {
                missing.push(source);
            }
        }
        let mut parsed = Vec::new();
        for source in missing {
            let text = Text { source: source.clone(), target: gpu.caps.target(), most_immediate_bytes: gpu.caps.immediate_bytes };
            let (module, contract, is_immediate) = text.module(&gpu.options.faults)?;
            let bindings = bindings_of(&module);
            let layout = self.layout(gpu, &bindings, is_immediate);
            parsed.push((text, module, bindings, layout, (contract, is_immediate)));
        }
        if parsed.is_empty() {
            return Ok(());
        }
        let driver = self.driver.get_or_insert_with(|| DriverCache::open(gpu));
        let cache = driver.cache.as_ref();
        let checks = gpu.options.checks;
        let jobs = parsed.iter_mut().map(|(text, module, _, layout, _)| Job {
            name: text.source.name(),
            module: std::mem::take(module),
            layout: layout.pipeline.clone(),
            // What an embedding program added is held to its buffers at run time.
            checks: checks || text.source.has_added(),
        });
        let device = &gpu.device;
        let made = on_all_processors(jobs.collect(), |job| compile(device, job, cache));
        let made = made.ok_or_else(|| device_error(THREAD_FAILED.to_owned()))?;
        for ((text, _, bindings, layout, (contract, is_immediate)), pipeline) in parsed.into_iter().zip(made) {
            let (pipeline, source) = (pipeline?, text.source.clone());
            let pipeline = Pipeline { pipeline, layout, bindings, contract, is_immediate, text, kernel: OnceLock::new() };
            self.made += 1;
            self.pipelines.insert(source, Arc::new(pipeline));
        }
        if let Some(driver) = &mut self.driver {
            driver.save();
        }
        Ok(())
    }

    /// Makes the kernels of `sources` for Vulkan's own command buffers, on all processors; where one is refused, runs are not recorded.
    pub fn prepare_to_record(&self, gpu: &Gpu, sources: &[&Source]) {
        let Some(device) = gpu.recorder() else { return };
        let mut missing: Vec<&Arc<Pipeline>> = Vec::new();
        // Vulkan's own pipelines have no run-time checks, which added text needs.
        for pipeline in sources.iter().filter(|source| !source.has_added()).filter_map(|source| self.pipelines.get(source)) {
            if pipeline.kernel.get().is_none() && !missing.iter().any(|m| Arc::ptr_eq(m, pipeline)) {
                missing.push(pipeline);
            }
        }
        let faults = &gpu.options.faults;
        let jobs: Vec<(&Text, &[(u32, BindingKind)])> = missing.iter().map(|p| (&p.text, &p.bindings[..])).collect();
        let made = on_all_processors(jobs, |(text, bindings)| {
            let (module, _, is_immediate) = text.module(faults).map_err(|e| e.to_string())?;
            Kernel::new(device, &module, bindings, if is_immediate { text.most_immediate_bytes } else { 0 })
        });
        let Some(made) = made else { return log::warn!("no runs are recorded: {THREAD_FAILED}") };
        for (pipeline, kernel) in missing.into_iter().zip(made) {
            match kernel {
                Ok(kernel) => drop(pipeline.kernel.set(Arc::new(kernel))),
                Err(error) => log::warn!("runs with kernel {} are not recorded: {error}", pipeline.text.source.name()),
            }
        }
    }

    fn layout(&mut self, gpu: &Gpu, bindings: &[(u32, BindingKind)], is_immediate: bool) -> Arc<Layout> {
        // One size for all: pipelines of compatible layouts keep what is bound.
        let immediate_size = if is_immediate { gpu.caps.immediate_bytes } else { 0 };
        let id = self.layouts.len() as u32;
        let entry = |(binding, kind): &(u32, BindingKind)| wgpu::BindGroupLayoutEntry {
            binding: *binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match kind {
                    BindingKind::Uniform => wgpu::BufferBindingType::Uniform,
                    BindingKind::Read => wgpu::BufferBindingType::Storage { read_only: true },
                    BindingKind::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
                },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let make = || {
            let entries: Vec<_> = bindings.iter().map(entry).collect();
            let bind_group = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
            let pipeline = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&bind_group)],
                immediate_size,
            });
            Arc::new(Layout { id, bind_group, pipeline })
        };
        self.layouts.entry((bindings.to_vec(), immediate_size)).or_insert_with(make).clone()
    }
}

/// All that a module follows from, but for faults that tests plant.
struct Text {
    source: Source,
    target: Target,
    most_immediate_bytes: u32,
}

impl Text {
    /// The module, from which everything that its constants rule out was removed; what the module declared before; and whether it takes the step's
    /// numbers as immediates.
    fn module(&self, faults: &Faults) -> Result<(naga::Module, Contract, bool), ExecError> {
        let text = self.source.assemble(self.target).map_err(|e| device_error(e.to_string()))?;
        let text = faults.planted(self.source.op, text);
        let mut module = naga::front::wgsl::parse_str(&text)
            .map_err(|e| device_error(format!("kernel {} does not parse: {}", self.source.name(), e.emit_to_string(&text))))?;
        let contract = Contract::of(&module);
        prune(&mut module);
        let is_immediate = take_step_as_immediate(&mut module, self.most_immediate_bytes);
        Ok((module, contract, is_immediate))
    }
}

/// The driver's compiled pipelines, where the backend can hand them out, and their file.
struct DriverCache {
    cache: Option<wgpu::PipelineCache>,
    path: Option<PathBuf>,
    saved_bytes: usize,
}

impl DriverCache {
    fn open(gpu: &Gpu) -> Self {
        let path = disk::file_of(gpu, "pipelines").filter(|_| gpu.caps.pipeline_cache);
        let data = path.as_ref().and_then(|p| std::fs::read(p).ok());
        let cache = path.is_some().then(|| {
            let descriptor = wgpu::PipelineCacheDescriptor { label: None, data: data.as_deref(), fallback: true };
            // SAFETY: the file is one that `save` wrote, under the name of this adapter and driver; wgpu checks its header and starts
            // empty where that does not match.
            unsafe { gpu.device.create_pipeline_cache(&descriptor) }
        });
        DriverCache { cache, path, saved_bytes: data.map_or(0, |d| d.len()) }
    }

    /// Writes what grew.
    fn save(&mut self) {
        let Some(path) = &self.path else { return };
        let Some(data) = self.cache.as_ref().and_then(wgpu::PipelineCache::get_data) else { return };
        if data.len() == self.saved_bytes {
            return;
        }
        self.saved_bytes = data.len();
        if let Err(error) = disk::write(path, &data) {
            log::info!("pipelines are not kept: {error}");
        }
    }
}

const THREAD_FAILED: &str = "a driver thread failed while compiling kernels";

/// What `make` makes of each job, in their order, on all processors; `None` where a thread failed, as drivers make them.
fn on_all_processors<J: Send, T: Send>(jobs: Vec<J>, make: impl Fn(J) -> T + Sync) -> Option<Vec<T>> {
    let n_jobs = jobs.len();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(n_jobs.max(1));
    let mut by_thread: Vec<Vec<(usize, J)>> = (0..threads).map(|_| Vec::new()).collect();
    for (i, job) in jobs.into_iter().enumerate() {
        by_thread[i % threads].push((i, job));
    }
    let make = &make;
    let mut made: Vec<(usize, T)> = std::thread::scope(|scope| {
        let start = |jobs: Vec<(usize, J)>| scope.spawn(move || jobs.into_iter().map(|(i, job)| (i, make(job))).collect::<Vec<_>>());
        let running: Vec<_> = by_thread.into_iter().map(start).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    made.sort_by_key(|(i, _)| *i);
    (made.len() == n_jobs).then(|| made.into_iter().map(|(_, made)| made).collect())
}

struct Job {
    name: String,
    module: naga::Module,
    layout: wgpu::PipelineLayout,
    /// Whether indices and loops are checked at run time.
    checks: bool,
}

fn compile(device: &wgpu::Device, job: Job, cache: Option<&wgpu::PipelineCache>) -> Result<wgpu::ComputePipeline, ExecError> {
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let descriptor =
        wgpu::ShaderModuleDescriptor { label: Some(&job.name), source: wgpu::ShaderSource::Naga(std::borrow::Cow::Owned(job.module)) };
    let module = if job.checks {
        device.create_shader_module(descriptor)
    } else {
        // SAFETY: every kernel clamps or proves its indices and bounds its loops; the suite runs with checks as well.
        unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
    };
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&job.name),
        layout: Some(&job.layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions { constants: &[], zero_initialize_workgroup_memory: false },
        cache,
    });
    match pollster::block_on(scope.pop()) {
        Some(error) => Err(device_error(format!("kernel {} is refused: {}", job.name, first_lines(&error.to_string())))),
        None => Ok(pipeline),
    }
}

fn device_error(message: String) -> ExecError {
    ExecError::Device { message, origin: Origin::default() }
}

/// The buffers of a module, by binding.
pub fn bindings_of(module: &naga::Module) -> Vec<(u32, BindingKind)> {
    let mut bindings: Vec<(u32, BindingKind)> = module
        .global_variables
        .iter()
        .filter_map(|(_, var)| {
            let binding = var.binding.as_ref()?.binding;
            let kind = match var.space {
                naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => BindingKind::ReadWrite,
                naga::AddressSpace::Storage { .. } => BindingKind::Read,
                _ => BindingKind::Uniform,
            };
            Some((binding, kind))
        })
        .collect();
    bindings.sort_by_key(|b| b.0);
    bindings
}

#[cfg(test)]
mod tests {
    use super::super::options::{GpuOptions, KernelFault};
    use super::super::variants::Variant;
    use super::*;
    use crate::plan::Off;

    /// The pipeline of `select_row` on a device that computes nothing, with one text in it in place of another.
    fn select_row(kernels: Off<Variant>, from: &'static str, to: &'static str) -> Arc<Pipeline> {
        let faults = Faults { kernels: vec![KernelFault { op: "select_row", from, to }], ..Faults::default() };
        let options = GpuOptions { backend: Some("noop".into()), kernels, faults, ..GpuOptions::default() };
        let gpu = Gpu::open(&options).unwrap();
        let (mut pipelines, source) = (PipelineCache::default(), Source::new("select_row"));
        pipelines.prepare(&gpu, &[&source]).unwrap();
        pipelines.get(&source).unwrap()
    }

    fn arguments() -> Arguments<char> {
        Arguments::default().set("index", 7u32).set("n_rows", 5u32).set("len", 6u32).bind("out", 'o').bind("x", 'x')
    }

    /// For kernels that read the step's numbers as immediates, and for those that read them from a buffer.
    #[test]
    fn a_renamed_member_or_buffer_is_an_error_that_names_it_and_the_kernel() {
        for kernels in [Off::NONE, Off::of(&[Variant::Immediates])] {
            let resolved = select_row(kernels, "len", "len").resolve(&arguments()).unwrap();
            assert_eq!(resolved, (vec![5, 6, 7], vec![(2, 'x'), (3, 'o')]), "members and buffers in any order");
            for (from, to, expected) in [
                ("n_rows", "row_count", "kernel select_row has no member `n_rows` in its `Step`, which its lowering sets"),
                (
                    "len: u32,",
                    "len: u32, first: u32,",
                    "kernel select_row has the member `first` in its `Step`, which its lowering does not set",
                ),
                ("out", "result", "kernel select_row declares no buffer `out`, which its lowering binds"),
            ] {
                let said = select_row(kernels, from, to).resolve(&arguments()).unwrap_err().to_string();
                assert!(said.contains(expected), "{said}");
            }
            let said = select_row(kernels, "len", "len").resolve(&arguments().bind("bias", 'b')).unwrap_err().to_string();
            assert!(said.contains("kernel select_row declares no buffer `bias`, which its lowering binds"), "{said}");
        }
    }

    #[test]
    fn an_absent_fragment_is_an_error_that_names_the_kernel() {
        let gpu = Gpu::open(&GpuOptions { backend: Some("noop".into()), ..GpuOptions::default() }).unwrap();
        let said = PipelineCache::default().prepare(&gpu, &[&Source::new("iota").with("prelude/absent")]).unwrap_err().to_string();
        assert!(said.contains("kernel iota + prelude/absent needs `prelude/absent`"), "{said}");
    }
}
