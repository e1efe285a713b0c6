//! Models, their metadata, weights, caches and tokenizers.

use std::sync::Arc;

use crate::graph::{CacheIdx, Sampling};
use crate::lang::host::{DraftRequest, DraftSource, EngineCache, EngineModel, ModelCache, ModelHandle};
use crate::lang::interp::Interp;
use crate::lang::model::WeightPath;
use crate::lang::session::Tensor;
use crate::lang::trace::CacheShape;
use crate::lang::value::{Fault, Value};
use crate::model::DRAFT_MAX;
use crate::tensor::{DType, HostTensor};

use crate::text::{SamplingOverrides, SamplingParams};

use super::args::Args;
use super::chat::{Listener, sampling};
use super::{Builtin, Failure, Outcome, Run};

pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "load_model",
        signature: "load_model(path: string = none) -> Model",
        section: "model",
        doc: "A model from a GGUF file or a Hugging Face folder; without a path the chat model that is built in.",
        run: Run::Call(load_model),
    },
    Builtin {
        name: "load_tokenizer",
        signature: "load_tokenizer(path: string) -> Tokenizer",
        section: "model",
        doc: "A tokenizer alone, of a `tokenizer.json`, a Hugging Face folder or a GGUF file. A model's own is `model.tokenizer`.",
        run: Run::Call(load_tokenizer),
    },
    Builtin {
        name: "get_tensor",
        signature: "get_tensor(model: Model, name: string) -> tensor",
        section: "model",
        doc: "A weight by its GGUF name; `model.blk[0].attn_q.weight` is the same as its path.",
        run: Run::Call(get_tensor),
    },
    Builtin {
        name: "KVCache",
        signature: "KVCache(model: Model, window: int =) -> Cache",
        section: "model",
        doc: "An empty cache of keys and values; `window` is how many tokens it sees.",
        run: Run::Call(new_cache),
    },
    Builtin {
        name: "tokenize",
        signature: "tokenize(model: Model or Tokenizer, text: string, special: bool = false) -> int32 tensor",
        section: "model",
        doc: "The ids of a text, BOS in front where the vocabulary asks for it. With `special`, text that spells a special token becomes it, as in \
              what `chat_template` gave it always does.",
        run: Run::Call(tokenize),
    },
    Builtin {
        name: "detokenize",
        signature: "detokenize(model: Model or Tokenizer, ids) -> string",
        section: "model",
        doc: "The text of ids: one, a list, or an int32 tensor.",
        run: Run::Call(detokenize),
    },
    Builtin {
        name: "chat_template",
        signature: "chat_template(model: Model, messages: list of (role, text)) -> string",
        section: "model",
        doc: "The prompt that the model's own template makes of a conversation: a string of which `tokenize` and `generate` know the special \
              tokens. `chat` keeps a conversation by itself.",
        run: Run::Call(chat_template),
    },
    Builtin {
        name: "generate",
        signature: "generate(model: Model, cache: Cache, prompt, max_tokens: int = 128, temperature: float = 0.8, top_k: int = 40, top_p: float = 0.95, \
                    min_p: float = 0.05, repeat_penalty: float = 1.0, repeat_last_n: int = 64, seed: int = the next, on_token: fn = none, draft: string or Model = none, draft_n: int = 4) -> string",
        section: "model",
        doc: "Feeds the prompt, a string or ids, and generates. What `chat_template` gave is the whole conversation: what the cache holds of it is not \
              fed again. `on_token(text)` is called for each piece and ends the answer by returning false. With `draft` the text so far, or a smaller model of \
              the same vocabulary, guesses `draft_n` tokens ahead, which one run verifies: the answer is the same and may come sooner.",
        run: Run::Call(generate),
    },
    Builtin {
        name: "completions",
        signature: "completions(model: Model, prompt, n: int = 4, max_tokens: int = 128, temperature: float = 0.8, top_k: int = 40, top_p: float = 0.95, \
                    min_p: float = 0.05, repeat_penalty: float = 1.0, repeat_last_n: int = 64, seed: int = the next) -> list of string",
        section: "model",
        doc: "Several completions of one prompt, drawn together. Each is the one that `generate` gives for a seed: the first for `seed`, the others for those \
              that follow it.",
        run: Run::Call(completions),
    },
    Builtin {
        name: "beam_search",
        signature: "beam_search(model: Model, prompt, beams: int = 4, max_tokens: int = 128) -> list of (string, float)",
        section: "model",
        doc: "The likeliest completions that a search finds which goes on with so many at a time, the likeliest first, each with the logarithm of its \
              probability.",
        run: Run::Call(beam_search),
    },
    Builtin {
        name: "Model.forward",
        signature: "forward(model: Model, tokens: int32 tensor, cache: Cache) -> tensor",
        section: "model",
        doc: "Feeds tokens at the cache's position and gives the logits `[T, V]`.",
        run: Run::Call(forward),
    },
    Builtin {
        name: "Model.has",
        signature: "has(model: Model, name: string) -> bool",
        section: "model",
        doc: "Whether the model has a tensor of this name, or below it.",
        run: Run::Call(|_, args| match args.value(0) {
            Value::Model(model) => Ok(Value::Bool(WeightPath { source: model.source, path: "".into() }.has(&args.str(1)?))),
            _ => Ok(Value::Bool(false)),
        }),
    },
    Builtin {
        name: "Layer.has",
        signature: "has(layer: Layer, name: string) -> bool",
        section: "model",
        doc: "Whether the layer has a tensor of this name, or below it.",
        run: Run::Call(|_, args| match args.value(0) {
            Value::Layer(layer) => Ok(Value::Bool(layer.has(&args.str(1)?))),
            _ => Ok(Value::Bool(false)),
        }),
    },
    Builtin {
        name: "ignore",
        signature: "ignore(...patterns: string)",
        section: "model",
        doc: "Names tensors that a model's program does not need. A file with a tensor that is neither used nor named so is not run. `*` stands for \
              any text, and a pattern that ends in a dot for all names below it: `ignore(\"blk.*.nextn.\")`.",
        run: Run::Call(ignore),
    },
    Builtin {
        name: "Config.get",
        signature: "get(config: Config, key: string, default =) -> value",
        section: "model",
        doc: "A value of the metadata, or the default where the model lacks it.",
        run: Run::Call(config_get),
    },
    Builtin {
        name: "Config.has",
        signature: "has(config: Config, key: string) -> bool",
        section: "model",
        doc: "Whether the metadata has this key.",
        run: Run::Call(|_, args| match args.value(0) {
            Value::Config(config) => Ok(Value::Bool(config.get(&args.str(1)?)?.is_some())),
            _ => Ok(Value::Bool(false)),
        }),
    },
    Builtin {
        name: "Cache.append",
        signature: "append(cache: Cache, layer: int, k: tensor, v: tensor)",
        section: "model",
        doc: "Writes keys and values `[T, G, D]` of one layer at the cache's position. The result is what `attention` reads: all keys and values so far.",
        run: Run::Call(cache_append),
    },
    Builtin {
        name: "Cache.clear",
        signature: "clear(cache: Cache)",
        section: "model",
        doc: "Forgets everything.",
        run: Run::Call(|_, args| {
            cache(&args, 0)?.clear().map_err(said(&args, 0))?;
            Ok(Value::Unit)
        }),
    },
];

