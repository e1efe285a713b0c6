//! Choosing ids from logits.

use crate::graph::math::max_f64;
use crate::graph::{BinaryOp, Literal, NoChoice};
use crate::lang::interp::Interp;
use crate::lang::session::Tensor;
use crate::lang::value::{Fault, Value};
use crate::tensor::HostTensor;
use crate::text::{SamplingOverrides, SamplingParams};

use super::args::Args;
use super::{Builtin, Failure, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "sample",
        signature: "sample(logits: tensor, temperature: float = 0.8, top_k: int = 40, top_p: float = 0.95, min_p: float = 0.05, \
                    repeat_penalty: float = 1.0, seed: int = the next, recent: ids = none) -> int",
        section: "sampling",
        doc: "An id drawn by the logits' probabilities, after the penalty on `recent` ids, top-k, top-p, min-p and temperature, in this order. \
              Temperature 0 takes the largest. Of `[T, V]` the last row. Logits that hold NaN, or whose largest is infinite, are an error. Without a seed \
              each draw takes the next of the stream that `seed(n)` sets.",
        run: Run::Call(sample),
    },
    Builtin {
        name: "temperature_sample",
        signature: "temperature_sample(logits: tensor, temperature: float = 1.0, seed: int = the next) -> int",
        section: "sampling",
        doc: "An id drawn at a temperature, from all of them.",
        run: Run::Call(|interp, args| {
            let temperature = args.float_or(interp, 1, 1.0)?;
            let row = last_row(interp, &args)?;
            draw(interp, &args, &row, Settings { temperature, ..Settings::ALL }, 2)
        }),
    },
    Builtin {
        name: "top_k_sample",
        signature: "top_k_sample(logits: tensor, k: int, temperature: float = 1.0, seed: int = the next) -> int",
        section: "sampling",
        doc: "An id drawn from the `k` likeliest.",
        run: Run::Call(|interp, args| {
            let settings = Settings { top_k: args.int(interp, 1)?, temperature: args.float_or(interp, 2, 1.0)?, ..Settings::ALL };
            let row = last_row(interp, &args)?;
            draw(interp, &args, &row, settings, 3)
        }),
    },
    Builtin {
        name: "top_p_sample",
        signature: "top_p_sample(logits: tensor, p: float, temperature: float = 1.0, seed: int = the next) -> int",
        section: "sampling",
        doc: "An id drawn from the likeliest whose probabilities together reach `p` (arXiv:1904.09751).",
        run: Run::Call(|interp, args| {
            let settings = Settings { top_p: args.float(interp, 1)?, temperature: args.float_or(interp, 2, 1.0)?, ..Settings::ALL };
            let row = last_row(interp, &args)?;
            draw(interp, &args, &row, settings, 3)
        }),
    },
    Builtin {
        name: "print_top_k",
        signature: "print_top_k(logits: tensor, k: int = 5, model: Model or Tokenizer = none)",
        section: "sampling",
        doc: "Prints the `k` likeliest ids with their probabilities, and their text where a model is given.",
        run: Run::Call(print_top_k),
    },
];

fn sample(interp: &mut Interp, args: Args) -> Outcome {
    let settings = Settings {
        temperature: args.float_or(interp, 1, 0.8)?,
        top_k: args.int_or(interp, 2, 40)?,
        top_p: args.float_or(interp, 3, 0.95)?,
        min_p: args.float_or(interp, 4, 0.05)?,
    };
    let penalty = args.float_or(interp, 5, 1.0)?;
    if !penalty.is_finite() || penalty <= 0.0 {
        return Err(args.fail(5, Fault::new(format!("a repeat penalty is a positive number, not {penalty:?}"))));
    }
    if penalty != 1.0 && !args.is_given(7) {
        let fault = Fault::new("a repeat penalty is for ids that were given lately, and there are none");
        return Err(args.fail(5, fault.hint("write `sample(logits, repeat_penalty: 1.1, recent: ids)`")));
    }
    let row = last_row(interp, &args)?;
    let recent = if args.is_given(7) { args.ints(interp, 7)? } else { Vec::new() };
    let row = penalized(interp, &row, &recent, penalty).map_err(|f| args.fail(7, f))?;
    draw(interp, &args, &row, settings, 6)
}

