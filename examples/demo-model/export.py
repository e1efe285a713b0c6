"""GGUF export of the trained model in several quantizations, and reading such a file back into PyTorch."""

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type

import tokenizer as tok
from model import Config, Llama
from sampling import SAMPLING

# The type of each candidate's feed-forward weights, of all its other matrices; norms are always f32.
CANDIDATES = {
    "f16": (Type.F16, Type.F16),
    "q5_1-q8_0": (Type.Q5_1, Type.Q8_0),
    "q5_1": (Type.Q5_1, Type.Q5_1),
    "q4_0": (Type.Q4_0, Type.Q4_0),
    "q8_0": (Type.Q8_0, Type.Q8_0),
}
# The smallest of them; report.json shows what it costs against the others.
CHOSEN = "q4_0"


def write_all(model, words, out):
    """Writes demo-NAME.gguf for every candidate; returns {name: path}."""
    paths = {}
    for name, types in CANDIDATES.items():
        paths[name] = Path(out) / f"demo-{name}.gguf"
        write(model, words, paths[name], *types)
        print(f"export: {paths[name].name}, {paths[name].stat().st_size} bytes", flush=True)
    return paths


def write(model, words, path, feed_forward, others):
    """One file; ``words`` is the tokenizer."""
    c = model.config
    file = gguf.GGUFWriter(str(path), "llama")
    file.add_name("TensorLogic demo")
    file.add_description("The small chat model inside tl. Made only from dialogues of the project's own generator.")
    file.add_license("MIT OR Apache-2.0")
    file.add_size_label(f"{model.size() / 1e6:.1f}M")
    file.add_context_length(c.context)
    file.add_embedding_length(c.width)
    file.add_block_count(c.layers)
    file.add_feed_forward_length(c.feed_forward)
    file.add_head_count(c.heads)
    file.add_head_count_kv(c.kv_heads)
    file.add_key_length(c.head_size)
    file.add_value_length(c.head_size)
    file.add_rope_dimension_count(c.head_size)
    file.add_rope_freq_base(c.rope_base)
    file.add_layer_norm_rms_eps(c.eps)
    file.add_vocab_size(c.vocab)
    file.add_sampling_temp(SAMPLING["temp"])
    file.add_sampling_top_k(SAMPLING["top_k"])
    file.add_sampling_top_p(SAMPLING["top_p"])
    file.add_sampling_min_p(SAMPLING["min_p"])
    file.add_sampling_penalty_repeat(SAMPLING["penalty_repeat"])
    file.add_sampling_penalty_last_n(SAMPLING["penalty_last_n"])
    _add_tokenizer(file, words)
    for name, weight in model.named_parameters():
        name = name if name.endswith("weight") else name + ".weight"
        values = weight.detach().float().cpu().numpy()
        kind = Type.F32 if values.ndim == 1 else feed_forward if ".ffn_" in name else others
        file.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def _add_tokenizer(file, words):
    bpe = json.loads(words.to_str())["model"]
    tokens = sorted(bpe["vocab"], key=bpe["vocab"].get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]]
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre(tok.PRE)
    file.add_token_list(tokens)
    file.add_token_types([gguf.TokenType.CONTROL if t in tok.SPECIAL else gguf.TokenType.NORMAL for t in tokens])
    file.add_token_merges(merges)
    file.add_bos_token_id(words.token_to_id(tok.BOS))
    file.add_eos_token_id(words.token_to_id(tok.END))
    file.add_eot_token_id(words.token_to_id(tok.END))
    file.add_pad_token_id(words.token_to_id(tok.END))
    file.add_add_bos_token(True)
    file.add_add_eos_token(False)
    file.add_chat_template(tok.CHAT_TEMPLATE)


def read(path):
    """A GGUF file as (model with dequantized weights, tokenizer)."""
    file = gguf.GGUFReader(str(path))

    def number(key):
        return file.fields[f"llama.{key}"].contents()

    tokens = file.fields["tokenizer.ggml.tokens"].contents()
    config = Config(
        vocab=len(tokens), width=number("embedding_length"), layers=number("block_count"), heads=number("attention.head_count"),
        kv_heads=number("attention.head_count_kv"), head_size=number("attention.key_length"), feed_forward=number("feed_forward_length"),
        context=number("context_length"), rope_base=number("rope.freq_base"), eps=number("attention.layer_norm_rms_epsilon"),
    )
    model = Llama(config)
    weights = {}
    for tensor in file.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        weights[tensor.name] = torch.from_numpy(values.copy()).reshape(*reversed([int(n) for n in tensor.shape]))
    state = {name: weights[name if name in weights else name + ".weight"] for name in model.state_dict()}
    model.load_state_dict(state)
    return model, tok.from_gguf(tokens, file.fields["tokenizer.ggml.merges"].contents())
