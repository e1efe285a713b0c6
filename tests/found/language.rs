//! What programs of the language are told, and that nothing they say is passed over.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tensorlogic::diag::Color;
use tensorlogic::engine::{Backend, BackendChoice, DeviceRequest, EngineHost, LoadRequest};
use tensorlogic::graph::KvType;
use tensorlogic::lang::{Interp, Options, on_deep_stack};

use crate::printed::Printed;
use crate::scratch::Scratch;
use crate::support::fixture;

/// What a program prints on the CPU, or the errors that it ends with, drawn.
pub fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let program = program.to_owned();
    with_interp(args, move |interp, printed| match interp.run_source("program.tl", &program, None) {
        Ok(()) => Ok(printed.take()),
        Err(errors) => Err(errors.iter().map(|e| e.render(&interp.sources, Color::Never)).collect()),
    })
}

/// Works with an interpreter on the CPU, on a stack that is deep enough for it.
fn with_interp<T: Send + 'static>(args: &[&str], work: impl FnOnce(&mut Interp, &Printed) -> T + Send + 'static) -> T {
    let args = args.iter().map(|a| a.to_string()).collect::<Vec<_>>();
    on_deep_stack(move || {
        let backend = Backend::open(&DeviceRequest { backend: BackendChoice::Cpu, precise: true, ..DeviceRequest::default() }).unwrap();
        let printed = Printed::default();
        let request = LoadRequest { kv_type: KvType::F32, ..LoadRequest::default() };
        let options = Options {
            executor: Some(backend.executor.clone()),
            host: Some(Box::new(EngineHost::new(Arc::new(backend), request))),
            out: Some(Box::new(printed.clone())),
            args,
            ..Options::default()
        };
        let mut interp = Interp::new(options).unwrap_or_else(|errors| panic!("the library has errors: {errors:?}"));
        work(&mut interp, &printed)
    })
    .unwrap()
}