pub(super) fn engine(args: &Args, i: usize) -> Result<Arc<dyn EngineModel>, Failure> {
    match args.value(i) {
        Value::Model(ModelHandle { engine: Some(model), .. }) | Value::Tokenizer(ModelHandle { engine: Some(model), .. }) => Ok(model),
        Value::Model(_) => Err(args.fail(i, Fault::new("a model that is being traced cannot run"))),
        other => Err(args
            .fail(i, Fault::new(format!("a Model is needed here, not {}", other.type_name())).hint("write `load_model(\"model.gguf\")`"))),
    }
}

fn cache(args: &Args, i: usize) -> Result<Arc<dyn EngineCache>, Failure> {
    match args.value(i) {
        Value::Cache(ModelCache::Engine(cache)) => Ok(cache),
        other => Err(args.fail(i, Fault::new(format!("a Cache is needed here, not {}", other.type_name())).hint("write `KVCache(model)`"))),
    }
}

pub(super) fn said(args: &Args, i: usize) -> impl Fn(String) -> Failure {
    let at = args.at(i);
    move |message| Failure::At(Fault::new(message), at)
}

fn load_model(interp: &mut Interp, args: Args) -> Outcome {
    let path = if args.is_given(0) { Some(args.str(0)?) } else { None };
    let Some(host) = &mut interp.host else {
        return Err(args.fail(0, Fault::new("models cannot be loaded here")));
    };
    let model = match &path {
        Some(path) => host.load_model(path),
        None => host.built_in_model(),
    };
    let model = model.map_err(said(&args, 0))?;
    for file in model.files() {
        if !interp.model_files.contains(&file) {
            interp.model_files.push(file);
        }
    }
    Ok(Value::Model(ModelHandle::loaded(model)))
}

