"""Trains the demo model on the generated dialogues, exports it to GGUF and evaluates every export.

    python generate.py && python train.py [--out build]

Leaves the chosen file, report.json, misses.jsonl and what evaluate.py needs in ``--out``; ``--keep-all`` leaves the other
quantizations as well. One GPU; the seed, not the clock, decides the result as long as ``--steps`` are done within ``--minutes``.
"""

import argparse
import json
import math
import multiprocessing
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import tokenizer as tok
from model import Config, Llama

HERE = Path(__file__).parent
PADDED = [32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024]


def encode_shard(path):
    """Ids, answer marks and lengths of one shard's conversations."""
    encoder = tok.Encoder(tok.load(Path(path).parent))
    ids, marks, lengths = [], [], []
    with open(path, encoding="utf-8") as file:
        for line in file:
            conversation = json.loads(line)
            a, b = encoder.conversation(conversation["system"], conversation["turns"], conversation.get("cut"))
            # One that is longer fills the context to its last position.
            a, b = a[: PADDED[-1]], b[: PADDED[-1]]
            ids += a
            marks += b
            lengths.append(len(a))
    return np.array(ids, np.int16), np.array(marks, np.int8), np.array(lengths, np.int32)


class Data:
    """All conversations on the device; a batch holds conversations of about one length, one in each row."""

    def __init__(self, folder, device):
        shards = sorted(str(p) for p in Path(folder).glob("train-*.jsonl"))
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        with multiprocessing.get_context("spawn").Pool(min(len(shards), multiprocessing.cpu_count())) as pool:
            parts = pool.map(encode_shard, shards)
        ids, marks, lengths = (np.concatenate([p[i] for p in parts]) for i in range(3))
        pad = PADDED[-1]
        self.ids = torch.from_numpy(np.pad(ids, (0, pad))).to(device)
        self.marks = torch.from_numpy(np.pad(marks, (0, pad))).to(device)
        self.starts = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths[:-1], dtype=np.int64)])).to(device)
        self.lengths = torch.from_numpy(lengths).to(device)
        self.bucket = np.searchsorted(PADDED, lengths)
        self.tokens = int(lengths.sum())
        self.answer_share = float(marks.mean())

    def batches(self, tokens, rng):
        """Row numbers of every batch of one epoch, in random order."""
        out = []
        for bucket in range(len(PADDED)):
            rows = np.flatnonzero(self.bucket == bucket)
            rng.shuffle(rows)
            count = max(1, tokens // PADDED[bucket])
            # A rest too small for a batch waits for the next epoch's shuffle; a bucket that never fills one is used whole.
            whole = len(rows) // count * count
            out += [(bucket, part) for part in np.split(rows[:whole], whole // count)] if whole else [(bucket, rows)] if len(rows) else []
        rng.shuffle(out)
        return out

    def batch(self, bucket, rows):
        rows = torch.from_numpy(rows).to(self.ids.device)
        span = torch.arange(PADDED[bucket], device=self.ids.device)
        index = self.starts[rows][:, None] + span[None]
        inside = span[None] < self.lengths[rows][:, None]
        return torch.where(inside, self.ids[index].long(), 1), torch.where(inside, self.marks[index].float() + 1, 0.0)


def fit(model, data, args, device):
    """AdamW with warm-up and cosine decay; leaves the running mean of the weights in the model.

    The loss counts answers fully and questions a little. Dropout ends before training does, so that sums become exact.
    """
    weights = list(model.parameters())
    mean = [p.detach().clone() for p in weights]
    decayed = [p for p in model.parameters() if p.dim() == 2]
    plain = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": args.decay}, {"params": plain, "weight_decay": 0.0}],
        lr=args.rate, betas=(0.9, 0.98), fused=device == "cuda",
    )
    rng, start, step, seen, recent = np.random.default_rng(args.seed), time.time(), 0, 0, []
    queue = []
    while True:
        progress = max(step / args.steps, (time.time() - start) / (60 * args.minutes))
        if progress >= 1:
            break
        if not queue:
            queue = data.batches(args.batch, rng)
        rate = args.rate * min(1, (step + 1) / 300) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, marks = data.batch(*queue.pop())
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            hidden = model.hidden(ids[:, :-1], args.dropout if progress < 0.8 else 0.0)
            weight = torch.where(marks[:, 1:] == 2, 1.0, args.question_loss) * (marks[:, 1:] > 0)
            logits = model.logits(hidden)
        each = F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
        loss = (each * weight.flatten()).sum() / weight.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        # The mean starts late enough to hold nothing of the first, wild steps.
        torch._foreach_lerp_(mean, [p.detach() for p in weights], 1 - args.mean if step > 1000 else 1.0)
        step, seen = step + 1, seen + ids.numel()
        if step % 20 == 0:
            answers = (each.detach() * (marks[:, 1:] == 2).flatten()).sum() / (marks[:, 1:] == 2).sum()
            recent.append(answers)
        if step % args.report == 0:
            loss = torch.stack(recent).mean().item()
            recent.clear()
            spent = time.time() - start
            print(f"step {step} of {args.steps}: answer loss {loss:.4f}, rate {rate:.2e}, {seen / spent / 1e6:.2f} M tokens/s, {spent:.0f} s", flush=True)
    with torch.no_grad():
        torch._foreach_copy_(weights, mean)
    print(f"trained: {step} steps, {seen / 1e6:.0f} M tokens, {seen / data.tokens:.1f} epochs, {time.time() - start:.0f} s", flush=True)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=Path, default=HERE / "build")
    args.add_argument("--out", type=Path, default=HERE / "build")
    args.add_argument("--steps", type=int, default=10_500)
    args.add_argument("--minutes", type=float, default=6.0)
    args.add_argument("--batch", type=int, default=65_536, help="tokens a step")
    args.add_argument("--rate", type=float, default=2e-3)
    args.add_argument("--decay", type=float, default=0.1)
    args.add_argument("--dropout", type=float, default=0.05)
    args.add_argument("--mean", type=float, default=0.998, help="what the running mean of the weights keeps at each step")
    args.add_argument("--question-loss", type=float, default=0.1)
    args.add_argument("--layers", type=int, default=6)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--report", type=int, default=500)
    args.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args.add_argument("--no-evaluation", action="store_true")
    args.add_argument("--keep-all", action="store_true")
    args = args.parse_args()
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    start = time.time()
    words = tok.train(args.data)
    print(f"tokenizer: {words.get_vocab_size()} tokens, {time.time() - start:.0f} s", flush=True)
    start = time.time()
    data = Data(args.data, args.device)
    print(f"data: {len(data.lengths)} conversations, {data.tokens / 1e6:.1f} M tokens, {data.answer_share:.0%} answers, {time.time() - start:.0f} s", flush=True)
    model = Llama(Config(vocab=words.get_vocab_size(), layers=args.layers)).to(args.device)
    print(f"model: {model.size() / 1e6:.2f} M weights on {args.device}", flush=True)
    fit(model, data, args, args.device)

    import export
    import evaluate

    with tempfile.TemporaryDirectory() as folder:
        files = export.write_all(model.cpu().float(), words, args.out if args.keep_all else folder)
        # What was trained is there before it is measured, so that a machine that is taken away costs the figures alone.
        if not args.keep_all:
            shutil.copy(files[export.CHOSEN], args.out)
        if args.out.resolve() != args.data.resolve():
            for name in ("words.txt", "held_out.jsonl", "long.jsonl", "seen.txt"):
                shutil.copy(args.data / name, args.out)
        if not args.no_evaluation:
            evaluate.compare(files, export.CHOSEN, args.data, args.out, args.device)


if __name__ == "__main__":
    main()