/// For each optional argument of a builtin a call without and with it: the two differ, or the second is refused.
/// `m` is a model, `logits` are some logits, and `v3` is a tensor [T, H, D].
const ARGUMENTS: &[(&str, &str, &str)] = &[
    ("zeros.dtype", "zeros([2])", "zeros([2], dtype: int32)"),
    ("ones.dtype", "ones([2])", "ones([2], dtype: int32)"),
    ("full.dtype", "full([2], 1)", "full([2], 1, dtype: float32)"),
    ("arange.end", "arange(3)", "arange(3, 5)"),
    ("arange.step", "arange(0, 6)", "arange(0, 6, 2)"),
    ("arange.dtype", "arange(3)", "arange(3, dtype: float32)"),
    ("eye.m", "eye(2)", "eye(2, 3)"),
    ("eye.dtype", "eye(2)", "eye(2, dtype: int32)"),
    ("rand.seed", "rand([2], seed: 1)", "rand([2], seed: 2)"),
    ("randn.seed", "randn([2], seed: 1)", "randn([2], seed: 2)"),
    ("tensor.dtype", "tensor([1, 2])", "tensor([1, 2], float32)"),
    ("squeeze.dim", "shape(squeeze(zeros([1, 2, 1])))", "shape(squeeze(zeros([1, 2, 1]), 0))"),
    ("transpose.dim0", "shape(transpose(zeros([2, 3, 4])))", "shape(transpose(zeros([2, 3, 4]), dim0: 0))"),
    ("transpose.dim1", "shape(transpose(zeros([2, 3, 4])))", "shape(transpose(zeros([2, 3, 4]), dim1: 0))"),
    ("concat.dim", "shape(concat([zeros([2, 2])]))", "shape(concat([zeros([2, 2]), zeros([2, 2])], dim: 1))"),
    ("stack.dim", "shape(stack([zeros([3]), zeros([3])]))", "shape(stack([zeros([3]), zeros([3])], dim: 1))"),
    ("split.dim", "len(split(zeros([2, 3]), 1))", "len(split(zeros([2, 3]), 1, dim: 1))"),
    ("split.dim", "split(\"a b\", \" \")", "split(\"a b\", \" \", dim: 0)"),
    ("chunk.dim", "shape(chunk(zeros([2, 4]), 2)[0])", "shape(chunk(zeros([2, 4]), 2, dim: 1)[0])"),
    ("slice.step", "slice(arange(6), 0, 0, 6)", "slice(arange(6), 0, 0, 6, 2)"),
    ("gather.dim", "shape(gather(zeros([2, 3]), tensor([0])))", "shape(gather(zeros([2, 3]), tensor([0]), dim: 1))"),
    ("scatter.dim", "scatter(zeros([2, 2]), tensor([0]), ones([1, 2]))", "scatter(zeros([2, 2]), tensor([0]), ones([2, 1]), dim: 1)"),
    ("sort.dim", "sort([[2, 3], [1, 4]])[0]", "sort([[2, 3], [1, 4]], dim: 0)[0]"),
    ("sort.descending", "sort([2, 1])[0]", "sort([2, 1], descending: true)[0]"),
    ("topk.dim", "topk([[2, 3], [1, 4]], 1)[0]", "topk([[2, 3], [1, 4]], 1, dim: 0)[0]"),
    ("sum.dim", "sum([[1, 2]])", "sum([[1, 2]], 0)"),
    ("sum.keep", "sum([[1, 2]])", "sum([[1, 2]], keep: true)"),
    ("mean.dim", "mean([[1.0, 2.0]])", "mean([[1.0, 2.0]], 0)"),
    ("mean.keep", "mean([[1.0, 2.0]])", "mean([[1.0, 2.0]], keep: true)"),
    ("prod.dim", "prod([[1, 2]])", "prod([[1, 2]], 0)"),
    ("prod.keep", "prod([[1, 2]])", "prod([[1, 2]], keep: true)"),
    ("max.dim", "max([[1, 2]])", "max([[1, 2]], 0)"),
    ("max.dim", "max([1, 2])", "max([1, 2], [3, 0])"),
    ("max.keep", "max([[1, 2]])", "max([[1, 2]], keep: true)"),
    ("max.keep", "max(1, 2)", "max(1, 2, keep: true)"),
    ("min.dim", "min([[1, 2]])", "min([[1, 2]], 0)"),
    ("min.keep", "min([[1, 2]])", "min([[1, 2]], keep: true)"),
    ("min.keep", "min(1, 2)", "min(1, 2, keep: true)"),
    ("argmax.dim", "argmax([[1, 2]])", "argmax([[1, 2]], 0)"),
    ("argmax.keep", "argmax([[1, 2]])", "argmax([[1, 2]], keep: true)"),
    ("argmin.dim", "argmin([[1, 2]])", "argmin([[1, 2]], 0)"),
    ("argmin.keep", "argmin([[1, 2]])", "argmin([[1, 2]], keep: true)"),
    ("cumsum.dim", "cumsum([[1, 2], [3, 4]])", "cumsum([[1, 2], [3, 4]], 0)"),
    ("any.dim", "any([[true, false]])", "any([[true, false]], 0)"),
    ("any.dim", "any(true)", "any(true, 0)"),
    ("any.keep", "any([[true, false]])", "any([[true, false]], keep: true)"),
    ("all.dim", "all([[true, false]])", "all([[true, false]], 0)"),
    ("all.keep", "all([[true, false]])", "all([[true, false]], keep: true)"),
    ("all.keep", "all(true)", "all(true, keep: true)"),
    ("linear.bias", "linear(ones([1, 2]), ones([1, 2]))", "linear(ones([1, 2]), ones([1, 2]), ones([1]))"),
    ("rms_norm.eps", "rms_norm([1.0, 2.0], [1.0, 1.0])", "rms_norm([1.0, 2.0], [1.0, 1.0], eps = 1.0)"),
    ("softmax.dim", "softmax([[1.0, 2.0]])", "softmax([[1.0, 2.0]], 0)"),
    ("rotation.config", "rotation(dims: 2)", "rotation(m.config)"),
    ("rotation.config", "rotation(dims: 2)", "rotation(m, dims: 2)"),
    ("rotation.model", "rotation(dims: 2)", "rotation(model: m)"),
    ("rotation.dims", "rotation(m.config, m)", "rotation(m.config, m, dims: 4)"),
    ("rotation.base", "rotation(m.config, m)", "rotation(m.config, m, base: 500.0)"),
    ("rotation.base", "rotation(dims: 4)", "rotation(dims: 4, base: 500.0)"),
    ("rotation.scaling", "rotation(dims: 4)", "rotation(dims: 4, scaling: false)"),
    ("rotation.truncate", "rotation(dims: 4)", "rotation(dims: 4, truncate: false)"),
    ("rotation.neox", "rope(v3, 3, rotation(dims: 4))", "rope(v3, 3, rotation(dims: 4, neox: true))"),
    ("rope.position", "rope(v3)", "rope(v3, 5)"),
    ("rope.rotation", "rope(v3, 5)", "rope(v3, 5, rotation(dims: 2))"),
    ("attention.v", "attention(v3, v3, v3)", "attention(v3, v3)"),
    ("attention.v", "attention(v3, v3, v3)", "attention(v3, v3, v3 + 1.0)"),
    ("attention.mask", "attention(v3, v3, v3)", "attention(v3, v3, v3, mask: causal_mask(2))"),
    ("attention.scale", "attention(v3, v3, v3)", "attention(v3, v3, v3, scale: 9.0)"),
    ("attention.window", "attention(v3, v3, v3)", "attention(v3, v3, v3, window: 1)"),
    ("attention.cap", "attention(v3, v3, v3)", "attention(v3, v3, v3, cap: 0.1)"),
    ("attention.null_logits", "attention(v3, v3, v3)", "attention(v3, v3, v3, null_logits: [2.0])"),
    ("sample.temperature", "sample(logits, 9.0, 0, 1.0, 0.0, seed: 3)", "sample(logits, 0.0, 0, 1.0, 0.0, seed: 3)"),
    ("sample.top_k", "sample(logits, 9.0, 0, 1.0, 0.0, seed: 3)", "sample(logits, 9.0, 1, 1.0, 0.0, seed: 3)"),
    ("sample.top_p", "sample(logits, 9.0, 0, 1.0, 0.0, seed: 3)", "sample(logits, 9.0, 0, 0.01, 0.0, seed: 3)"),
    ("sample.min_p", "sample(logits, 9.0, 0, 1.0, 0.0, seed: 3)", "sample(logits, 9.0, 0, 1.0, 1.0, seed: 3)"),
    ("sample.repeat_penalty", "sample(logits, 0.0)", "sample(logits, 0.0, repeat_penalty: 5.0)"),
    ("sample.recent", "sample(logits, 0.0)", "sample(logits, 0.0, repeat_penalty: 5.0, recent: [15])"),
    ("sample.seed", "sample(logits, 9.0, 0, 1.0, 0.0, seed: 3)", "sample(logits, 9.0, 0, 1.0, 0.0, seed: 4)"),
    ("temperature_sample.temperature", "temperature_sample(logits, 9.0, seed: 3)", "temperature_sample(logits, 0.0, seed: 3)"),
    ("temperature_sample.seed", "temperature_sample(logits, 9.0, seed: 3)", "temperature_sample(logits, 9.0, seed: 4)"),
    ("top_k_sample.temperature", "top_k_sample(logits, 16, 90.0, seed: 3)", "top_k_sample(logits, 16, 0.0, seed: 3)"),
    ("top_k_sample.seed", "top_k_sample(logits, 4, 9.0, seed: 3)", "top_k_sample(logits, 4, 9.0, seed: 4)"),
    ("top_p_sample.temperature", "top_p_sample(logits, 0.99, 9.0, seed: 3)", "top_p_sample(logits, 0.99, 0.0, seed: 3)"),
    ("top_p_sample.seed", "top_p_sample(logits, 0.99, 9.0, seed: 3)", "top_p_sample(logits, 0.99, 9.0, seed: 4)"),
    ("print_top_k.k", "print_top_k(logits)", "print_top_k(logits, 1)"),
    ("print_top_k.model", "print_top_k(logits, 1)", "print_top_k(logits, 1, m)"),
    ("print_top_k.model", "print_top_k(logits, 1)", "print_top_k(logits, 1, 7)"),
    ("load_model.path", "load_model()", "load_model(args()[0])"),
    ("KVCache.window", "KVCache(m)", "KVCache(m, window: 1000000000)"),
    ("tokenize.special", "tokenize(m, \"</s>\")", "tokenize(m, \"</s>\", special: true)"),
    ("generate.max_tokens", "generate(m, KVCache(m), [1], 9, 0.0)", "generate(m, KVCache(m), [1], 2, 0.0)"),
    ("generate.max_tokens", "generate(m, KVCache(m), [1], 9, 0.0)", "generate(m, KVCache(m), [1], -2, 0.0)"),
    ("generate.temperature", "generate(m, KVCache(m), [1], 9, 0.0)", "generate(m, KVCache(m), [1], 9, -1.0)"),
    ("generate.top_k", "generate(m, KVCache(m), [1], 9, 5.0, 0, 1.0, 0.0)", "generate(m, KVCache(m), [1], 9, 5.0, 1, 1.0, 0.0)"),
    ("generate.top_p", "generate(m, KVCache(m), [1], 9, 5.0, 0, 1.0, 0.0)", "generate(m, KVCache(m), [1], 9, 5.0, 0, 0.01, 0.0)"),
    ("generate.min_p", "generate(m, KVCache(m), [1], 9, 5.0, 0, 1.0, 0.0)", "generate(m, KVCache(m), [1], 9, 5.0, 0, 1.0, 1.0)"),
    ("generate.repeat_penalty", "generate(m, KVCache(m), [1], 9, 0.0)", "generate(m, KVCache(m), [1], 9, 0.0, repeat_penalty: 10.0)"),
    (
        "generate.repeat_last_n",
        "generate(m, KVCache(m), [1], 20, 0.0, repeat_penalty: 10.0)",
        "generate(m, KVCache(m), [1], 20, 0.0, repeat_penalty: 10.0, repeat_last_n: 1)",
    ),
    ("generate.seed", "generate(m, KVCache(m), [1], 9, 5.0)", "generate(m, KVCache(m), [1], 9, 5.0, seed: 1)"),
    ("generate.draft", "generate(m, KVCache(m), [1], 9, 0.0)", "generate(m, KVCache(m), [1], 9, 0.0, draft: \"rumour\")"),
    (
        "generate.draft_n",
        "generate(m, KVCache(m), [1], 9, 0.0, draft: \"ngram\")",
        "generate(m, KVCache(m), [1], 9, 0.0, draft: \"ngram\", draft_n: 99)",
    ),
    ("completions.n", "completions(m, [1], 2, 9, seed: 1)", "completions(m, [1], 1, 9, seed: 1)"),
    ("completions.max_tokens", "completions(m, [1], 2, 9, seed: 1)", "completions(m, [1], 2, 2, seed: 1)"),
    ("completions.temperature", "completions(m, [1], 2, 9, 0.0)", "completions(m, [1], 2, 9, -1.0)"),
    ("completions.top_k", "completions(m, [1], 2, 9, 5.0, 0, 1.0, 0.0, seed: 1)", "completions(m, [1], 2, 9, 5.0, 1, 1.0, 0.0, seed: 1)"),
    ("completions.top_p", "completions(m, [1], 2, 9, 5.0, 0, 1.0, 0.0, seed: 1)", "completions(m, [1], 2, 9, 5.0, 0, 0.01, 0.0, seed: 1)"),
    ("completions.min_p", "completions(m, [1], 2, 9, 5.0, 0, 1.0, 0.0, seed: 1)", "completions(m, [1], 2, 9, 5.0, 0, 1.0, 1.0, seed: 1)"),
    ("completions.repeat_penalty", "completions(m, [1], 2, 9, 0.0)", "completions(m, [1], 2, 9, 0.0, repeat_penalty: 10.0)"),
    (
        "completions.repeat_last_n",
        "completions(m, [1], 2, 9, 0.0, repeat_penalty: 10.0)",
        "completions(m, [1], 2, 9, 0.0, repeat_penalty: 10.0, repeat_last_n: 0)",
    ),
    ("completions.seed", "completions(m, [1], 2, 9, 5.0, 0, 1.0, 0.0)", "completions(m, [1], 2, 9, 5.0, 0, 1.0, 0.0, seed: 1)"),
    ("beam_search.beams", "beam_search(m, [1], 2, 4)", "beam_search(m, [1], 0, 4)"),
    ("beam_search.max_tokens", "beam_search(m, [1], 2, 4)", "beam_search(m, [1], 2, 2)"),
    ("generate.on_token", "generate(m, KVCache(m), [1], 9, 0.0)", "generate(m, KVCache(m), [1], 9, 0.0, on_token: fn(t) { false })"),
    ("chat.system", "chat(m).messages()", "chat(m, system: \"S\").messages()"),
    ("chat.max_tokens", "chat(m, max_tokens: 9, temperature: 0.0).say(\"a\")", "chat(m, max_tokens: 2, temperature: 0.0).say(\"a\")"),
    ("chat.temperature", "chat(m, max_tokens: 1)", "chat(m, max_tokens: 1, temperature: -1.0)"),
    ("chat.top_k", "chat(m, max_tokens: 1)", "chat(m, max_tokens: 1, top_k: -1)"),
    ("chat.top_p", "chat(m, max_tokens: 1)", "chat(m, max_tokens: 1, top_p: 2.0)"),
    ("chat.min_p", "chat(m, max_tokens: 1)", "chat(m, max_tokens: 1, min_p: 2.0)"),
    ("chat.repeat_penalty", "chat(m, max_tokens: 1)", "chat(m, max_tokens: 1, repeat_penalty: 0.0)"),
    ("chat.repeat_last_n", "chat(m, max_tokens: 1)", "chat(m, max_tokens: 1, repeat_last_n: -1)"),
    ("chat.seed", "chat(m, max_tokens: 9, temperature: 5.0).say(\"a\")", "chat(m, max_tokens: 9, temperature: 5.0, seed: 1).say(\"a\")"),
    (
        "Chat.say.on_token",
        "chat(m, max_tokens: 9, temperature: 0.0).say(\"a\")",
        "chat(m, max_tokens: 9, temperature: 0.0).say(\"a\", on_token: fn(t) { false })",
    ),
    ("Config.get.default", "m.config.get(\"nothing\")", "m.config.get(\"nothing\", 3)"),
    ("load.name", "load(args()[1])", "load(args()[1], \"a\")"),
    ("range.end", "range(3)", "range(3, 5)"),
    ("range.step", "range(0, 6)", "range(0, 6, 2)"),
    ("list.x", "list()", "list(0..2)"),
    ("list.join.separator", "list(\"ab\").join()", "list(\"ab\").join(\"-\")"),
    ("string.split.separator", "\"a b-c\".split()", "\"a b-c\".split(\"-\")"),
    ("print.end", "print(1)", "print(1, end: \"!\")"),
    ("assert.message", "assert(false)", "assert(false, \"why\")"),
    ("assert_close.tol", "assert_close(1.0, 1.1)", "assert_close(1.0, 1.1, tol: 1.0)"),
    ("env.default", "env(\"TL_NO_SUCH\")", "env(\"TL_NO_SUCH\", \"d\")"),
];

