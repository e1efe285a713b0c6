//! Runs plans in f64, one loop a kernel: what shows that a plan computes what its graph says, without a backend.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::philox::{philox4x32, unit};
use crate::graph::{
    BinaryOp, Binding, CacheId, CacheIdx, CacheSpec, CompileOptions, Counters, DeviceTensor, ExecError, Executor, Graph, NoChoice, NodeId,
    Origin, ProgramId, RandomKind, ReduceOp, Released, RopeRowsKind, RopeStyle, RunArgs, UnaryOp, math, rope_rows,
};
use crate::plan::{
    Attention, Buf, CacheStore, Elementwise, Epilogue, ExprOp, Kernel, Linear, Plan, RopeTable, ScalarRef, Storage, Target, View, compile,
    verify,
};
use crate::reference::choose;
use crate::tensor::{DType, HostData, HostTensor};

/// One layer of a cache.
struct Cache {
    spec: CacheSpec,
    /// By layer: keys, values `[R, G, D]`.
    rows: Vec<[Vec<f64>; 2]>,
    history: HashMap<usize, i32>,
}

pub struct Interpreter {
    pub target: Target,
    plans: Vec<Plan>,
    tensors: HashMap<u64, Vec<f64>>,
    next_tensor: u64,
    released: Released,
    caches: Vec<Cache>,
    weights: HashMap<(Vec<String>, Storage), Arc<Vec<f64>>>,
}

impl Interpreter {
    pub fn new(target: Target) -> Self {
        Interpreter {
            target,
            plans: Vec::new(),
            tensors: HashMap::new(),
            next_tensor: 0,
            released: Released::default(),
            caches: Vec::new(),
            weights: HashMap::new(),
        }
    }
}

/// The memory of one run.
struct Machine<'a> {
    plan: &'a Plan,
    args: &'a RunArgs,
    block: Vec<u32>,
    buffers: HashMap<Buf, Vec<f64>>,
    native: Vec<Arc<Vec<f64>>>,
    caches: &'a mut Vec<Cache>,
}

