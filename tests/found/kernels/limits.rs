//! What kernels and adapters do not take is refused with a sentence of ours.

use std::sync::Arc;

use tensorlogic::doctor::{Bound, Case, Noise, check};
use tensorlogic::gpu::{Faults, GpuExecutor, GpuOptions, Quants, WeightFormat, add_weight_format};
use tensorlogic::graph::{BinaryOp, Binding, CacheSpec, CompileOptions, ExecError, Executor, Graph, KvType, NodeId, PAGE, RunArgs, Weight};
use tensorlogic::tensor::quant::Q4_0;
use tensorlogic::tensor::{DType, HostTensor, Quant};

use crate::support::gpu_is_there;

/// The adapter that validates and computes nothing, whose bindings are as short as this.
fn noop(binding_limit: Option<u64>) -> GpuExecutor {
    let faults = Faults { binding_limit, ..Faults::default() };
    GpuExecutor::new(&GpuOptions { backend: Some("noop".into()), faults, ..GpuOptions::default() }).unwrap()
}

fn compiled(executor: &mut GpuExecutor, build: impl FnOnce(&mut Graph) -> NodeId, caches: Vec<CacheSpec>) -> Result<(), ExecError> {
    let mut g = Graph::new();
    let out = build(&mut g);
    executor.compile(&g, &[out], &CompileOptions { fuse: true, caches }).map(|_| ())
}

fn assert_says(error: Result<(), ExecError>, words: &[&str]) {
    let text = error.unwrap_err().to_string();
    assert!(!text.contains("Validation") && words.iter().all(|word| text.contains(word)), "{text}");
}

fn zeros(name: &str, rows: usize, cols: usize, dtype: DType) -> Arc<Weight> {
    let bytes = vec![0u8; dtype.storage_bytes(rows * cols).unwrap()];
    Arc::new(Weight::new(name, [rows, cols], dtype, Arc::new(bytes)))
}

#[test]
fn a_tensor_past_the_binding_limit_is_named() {
    let mut executor = noop(Some(1 << 20));
    let plus_one = |g: &mut Graph, len: usize| {
        let x = g.input([len], DType::F32);
        let one = g.literal_f32(1.0);
        g.binary(BinaryOp::Add, x, one).unwrap()
    };
    let helps = "give `--backend cpu`";
    compiled(&mut executor, |g| plus_one(g, 1 << 18), vec![]).unwrap();
    // Inputs and outputs have shapes; what is between them has a size.
    assert_says(compiled(&mut executor, |g| plus_one(g, 300_000), vec![]), &["(300000,) of 1.2 MB", "holds 1.0 MB", helps]);
    let sorted = |g: &mut Graph| {
        let x = plus_one(g, 400);
        let y = g.input([1000], DType::F32);
        let products = g.einsum("i,j->ij", &[x, y]).unwrap();
        let sorted = g.add(tensorlogic::graph::Op::ArgSort { descending: false }, &[products]).unwrap();
        g.reduce(tensorlogic::graph::ReduceOp::Max, sorted, 1, false).unwrap()
    };
    assert_says(compiled(&mut executor, sorted, vec![]), &["a tensor of 1.6 MB", "holds 1.0 MB", helps]);

    // Rows of a weight are cut into buffers, one row is not; read whole, nothing is.
    let linear = |g: &mut Graph, w: Arc<Weight>| {
        let x = g.input([1, w.shape[1]], DType::F32);
        let w = g.weight(w);
        g.linear(x, w).unwrap()
    };
    compiled(&mut executor, |g| linear(g, zeros("many rows", 1000, 1024, DType::F32)), vec![]).unwrap();
    let wide = compiled(&mut executor, |g| linear(g, zeros("a wide row", 1, 300_000, DType::F32)), vec![]);
    assert_says(wide, &["1.2 MB", "holds 1.0 MB"]);
    let whole = |g: &mut Graph| {
        let w = g.weight(zeros("a whole", 1000, 1024, DType::F32));
        let one = g.literal_f32(1.0);
        g.binary(BinaryOp::Add, w, one).unwrap()
    };
    assert_says(compiled(&mut executor, whole, vec![]), &["a whole as f32", "4.1 MB", helps]);

    let spec = CacheSpec {
        n_layers: 1,
        n_kv_heads: 8,
        head_dim: 64,
        window: 4096,
        chunk: 512,
        sinks: 4,
        page: PAGE,
        sequences: 1,
        places: 0,
        kv_type: KvType::F16,
    };
    assert_says(executor.new_cache(&spec).map(|_| ()), &["key-value cache take 6 MB", "holds 1 MB", "lower --ctx", "--kv q8_0"]);
}

