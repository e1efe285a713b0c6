//! Sampling: greedy with ties, each filter, the penalty, and seeded draws that are not near a boundary.

use crate::graph::{CacheIdx, CacheSpec, Graph, KvType, Sampling};
use crate::reference::choose;
use crate::tensor::HostTensor;

use super::case::{Bound, Case, Run};
use super::noise::Noise;

/// The draws that are checked are at least this far from another id's interval: a device sums in f32.
const MARGIN: f64 = 1e-4;

fn case(name: String, logits: &HostTensor, sampling: Sampling, position: i32, history: Vec<i32>) -> Case {
    let mut g = Graph::new();
    let x = g.input(logits.shape.clone(), logits.dtype);
    let settings = g.run_sampling();
    let at = g.literal_i32(position);
    let used = (!history.is_empty()).then_some(CacheIdx(0));
    let id = g.sample(x, settings, at, used).expect("a vector");
    let spec = CacheSpec {
        n_layers: 1,
        n_kv_heads: 1,
        head_dim: 32,
        window: 64,
        chunk: 32,
        sinks: 4,
        page: 32,
        sequences: 1,
        places: 0,
        kv_type: KvType::F32,
    };
    let run = Run { sampling, ..Run::new(g, vec![id], vec![logits.clone()]) };
    Case { name, runs: vec![run], cache: used.map(|_| spec), history, bound: Bound::Exact }
}

/// The first seed from `seed` on whose draw is clear of a boundary.
fn clear_seed(logits: &HostTensor, mut sampling: Sampling, position: i32, recent: &[i32]) -> Sampling {
    let values: Vec<f64> = (0..logits.len()).map(|i| logits.value(i)).collect();
    loop {
        let s = &sampling;
        let settings = [s.temperature, s.top_k as f32, s.top_p, s.min_p, s.repeat_penalty, s.repeat_last_n as f32].map(f64::from);
        let settings: Vec<f64> = settings.into_iter().chain([f64::from(s.seed), f64::from(position)]).collect();
        if choose(&values, &settings, recent).is_ok_and(|choice| choice.margin > MARGIN) {
            return sampling;
        }
        sampling.seed += 1;
    }
}

pub fn cases(cases: &mut Vec<Case>) {
    let mut noise = Noise::new(7);
    for vocab in [1usize, 2, 33, 257, 1000, 5000] {
        let logits = noise.f32([vocab]);
        let ties = noise.i32([vocab], 4);
        let ties = HostTensor::f32([vocab], ties.as_i32().into_iter().flatten().map(|&v| v as f32).collect());
        cases.push(case(format!("sample greedy of {vocab}"), &logits, Sampling::default(), 5, Vec::new()));
        cases.push(case(format!("sample greedy of {vocab} with ties"), &ties, Sampling::default(), 5, Vec::new()));
        let plain = Sampling { temperature: 1.0, ..Sampling::default() };
        for (name, sampling) in [
            ("everything", plain),
            ("temperature 0.3", Sampling { temperature: 0.3, ..plain }),
            ("top-k 5", Sampling { top_k: 5, ..plain }),
            ("top-p 0.5", Sampling { top_p: 0.5, ..plain }),
            ("min-p 0.2", Sampling { min_p: 0.2, ..plain }),
            ("the defaults", Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, ..plain }),
        ] {
            for seed in [1, 100] {
                let position = 17 + seed as i32;
                let sampling = clear_seed(&logits, Sampling { seed, ..sampling }, position, &[]);
                cases.push(case(format!("sample {vocab}, {name}, seed {}", sampling.seed), &logits, sampling, position, Vec::new()));
            }
        }
    }
    // More than a workgroup lists: ties, and more than it ranks; then groups of more than eight logits, in several slices.
    let ties = HostTensor::f32([5000], noise.i32([5000], 4).as_i32().into_iter().flatten().map(|&v| v as f32).collect());
    let (many, wide) = (noise.f32([5000]), noise.f32([40_000]));
    let plain = Sampling { temperature: 1.0, ..Sampling::default() };
    for (name, logits, sampling) in [
        ("top-k 5 among ties", &ties, Sampling { top_k: 5, ..plain }),
        ("top-k 256, top-p 0.9", &many, Sampling { top_k: 256, top_p: 0.9, ..plain }),
        ("top-k 300, top-p 0.9", &many, Sampling { top_k: 300, top_p: 0.9, ..plain }),
        ("top-k 40 of 40,000", &wide, Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, ..plain }),
        ("top-k 40 of 40,000 after a penalty", &wide, Sampling { top_k: 40, repeat_penalty: 1.5, repeat_last_n: 30, ..plain }),
    ] {
        let history: Vec<i32> = noise.i32([40], logits.len() as u32).as_i32().map(<[i32]>::to_vec).unwrap_or_default();
        let recent = &history[history.len().saturating_sub(sampling.repeat_last_n as usize)..];
        let sampling = clear_seed(logits, Sampling { seed: 5, ..sampling }, 40, recent);
        cases.push(case(format!("sample {name}"), logits, sampling, 40, history.clone()));
    }
    // Nothing to choose: NaN, and an infinity.
    for (name, value) in [("NaN", f32::NAN), ("inf", f32::INFINITY)] {
        let mut values = noise.f32([1000]).as_f32().map(<[f32]>::to_vec).unwrap_or_default();
        values[777] = value;
        let logits = HostTensor::f32([1000], values);
        for sampling in [Sampling::default(), plain, Sampling { top_k: 5, top_p: 0.9, ..plain }] {
            cases.push(case(format!("sample among {name} at {}", sampling.temperature), &logits, sampling, 5, Vec::new()));
        }
    }
    let logits = noise.f32([200]);
    let history: Vec<i32> = noise.i32([40], 200).as_i32().map(<[i32]>::to_vec).unwrap_or_default();
    for (temperature, last) in [(0.0, 40), (0.0, 3), (0.9, 20)] {
        let sampling = Sampling { temperature, repeat_penalty: 1.8, repeat_last_n: last, seed: 3, ..Sampling::default() };
        let recent = &history[history.len() - last as usize..];
        let sampling = clear_seed(&logits, sampling, 40, recent);
        cases.push(case(
            format!("sample with a penalty on the last {last}, temperature {temperature}"),
            &logits,
            sampling,
            40,
            history.clone(),
        ));
    }
}