impl Machine<'_> {
    fn f(&self, word: ScalarRef) -> f64 {
        f64::from(f32::from_bits(self.block[word.0 as usize]))
    }

    fn i(&self, word: ScalarRef) -> i32 {
        self.block[word.0 as usize] as i32
    }

    fn buf(&self, buf: Buf) -> &[f64] {
        self.buffers.get(&buf).unwrap_or_else(|| panic!("{buf} is not written"))
    }

    /// A result takes the start of its buffer; what is left of an earlier value becomes NaN.
    fn write(&mut self, buf: Buf, data: Vec<f64>) {
        self.buffers.insert(buf, data);
    }

    fn read(&self, view: &View, dims: &[usize]) -> Vec<f64> {
        let data = self.buf(view.buf);
        offsets(view, dims).into_iter().map(|at| data.get(at).copied().unwrap_or(f64::NAN)).collect()
    }

    /// Rows that a run has.
    fn rows(&self, rows: crate::plan::Rows) -> usize {
        rows.of_run(self.args.n_tokens())
    }

    fn cache(&mut self, cache: CacheIdx) -> (&mut Cache, usize) {
        let used = self.args.caches()[cache.0 as usize];
        (&mut self.caches[used.cache.0 as usize], used.position)
    }

    fn run(&mut self, kernel: &Kernel) {
        match kernel {
            Kernel::Embedding(k) => {
                let table = self.native[k.table.0 as usize].clone();
                let vocab = (table.len() / k.width) as f64;
                let ids = self.buf(k.ids)[..k.rows.count].to_vec();
                let row = |id: f64| match id >= 0.0 && id < vocab {
                    true => table[id as usize * k.width..][..k.width].to_vec(),
                    false => vec![0.0; k.width],
                };
                let data = ids.iter().flat_map(|&id| row(id)).collect();
                self.write(k.out, data);
            }
            Kernel::ExpertLinear(k) => {
                let weights = &self.native[k.weight.0 as usize][k.first_row * k.k..];
                let (x, ids) = (self.buf(k.x), &self.buf(k.ids)[..k.rows.count * k.n_chosen]);
                let mut data = Vec::new();
                for (choice, &id) in ids.iter().enumerate() {
                    let row = &x[if k.each { choice } else { choice / k.n_chosen } * k.k..][..k.k];
                    for column in 0..k.n {
                        let is_known = id >= 0.0 && id < k.n_experts as f64;
                        let w = if is_known { &weights[(id as usize * k.n + column) * k.k..][..k.k] } else { &[][..] };
                        data.push(row.iter().zip(w).map(|(a, b)| a * b).sum());
                    }
                }
                self.write(k.out, data);
            }
            Kernel::Norm(k) => {
                let data = normed(&self.buf(k.x)[..k.rows.count * k.width], self.buf(k.weight), self.f(k.eps), k.width);
                self.write(k.out, data);
            }
            Kernel::Linear(k) => self.linear(k),
            Kernel::Rope(k) => {
                let mut data = self.read(&k.x, &[k.rows.count, k.n_heads, k.head_dim]);
                self.rotate(&mut data, &k.rope, k.n_heads, k.head_dim);
                self.write(k.out, data);
            }
            Kernel::CacheStore(k) => self.cache_store(k),
            Kernel::Attention(k) => self.attention(k),
            Kernel::Elementwise(k) => self.elementwise(k),
            Kernel::Copy(k) => {
                let data = self.read(&k.x, &k.dims);
                let len = k.out.extent(&k.dims).unwrap().end;
                let out = self.buffers.entry(k.out.buf).or_default();
                out.resize(len.max(out.len()), f64::NAN);
                offsets(&k.out, &k.dims).into_iter().zip(data).for_each(|(at, v)| out[at] = v);
            }
            Kernel::Reduce(k) => {
                let x = self.buf(k.x);
                let out = lines(k.outer, k.len, k.inner).map(|line| reduce(k.op, k.index, line.iter().map(|&at| x[at]).collect()));
                self.write(k.out, out.collect());
            }
            Kernel::Cumulate(k) => {
                let mut data = self.buf(k.x)[..k.outer * k.len * k.inner].to_vec();
                for line in lines(k.outer, k.len, k.inner) {
                    line.windows(2).for_each(|w| data[w[1]] += data[w[0]]);
                }
                self.write(k.out, data);
            }
            Kernel::Softmax(k) => {
                let mut data = self.buf(k.x)[..k.outer * k.len * k.inner].to_vec();
                for line in lines(k.outer, k.len, k.inner) {
                    let max = line.iter().map(|&at| data[at]).fold(f64::NEG_INFINITY, f64::max);
                    let total: f64 = line.iter().map(|&at| (data[at] - max).exp()).sum();
                    line.iter().for_each(|&at| data[at] = (data[at] - max).exp() / total);
                }
                self.write(k.out, data);
            }
            Kernel::Einsum(k) => {
                let dims: Vec<usize> = k.out_dims.iter().chain(&k.sum_dims).copied().collect();
                let a = self.read(&k.a, &dims);
                let b = k.b.as_ref().map(|b| self.read(b, &dims));
                let summed: usize = k.sum_dims.iter().product();
                let product = |i: usize| a[i] * b.as_ref().map_or(1.0, |b| b[i]);
                let n: usize = k.out_dims.iter().product();
                self.write(k.out, (0..n).map(|o| (0..summed).map(|s| product(o * summed + s)).sum()).collect());
            }
            Kernel::Gather(k) => {
                let (x, indices) = (self.buf(k.x), &self.buf(k.indices)[..k.count]);
                let mut out = Vec::new();
                for o in 0..k.outer {
                    for &index in indices {
                        let known = index >= 0.0 && index < k.len as f64;
                        out.extend((0..k.inner).map(|i| if known { x[(o * k.len + index as usize) * k.inner + i] } else { 0.0 }));
                    }
                }
                self.write(k.out, out);
            }
            Kernel::ScatterAdd(k) => {
                let mut out = self.buf(k.x)[..k.outer * k.len * k.inner].to_vec();
                let (indices, updates) = (self.buf(k.indices), self.buf(k.updates));
                for o in 0..k.outer {
                    for j in (0..k.count).filter(|&j| indices[j] >= 0.0 && indices[j] < k.len as f64) {
                        for i in 0..k.inner {
                            out[(o * k.len + indices[j] as usize) * k.inner + i] += updates[(o * k.count + j) * k.inner + i];
                        }
                    }
                }
                self.write(k.out, out);
            }
            Kernel::ArgSort { x, out, rows, len, descending, .. } => {
                let mut order = Vec::new();
                for line in self.buf(*x)[..rows * len].chunks(*len) {
                    let mut at: Vec<usize> = (0..*len).collect();
                    // NaN comes last either way.
                    let key = |i: usize| if *descending { -line[i] } else { line[i] };
                    at.sort_by(|&a, &b| {
                        line[a].is_nan().cmp(&line[b].is_nan()).then(key(a).partial_cmp(&key(b)).unwrap_or(Ordering::Equal))
                    });
                    order.extend(at.into_iter().map(|i| i as f64));
                }
                self.write(*out, order);
            }
            Kernel::Iota { out, len } => self.write(*out, (0..*len).map(|i| i as f64).collect()),
            Kernel::Random { kind, seed, out, len } => {
                let seed = self.i(*seed) as u32;
                self.write(*out, (0..*len).map(|i| random(*kind, seed, i)).collect());
            }
            Kernel::SelectRow { x, index, out, n_rows, len } => {
                let row = self.i(*index).clamp(0, *n_rows as i32 - 1) as usize;
                let data = self.buf(*x)[row * len..(row + 1) * len].to_vec();
                self.write(*out, data);
            }
            Kernel::LastRows { .. } | Kernel::RecordedIds { .. } => unreachable!("the definition has one segment a run"),
            Kernel::Scalar { value, out } => {
                let word = &self.plan.scalars.words[value.0 as usize];
                let value = if is_float(self.plan, word) { self.f(*value) } else { f64::from(self.i(*value)) };
                self.write(*out, vec![value]);
            }
            Kernel::Sample(k) => {
                let ints = [1, 5, 6];
                let setting = |(i, &w): (usize, &ScalarRef)| if ints.contains(&i) { f64::from(self.i(w)) } else { self.f(w) };
                let mut settings: Vec<f64> = k.settings.iter().enumerate().map(setting).collect();
                let position = self.i(k.position) as usize;
                settings.push(position as f64);
                let last_n = settings[5] as usize;
                let logits = self.buf(k.logits)[..k.vocab].to_vec();
                let recent: Vec<i32> = k.history.map_or(Vec::new(), |cache| {
                    let history = &self.cache(cache).0.history;
                    (position.saturating_sub(last_n)..position).filter_map(|p| history.get(&p).copied()).collect()
                });
                let id = choose(&logits, &settings, &recent).map_or_else(NoChoice::id, |choice| choice.id as i32);
                if let Some(cache) = k.history {
                    self.cache(cache).0.history.insert(position, id);
                }
                self.write(k.out, vec![f64::from(id)]);
            }
        }
    }

    fn linear(&mut self, k: &Linear) {
        let rows = k.rows.count;
        let mut x = self.buf(k.x)[..rows * k.k].to_vec();
        if let Some((weight, eps)) = k.norm {
            x = normed(&x, self.buf(weight), self.f(eps), k.k);
        }
        let w = self.native[k.weight.0 as usize].clone();
        let w = &w[k.first_row * k.k..(k.first_row + k.n) * k.k];
        let dot = |x: &[f64], w: &[f64]| x.iter().zip(w).map(|(a, b)| a * b).sum::<f64>();
        let mut y: Vec<f64> = x.chunks(k.k).flat_map(|x| w.chunks(k.k).map(move |w| dot(x, w))).collect();
        let bias = match &k.epilogue {
            Epilogue::Store { bias, .. } | Epilogue::RopeStore { bias, .. } => *bias,
            Epilogue::Gated { .. } => None,
        };
        if let Some(bias) = bias {
            let bias = self.buf(bias);
            y.iter_mut().enumerate().for_each(|(i, y)| *y += bias[i % k.n]);
        }
        match &k.epilogue {
            Epilogue::Store { residual, out, .. } => {
                if let Some(residual) = residual {
                    let residual = self.buf(*residual);
                    y.iter_mut().zip(residual).for_each(|(y, r)| *y += r);
                }
                self.write(*out, y);
            }
            Epilogue::Gated { act, out } => {
                let half = k.n / 2;
                let gated = y.chunks(k.n).flat_map(|y| (0..half).map(move |f| unary(*act, y[f]) * y[f + half]));
                let gated = gated.collect();
                self.write(*out, gated);
            }
            Epilogue::RopeStore { n_heads, n_kv_heads, head_dim, has_v, rope, q_out, cache, layer, .. } => {
                let (q, kv) = (n_heads * head_dim, n_kv_heads * head_dim);
                let part = |start: usize, len: usize| y.chunks(k.n).flat_map(|y| y[start..start + len].to_vec()).collect::<Vec<f64>>();
                let (mut queries, mut keys) = (part(0, q), part(q, kv));
                self.rotate(&mut queries, rope, *n_heads, *head_dim);
                self.rotate(&mut keys, rope, *n_kv_heads, *head_dim);
                self.write(*q_out, queries);
                let true_rows = self.rows(k.rows);
                self.append(*cache, *layer, 0, true_rows, &keys);
                if *has_v {
                    let values = part(q + kv, kv);
                    self.append(*cache, *layer, 1, true_rows, &values);
                }
            }
        }
    }

    fn rotate(&self, data: &mut [f64], rope: &RopeTable, n_heads: usize, d: usize) {
        let table = self.buf(rope.table);
        for (i, head) in data.chunks_mut(d).enumerate() {
            rotate(head, &table[i / n_heads * rope.n_dims..], rope.style, rope.n_dims);
        }
    }

    fn cache_store(&mut self, k: &CacheStore) {
        let dims = [k.rows.count, k.n_kv_heads, k.head_dim];
        let rows = self.rows(k.rows);
        if let Some(view) = &k.k {
            let mut keys = self.read(view, &dims);
            if let Some(rope) = &k.k_rope {
                self.rotate(&mut keys, rope, k.n_kv_heads, k.head_dim);
            }
            self.append(k.cache, k.layer, 0, rows, &keys);
        }
        if let Some(view) = &k.v {
            let values = self.read(view, &dims);
            self.append(k.cache, k.layer, 1, rows, &values);
        }
    }

    fn append(&mut self, cache: CacheIdx, layer: usize, side: usize, rows: usize, data: &[f64]) {
        let (cache, position) = self.cache(cache);
        let width = cache.spec.n_kv_heads * cache.spec.head_dim;
        let all = &mut cache.rows[layer][side];
        all.resize(all.len().max((position + rows) * width), f64::NAN);
        all[position * width..(position + rows) * width].copy_from_slice(&data[..rows * width]);
    }

    fn attention(&mut self, k: &Attention) {
        let (d, rows) = (k.head_dim, self.rows(k.rows));
        let q = self.buf(k.q)[..k.rows.count * k.n_heads * d].to_vec();
        let mut turned = q.clone();
        if let Some(sink) = &k.sink {
            self.rotate(&mut turned, sink, k.n_heads, d);
        }
        let (scale, window) = (self.f(k.scale), self.i(k.window) as usize);
        let (cap, null) = (k.cap.map(|cap| self.f(cap)), k.null_logits.map(|logits| self.buf(logits).to_vec()));
        let (cache, position) = self.cache(k.cache);
        let spec = cache.spec;
        let [keys, values] = &cache.rows[k.layer];
        let mut out = vec![f64::NAN; q.len()];
        for t in 0..rows {
            let p = position + t;
            let seen: Vec<usize> = (0..=p).filter(|&key| spec.sees(p, key) && (window == 0 || key + window > p)).collect();
            for h in 0..k.n_heads {
                let at = (t * k.n_heads + h) * d;
                let row = |key: usize| (key * spec.n_kv_heads + h / (k.n_heads / spec.n_kv_heads)) * d;
                let query = |key: usize| if key < spec.sinks { &turned[at..at + d] } else { &q[at..at + d] };
                let score = |&key: &usize| (0..d).map(|i| keys[row(key) + i] * query(key)[i]).sum::<f64>() * scale;
                let capped = |score: f64| cap.map_or(score, |cap| cap * (score / cap).tanh());
                let scores: Vec<f64> = seen.iter().map(score).map(capped).collect();
                let null = null.as_ref().map(|logits| logits[h]);
                let max = scores.iter().copied().chain(null).fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
                let total = weights.iter().sum::<f64>() + null.map_or(0.0, |null| (null - max).exp());
                out[at..at + d].fill(0.0);
                for (&key, w) in seen.iter().zip(&weights) {
                    let value = &values[row(key)..row(key) + d];
                    out[at..at + d].iter_mut().zip(value).for_each(|(out, v)| *out += w / total * v);
                }
            }
        }
        self.write(k.out, out);
    }

    fn elementwise(&mut self, k: &Elementwise) {
        let inputs: Vec<Vec<f64>> = k.inputs.iter().map(|(view, _)| self.read(view, &k.dims)).collect();
        let n: usize = k.dims.iter().product();
        let floats: Vec<bool> = k.scalars.iter().map(|s| is_float(self.plan, &self.plan.scalars.words[s.0 as usize])).collect();
        let scalars: Vec<f64> =
            k.scalars.iter().zip(floats).map(|(&s, float)| if float { self.f(s) } else { f64::from(self.i(s)) }).collect();
        let data = (0..n)
            .map(|at| {
                let mut values: Vec<f64> = Vec::new();
                for op in &k.expr.ops {
                    let v = |x: u32| values[x as usize];
                    values.push(match *op {
                        ExprOp::Input(i) => inputs[i as usize][at],
                        ExprOp::Scalar(i) => scalars[i as usize],
                        ExprOp::Unary { op, x, dtype } if dtype.is_float() => unary(op, v(x)),
                        ExprOp::Unary { op, x, .. } => f64::from(math::unary_i32(op, v(x) as i32)),
                        ExprOp::Binary { op, a, b, dtype } if dtype.is_float() => binary(op, v(a), v(b)),
                        ExprOp::Binary { op, a, b, .. } => f64::from(math::binary_i32(op, v(a) as i32, v(b) as i32)),
                        ExprOp::Where { condition, a, b } => {
                            if v(condition) != 0.0 {
                                v(a)
                            } else {
                                v(b)
                            }
                        }
                        ExprOp::Cast { x, from, to } => match to {
                            DType::F16 | DType::BF16 => f64::from(math::round_to(to, v(x) as f32)),
                            DType::I32 if from.is_float() => f64::from(v(x) as i32),
                            DType::Bool => f64::from(v(x) != 0.0),
                            _ => v(x),
                        },
                    });
                }
                values[values.len() - 1]
            })
            .collect();
        self.write(k.out, data);
    }
}

