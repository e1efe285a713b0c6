//! Names of other languages and libraries, and what is written instead of each here.

use crate::lang::builtins;

/// What to write instead of a name that other languages have for a value or a function.
pub fn advice(name: &str) -> Option<String> {
    let text = match name {
        "None" | "null" | "nil" | "NULL" | "Null" | "nullptr" | "undefined" => "write `none`",
        "True" | "TRUE" => "write `true`",
        "False" | "FALSE" => "write `false`",
        "nan" | "NaN" | "inf" | "Inf" | "Infinity" => "write `float(\"nan\")` or `float(\"inf\")`",
        "pi" | "PI" => "write `let pi = 3.141592653589793`",
        "this" => "write `self`, the first parameter of a method",
        "np" | "numpy" | "torch" | "tf" | "jnp" | "jax" | "math" | "random" | "nn" | "F" => {
            "functions stand without a module's name: `sqrt(x)`, `zeros([2, 3])`; `tl doc` lists them"
        }
        "elif" => "write `else if`",
        "lambda" => "write `fn(x) { x + 1 }`",
        "pass" => "an empty block is `{ }`",
        "println" | "printf" | "echo" | "puts" | "console" | "display" => "write `print(…)`",
        "length" | "size" | "count" | "count_tokens" => "write `len(x)`, or `numel(x)` for the elements of a tensor",
        "dims" | "ndims" => "write `shape(x)`",
        "ndim" | "dim" => "write `rank(x)`",
        "append" | "append_token" => "write `xs.push(x)` for a list, `concat([a, b])` for tensors",
        "concatenate" | "cat" | "hstack" | "vstack" => "write `concat([a, b], dim: 0)`",
        "dot" | "mm" | "bmm" => "write `a @ b`",
        "subtract" => "write `a - b`",
        "multiply" => "write `a * b`",
        "view" | "resize" => "write `reshape(x, [2, 3])`",
        "expand" | "repeat" | "tile" => "write `broadcast_to(x, [2, 3])`",
        "expand_dims" => "write `unsqueeze(x, 0)`",
        "power" => "write `x ** y`",
        "array" | "vec" | "asarray" | "from_array" => "write `tensor([1.0, 2.0])`",
        "from_vec" => "write `reshape(tensor(xs), [2, 3])`",
        "to_vec" | "tolist" | "numpy_list" => "write `to_list(x)`",
        "masked_fill" => "write `where(mask, x, 0.0)`",
        "triu" | "tril" | "apply_causal_mask" => "write `where(causal_mask(T), x, -1e30)`",
        "randint" => "write `cast(rand([2, 3]) * 10, int32)`",
        "linspace" => "write `arange(0.0, 1.0, 0.1)`",
        "std" | "var" | "variance" => "write `mean((x - mean(x)) ** 2)`",
        "string" | "to_string" | "toString" | "repr" => "write `str(x)`",
        "to_int" | "parseInt" => "write `int(x)`",
        "to_float" | "parseFloat" => "write `float(x)`",
        "typeof" | "isinstance" => "write `type(x) == \"int\"`",
        "concat_strings" => "write `a + b`, or `parts.join()`",
        "exit" | "quit" | "panic" | "throw" | "raise" | "error" => "write `assert(false, \"why\")`, which ends the program",
        "open" | "read_file" => "write `read_text(path)`",
        "write_file" => "write `write_text(path, text)`",
        "getenv" => "write `env(\"NAME\")`",
        "readline" | "raw_input" | "read_line" => "write `input()`",
        "load_model_f16" | "load_model_f32" | "load_gguf" | "load_safetensors" => "write `load_model(path)`: weights keep the file's type",
        "load_weight_cache_f32" | "load_weight_cache_gguf_f16" | "get_weight" => "write `load_model(path)` and `get_tensor(model, name)`",
        "load_tensor" | "cndl_load_safetensor" | "cndl_list_safetensors" => "write `load(path)`, which gives a list of (name, tensor)",
        "save_tensor" | "cndl_save_safetensor" => "write `save(\"x.safetensors\", [(\"x\", x)])`",
        "detokenize_single" => "write `detokenize(model, id)`",
        "int_to_tokenids" => "write `tensor([id])`",
        "temperature" => "write `logits / t`, or `temperature_sample(logits, t)`",
        "top_p" => "write `top_p_sample(logits, p)`",
        "sample_token" => "write `sample(logits)`",
        "attention_with_cache" | "attention_with_cache_f16" => "write `attention(q, k, v)`; a model's own program passes its cache",
        "transformer_layer" => "a model runs by `model.forward(tokens, cache)`",
        "repeat_kv" => "`attention` takes fewer heads of keys than of queries as they are",
        "apply_rope" | "precompute_rope_cos" | "precompute_rope_sin" => "write `rope(x, position, rotation(dims: 64))`",
        "fused_add_relu" => "write `relu(a + b)`: what can be fused is",
        "fused_mul_relu" => "write `relu(a * b)`: what can be fused is",
        "fused_affine" => "write `x * scale + bias`: what can be fused is",
        "fused_gelu_linear" => "write `gelu(x @ w + bias)`: what can be fused is",
        "combine_masks" => "write `a and b` for bools, `minimum(a, b)` for masks of ones and zeros",
        "padding_mask" => "write `reshape(arange(n), [1, n]) < reshape(lengths, [B, 1])`",
        "batch_norm" => "write `(x - mean(x, 0)) * rsqrt(mean((x - mean(x, 0)) ** 2, 0) + eps) * weight + bias`",
        "get_k" | "get_v" | "append_cache" => "a cache is read by `attention` alone, and written by `model.forward(tokens, cache)`",
        "new_tensor_buffer" | "get_metal_device" | "alloc" => "the engine keeps buffers and devices itself; `--backend` chooses",
        "backward" | "grad" | "learnable" | "sgd" | "adam" | "adamw" | "set_lr" => "this version computes no gradients",
        "IntVec" | "FloatVec" | "StringVec" | "BoolVec" | "Vec" | "Array" | "List" => "write `let xs = list()` and `xs.push(x)`",
        "HashMap" | "Map" => "write a list of (key, value), or a `struct`",
        "transe_score" | "distmult_score" | "complex_score" | "relational_aggregate" | "normalize_features" | "margin_ranking_loss" => {
            "there are no functions for knowledge graphs: write the arithmetic"
        }
        _ => {
            let parts = [name.strip_prefix("cndl_"), name.strip_suffix("_f32"), name.strip_suffix("_f16")];
            let known = parts.into_iter().flatten().find(|n| builtins::find(n).is_some());
            return known.map(|n| format!("write `{n}(…)`"));
        }
    };
    Some(text.to_owned())
}

