//! Checks of assembled kernels: they validate, they translate to the languages of exactly those backends that have what they use, and the
//! Metal text holds nothing that Metal refuses. A translation is not a compile; it is what can be known without the machine.

use naga::valid::Capabilities;
use naga::{CooperativeSize, TypeInner};

use super::errors::first_lines;
use super::prune::prune;
use super::translate::Language;

/// Buffers that a Metal function may take, naga's table of sizes among them.
const MOST_METAL_BUFFERS: usize = 31;
/// Bytes of threadgroup memory on every Metal device.
const MOST_METAL_MEMORY: u32 = 32 << 10;
/// Storage buffers of one stage that WebGPU promises.
const MOST_STORAGE_BUFFERS: usize = 8;

/// The languages of the backends that have what a module uses. Metal's matrices are 8×8, Vulkan's drivers choose their sizes, DX12 has none.
/// Metal's barriers do not order memory between workgroups.
pub fn languages(module: &naga::Module) -> Vec<Language> {
    if is_coherent(module) {
        return vec![Language::SpirV, Language::Hlsl];
    }
    let sizes = module.types.iter().filter_map(|(_, ty)| match ty.inner {
        TypeInner::CooperativeMatrix { columns, rows, .. } => Some([columns, rows]),
        _ => None,
    });
    let sizes: Vec<CooperativeSize> = sizes.flatten().collect();
    if sizes.is_empty() {
        vec![Language::SpirV, Language::Msl, Language::Hlsl]
    } else if sizes.iter().all(|&size| size == CooperativeSize::Eight) {
        vec![Language::SpirV, Language::Msl]
    } else {
        vec![Language::SpirV]
    }
}

/// What is wrong with a kernel, without what its constants rule out; empty when nothing is.
pub fn check(name: &str, text: &str) -> Vec<String> {
    let mut module = match naga::front::wgsl::parse_str(text) {
        Ok(module) => module,
        Err(error) => return vec![format!("{name}: {}", error.emit_to_string(text))],
    };
    prune(&mut module);
    let mut problems = Vec::new();
    // What every backend has, and what kernels ask for by their needs.
    let capabilities = Capabilities::default()
        | Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | Capabilities::SUBGROUP
        | Capabilities::SHADER_FLOAT16
        | Capabilities::SHADER_INT64
        | Capabilities::MEMORY_DECORATION_COHERENT
        | Capabilities::COOPERATIVE_MATRIX;
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
    validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
    validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
    let info = match validator.validate(&module) {
        Ok(info) => info,
        Err(error) => return vec![format!("{name}: {}", first_lines(&error.emit_to_string(text)))],
    };
    let storage = module.global_variables.iter().filter(|(_, v)| matches!(v.space, naga::AddressSpace::Storage { .. })).count();
    if storage > MOST_STORAGE_BUFFERS {
        problems.push(format!("{name}: {storage} storage buffers, at most {MOST_STORAGE_BUFFERS}"));
    }
    let named = languages(&module);
    for language in [Language::SpirV, Language::Hlsl, Language::Msl] {
        let translated = match language {
            Language::SpirV => spirv(&module, &info),
            Language::Hlsl => hlsl(&module, &info),
            Language::Msl => msl(&module, &info).and_then(|text| match msl_problems(&module, &text) {
                found if found.is_empty() => Ok(()),
                found => Err(found.join("; ")),
            }),
        };
        match translated {
            Err(error) if named.contains(&language) => problems.push(format!("{name}: no {language:?}: {error}")),
            Ok(()) if !named.contains(&language) => problems.push(format!("{name}: {language:?} takes what its devices lack")),
            _ => {}
        }
    }
    problems
}

/// The kernel in Metal's language.
///
/// # Errors
/// naga's message.
pub fn msl(module: &naga::Module, info: &naga::valid::ModuleInfo) -> Result<String, String> {
    let options = naga::back::msl::Options { lang_version: (2, 4), zero_initialize_workgroup_memory: false, ..Default::default() };
    let pipeline = naga::back::msl::PipelineOptions {
        entry_point: None,
        allow_and_force_point_size: false,
        vertex_pulling_transform: false,
        ..Default::default()
    };
    naga::back::msl::write_string(module, info, &options, &pipeline).map(|(text, _)| text).map_err(|e| e.to_string())
}

fn spirv(module: &naga::Module, info: &naga::valid::ModuleInfo) -> Result<(), String> {
    let options = naga::back::spv::Options { lang_version: (1, 4), ..Default::default() };
    naga::back::spv::write_vec(module, info, &options, None).map(drop).map_err(|e| e.to_string())
}

fn hlsl(module: &naga::Module, info: &naga::valid::ModuleInfo) -> Result<(), String> {
    let mut text = String::new();
    let options = naga::back::hlsl::Options { shader_model: naga::back::hlsl::ShaderModel::V6_4, ..Default::default() };
    let pipeline = naga::back::hlsl::PipelineOptions::default();
    let mut writer = naga::back::hlsl::Writer::new(&mut text, &options, &pipeline);
    writer.write(module, info, None).map(drop).map_err(|e| e.to_string())
}

/// Whether workgroups read what others of the same dispatch wrote.
fn is_coherent(module: &naga::Module) -> bool {
    module.global_variables.iter().any(|(_, v)| v.memory_decorations.contains(naga::MemoryDecorations::COHERENT))
}

fn msl_problems(module: &naga::Module, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if is_coherent(module) {
        problems.push("memory that is coherent between workgroups".to_owned());
    }
    let buffers = module.global_variables.iter().filter(|(_, v)| v.binding.is_some()).count() + 1;
    if buffers > MOST_METAL_BUFFERS {
        problems.push(format!("{buffers} buffers, Metal takes {MOST_METAL_BUFFERS}"));
    }
    let memory = workgroup_memory(module);
    if memory > MOST_METAL_MEMORY {
        problems.push(format!("{memory} bytes of threadgroup memory, Metal has {MOST_METAL_MEMORY}"));
    }
    for word in ["INFINITY", "simdgroup_float16x16", "simdgroup_half16x16", "isinf", "isnan"] {
        if text.contains(word) {
            problems.push(format!("`{word}` in the MSL"));
        }
    }
    problems
}

/// Bytes of a module's workgroup variables.
pub fn workgroup_memory(module: &naga::Module) -> u32 {
    let mut layouter = naga::proc::Layouter::default();
    if layouter.update(module.to_ctx()).is_err() {
        return 0;
    }
    module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup).map(|(_, v)| layouter[v.ty].size).sum()
}