/// Words are bits: what made one tells whether they are those of a float.
fn is_float(plan: &Plan, word: &crate::plan::ScalarExpr) -> bool {
    use crate::plan::ScalarExpr;
    match word {
        ScalarExpr::Literal(i) => matches!(plan.scalars.literals[*i as usize], crate::graph::Literal::F32(_)),
        ScalarExpr::Runtime(scalar) => scalar.dtype().is_float(),
        ScalarExpr::Unary { dtype, .. } => dtype.is_float(),
        ScalarExpr::Binary { op, dtype, .. } => dtype.is_float() && !op.is_comparison(),
        ScalarExpr::Cast { to, .. } => to.is_float(),
    }
}

fn offsets(view: &View, dims: &[usize]) -> Vec<usize> {
    let mut at = vec![view.offset as isize];
    for (&n, &stride) in dims.iter().zip(&view.strides) {
        at = at.iter().flat_map(|&o| (0..n as isize).map(move |i| o + i * stride)).collect();
    }
    at.into_iter().map(|o| o as usize).collect()
}

fn lines(outer: usize, len: usize, inner: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..outer).flat_map(move |o| (0..inner).map(move |i| (0..len).map(|j| (o * len + j) * inner + i).collect()))
}

fn normed(x: &[f64], weight: &[f64], eps: f64, width: usize) -> Vec<f64> {
    x.chunks(width)
        .flat_map(|row| {
            let scale = 1.0 / (row.iter().map(|v| v * v).sum::<f64>() / width as f64 + eps).sqrt();
            row.iter().zip(weight).map(move |(v, w)| v * scale * w)
        })
        .collect()
}