fn load_tokenizer(interp: &mut Interp, args: Args) -> Outcome {
    let path = args.str(0)?;
    let Some(host) = &mut interp.host else {
        return Err(args.fail(0, Fault::new("tokenizers cannot be loaded here")));
    };
    let tokenizer = host.load_tokenizer(&path).map_err(said(&args, 0))?;
    interp.model_files.extend(tokenizer.files());
    Ok(Value::Tokenizer(ModelHandle::loaded(tokenizer)))
}

fn ignore(interp: &mut Interp, mut args: Args) -> Outcome {
    let at = args.span;
    if !interp.has_model {
        let fault = Fault::new("`ignore` names tensors of the file whose model's program this is, and this is no model's program");
        return Err(Failure::At(fault.hint("run it with `tl chat MODEL --arch FILE.tl`"), at));
    }
    for (pattern, at) in args.take_rest() {
        match pattern {
            Value::Str(pattern) => interp.ignored.add(&pattern),
            other => return Err(Failure::At(Fault::new(format!("a pattern is a string, not {}", other.type_name())), at)),
        }
    }
    Ok(Value::Unit)
}

fn get_tensor(_: &mut Interp, args: Args) -> Outcome {
    let Value::Model(model) = args.value(0) else {
        return Err(args.fail(0, Fault::new(format!("a Model is needed here, not {}", args.value(0).type_name()))));
    };
    let name = args.str(1)?;
    match model.source.weight(&name) {
        Some(weight) => Ok(Value::Tensor(Tensor::from_weight(weight))),
        None => {
            let fault = Fault::new(format!("the model has no tensor `{name}`"));
            let near = crate::lang::resolve::nearest(&name, model.source.weight_names());
            Err(args.fail(1, near.map_or(fault.clone(), |near| fault.hint(format!("did you mean `{near}`?")))))
        }
    }
}

fn new_cache(interp: &mut Interp, args: Args) -> Outcome {
    let model = engine(&args, 0)?;
    let window = if args.is_given(1) { Some(args.count(interp, 1)?) } else { None };
    let cache = model.new_cache(window).map_err(said(&args, 0))?;
    Ok(Value::Cache(ModelCache::Engine(cache)))
}

fn tokenize(_: &mut Interp, args: Args) -> Outcome {
    let model = engine(&args, 0)?;
    let special = args.bool_or(2, false)?;
    let ids = match args.value(1) {
        Value::Prompt(prompt) if !args.is_given(2) || special => model.tokenize_prompt(&prompt),
        _ => model.tokenize(&args.str(1)?, special),
    };
    let ids = ids.map_err(said(&args, 0))?;
    Ok(Value::Tensor(Tensor::from_host(HostTensor::i32([ids.len()], ids))))
}

fn detokenize(interp: &mut Interp, args: Args) -> Outcome {
    let model = engine(&args, 0)?;
    let ids = ids(interp, &args, 1)?;
    Ok(Value::str(&model.detokenize(&ids).map_err(said(&args, 1))?))
}

/// One id, a list of them, or a tensor.
fn ids(interp: &mut Interp, args: &Args, i: usize) -> Result<Vec<i32>, Failure> {
    let ids = args.ints(interp, i)?;
    ids.into_iter().map(|id| i32::try_from(id).map_err(|_| args.fail(i, Fault::new(format!("{id} is no token id"))))).collect()
}

fn chat_template(_: &mut Interp, args: Args) -> Outcome {
    let model = engine(&args, 0)?;
    let wrong = || args.fail(1, Fault::new("a conversation is a list of (role, text)").hint("write `[(\"user\", \"Hello\")]`"));
    let Value::List(items) = args.value(1) else { return Err(wrong()) };
    let mut messages = Vec::with_capacity(items.0.len());
    for item in &items.0 {
        match item {
            Value::Tuple(pair) => match &pair.0[..] {
                [Value::Str(role), Value::Str(text)] => messages.push((role.to_string(), text.to_string())),
                _ => return Err(wrong()),
            },
            _ => return Err(wrong()),
        }
    }
    Ok(Value::Prompt(Arc::new(model.chat_template(&messages).map_err(said(&args, 1))?)))
}

