//! `rotation`: the angles of rotary embedding, from numbers or from a model's file.

use std::sync::Arc;

use crate::graph::{RopeScaling, RopeSpec, RopeStyle};
use crate::lang::interp::Interp;
use crate::lang::model::ConfigPath;
use crate::lang::value::{Fault, Value};
use crate::tensor::DType;

use super::args::Args;
use super::{Builtin, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[Builtin {
    name: "rotation",
    signature: "rotation(config: Config = none, model: Model = none, dims: int = the file's, base: float = the file's, neox: bool = false, \
                scaling: bool = true, truncate: bool = true) -> Rotation",
    section: "nn",
    doc: "The angles of rotary embedding (arXiv:2104.09864). Of a model: base, dimensions, scaling and frequency divisors from its file, where \
          `dims` and `base` replace what the file says (10000 where neither says a base); without `scaling` neither scaling nor divisors. \
          `neox` pairs element i with i + dims/2 instead of its neighbour, unless the file says otherwise. yarn's ramp begins and ends at \
          whole dimensions unless `truncate` or the file says otherwise. longrope takes its long divisors where the cache keeps more tokens \
          in view than the original context has, else the short ones, from the first token on.",
    run: Run::Call(rotation),
}];

fn rotation(interp: &mut Interp, args: Args) -> Outcome {
    let neox = args.bool_or(4, false)?;
    let dims = if args.is_given(2) { Some(args.count(interp, 2)?) } else { None };
    let base = if args.is_given(3) { Some(args.float(interp, 3)?) } else { None };
    const BOTH: &str = "write `rotation(config, model)`, or `rotation(dims: 64)`";
    let wrong = |i: usize, want: &str, have: &Value| {
        args.fail(i, Fault::new(format!("a {want} is needed here, not {}", have.type_name())).hint(BOTH))
    };
    let config = match (args.value(0), args.value(1)) {
        (Value::Config(config), Value::Model(_) | Value::Unit) => Some(config),
        (Value::Unit, Value::Model(model)) => Some(ConfigPath::root(model.source)),
        (Value::Unit, Value::Unit) => None,
        (Value::Config(_) | Value::Unit, other) => return Err(wrong(1, "Model", &other)),
        (other, _) => return Err(wrong(0, "Config", &other)),
    };
    // What is wrong is the file, unless the program replaces it.
    let at = if args.is_given(2) { 2 } else { usize::from(args.is_given(3)) * 3 };
    let Some(config) = config else {
        if let Some(i) = [5, 6].into_iter().find(|&i| args.is_given(i)) {
            return Err(args.fail(i, Fault::new("this is a choice about what a model's file says, and no file is given").hint(BOTH)));
        }
        let Some(n_dims) = dims else {
            let fault = Fault::new("a rotation needs its number of dimensions, or a model's file that says it");
            return Err(args.fail(2, fault.hint(BOTH)));
        };
        let spec = RopeSpec { n_dims, base: base.unwrap_or(BASE), scaling: RopeScaling::None, factors: Vec::new() };
        return Ok(Value::Rotation(Arc::new(checked(spec).map_err(|f| args.fail(at, f))?), style_of(neox)));
    };
    let with_scaling = args.bool_or(5, true)?;
    let truncate = if args.is_given(6) { Some(args.bool_or(6, true)?) } else { None };
    let mut file = File { interp, config: &config };
    file.rotation(dims, base, neox, with_scaling, truncate).map_err(|f| args.fail(at, f))
}

/// The base of the paper, for files and programs that name none.
const BASE: f64 = 10000.0;

/// Where divisors of the frequencies are: the tensor that holds them, or the key of a list in the metadata.
type Divisors = (&'static str, &'static str);
const DIVISORS: Divisors = ("rope_freqs.weight", "rope.scaling.factors");
const LONG: Divisors = ("rope_factors_long.weight", "rope.scaling.long_factor");
const SHORT: Divisors = ("rope_factors_short.weight", "rope.scaling.short_factor");

fn style_of(neox: bool) -> RopeStyle {
    if neox { RopeStyle::Neox } else { RopeStyle::Interleaved }
}

pub(super) fn checked(spec: RopeSpec) -> Result<RopeSpec, Fault> {
    if spec.n_dims == 0 || !spec.n_dims.is_multiple_of(2) || spec.n_dims > 1 << 16 {
        return Err(Fault::new(format!("rotation takes an even number of dimensions, not {}", spec.n_dims)));
    }
    if !spec.base.is_finite() || spec.base <= 0.0 {
        return Err(Fault::new(format!("a rotation's base is a positive number, not {}", spec.base)));
    }
    Ok(spec)
}

/// What a model's file says of its rotation, under the keys and names of GGUF.
struct File<'a> {
    interp: &'a mut Interp,
    config: &'a ConfigPath,
}

