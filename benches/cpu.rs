//! Speed of the CPU backend on a llama: tokens a second, GB/s of weights, and where the time goes, by kernel.
//!
//! `TL_BENCH_MODEL=model.gguf cargo bench --bench cpu`; `TL_BENCH_THREADS` sets the threads, `TL_BENCH_PRECISE=1` the mode.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement prints, and stops at what it does not expect")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tensorlogic::cpu::{CpuExecutor, CpuOptions};
use tensorlogic::engine::processor_seconds;
use tensorlogic::format::ModelFile;
use tensorlogic::graph::{
    BinaryOp, Binding, CacheIdx, CacheSpec, CacheUse, CompileOptions, Executor, Graph, KvType, NodeId, Op, PAGE, RopeRowsKind, RopeScaling,
    RopeSpec, RopeStyle, RunArgs, RuntimeScalar, Sampling, Segment, UnaryOp,
};
use tensorlogic::model::{ModelConfig, ModelWeights};
use tensorlogic::tensor::HostTensor;

fn main() {
    let Ok(path) = std::env::var("TL_BENCH_MODEL") else {
        println!("skipped: TL_BENCH_MODEL is not set");
        return;
    };
    let file = Arc::new(ModelFile::open(Path::new(&path), false).unwrap());
    let config = ModelConfig::from_file(&file).unwrap();
    let weights = ModelWeights::from_file(&file);
    let options = CpuOptions {
        threads: std::env::var("TL_BENCH_THREADS").ok().map(|t| t.parse().unwrap()),
        precise: std::env::var("TL_BENCH_PRECISE").is_ok(),
        ..CpuOptions::default()
    };
    let mut cpu = CpuExecutor::new(options);
    println!("{} on {}", config.name, cpu.describe());
    let spec = CacheSpec {
        n_layers: config.n_layers,
        n_kv_heads: config.n_kv_heads,
        head_dim: config.head_dim,
        window: 2048,
        chunk: 512,
        page: PAGE,
        sinks: 4,
        sequences: 1,
        places: 0,
        kv_type: KvType::F16,
    };
    let cache = cpu.new_cache(&spec).unwrap();
    let read_bytes = weights.len_bytes() - weights.get("token_embd.weight").map_or(0, |w| w.len_bytes());
    for (bucket, start, runs) in [(1, 0, 48), (64, 0, 4), (512, 0, 2), (1, 512, 48)] {
        let (graph, outputs) = llama(&config, &weights, &spec, bucket);
        let options = CompileOptions { fuse: true, caches: vec![spec] };
        let begin = Instant::now();
        let program = cpu.compile(&graph, &outputs, &options).unwrap();
        let compile_time = begin.elapsed();
        let (mut times, mut cpu_times) = (Vec::new(), Vec::new());
        let mut by_kernel: BTreeMap<String, (Duration, usize)> = BTreeMap::new();
        for run in 0..runs {
            let ids: Vec<i32> = (0..bucket).map(|t| ((run * 131 + t * 17) % config.vocab_len) as i32).collect();
            let position = start + if bucket == 1 { run } else { 0 };
            let args = RunArgs {
                inputs: vec![Binding::Host(Arc::new(HostTensor::i32([bucket], ids)))],
                segments: vec![Segment {
                    caches: vec![CacheUse { cache, position }],
                    n_tokens: bucket,
                    sampling: Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, ..Sampling::default() },
                }],
                ..RunArgs::default()
            };
            cpu.time_steps(run == runs - 1);
            let (begin, cpu_begin) = (Instant::now(), processor_seconds().unwrap_or(0.0));
            let outputs = cpu.run(program, &args).unwrap();
            cpu.read(&outputs[0]).unwrap();
            times.push(begin.elapsed());
            cpu_times.push(processor_seconds().unwrap_or(0.0) - cpu_begin);
        }
        for (name, time) in cpu.step_times() {
            let kind = name.rsplit('.').next().unwrap_or(&name).to_owned();
            let entry = by_kernel.entry(kind).or_default();
            entry.0 += time;
            entry.1 += 1;
        }
        times.sort();
        let cpu_time = cpu_times.iter().copied().fold(f64::INFINITY, f64::min);
        let (best, median) = (times[0].as_secs_f64(), times[times.len() / 2].as_secs_f64());
        println!(
            "{bucket} tokens at {start}: {:.1} tok/s best, {:.1} median, {:.1} GB/s of weights, {:.1} tok a second of processor time; made ready in {:.0} ms",
            bucket as f64 / best,
            bucket as f64 / median,
            read_bytes as f64 / best / 1e9,
            bucket as f64 / cpu_time,
            compile_time.as_secs_f64() * 1e3
        );
        let mut kinds: Vec<_> = by_kernel.into_iter().collect();
        kinds.sort_by_key(|k| std::cmp::Reverse(k.1.0));
        for (kind, (time, steps)) in kinds.iter().take(10) {
            println!("    {:9.3} ms in {steps:3} steps: {kind}", time.as_secs_f64() * 1e3);
        }
    }
    println!("{:?}", cpu.counters());
}