fn rotate(head: &mut [f64], row: &[f64], style: RopeStyle, n_dims: usize) {
    for i in 0..n_dims / 2 {
        let (a, b) = if style == RopeStyle::Interleaved { (2 * i, 2 * i + 1) } else { (i, i + n_dims / 2) };
        let (cos, sin) = (row[2 * i], row[2 * i + 1]);
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
    }
}

fn reduce(op: ReduceOp, index: bool, line: Vec<f64>) -> f64 {
    let is_first_nan = |i: usize, best: usize| line[i].is_nan() && !line[best].is_nan();
    let extremum = |better: fn(f64, f64) -> bool| {
        (1..line.len()).fold(0, |best, i| if better(line[i], line[best]) || is_first_nan(i, best) { i } else { best })
    };
    match op {
        ReduceOp::Sum => line.iter().sum(),
        ReduceOp::Mean => line.iter().sum::<f64>() / line.len() as f64,
        ReduceOp::Prod => line.iter().product(),
        ReduceOp::Max if index => extremum(|a, b| a > b) as f64,
        ReduceOp::Min if index => extremum(|a, b| a < b) as f64,
        ReduceOp::Max => line.into_iter().fold(f64::NEG_INFINITY, math::max_f64),
        ReduceOp::Min => line.into_iter().fold(f64::INFINITY, math::min_f64),
    }
}