/// Those that no call shows: what is drawn from a terminal.
const NOT_SHOWN: &[&str] = &["input.prompt"];

#[test]
fn every_optional_argument_has_an_effect_or_is_refused() {
    let scratch = Scratch::new("arguments");
    let saved = scratch.path("a.safetensors");
    let saved = saved.to_str().unwrap();
    let model = fixture("tiny-f32.gguf");
    let args = [model.to_str().unwrap(), saved];
    run("save(args()[1], [(\"a\", tensor([1.0])), (\"b\", tensor([2.0]))])", &args).unwrap();
    let known: std::collections::HashSet<&str> = ARGUMENTS.iter().map(|(name, ..)| *name).chain(NOT_SHOWN.iter().copied()).collect();
    for builtin in tensorlogic::lang::builtins::table() {
        for parameter in builtin.parameters().iter().filter(|p| p.is_optional && !p.is_rest) {
            let name = format!("{}.{}", builtin.name, parameter.name);
            assert!(known.contains(name.as_str()), "no call shows what `{name}` does");
        }
    }
    let prelude = [
        "let m = load_model(args()[0])",
        "let logits = cast(arange(16), float32) * 0.3 - cast(arange(16) == 3, float32) * 9.0",
        "let v3 = reshape(cast(arange(8), float32) * 0.3, [2, 1, 4])",
    ];
    let wrong = with_interp(&args, move |interp, printed| {
        let mut line = |text: &str| {
            let outcome = interp.run_line(text);
            let printed = printed.take();
            match outcome {
                Ok(shown) => Ok(printed + &shown.unwrap_or_default()),
                Err(errors) => Err(errors[0].message.clone()),
            }
        };
        for text in prelude {
            line(text).unwrap();
        }
        let mut wrong = Vec::new();
        for (name, without, with) in ARGUMENTS {
            let (without, with) = (line(without), line(with));
            let needs_it = ["Config.get.default", "env.default", "assert.message", "assert_close.tol"].contains(name);
            if without == with || without.is_err() && !needs_it {
                wrong.push(format!("{name}: {without:?} and {with:?}"));
            }
        }
        wrong
    });
    assert!(wrong.is_empty(), "passed over:\n{}", wrong.join("\n"));
}