/// A buffer of the pool may be longer than its tensor, and than a binding may be.
#[test]
fn a_tensor_as_long_as_the_limit_is_taken() {
    if !gpu_is_there() {
        return;
    }
    // Size classes are eighths of a power of two: this tensor's buffer passes the limit.
    let limit = (1 << 20) + (5 << 8);
    let faults = Faults { binding_limit: Some(limit), ..Faults::default() };
    let mut executor = GpuExecutor::new(&GpuOptions { allow_software: true, faults, ..GpuOptions::from_env() }).unwrap();
    let len = limit as usize / 4;
    let x = HostTensor::f32([len], (0..len).map(|i| i as f32).collect());
    let case = Case::of("as long as the limit", Bound::Exact, vec![x], |g, i| {
        let one = g.literal_f32(1.0);
        vec![g.binary(BinaryOp::Add, i[0], one).unwrap()]
    });
    let outcome = check(&case, &mut executor);
    assert!(outcome.passed(), "{outcome:?}");
    // A weight in pieces computes as one does.
    let q4_0 = DType::Quant(Quant(&Q4_0));
    let bytes = Noise::new(5).weight_bytes(q4_0, 3000 * 1024);
    let weight = Arc::new(Weight::new("w", [3000, 1024], q4_0, Arc::new(bytes)));
    let case = Case::of("linear in pieces", Bound::Relative(1e-2), vec![Noise::new(6).f32([2, 1024])], |g, i| {
        let w = g.weight(weight.clone());
        vec![g.linear(i[0], w).unwrap()]
    });
    let outcome = check(&case, &mut executor);
    assert!(outcome.passed(), "{outcome:?}");
}

/// An upload is no binding, but its use is one.
#[test]
fn an_uploaded_tensor_past_the_limit_is_refused_where_it_is_used() {
    let mut executor = noop(Some(1 << 20));
    let big = executor.upload(&HostTensor::f32([500, 1000], vec![0.0; 500_000])).unwrap();
    let mut g = Graph::new();
    let x = g.input([500, 1000], DType::F32);
    let sum = g.reduce(tensorlogic::graph::ReduceOp::Sum, x, 1, false).unwrap();
    let program = executor.compile(&g, &[sum], &CompileOptions { fuse: true, caches: vec![] });
    let ran = program.and_then(|p| executor.run(p, &RunArgs { inputs: vec![Binding::Device(big)], ..RunArgs::default() }).map(|_| ()));
    assert_says(ran, &["(500, 1000) of 2.0 MB", "holds 1.0 MB"]);
}

#[test]
fn more_caches_than_a_run_has_numbers_for_are_refused() {
    let spec = CacheSpec {
        n_layers: 1,
        n_kv_heads: 1,
        head_dim: 32,
        window: 8,
        chunk: 8,
        sinks: 0,
        page: 8,
        sequences: 1,
        places: 0,
        kv_type: KvType::F32,
    };
    let one = |g: &mut Graph| {
        let x = g.input([4], DType::F32);
        let two = g.literal_f32(2.0);
        g.binary(BinaryOp::Mul, x, two).unwrap()
    };
    let mut executor = noop(None);
    compiled(&mut executor, one, vec![spec; 8]).unwrap();
    assert_says(compiled(&mut executor, one, vec![spec; 600]), &["600 caches", "at most 4096", "--backend cpu"]);
}

/// A layout of these fragments, of which the last is its own.
const fn layout(fragments: &'static [&'static str], quant_words: usize) -> WeightFormat {
    WeightFormat { fragments, quants: Quants::Floats, quant_words, scale_bits: 0, repack: |_, _, _| {} }
}

#[test]
fn a_weight_format_that_kernels_cannot_take_is_refused() {
    static EMPTY: WeightFormat = layout(&[], 8);
    static ABSENT: WeightFormat = layout(&["quant/absent", "quant/found_1"], 8);
    static WORDLESS: WeightFormat = layout(&["quant/plain", "quant/found_2"], 0);
    static BROKEN: WeightFormat = layout(&["quant/plain", "quant/found_3"], 8);
    for (name, format, text, words) in [
        ("found_0", &EMPTY, "", "has no fragment"),
        ("found_1", &ABSENT, "", "there is no fragment `quant/absent`"),
        ("found_2", &WORDLESS, "", "no words of quants"),
        ("found_3", &BROKEN, "fn weight_values(", "is refused"),
        ("found_4", &BROKEN, "", "is refused"),
    ] {
        let said = add_weight_format(name, format, text).unwrap_err();
        assert!(said.contains(words), "{name}: {said}");
    }
}