fn random(kind: RandomKind, seed: u32, i: usize) -> f64 {
    let words = philox4x32([(i / 4) as u32, 0, 0, 0], [seed, 0]);
    match kind {
        RandomKind::Uniform => f64::from(unit(words[i % 4])),
        RandomKind::Normal => {
            let radius = (-2.0 * (f64::from((words[(i % 4) & !1] >> 8) + 1) / 16_777_216.0).ln()).sqrt();
            let angle = std::f64::consts::TAU * f64::from(unit(words[(i % 4) | 1]));
            radius * if i.is_multiple_of(2) { angle.cos() } else { angle.sin() }
        }
    }
}

fn unary(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Rsqrt => 1.0 / x.sqrt(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Tan => x.tan(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        UnaryOp::Silu => x / (1.0 + (-x).exp()),
        UnaryOp::Gelu => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
        UnaryOp::Relu => math::max_f64(x, 0.0),
        UnaryOp::Erf => libm::erf(x),
        UnaryOp::Softplus => math::max_f64(x, 0.0) + (-x.abs()).exp().ln_1p(),
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign => math::sign_f64(x),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::Not => f64::from(x == 0.0),
    }
}

fn binary(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Rem => a - b * (a / b).floor(),
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Min => math::min_f64(a, b),
        BinaryOp::Max => math::max_f64(a, b),
        _ => f64::from(math::binary_f32(op, a as f32, b as f32)),
    }
}

