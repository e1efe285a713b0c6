//! What the tests of several ops share: seeded values and blocks.

use std::sync::Arc;

use crate::graph::{Binding, CacheSpec, CacheUse, CompileOptions, Executor, Literal, Origin, ProgramId, RunArgs, Segment, Weight};
use crate::plan::{Buf, Kernel, OutputSpec, Placement, Plan, ScalarExpr, Scalars, Step};
use crate::tensor::{DType, HostTensor, Quant, Shape};

use super::{CpuExecutor, CpuOptions, Isa};

/// A linear congruential generator.
pub struct Lcg(pub u64);

impl Lcg {
    pub fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    /// In -1..1.
    pub fn signed(&mut self) -> f32 {
        self.word() as f32 / (1u64 << 30) as f32 - 1.0
    }

    pub fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.signed()).collect()
    }
}

/// Blocks of random bytes with finite scales, some of them subnormal in f16.
pub fn random_blocks(quant: Quant, n: usize, random: &mut Lcg) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..n * quant.block_bytes).map(|_| random.word() as u8).collect();
    for block in bytes.chunks_exact_mut(quant.block_bytes) {
        let scale = if random.word().is_multiple_of(5) { 1e-6 } else { 0.01 + random.signed().abs() };
        quant.set_scales(block, scale);
    }
    bytes
}

/// A plan of one kernel, its inputs `Input(0)…`, weights `Weight(0)…`, one output.
pub struct OneStep {
    pub kernel: Kernel,
    pub inputs: Vec<HostTensor>,
    pub placements: Vec<Placement>,
    pub scalars: Vec<Literal>,
    pub out: (Shape, DType),
    pub bucket: Option<usize>,
    pub caches: Vec<CacheSpec>,
}

impl OneStep {
    /// A step with inputs and an f32 output alone.
    pub fn new(kernel: Kernel, inputs: Vec<HostTensor>, out: impl Into<Shape>) -> OneStep {
        let out = (out.into(), DType::F32);
        OneStep { kernel, inputs, placements: Vec::new(), scalars: Vec::new(), out, bucket: None, caches: Vec::new() }
    }

    pub fn plan(&self) -> Plan {
        Plan {
            steps: vec![Step { kernel: self.kernel.clone(), nodes: Vec::new(), name: "tested".into(), origin: Origin::default() }],
            slots: Vec::new(),
            placements: self.placements.clone(),
            rope_rows: Vec::new(),
            scalars: Scalars {
                words: (0..self.scalars.len()).map(|i| ScalarExpr::Literal(i as u32)).collect(),
                literals: self.scalars.clone(),
            },
            inputs: self.inputs.iter().map(|t| Some((t.shape.clone(), t.dtype))).collect(),
            outputs: vec![OutputSpec { buf: Buf::Output(0), shape: self.out.0.clone(), dtype: self.out.1 }],
            bucket: self.bucket,
            segments: 1,
            options: CompileOptions { fuse: true, caches: self.caches.clone() },
        }
    }

    pub fn args(&self) -> RunArgs {
        let inputs = self.inputs.iter().map(|t| Binding::Host(Arc::new(t.clone()))).collect();
        RunArgs::of(inputs, Segment { n_tokens: self.bucket.unwrap_or(0), ..Segment::default() })
    }

    /// Runs on an executor of `options`, with a cache where the step has one.
    pub fn run(&self, executor: &mut CpuExecutor) -> HostTensor {
        let program = executor.load(self.plan()).unwrap();
        let mut args = self.args();
        for spec in &self.caches {
            args.segments[0].caches.push(CacheUse { cache: executor.new_cache(spec).unwrap(), position: 0 });
        }
        self.run_with(executor, program, &args)
    }

    pub fn run_with(&self, executor: &mut CpuExecutor, program: ProgramId, args: &RunArgs) -> HostTensor {
        let outputs = executor.run(program, args).unwrap();
        executor.read(&outputs[0]).unwrap()
    }
}

/// An executor of `threads` threads on one level of instructions.
pub fn executor(isa: Isa, threads: usize, precise: bool) -> CpuExecutor {
    CpuExecutor::new(CpuOptions { precise, threads: Some(threads), isa: Some(isa), ..CpuOptions::default() })
}

/// A weight of `rows` rows of `k` values and its exact values.
pub fn random_weight(dtype: DType, rows: usize, k: usize, random: &mut Lcg) -> (Arc<Weight>, Vec<f64>) {
    let len = rows * k;
    let bytes: Vec<u8> = match dtype {
        DType::Quant(quant) => random_blocks(quant, len / quant.block_len, random),
        DType::F16 => (0..len).flat_map(|_| half::f16::from_f32(random.signed()).to_le_bytes()).collect(),
        DType::BF16 => (0..len).flat_map(|_| half::bf16::from_f32(random.signed()).to_le_bytes()).collect(),
        _ => (0..len).flat_map(|_| random.signed().to_le_bytes()).collect(),
    };
    let mut values = vec![0.0; len];
    super::linear::widen(Isa::Portable, dtype, &bytes, &mut values);
    let weight = Weight::new("tested.weight", [rows, k], dtype, Arc::new(bytes));
    (Arc::new(weight), values.into_iter().map(f64::from).collect())
}
