//! A kernel in the languages that drivers are given.

/// What a kernel is translated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Msl,
    SpirV,
    Hlsl,
}

/// A WGSL module as naga gives it to Metal, Vulkan or DX12; bindings are numbered by naga, not as wgpu numbers them. SPIR-V is binary.
///
/// # Errors
/// When the module is not valid, or the language cannot express it.
pub fn translate(wgsl: &str, language: Language) -> Result<Vec<u8>, String> {
    use naga::back::{hlsl, msl, spv};
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| e.emit_to_string(wgsl))?;
    let capabilities = naga::valid::Capabilities::all();
    let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| e.emit_to_string(wgsl))?;
    match language {
        Language::Msl => {
            let options = msl::Options { lang_version: (3, 1), ..msl::Options::default() };
            let (text, _) = msl::write_string(&module, &info, &options, &msl::PipelineOptions::default()).map_err(|e| e.to_string())?;
            Ok(text.into_bytes())
        }
        Language::Hlsl => {
            let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_6, ..hlsl::Options::default() };
            let pipeline = hlsl::PipelineOptions::default();
            let mut text = String::new();
            hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None).map_err(|e| e.to_string())?;
            Ok(text.into_bytes())
        }
        Language::SpirV => {
            let options = spv::Options { lang_version: (1, 4), ..spv::Options::default() };
            let words = spv::write_vec(&module, &info, &options, None).map_err(|e| e.to_string())?;
            Ok(words.into_iter().flat_map(u32::to_le_bytes).collect())
        }
    }
}