impl Executor for Interpreter {
    fn describe(&self) -> String {
        "interpreter of plans".to_owned()
    }

    fn compile(&mut self, graph: &Graph, outputs: &[NodeId], options: &CompileOptions) -> Result<ProgramId, ExecError> {
        let unsupported = |message: String, origin: Origin| ExecError::Unsupported { message, origin };
        let plan = compile(graph, outputs, options, &self.target).map_err(|e| unsupported(e.to_string(), e.origin()))?;
        verify(&plan).map_err(|e| unsupported(e, Origin::default()))?;
        self.plans.push(plan);
        Ok(ProgramId(self.plans.len() as u32 - 1))
    }

    fn run(&mut self, program: ProgramId, args: &RunArgs) -> Result<Vec<DeviceTensor>, ExecError> {
        let plan = self.plans[program.0 as usize].clone();
        let mut buffers: HashMap<Buf, Vec<f64>> = HashMap::new();
        for (i, input) in plan.inputs.iter().enumerate() {
            let Some((shape, _)) = input else { continue };
            let mut data = match &args.inputs[i] {
                Binding::Host(host) => (0..host.len()).map(|i| host.value(i)).collect(),
                Binding::Device(tensor) => self.tensors[&tensor.id()].clone(),
            };
            data.resize(shape.len(), 0.0);
            buffers.insert(Buf::Input(crate::graph::InputId(i as u32)), data);
        }
        let block = plan.scalars.evaluate(&args.literals, &args.segments[0]);
        for (i, rows) in plan.rope_rows.iter().enumerate() {
            let window = match rows.kind {
                RopeRowsKind::Position => None,
                RopeRowsKind::SinkDelta(cache) => Some(plan.options.caches[cache.0 as usize].window),
            };
            let table = rope_rows(&rows.spec, i64::from(block[rows.first.0 as usize] as i32), rows.rows.count, window);
            buffers.insert(Buf::RopeRows(i as u32), table.into_iter().map(f64::from).collect());
        }
        let mut native = Vec::new();
        for (i, placement) in plan.placements.iter().enumerate() {
            let key = (placement.parts.iter().map(|w| w.name.clone() + &format!("{:?}", w.id)).collect(), placement.storage);
            let values = self.weights.entry(key).or_insert_with(|| Arc::new(placement.parts.iter().flat_map(|w| widened(w)).collect()));
            if placement.storage == Storage::F32 {
                buffers.insert(Buf::Weight(crate::plan::PlacedId(i as u32)), values.to_vec());
            }
            native.push(values.clone());
        }
        let mut machine = Machine { plan: &plan, args, block, buffers, native, caches: &mut self.caches };
        for step in &plan.steps {
            machine.run(&step.kernel);
        }
        let buffers = machine.buffers;
        let mut outputs = Vec::new();
        for output in &plan.outputs {
            let mut data = buffers.get(&output.buf).cloned().unwrap_or_default();
            data.truncate(output.shape.len());
            self.tensors.insert(self.next_tensor, data);
            outputs.push(DeviceTensor::new(self.next_tensor, output.shape.clone(), output.dtype, &self.released));
            self.next_tensor += 1;
        }
        Ok(outputs)
    }

