//! The forward pass of a llama, or of one with parallel residuals, in f64, one obvious loop each.

use std::collections::HashMap;

use tensorlogic::format::ModelFile;

/// Weights as rows of f64.
type Matrix = Vec<Vec<f64>>;

pub struct Exact {
    weights: HashMap<String, Matrix>,
    n_layers: usize,
    n_heads: usize,
    n_kv_heads: usize,
    eps: f64,
    base: f64,
    parallel: bool,
}

impl Exact {
    pub fn of(file: &ModelFile, parallel: bool) -> Exact {
        let meta = file.metadata();
        let arch = meta.str("general.architecture").unwrap();
        let number = |key: &str| meta.f64(&format!("{arch}.{key}")).unwrap();
        let weights = file.tensors().tensors().iter().map(|t| {
            let mut values = vec![0.0; t.shape.len()];
            t.dtype.dequantize(file.data(&t.name).unwrap(), &mut values);
            (t.name.clone(), values.chunks(t.shape.last_dim()).map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect())
        });
        Exact {
            weights: weights.collect(),
            n_layers: number("block_count") as usize,
            n_heads: number("attention.head_count") as usize,
            n_kv_heads: number("attention.head_count_kv") as usize,
            eps: number("attention.layer_norm_rms_epsilon"),
            base: number("rope.freq_base"),
            parallel,
        }
    }

    /// The logits of every token, row by row.
    pub fn logits(&self, tokens: &[i32]) -> Vec<f32> {
        let mut caches = vec![(Matrix::new(), Matrix::new()); self.n_layers];
        let mut logits = Vec::new();
        for (position, &token) in tokens.iter().enumerate() {
            let mut x = self.weights["token_embd.weight"][token as usize].clone();
            for (i, cache) in caches.iter_mut().enumerate() {
                let h = self.norm(&x, &format!("blk.{i}.attn_norm"));
                let attended = self.attention(&h, i, position, cache);
                let y = sum(&x, &attended);
                let h = if self.parallel { h } else { self.norm(&y, &format!("blk.{i}.ffn_norm")) };
                let (gate, up) = (self.times(&h, &format!("blk.{i}.ffn_gate")), self.times(&h, &format!("blk.{i}.ffn_up")));
                let gated: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                x = sum(&y, &self.times(&gated, &format!("blk.{i}.ffn_down")));
            }
            let x = self.norm(&x, "output_norm");
            logits.extend(self.times(&x, "token_embd").iter().map(|v| *v as f32));
        }
        logits
    }

    fn attention(&self, h: &[f64], layer: usize, position: usize, (keys, values): &mut (Matrix, Matrix)) -> Vec<f64> {
        let part = |name: &str| self.times(h, &format!("blk.{layer}.attn_{name}"));
        let (mut q, mut k) = (part("q"), part("k"));
        let size = q.len() / self.n_heads;
        for head in q.chunks_mut(size).chain(k.chunks_mut(size)) {
            self.rotate(head, position);
        }
        keys.push(k);
        values.push(part("v"));
        let mut out = Vec::new();
        for (i, q) in q.chunks(size).enumerate() {
            let at = i / (self.n_heads / self.n_kv_heads) * size;
            let scores: Vec<f64> = keys.iter().map(|k| dot(q, &k[at..at + size]) / (size as f64).sqrt()).collect();
            let most = scores.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
            let total: f64 = weights.iter().sum();
            out.extend((at..at + size).map(|d| weights.iter().zip(&*values).map(|(w, v)| w / total * v[d]).sum::<f64>()));
        }
        self.times(&out, &format!("blk.{layer}.attn_output"))
    }

    fn rotate(&self, head: &mut [f64], position: usize) {
        let size = head.len() as f64;
        for (i, pair) in head.chunks_mut(2).enumerate() {
            let (sin, cos) = (position as f64 * self.base.powf(-2.0 * i as f64 / size)).sin_cos();
            (pair[0], pair[1]) = (pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos);
        }
    }

    fn norm(&self, x: &[f64], name: &str) -> Vec<f64> {
        let scale = 1.0 / (dot(x, x) / x.len() as f64 + self.eps).sqrt();
        x.iter().zip(&self.weights[&format!("{name}.weight")][0]).map(|(x, w)| x * scale * w).collect()
    }

    fn times(&self, x: &[f64], name: &str) -> Vec<f64> {
        self.weights[&format!("{name}.weight")].iter().map(|row| dot(row, x)).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Checks logits in each mode of this machine's backends: f32 errs by at most 7e-7 of the logits on every model of the reference pack and may by
/// ten times that; the default mode by what `src/doctor/model.rs` grants a whole block.
pub fn check(modes: &[super::support::programs::Mode], model: &std::path::Path, tokens: &[i32], exact: &[f32], fast: f64) {
    let rms = (exact.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / exact.len() as f64).sqrt();
    for mode in modes {
        let bound = match (mode.is_precise(), mode.kv_type) {
            (true, tensorlogic::graph::KvType::F32) => 7e-6,
            (true, _) => 5e-3,
            (false, _) => fast,
        };
        for chunk in [tokens.len(), 1] {
            let (error, _) = super::support::difference(&mode.logits(model, tokens, chunk).unwrap(), exact);
            let backend = if mode.gpu { "gpu" } else { "cpu" };
            println!("{backend}, precise {}, kv {:?}, chunks of {chunk}: {:.2e}", mode.is_precise(), mode.kv_type, error / rms);
            assert!(error <= bound * rms, "{backend}: {:.3e} over {bound:.0e}", error / rms);
        }
    }
}
