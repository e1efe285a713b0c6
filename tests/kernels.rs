//! Every kernel that a device may get, assembled: that it translates, that Metal takes it, and that a wrong one is found. Kernels depend on
//! what a device has, so they are gathered from a device that validates and computes nothing, under each profile.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it finds, and fails on what it does not expect"
)]

mod support;

use std::collections::BTreeMap;

use support::{Llama, fixture};
use tensorlogic::doctor::{Arithmetic, cases};
use tensorlogic::gpu::{Faults, GpuExecutor, GpuOptions, Language, Profile, lint};
use tensorlogic::graph::{CompileOptions, Executor, KvType};

/// The texts of all kernels that the doctor's cases and the steps of whole models need on a device of these options, by text.
fn gather(options: &GpuOptions, kernels: &mut BTreeMap<String, String>) {
    let mut executor = GpuExecutor::new(options).unwrap();
    for case in cases(if options.precise { Arithmetic::Precise } else { Arithmetic::Fast }) {
        for fuse in [true, false] {
            let compile = CompileOptions { fuse, caches: case.cache.into_iter().collect() };
            for run in &case.runs {
                executor.compile(&run.graph, &run.outputs, &compile).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            }
        }
    }
    for name in ["tiny-f32.gguf", "tiny-q4_0.gguf", "tiny-mixed.gguf"] {
        let llama = Llama::open(&fixture(name));
        for kv_type in [KvType::F32, KvType::F16] {
            let spec = llama.cache(64, 512, 4, kv_type);
            for bucket in [1, 2, 8, 16, 64, 512] {
                let step = llama.step(bucket, spec.n_positions());
                let compile = CompileOptions { fuse: true, caches: vec![spec] };
                executor.compile(&step.graph, &[step.logits], &compile).unwrap();
            }
        }
    }
    kernels.extend(executor.kernels().into_iter().map(|(name, text)| (text, name)));
}

#[test]
fn every_kernel_translates_to_the_languages_of_the_backends_that_can_run_it() {
    let mut kernels = BTreeMap::new();
    // Without a profile or matrices this device counts as a software one. WebGPU's has no subgroups, DX12's kernels are Metal's but for
    // matrices.
    for (profile, no_subgroups, matrix_edge) in [
        (None, false, None),
        (None, true, None),
        (None, false, Some(16)),
        (Some(Profile::Metal), false, None),
        (Some(Profile::Metal), true, None),
        (Some(Profile::Dx12), false, None),
        (Some(Profile::WebGpu), false, None),
    ] {
        for precise in [false, true] {
            let backend = Some("noop".into());
            let faults = Faults { matrix_edge, ..Faults::default() };
            let options = GpuOptions { backend, profile, no_subgroups, precise, faults, ..GpuOptions::default() };
            gather(&options, &mut kernels);
        }
    }
    for edge in [8, 16] {
        let of_edge = kernels.keys().filter(|text| text.contains(&format!("coop_mat{edge}x{edge}"))).count();
        assert!(of_edge > 20, "only {of_edge} kernels of {edge} × {edge}");
    }
    let problems: Vec<String> = kernels.iter().flat_map(|(text, name)| lint::check(name, text)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(kernels.len() > 300, "only {} kernels", kernels.len());
    println!("{} kernels", kernels.len());
}

fn lines(text: &str) -> String {
    format!("@group(0) @binding(0) var<storage, read_write> out: array<f32>;\n{text}")
}

/// The lint itself: what it must not let through.
#[test]
fn the_lint_finds_what_a_backend_refuses() {
    let main = |body: &str| lines(&format!("@compute @workgroup_size(32) fn main() {{ {body} }}"));
    assert_eq!(lint::check("good", &main("out[0] = 1.0;")), Vec::<String>::new());
    let memory =
        lines("var<workgroup> held: array<f32, 9000>;\n@compute @workgroup_size(1) fn main() { held[0] = 1.0; out[0] = held[1]; }");
    for (name, text, word) in [
        ("syntax", main("out[0] = ;"), "expected"),
        ("type", main("out[0] = 1u;"), "type"),
        ("memory", memory, "36000 bytes of threadgroup memory"),
        (
            "buffers",
            (1..10).map(|i| format!("@group(0) @binding({i}) var<storage, read> b{i}: array<f32>;\n")).collect::<String>()
                + &main(&format!("out[0] = {};", (1..10).map(|i| format!("b{i}[0]")).collect::<Vec<_>>().join(" + "))),
            "10 storage buffers",
        ),
    ] {
        let problems = lint::check(name, &text);
        assert!(problems.iter().any(|p| p.contains(word)), "{name}: {problems:?}");
    }
}

/// Kernels of matrix units name fewer backends: 8×8 those of Metal and Vulkan, 16×16 Vulkan's alone.
#[test]
fn matrix_kernels_name_their_backends() {
    let kernel = |size: u32| {
        lines(&format!(
            "enable wgpu_cooperative_matrix;\n@group(0) @binding(1) var<storage, read> a: array<f32>;\n\
             @compute @workgroup_size(32) fn main() {{\n\
             let x = coopLoad<coop_mat{size}x{size}<f32, A>>(&a[0], {size}u);\n\
             let y = coopLoad<coop_mat{size}x{size}<f32, B>>(&a[0], {size}u);\n\
             var z = coopLoad<coop_mat{size}x{size}<f32, C>>(&out[0], {size}u);\n\
             z = coopMultiplyAdd(x, y, z);\n coopStore(z, &out[0], {size}u);\n}}"
        ))
    };
    for (size, expected) in [(8, vec![Language::SpirV, Language::Msl]), (16, vec![Language::SpirV])] {
        let text = kernel(size).replace("enable wgpu_cooperative_matrix;\n", "");
        let text = format!("enable wgpu_cooperative_matrix;\n{text}");
        let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&text)));
        assert_eq!(lint::languages(&module), expected);
        assert_eq!(lint::check("matrices", &text), Vec::<String>::new(), "{size}x{size}");
    }
}