    fn upload(&mut self, tensor: &HostTensor) -> Result<DeviceTensor, ExecError> {
        self.tensors.insert(self.next_tensor, (0..tensor.len()).map(|i| tensor.value(i)).collect());
        self.next_tensor += 1;
        Ok(DeviceTensor::new(self.next_tensor - 1, tensor.shape.clone(), tensor.dtype, &self.released))
    }

    fn read(&mut self, tensor: &DeviceTensor) -> Result<HostTensor, ExecError> {
        let data = &self.tensors[&tensor.id()];
        let data = if tensor.dtype.is_float() {
            HostData::F32(data.iter().map(|&v| v as f32).collect())
        } else {
            HostData::I32(data.iter().map(|&v| v as i32).collect())
        };
        Ok(HostTensor { shape: tensor.shape.clone(), dtype: tensor.dtype, data })
    }

    fn finish(&mut self) -> Result<(), ExecError> {
        Ok(())
    }

    fn new_cache(&mut self, spec: &CacheSpec) -> Result<CacheId, ExecError> {
        self.caches.push(Cache { spec: *spec, rows: vec![[Vec::new(), Vec::new()]; spec.n_layers], history: HashMap::new() });
        Ok(CacheId(self.caches.len() as u32 - 1))
    }

    fn free_cache(&mut self, _: CacheId) {}

    fn record_history(&mut self, cache: CacheId, position: usize, ids: &[i32]) -> Result<(), ExecError> {
        let history = &mut self.caches[cache.0 as usize].history;
        history.extend(ids.iter().enumerate().map(|(i, &id)| (position + i, id)));
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

fn widened(weight: &crate::graph::Weight) -> Vec<f64> {
    let bytes = weight.source.bytes().unwrap();
    match weight.dtype {
        DType::F32 => bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect(),
        DType::F16 => bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
        DType::BF16 => bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
        DType::I32 => bytes.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect(),
        DType::Bool => bytes.iter().map(|&b| f64::from(b != 0)).collect(),
        DType::Quant(q) => {
            let mut block = vec![0.0; q.block_len];
            let blocks = bytes.chunks_exact(q.block_bytes);
            blocks
                .flat_map(|b| {
                    (q.dequantize)(b, &mut block);
                    block.iter().map(|&v| f64::from(v)).collect::<Vec<_>>()
                })
                .collect()
        }
    }
}