/// Logits of ids that were given lately: a positive one divided by the penalty, a negative one multiplied (arXiv:1909.05858).
fn penalized(interp: &mut Interp, row: &Tensor, recent: &[i64], penalty: f64) -> Result<Tensor, Fault> {
    if recent.is_empty() || penalty == 1.0 {
        return Ok(row.clone());
    }
    let len = row.shape()[0];
    let mut was_given = vec![false; len];
    for &id in recent {
        match usize::try_from(id).ok().and_then(|id| was_given.get_mut(id)) {
            Some(slot) => *slot = true,
            None => return Err(Fault::new(format!("id {id} is outside the {len} logits"))),
        }
    }
    let was_given = Tensor::from_host(HostTensor::bool([len], was_given));
    interp.session.build(&[row, &was_given], |g, n| {
        let penalty = g.literal_f32(penalty as f32);
        let zero = g.literal_f32(0.0);
        let less = g.binary(BinaryOp::Div, n[0], penalty)?;
        let more = g.binary(BinaryOp::Mul, n[0], penalty)?;
        let is_positive = g.binary(BinaryOp::Gt, n[0], zero)?;
        let lowered = g.select(is_positive, less, more)?;
        g.select(n[1], lowered, n[0])
    })
}

struct Settings {
    temperature: f64,
    top_k: i64,
    top_p: f64,
    min_p: f64,
}

impl Settings {
    /// Nothing is cut.
    const ALL: Settings = Settings { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0 };

    /// Holds them to what the commands take.
    fn check(&self) -> Result<(), Fault> {
        if self.top_k < 0 {
            return Err(Fault::new(format!("`top_k` is {}, but must be a whole number from 0, which keeps all", self.top_k)));
        }
        let of = |v: f64| Some(v as f32);
        let given =
            SamplingOverrides { temperature: of(self.temperature), top_p: of(self.top_p), min_p: of(self.min_p), ..Default::default() };
        SamplingParams::merge(&given, &SamplingOverrides::default()).map(|_| ()).map_err(|e| Fault::new(e.of_argument()))
    }
}

/// The last row of logits as a vector.
fn last_row(interp: &mut Interp, args: &Args) -> Result<Tensor, Failure> {
    let logits = args.tensor(interp, 0)?;
    if logits.shape().is_empty() || logits.shape().rank() == 0 {
        return Err(args.fail(0, Fault::new(format!("logits are (V,) or (T, V), not {}", logits.shape()))));
    }
    let (rows, v) = (logits.shape().rows(), logits.shape().last_dim());
    Ok(interp.session.build(&[&logits], |g, n| {
        let flat = g.reshape(n[0], [rows, v])?;
        let row = g.slice(flat, &[(rows - 1, 1, 1), (0, 1, v)])?;
        g.reshape(row, [v])
    })?)
}

fn draw(interp: &mut Interp, args: &Args, row: &Tensor, settings: Settings, seed_at: usize) -> Outcome {
    settings.check()?;
    let seed = args.seed_or_next(interp, seed_at)? as i32;
    let top_k = i32::try_from(settings.top_k).unwrap_or(i32::MAX).max(0);
    let chosen = interp.session.build(&[row], |g, n| {
        let f = |v: f64| Literal::F32(v as f32);
        let values = [
            f(settings.temperature),
            Literal::I32(top_k),
            f(settings.top_p),
            f(settings.min_p),
            f(1.0),
            Literal::I32(0),
            Literal::I32(seed),
        ];
        let settings = values.map(|v| g.literal(v));
        let position = g.literal_i32(0);
        g.sample(n[0], settings, position, None)
    })?;
    let id = interp.session.host(&chosen)?.value(0) as i32;
    NoChoice::of_id(id).map_or(Ok(Value::Int(i64::from(id))), |reason| Err(args.fail(0, undrawable(reason))))
}

/// What is said of logits without a choice.
fn undrawable(reason: NoChoice) -> Fault {
    let fault = Fault::new(format!("{reason}, so that no id can be drawn"));
    match reason {
        NoChoice::Nan => {
            fault.hint("`any(x != x)` says whether a tensor holds NaN; `tl trace MODEL` shows in which step of a model it begins")
        }
        NoChoice::Infinite => fault.hint("leave out an id with -inf, and leave at least one in"),
    }
}

fn print_top_k(interp: &mut Interp, args: Args) -> Outcome {
    let row = last_row(interp, &args)?;
    let k = args.int_or(interp, 1, 5)?.max(0) as usize;
    let host = interp.session.host(&row)?;
    let largest = (0..host.len()).map(|i| host.value(i)).fold(f64::NEG_INFINITY, max_f64);
    if !largest.is_finite() {
        return Err(args.fail(0, undrawable(if largest.is_nan() { NoChoice::Nan } else { NoChoice::Infinite })));
    }
    let weights: Vec<f64> = (0..host.len()).map(|i| (host.value(i) - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut order: Vec<usize> = (0..host.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
    let model = if args.is_given(2) { Some(super::models::engine(&args, 2)?) } else { None };
    for &id in order.iter().take(k) {
        let text = match &model {
            Some(model) => format!(" {:?}", model.detokenize(&[id as i32]).map_err(|m| args.fail(2, Fault::new(m)))?),
            None => String::new(),
        };
        interp.print_line(&format!("{id:6} {:.4}{text}", weights[id] / total))?;
    }
    Ok(Value::Unit)
}