/// Tokens in, an id out.
fn llama(config: &ModelConfig, weights: &ModelWeights, spec: &CacheSpec, bucket: usize) -> (Graph, Vec<NodeId>) {
    let mut g = Graph::new();
    let ids = g.tokens_input(bucket);
    let w = |g: &mut Graph, name: &str| g.weight(weights.get(name).unwrap_or_else(|| panic!("no {name}")).clone());
    let norm = |g: &mut Graph, x: NodeId, name: &str| {
        let (weight, eps) = (w(g, name), g.literal_f32(1e-5));
        g.rms_norm(x, weight, eps).unwrap()
    };
    let linear = |g: &mut Graph, x: NodeId, name: &str| {
        let weight = w(g, name);
        g.linear(x, weight).unwrap()
    };
    let table = w(&mut g, "token_embd.weight");
    let mut x = g.embedding(ids, table).unwrap();
    let first = g.runtime_scalar(RuntimeScalar::Position(CacheIdx(0)));
    let rope = RopeSpec { n_dims: config.head_dim, base: 10000.0, scaling: RopeScaling::None, factors: Vec::new() };
    let rows = g.rope_rows(Arc::new(rope), RopeRowsKind::Position, first, bucket);
    let (heads, kv_heads, d) = (config.n_heads, config.n_kv_heads, config.head_dim);
    for i in 0..config.n_layers {
        let name = |part: &str| format!("blk.{i}.{part}.weight");
        let h = norm(&mut g, x, &name("attn_norm"));
        let [q, k, v] = [("attn_q", heads), ("attn_k", kv_heads), ("attn_v", kv_heads)].map(|(part, n)| {
            let y = linear(&mut g, h, &name(part));
            g.reshape(y, [bucket, n, d]).unwrap()
        });
        let (q, k) = (g.rope(q, rows, RopeStyle::Interleaved).unwrap(), g.rope(k, rows, RopeStyle::Interleaved).unwrap());
        let appended = g.cache_append(CacheIdx(0), i, spec.n_positions(), k, v).unwrap();
        let (scale, window) = (g.literal_f32(1.0 / (d as f32).sqrt()), g.literal_i32(0));
        let a = g.attention(q, appended, scale, window).unwrap();
        let a = g.reshape(a, [bucket, heads * d]).unwrap();
        let o = linear(&mut g, a, &name("attn_output"));
        let y = g.binary(BinaryOp::Add, x, o).unwrap();
        let h = norm(&mut g, y, &name("ffn_norm"));
        let (gate, up) = (linear(&mut g, h, &name("ffn_gate")), linear(&mut g, h, &name("ffn_up")));
        let gate = g.unary(UnaryOp::Silu, gate).unwrap();
        let gated = g.binary(BinaryOp::Mul, gate, up).unwrap();
        let down = linear(&mut g, gated, &name("ffn_down"));
        x = g.binary(BinaryOp::Add, y, down).unwrap();
    }
    let (count, one) = (g.runtime_scalar(RuntimeScalar::TokenCount), g.literal_i32(1));
    let last = g.binary(BinaryOp::Sub, count, one).unwrap();
    let x = g.add(Op::SelectRow, &[x, last]).unwrap();
    let x = g.reshape(x, [1, config.width]).unwrap();
    let x = norm(&mut g, x, "output_norm.weight");
    let head = if weights.get("output.weight").is_some() { "output.weight" } else { "token_embd.weight" };
    let logits = linear(&mut g, x, head);
    let logits = g.reshape(logits, [config.vocab_len]).unwrap();
    let settings = g.run_sampling();
    let position = g.binary(BinaryOp::Add, first, count).unwrap();
    let id = g.sample(logits, settings, position, Some(CacheIdx(0))).unwrap();
    (g, vec![id])
}