#[test]
fn a_cache_takes_no_mask_and_plain_keys_no_window() {
    let refused = |call: &str| run(&format!("let v = ones([2, 1, 4])\n{call}"), &[]).unwrap_err();
    assert!(refused("attention(v, v, v, window: 1)").contains("a window belongs to a cache"));
    assert!(refused("attention(v, v)").contains("needs their values too"));
}

#[test]
fn a_file_is_named_after_what_is_written() {
    let error = run("save(\"x.gguf\", [(\"a\", tensor([1.0]))])", &[]).unwrap_err();
    assert!(error.contains("safetensors would be written: name it `x.safetensors`"), "{error}");
    let error = run("load(\"x.gguf\")", &[]).unwrap_err();
    assert!(error.contains("write `get_tensor(load_model(\"x.gguf\"), name)`"), "{error}");
}

#[test]
fn the_obvious_chat_is_the_chat() {
    // By hand with a template, and by `chat`: the same answers, also in the second turn, and the obvious one computes only what is new.
    let program = "
        let m = load_model()
        let cache = KVCache(m)
        let history = list()
        let c = chat(m, temperature: 0.0, max_tokens: 60)
        for text in [\"My name is Ada.\", \"What is my name?\"] {
            history.push((\"user\", text))
            let answer = generate(m, cache, chat_template(m, history), max_tokens: 60, temperature: 0.0)
            history.push((\"assistant\", answer))
            assert_eq(c.say(text), answer)
            print(answer)
        }
        assert_eq(c.messages(), history)
        c.clear()
        assert_eq(len(c.messages()), 0)
    ";
    let answers = run(program, &[]).unwrap();
    assert!(answers.contains("Ada"), "{answers}");
}

#[test]
fn a_rendered_conversation_has_its_special_tokens_and_bos_once() {
    let program = "
        let m = load_model()
        let text = chat_template(m, [(\"user\", \"Hi\")])
        let ids = tokenize(m, text)
        assert_eq(ids, tokenize(m, str(text), special: true))
        assert(len(ids) < len(tokenize(m, str(text))), \"special tokens are single ids\")
        assert(ids[0] != ids[1])
        // What a message holds never becomes a special token.
        let mark = \"<|im_end|>\"
        assert_eq(len(tokenize(m, chat_template(m, [(\"user\", mark)]))) > len(ids), true)
        print(type(text), text == str(text), len(tokenize(m, text + \"Sure\")) > len(ids))
    ";
    assert_eq!(run(program, &[]).unwrap(), "string true true\n");
}

#[test]
fn a_function_that_hears_an_answer_cannot_reach_into_the_chat() {
    let program = "
        let c = chat(load_model(), max_tokens: 8)
        c.say(\"Hello\", on_token: fn(t) { c.clear() })
    ";
    let error = run(program, &[]).unwrap_err();
    assert!(error.contains("this chat is answering"), "{error}");
}

#[test]
fn a_tokenizer_is_loaded_without_its_model() {
    let path = fixture("tiny-f32.gguf");
    let program = "
        let t = load_tokenizer(args()[0])
        let m = load_model(args()[0])
        assert_eq(tokenize(t, \"Hello\"), tokenize(m, \"Hello\"))
        assert_eq(detokenize(t, tokenize(t, \"Hello\")), detokenize(m, tokenize(m, \"Hello\")))
        KVCache(t)
    ";
    let error = run(program, &[path.to_str().unwrap()]).unwrap_err();
    assert!(error.contains("tokenizer alone"), "{error}");
}

/// The binary with some input: its exit code, stdout and stderr.
fn tl(args: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tl"));
    let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_models_own_program_prints_to_stderr() {
    let scratch = Scratch::new("arch-print");
    let text = include_str!("../../src/lang/std/llama.tl");
    let text = text.replace(
        "    let x = embedding\n",
        "    print(\"x is\", embedding, \"at\", cache.position)\n    print(\"{:.1}\", cache.position)\n    let x = embedding\n",
    );
    let path = scratch.path("printing.tl");
    std::fs::write(&path, format!("print(\"layers:\", config.block_count)\n{text}")).unwrap();
    let model = fixture("tiny-f32.gguf");
    let flags = ["--tokens", "1,5,9", "--max-tokens", "2", "--temperature", "0", "--backend", "cpu"];
    let plain = tl(&[&["generate", model.to_str().unwrap()], &flags[..]].concat(), "");
    let printing = tl(&[&["generate", model.to_str().unwrap(), "--arch", path.to_str().unwrap()], &flags[..]].concat(), "");
    assert_eq!((printing.0, &printing.1), (Some(0), &plain.1), "{printing:?}");
    assert_eq!(printing.2.matches("layers: ").count(), 1, "{printing:?}");
    assert!(printing.2.contains("x is float32[") && printing.2.contains("(traced) at int32[] (traced)"), "{printing:?}");
}

#[test]
fn the_end_of_the_input_is_told_from_an_empty_line() {
    let scratch = Scratch::new("input");
    let path = scratch.path("echo.tl");
    std::fs::write(&path, "loop {\n    let line = input()\n    if line == none { break }\n    print(\"[\" + line + \"]\")\n}\n").unwrap();
    let (code, out, err) = tl(&["run", path.to_str().unwrap(), "--backend", "cpu"], "a\n\nb");
    assert_eq!((code, out.as_str()), (Some(0), "[a]\n[]\n[b]\n"), "{err}");
}

#[test]
fn the_library_is_documented_whole_and_as_it_is_called() {
    let (code, list, _) = tl(&["doc"], "");
    assert_eq!(code, Some(0));
    for name in [
        "  swiglu(",
        "  layer_norm(",
        "  causal_mask(",
        "  model.forward(tokens: int32 tensor, cache: Cache) -> tensor",
        "  list.push(item)",
    ] {
        assert!(list.contains(name), "{name} is missing in {list}");
    }
    let (_, swiglu, _) = tl(&["doc", "swiglu"], "");
    assert!(swiglu.contains("linear(silu(linear(x, gate))"), "{swiglu}");
    for name in ["forward", "model.forward", "Model.forward"] {
        assert!(tl(&["doc", name], "").1.contains("model.forward("), "{name}");
    }
    let program = "
        let m = load_model(args()[0])
        assert_eq(forward(m, tensor([1, 5]), KVCache(m)), m.forward(tensor([1, 5]), KVCache(m)))
    ";
    run(program, &[fixture("tiny-f32.gguf").to_str().unwrap()]).unwrap();
}

#[test]
fn a_prompt_that_is_asked_for_help_gives_it() {
    let (code, out, err) = tl(&["repl", "--backend", "cpu"], ":help\n1 + 2\n");
    assert_eq!((code, out.as_str()), (Some(0), "3\n"), "{err}");
    assert!(err.contains("Ctrl-D leaves"), "{err}");
    let (code, _, err) = tl(&["repl", "--backend", "cpu"], ":load x\n");
    assert!(code == Some(1) && err.contains("there are no commands"), "{err}");
}
