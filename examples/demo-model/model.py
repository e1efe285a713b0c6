"""A llama in PyTorch: RMSNorm, rotary positions in GGUF's interleaved order, grouped-query attention, SwiGLU, tied embedding.

T tokens, C width, H query heads, G kv heads, D head size, F feed-forward width, V vocabulary, B sequences.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab: int = 2048
    width: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 64
    feed_forward: int = 768
    context: int = 1024
    rope_base: float = 10000.0
    eps: float = 1e-5


def rotation(config, positions):
    """cos and sin, each (T, D/2); angles in f64 because f32 is off at large positions."""
    pairs = torch.arange(0, config.head_size, 2, dtype=torch.float64, device=positions.device) / config.head_size
    angles = positions.double()[:, None] * config.rope_base ** -pairs[None]
    return angles.cos().float(), angles.sin().float()


def rope(x, cos, sin):
    """x is (B, H, T, D); numbers 2i and 2i + 1 form a pair (RoFormer, arXiv:2104.09864)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).to(x.dtype)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.attn_norm = nn.Parameter(torch.ones(c.width))
        self.ffn_norm = nn.Parameter(torch.ones(c.width))
        self.attn_q = nn.Linear(c.width, c.heads * c.head_size, bias=False)
        self.attn_k = nn.Linear(c.width, c.kv_heads * c.head_size, bias=False)
        self.attn_v = nn.Linear(c.width, c.kv_heads * c.head_size, bias=False)
        self.attn_output = nn.Linear(c.heads * c.head_size, c.width, bias=False)
        self.ffn_gate = nn.Linear(c.width, c.feed_forward, bias=False)
        self.ffn_up = nn.Linear(c.width, c.feed_forward, bias=False)
        self.ffn_down = nn.Linear(c.feed_forward, c.width, bias=False)

    def forward(self, x, cos, sin, dropout=0.0):
        c, (B, T, _) = self.c, x.shape
        h = F.rms_norm(x, (c.width,), self.attn_norm.to(x.dtype), c.eps)
        q = rope(self.attn_q(h).view(B, T, c.heads, c.head_size).transpose(1, 2), cos, sin)
        k = rope(self.attn_k(h).view(B, T, c.kv_heads, c.head_size).transpose(1, 2), cos, sin)
        v = self.attn_v(h).view(B, T, c.kv_heads, c.head_size).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + _drop(self.attn_output(y.transpose(1, 2).reshape(B, T, -1)), dropout)
        g = F.rms_norm(x, (c.width,), self.ffn_norm.to(x.dtype), c.eps)
        return x + _drop(self.ffn_down(F.silu(self.ffn_gate(g)) * self.ffn_up(g)), dropout)


def _drop(x, share):
    return F.dropout(x, share) if share else x


class Llama(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocab, config.width)
        self.blk = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.output_norm = nn.Parameter(torch.ones(config.width))
        cos, sin = rotation(config, torch.arange(config.context))
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * config.layers) if deep else 0.02)

    def hidden(self, ids, dropout=0.0):
        """(B, T) ids to (B, T, C) after the last norm; ``dropout`` is the share of the layers' outputs that training leaves out."""
        x = _drop(self.token_embd(ids), dropout)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.blk:
            x = block(x, cos, sin, dropout)
        return F.rms_norm(x, (self.config.width,), self.output_norm.to(x.dtype), self.config.eps)

    def logits(self, hidden):
        return F.linear(hidden, self.token_embd.weight)

    def size(self):
        return sum(p.numel() for p in self.parameters())


@torch.no_grad()
def generate(model, encoder, prompts, limit=200, sampling=None, seed=0):
    """Continues each list of ids until the end token or ``limit`` tokens; returns (ids, ended) for each.

    ``sampling`` is None for the likeliest token, else a dict of temperature, top_k, top_p and min_p. The whole sequence is
    computed again at every step: at this size that is quicker to run than a cache is to write.
    """
    device = next(model.parameters()).device
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    results = [None] * len(prompts)
    random = torch.Generator(device=device).manual_seed(seed)
    for start in range(0, len(order), 256):
        rows = order[start : start + 256]
        lengths = torch.tensor([len(prompts[i]) for i in rows], device=device)
        longest = int(lengths.max())
        ids = torch.full((len(rows), min(longest + limit, model.config.context)), encoder.end, device=device)
        for row, i in enumerate(rows):
            ids[row, : len(prompts[i])] = torch.tensor(prompts[i], device=device)
        at, live = lengths.clone(), torch.ones(len(rows), dtype=torch.bool, device=device)
        for _ in range(limit):
            live &= at < ids.shape[1]
            active = live.nonzero()[:, 0]
            if len(active) == 0:
                break
            hidden = model.hidden(ids[active, : int(at[active].max())])
            logits = model.logits(hidden[torch.arange(len(active), device=device), at[active] - 1]).float()
            token = choose(logits, sampling, random)
            ids[active, at[active]] = token
            at[active] += 1
            live[active] = token != encoder.end
        ended = (ids.gather(1, (at - 1)[:, None])[:, 0] == encoder.end) & (at > lengths)
        for row, i in enumerate(rows):
            made = ids[row, int(lengths[row]) : int(at[row])].tolist()
            done = bool(ended[row])
            results[i] = (made[:-1] if done else made, done)
    return results


def choose(logits, sampling, random):
    """One token a row: top-k, top-p, min-p, then temperature, as `tl` samples."""
    if not sampling or sampling["temperature"] == 0:
        return logits.argmax(-1)
    best, index = logits.topk(sampling.get("top_k", 40))
    p = best.softmax(-1)
    keep = (p.cumsum(-1) - p < sampling.get("top_p", 0.95)) & (p >= sampling.get("min_p", 0.05) * p[:, :1])
    p = (best / sampling["temperature"]).masked_fill(~keep, -1e30).softmax(-1)
    return index.gather(1, torch.multinomial(p, 1, generator=random))[:, 0]
