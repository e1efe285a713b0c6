#!/usr/bin/env python3
"""Dumps every named step of a Hugging Face model's forward pass, for `tl trace MODEL --reference FILE`.

    python dump_transformers.py MODEL --tokens 1,15043,29892 --out reference.safetensors
    python dump_transformers.py MODEL --prompt "Once upon a time" --out reference.safetensors
    tl trace model.gguf --tokens 1,15043,29892 --precise --kv f32 --reference reference.safetensors

MODEL is a folder or name of transformers, or a .gguf file that transformers reads. Needs torch, transformers, safetensors
(and gguf and accelerate for .gguf files). Made for models built like Llama: Llama, Mistral, Qwen2, Qwen3, SmolLM, TinyLlama.

What is written, row-major, first dimension the token (T), under tl's own names; i is the layer:

    tokens               [T]        the ids that were fed, i32
    embedding            [T, C]
    blk.i.attn_norm      [T, C]     after the norm before attention
    blk.i.q, k, v        [T, H*D]   projections, with their biases
    blk.i.q_rope, k_rope [T, H, D]  after the rotation
    blk.i.attn_out       [T, H*D]   what the heads read, before the output projection
    blk.i.attn_proj      [T, C]
    blk.i.ffn_inp        [T, C]     the residual stream after attention
    blk.i.ffn_norm       [T, C]
    blk.i.gate, up, silu_gate, gated   [T, F]
    blk.i.ffn_out        [T, C]
    blk.i.output         [T, C]     the residual stream after the layer
    final_norm           [T, C]
    logits               [T, V]

A step whose module a model lacks is left out; `tl trace` then says which steps had no reference.

The order of q and k: transformers rotates the pairs (i, i + D/2) of a head, the rows of llama-architecture GGUF files are ordered for the
pairs (2i, 2i + 1). The values are the same numbers in another order. --pairs interleaved (the default) writes q and k in the GGUF
order; give --pairs halves where the model that you trace keeps the order of transformers (a Hugging Face folder, or a qwen GGUF).

The pass runs in float32 on the CPU with eager attention, or in float64 with --dtype float64, so that the reference's own
rounding stays far below what `tl trace` compares to.
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", help="folder, name, or .gguf file")
    parser.add_argument("--tokens", help="ids, separated by commas")
    parser.add_argument("--prompt", help="text, encoded by the model's tokenizer with its special tokens")
    parser.add_argument("--out", required=True, help="the file to write")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--pairs", choices=["interleaved", "halves"], default="interleaved", help="order of q and k")
    parser.add_argument("--layers", type=int, help="dump the insides of the first N layers alone; outputs of all")
    args = parser.parse_args()
    if (args.tokens is None) == (args.prompt is None):
        parser.error("give one of --tokens and --prompt")
    return args


def load(name, dtype):
    import transformers
    from transformers import AutoModelForCausalLM

    path = Path(name)
    # The option's name until 4.55, and since.
    old = tuple(map(int, transformers.__version__.split(".")[:2])) < (4, 56)
    options = {"torch_dtype" if old else "dtype": dtype, "attn_implementation": "eager"}
    if path.suffix == ".gguf":
        model = AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, **options)
    else:
        model = AutoModelForCausalLM.from_pretrained(name, **options)
    return model.to(dtype).eval()


def token_ids(args):
    if args.tokens is not None:
        return [int(t) for t in args.tokens.split(",")]
    from transformers import AutoTokenizer

    path = Path(args.model)
    gguf = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    return AutoTokenizer.from_pretrained(str(path.parent) if gguf else args.model, **gguf)(args.prompt)["input_ids"]


class Recorder:
    """Hooks that keep each step under its name."""

    def __init__(self, model, pairs, n_inside):
        self.steps, self.pairs = {}, pairs
        self.layer_idx = None
        body = model.model
        self.after(body.embed_tokens, "embedding")
        for i, layer in enumerate(body.layers):
            self.after(layer, f"blk.{i}.output")
            if n_inside is None or i < n_inside:
                self.inside(i, layer)
        self.after(body.norm, "final_norm")
        self.after(model.lm_head, "logits")
        self.rotations(body.layers[0].self_attn)

    def keep(self, name, value):
        value = value[0] if isinstance(value, tuple) else value
        # The batch has one sequence.
        self.steps[name] = value.detach()[0].to(torch.float32).contiguous().numpy()

    def after(self, module, name, change=None):
        hook = lambda _module, _inputs, output: self.keep(name, change(output) if change else output)
        module.register_forward_hook(hook)

    def before(self, module, name):
        module.register_forward_pre_hook(lambda _module, inputs: self.keep(name, inputs[0]))

    def inside(self, i, layer):
        attention, mlp = layer.self_attn, layer.mlp
        head_dim = attention.head_dim
        name = lambda step: f"blk.{i}.{step}"
        reordered = lambda x: self.reorder(x, head_dim)
        self.after(layer.input_layernorm, name("attn_norm"))
        self.after(attention.q_proj, name("q"), reordered)
        self.after(attention.k_proj, name("k"), reordered)
        self.after(attention.v_proj, name("v"))
        self.before(attention.o_proj, name("attn_out"))
        self.after(attention.o_proj, name("attn_proj"))
        self.before(layer.post_attention_layernorm, name("ffn_inp"))
        self.after(layer.post_attention_layernorm, name("ffn_norm"))
        if hasattr(mlp, "gate_proj"):
            self.after(mlp.gate_proj, name("gate"))
            self.after(mlp.up_proj, name("up"))
            self.after(mlp.act_fn, name("silu_gate"))
            self.before(mlp.down_proj, name("gated"))
            self.after(mlp.down_proj, name("ffn_out"))

        def entering(_module, _inputs):
            self.layer_idx = i

        def left(_module, _inputs, _output):
            self.layer_idx = None

        # A layer whose insides are not wanted rotates, too; outside of these hooks nothing is kept.
        attention.register_forward_pre_hook(entering)
        attention.register_forward_hook(left)

    def rotations(self, attention):
        """The rotation is a function of the attention's module, not a module of its own: it is wrapped where it is looked up."""
        module = sys.modules[type(attention).__module__]
        rotate = getattr(module, "apply_rotary_pos_emb", None)
        if rotate is None:
            print("no rotation was found to record: q_rope and k_rope are left out", file=sys.stderr)
            return

        def recorded(q, k, *args, **options):
            q_rope, k_rope = rotate(q, k, *args, **options)
            if self.layer_idx is not None:
                # [1, H, T, D] -> [1, T, H, D]
                for step, x in [("q_rope", q_rope), ("k_rope", k_rope)]:
                    self.keep(f"blk.{self.layer_idx}.{step}", self.reorder(x.transpose(1, 2), x.shape[-1]))
            return q_rope, k_rope

        module.apply_rotary_pos_emb = recorded

    def reorder(self, x, head_dim):
        """Element 2i of a head is what stood at i, element 2i + 1 what stood at i + D/2."""
        if self.pairs == "halves":
            return x
        heads = x.reshape(*x.shape[: 2], -1, 2, head_dim // 2)
        return heads.transpose(-1, -2).reshape(x.shape)


def main():
    args = arguments()
    ids = token_ids(args)
    model = load(args.model, getattr(torch, args.dtype))
    recorder = Recorder(model, args.pairs, args.layers)
    with torch.no_grad():
        model(torch.tensor([ids]), use_cache=False)
    steps = {"tokens": np.asarray(ids, dtype=np.int32), **recorder.steps}
    save_file(steps, args.out, metadata={"model": args.model, "made_by": "examples/compare/dump_transformers.py", "pairs": args.pairs})
    print(f"{args.out}: {len(steps)} tensors of {len(ids)} tokens", file=sys.stderr)


if __name__ == "__main__":
    main()