fn generate(interp: &mut Interp, args: Args) -> Outcome {
    let model = engine(&args, 0)?;
    let cache = cache(&args, 1)?;
    let mut prompt = prompt(interp, &args, &*model, 2)?;
    if matches!(args.value(2), Value::Prompt(_)) {
        let n_held = model.keep_prefix(&*cache, &prompt).map_err(said(&args, 1))?;
        prompt.drain(..n_held);
    }
    let max_tokens = if args.is_given(3) { args.count(interp, 3)? } else { 128 };
    let sampling = draws(interp, &args, 4)?;
    let draft = draft(interp, &args, 12)?;
    let mut listener = Listener::new(&args, 11);
    let mut text = String::new();
    let result = model.generate(&*cache, &prompt, sampling, max_tokens, draft.as_ref(), &mut |_, piece| {
        text.push_str(piece);
        listener.hear(interp, piece)
    });
    listener.done()?;
    result.map_err(said(&args, 0))?;
    Ok(Value::str(&text))
}

/// The ids of a prompt: text, what `chat_template` gave, or ids.
fn prompt(interp: &mut Interp, args: &Args, model: &dyn EngineModel, i: usize) -> Result<Vec<i32>, Failure> {
    match args.value(i) {
        Value::Str(text) => model.tokenize(&text, false).map_err(said(args, i)),
        Value::Prompt(prompt) => model.tokenize_prompt(&prompt).map_err(said(args, i)),
        _ => ids(interp, args, i),
    }
}

/// How tokens are drawn, from the arguments at `first` and after it.
fn draws(interp: &mut Interp, args: &Args, first: usize) -> Result<Sampling, Failure> {
    let params = sampling(interp, args, first)?;
    let params = SamplingParams::merge(&params, &SamplingOverrides::default()).map_err(|e| Failure::Fault(Fault::new(e.of_argument())))?;
    Ok(Sampling {
        temperature: params.temperature,
        top_k: i32::try_from(params.top_k).unwrap_or(i32::MAX),
        top_p: params.top_p,
        min_p: params.min_p,
        repeat_penalty: params.repeat_penalty,
        repeat_last_n: i32::try_from(params.repeat_last_n).unwrap_or(i32::MAX),
        seed: params.seed.unwrap_or(0) as u32,
    })
}

/// A count from 1 on.
fn some(interp: &mut Interp, args: &Args, i: usize, default: usize) -> Result<usize, Failure> {
    match if args.is_given(i) { args.count(interp, i)? } else { default } {
        0 => Err(args.fail(i, Fault::new("at least 1 is needed, not 0"))),
        n => Ok(n),
    }
}

fn completions(interp: &mut Interp, args: Args) -> Outcome {
    let model = engine(&args, 0)?;
    let prompt = prompt(interp, &args, &*model, 1)?;
    let n = some(interp, &args, 2, 4)?;
    let max_tokens = if args.is_given(3) { args.count(interp, 3)? } else { 128 };
    let sampling = draws(interp, &args, 4)?;
    let mut watch = Listener::silent(&args);
    let drawn = model.completions(&prompt, n, sampling, max_tokens, &mut || watch.hear(interp, ""));
    watch.done()?;
    Ok(Value::list(drawn.map_err(said(&args, 0))?.iter().map(|text| Value::str(text)).collect()))
}

fn beam_search(interp: &mut Interp, args: Args) -> Outcome {
    let model = engine(&args, 0)?;
    let prompt = prompt(interp, &args, &*model, 1)?;
    let beams = some(interp, &args, 2, 4)?;
    let max_tokens = if args.is_given(3) { args.count(interp, 3)? } else { 128 };
    let mut watch = Listener::silent(&args);
    let found = model.beam_search(&prompt, beams, max_tokens, &mut || watch.hear(interp, ""));
    watch.done()?;
    let found = found.map_err(said(&args, 0))?;
    Ok(Value::list(found.iter().map(|(text, logprob)| Value::tuple(vec![Value::str(text), Value::Float(*logprob)])).collect()))
}