/// The argument that other libraries name differently.
pub fn argument(name: &str) -> Option<&'static str> {
    Some(match name {
        "axis" | "axes" | "dims" => "dim",
        "keepdim" | "keepdims" | "keep_dims" => "keep",
        "epsilon" | "norm_eps" => "eps",
        "size" | "sizes" => "shape",
        "temp" => "temperature",
        "max_new_tokens" | "n_predict" => "max_tokens",
        "repetition_penalty" => "repeat_penalty",
        "callback" | "stream" => "on_token",
        "sep" => "separator",
        "random_state" => "seed",
        "n_ctx" | "ctx" | "max_len" => "window",
        "theta" | "freq_base" => "base",
        "attn_mask" => "mask",
        "weights" => "weight",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_that_an_advice_names_is_one() {
        let names =
            ["None", "println", "append", "dot", "view", "randint", "exit", "load_model_f32", "temperature", "apply_rope", "cndl_relu"];
        for name in names {
            let advice = advice(name).unwrap_or_else(|| panic!("{name} has no advice"));
            assert!(advice.contains('`'), "{advice}");
        }
        assert_eq!(advice("relu"), None);
        // A name that exists must not be reached by an advice: it would never be shown.
        for builtin in builtins::names() {
            assert_eq!(advice(builtin), None, "{builtin} is a function");
        }
    }
}