impl File<'_> {
    fn rotation(
        &mut self,
        dims: Option<usize>,
        base: Option<f64>,
        neox: bool,
        with_scaling: bool,
        truncate: Option<bool>,
    ) -> Result<Value, Fault> {
        let n_dims = match (dims, self.number("rope.dimension_count")?, self.number("attention.key_length")?) {
            (Some(n), _, _) => n as f64,
            (None, Some(n), _) | (None, None, Some(n)) => n,
            (None, None, None) => (self.needed("embedding_length")? / self.needed("attention.head_count")?).floor(),
        };
        let base = match base {
            Some(base) => base,
            None => self.number("rope.freq_base")?.unwrap_or(BASE),
        };
        let style = match self.text("tl.rope_order")?.as_deref() {
            Some("neox") => RopeStyle::Neox,
            Some("interleaved" | "norm") => RopeStyle::Interleaved,
            _ => style_of(neox),
        };
        let mut spec = checked(RopeSpec { n_dims: n_dims as usize, base, scaling: RopeScaling::None, factors: Vec::new() })?;
        if with_scaling {
            (spec.scaling, spec.factors) = self.scaling(spec.n_dims / 2, truncate)?;
        }
        Ok(Value::Rotation(Arc::new(spec), style))
    }

    /// How the frequencies of `n` pairs are stretched, and their divisors. What a kind of scaling needs and the file lacks is an error: left out,
    /// it would give another model.
    fn scaling(&mut self, n: usize, truncate: Option<bool>) -> Result<(RopeScaling, Vec<f32>), Fault> {
        let kind = self.text("rope.scaling.type")?;
        let factor = match self.positive("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.positive("rope.scale_linear")?,
        };
        // Files that hold the divisors need not name the kind.
        let kind = match kind.as_deref() {
            None | Some("none") if self.has(LONG) || self.has(SHORT) => "longrope".to_owned(),
            None if factor.is_some_and(|f| f != 1.0) => "linear".to_owned(),
            // The divisors are what its numbers make.
            Some("llama3") if self.has(DIVISORS) => "none".to_owned(),
            None => "none".to_owned(),
            Some(kind) => kind.to_owned(),
        };
        let lacks = |key: &str| Fault::new(format!("RoPE scaling `{kind}` lacks its `{key}`")).hint("convert the model again");
        let given = |value: Option<f64>, key: &str| value.ok_or_else(|| lacks(key));
        let (given_factor, factor) = (factor, || given(factor, "rope.scaling.factor"));
        let original = self.positive("rope.scaling.original_context_length")?;
        let trained = self.positive("context_length")?;
        let scaling = match kind.as_str() {
            "none" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: factor()? },
            "llama3" => RopeScaling::Llama3 {
                factor: factor()?,
                low_freq_factor: given(self.positive("rope.scaling.low_freq_factor")?, "rope.scaling.low_freq_factor")?,
                high_freq_factor: given(self.positive("rope.scaling.high_freq_factor")?, "rope.scaling.high_freq_factor")?,
                original_len: given(original, "rope.scaling.original_context_length")?,
            },
            "yarn" => {
                let factor = factor()?;
                let ext_factor = self.number("rope.scaling.yarn_ext_factor")?.unwrap_or(1.0);
                RopeScaling::Yarn {
                    factor,
                    original_len: given(original.or(trained), "rope.scaling.original_context_length")?,
                    attn_factor: self.yarn_attention(factor, ext_factor)?,
                    beta_fast: self.positive("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                    beta_slow: self.positive("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                    ext_factor,
                    truncate: match truncate {
                        Some(truncate) => truncate,
                        None => !matches!(self.config.get("rope.scaling.truncate")?, Some(Value::Bool(false))),
                    },
                }
            }
            "longrope" => {
                let original_len = given(original, "rope.scaling.original_context_length")?;
                let stretched = given_factor.or(trained.map(|trained| trained / original_len));
                let attn_factor = match (self.positive("rope.scaling.attn_factor")?, stretched) {
                    (Some(factor), _) => factor,
                    (None, Some(stretched)) if stretched > 1.0 => (1.0 + stretched.ln() / original_len.ln()).sqrt(),
                    (None, Some(_)) => 1.0,
                    (None, None) => return Err(lacks("rope.scaling.attn_factor")),
                };
                let long = self.divisors(LONG, n)?.ok_or_else(|| lacks(LONG.0))?;
                let short = self.divisors(SHORT, n)?.ok_or_else(|| lacks(SHORT.0))?;
                return Ok((RopeScaling::LongRope { attn_factor, original_len, long }, short));
            }
            other => {
                return Err(Fault::new(format!("RoPE scaling `{other}` is not supported"))
                    .hint("known are none, linear, llama3, yarn and longrope"));
            }
        };
        Ok((scaling, self.divisors(DIVISORS, n)?.unwrap_or_default()))
    }

    /// yarn's factor on cos and sin: what the file says, else `0.1 ln(factor) + 1`. A file with a multiplier of the logarithm scales the scores
    /// instead (`mscale` and `mscale_all_dim` of one value). Where the ramp keeps no frequency, nothing but these is stretched.
    fn yarn_attention(&self, factor: f64, ext_factor: f64) -> Result<f64, Fault> {
        let times = self.positive("rope.scaling.attn_factor")?.unwrap_or(1.0);
        let has_log = self.number("rope.scaling.yarn_log_multiplier")?.is_some_and(|m| m != 0.0);
        let own = match self.positive("rope.scaling.yarn_attn_factor")? {
            Some(own) => own,
            None if has_log || ext_factor == 0.0 || factor <= 1.0 => 1.0,
            None => 0.1 * factor.ln() + 1.0,
        };
        Ok(own * times)
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Fault> {
        match self.config.get(key)? {
            None => Ok(None),
            Some(Value::Int(v)) => Ok(Some(v as f64)),
            Some(Value::Float(v)) if v.is_finite() => Ok(Some(v)),
            Some(Value::Float(v)) => Err(Fault::new(format!("metadata `{key}` is {v}, not a number"))),
            Some(other) => Err(Fault::new(format!("metadata `{key}` is {}, not a number", other.type_name()))),
        }
    }

    fn positive(&self, key: &str) -> Result<Option<f64>, Fault> {
        match self.number(key)? {
            Some(v) if v <= 0.0 => Err(Fault::new(format!("metadata `{key}` is {v}, not a positive number"))),
            other => Ok(other),
        }
    }

    fn needed(&self, key: &str) -> Result<f64, Fault> {
        let missing = || Fault::new(format!("the model's metadata has no `{}.{key}`", self.config.architecture()));
        self.number(key)?.ok_or_else(missing)
    }

    fn text(&self, key: &str) -> Result<Option<String>, Fault> {
        match self.config.get(key)? {
            None => Ok(None),
            Some(Value::Str(text)) => Ok(Some(text.to_string())),
            Some(other) => Err(Fault::new(format!("metadata `{key}` is {}, not a text", other.type_name()))),
        }
    }

    fn has(&self, (tensor, key): Divisors) -> bool {
        let has_key = || matches!(self.config.get(key), Ok(Some(_)));
        self.config.source.weight(tensor).is_some() || has_key()
    }

    /// The divisors of `n` frequencies.
    fn divisors(&mut self, (tensor, key): Divisors, n: usize) -> Result<Option<Vec<f32>>, Fault> {
        let weight = self.config.source.weight(tensor);
        let (name, values) = match (weight, self.config.get(key)?) {
            (Some(weight), _) => (tensor, self.interp.weight_values(&weight)?),
            (None, None) => return Ok(None),
            (None, Some(Value::List(items))) => {
                let value = |v: &Value| match v {
                    Value::Float(v) => Ok(*v as f32),
                    Value::Int(v) => Ok(*v as f32),
                    other => Err(Fault::new(format!("metadata `{key}` holds {}, not numbers", other.type_name()))),
                };
                (key, items.0.iter().map(value).collect::<Result<_, _>>()?)
            }
            (None, Some(other)) => return Err(Fault::new(format!("metadata `{key}` is {}, not a list", other.type_name()))),
        };
        if values.len() != n {
            return Err(Fault::new(format!("`{name}` has {} divisors for {} rotated dimensions", values.len(), 2 * n)));
        }
        match values.iter().find(|f| !f.is_finite() || **f == 0.0) {
            Some(bad) => Err(Fault::new(format!("`{name}` holds {bad}, which divides no frequency"))),
            None => Ok(Some(values)),
        }
    }
}

impl Interp {
    /// A small weight of plain floats, from its file.
    fn weight_values(&mut self, weight: &crate::graph::Weight) -> Result<Vec<f32>, Fault> {
        let bytes = weight.source.bytes().map_err(|e| Fault::new(format!("cannot read `{}`: {e}", weight.name)))?;
        self.session.weights_read.insert(weight.name.clone());
        match weight.dtype {
            DType::F32 => Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
            DType::F16 => Ok(bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()),
            DType::BF16 => Ok(bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()),
            other => Err(Fault::new(format!("`{}` is {other}, not floats", weight.name))),
        }
    }
}