/// What drafts, at `i`, and how many tokens at a time, behind it.
fn draft(interp: &mut Interp, args: &Args, i: usize) -> Result<Option<DraftRequest>, Failure> {
    let n = if args.is_given(i + 1) { args.count(interp, i + 1)? } else { 4 };
    if !(1..=DRAFT_MAX).contains(&n) {
        return Err(args.fail(i + 1, Fault::new(format!("{n} tokens cannot be drafted at a time")).hint(format!("give 1 to {DRAFT_MAX}"))));
    }
    let source = match args.value(i) {
        _ if !args.is_given(i) => return Ok(None),
        Value::Unit => return Ok(None),
        Value::Str(name) if &*name == "ngram" => DraftSource::Ngram,
        Value::Model(_) => DraftSource::Model(engine(args, i)?),
        Value::Str(name) => {
            let fault = Fault::new(format!("nothing is known that drafts as `{name}`"));
            return Err(args.fail(i, fault.hint("write `\"ngram\"`, or give a smaller model")));
        }
        other => {
            let fault = Fault::new(format!("`draft` is \"ngram\" or a Model, not {}", other.type_name()));
            return Err(args.fail(i, fault));
        }
    };
    Ok(Some(DraftRequest { source, n }))
}

fn forward(interp: &mut Interp, args: Args) -> Outcome {
    let model = engine(&args, 0)?;
    let tokens = ids(interp, &args, 1)?;
    let cache = cache(&args, 2)?;
    let logits = model.forward(&tokens, &*cache).map_err(said(&args, 0))?;
    Ok(Value::Tensor(Tensor::from_device(logits)))
}

fn config_get(_: &mut Interp, args: Args) -> Outcome {
    let Value::Config(config) = args.value(0) else { return Ok(Value::Unit) };
    let key = args.str(1)?;
    match config.get(&key)? {
        Some(value) => Ok(value),
        None if args.is_given(2) => Ok(args.value(2)),
        None => {
            let fault = Fault::new(format!("the model's metadata has no `{}.{key}`", config.architecture()));
            Err(args.fail(1, fault.hint("give a default as the second argument")))
        }
    }
}

fn cache_append(interp: &mut Interp, args: Args) -> Outcome {
    let layer = args.count(interp, 1)?;
    let (k, v) = (args.tensor(interp, 2)?, args.tensor(interp, 3)?);
    let Value::Cache(ModelCache::Traced) = args.value(0) else {
        return Err(args.fail(0, Fault::new("a loaded model's cache is written by `model.forward(tokens, cache)` alone")));
    };
    let Some(trace) = &mut interp.session.trace else {
        return Err(args.fail(0, Fault::new("this cache belongs to a trace that has ended")));
    };
    if k.shape().rank() != 3 || k.shape() != v.shape() {
        let fault = Fault::new(format!("a cache takes keys and values of one shape (T, G, D), not {} and {}", k.shape(), v.shape()));
        return Err(args.fail(2, fault));
    }
    let (n_kv_heads, head_dim) = (k.shape()[1], k.shape()[2]);
    let n_layers = (layer + 1).max(trace.cache.map_or(0, |c| c.n_layers));
    if let Some(first) = trace.cache
        && (first.n_kv_heads, first.head_dim) != (n_kv_heads, head_dim)
    {
        let fault = Fault::new(format!(
            "layer {layer} appends {n_kv_heads} heads of {head_dim}, another {} of {}: all layers of a cache have one shape",
            first.n_kv_heads, first.head_dim
        ));
        return Err(args.fail(2, fault));
    }
    // The second append would overwrite what the first layer's next tokens read.
    if !trace.appended.insert(layer) {
        let fault = Fault::new(format!("layer {layer} of the cache is appended to twice in one pass"));
        return Err(args.fail(1, fault.hint("give each layer an index of its own: `cache.append(i, k, v)`")));
    }
    trace.cache = Some(CacheShape { n_layers, n_kv_heads, head_dim });
    let n_positions = trace.n_positions;
    Ok(Value::Tensor(interp.session.build(&[&k, &v], |g, n| {
        let mut parts = [n[0], n[1]];
        for part in &mut parts {
            if g.dtype(*part) != DType::F32 {
                *part = g.cast(*part, DType::F32)?;
            }
        }
        g.cache_append(CacheIdx(0), layer, n_positions, parts[0], parts[1])
    })?))
}
