"""The byte-level BPE tokenizer: trained on the dialogues, used by training, evaluation and export.

The pre-tokenizer is the one that GGUF names ``smollm``: every digit stands alone, then the GPT-2 pattern. So numbers are
read digit by digit, which is what makes sums learnable.
"""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

PRE = "smollm"
BOS, END, SYSTEM, USER, ASSISTANT = "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL = [BOS, END, SYSTEM, USER, ASSISTANT]
# Tokens that the engine keeps at least when the context slides.
SINKS = 4
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def _assemble(model):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(folder, vocabulary=2048, lines=60_000, seed=1):
    """Trains on a sample of the conversations in ``folder``/train-*.jsonl and writes ``folder``/tokenizer.json."""
    texts, rng = [], random.Random(seed)
    shards = sorted(Path(folder).glob("train-*.jsonl"))
    for shard in shards:
        with open(shard, encoding="utf-8") as file:
            for _, line in zip(range(lines // len(shards)), file):
                for _, question, answer in json.loads(line)["turns"]:
                    texts.append(question)
                    if rng.random() < 0.3:
                        texts.append(answer)
    tokenizer = _assemble(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(Path(folder) / "tokenizer.json"))
    return tokenizer


def load(folder):
    return Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))


def from_gguf(tokens, merges):
    """The same tokenizer from the token and merge lists of a GGUF file."""
    tokenizer = _assemble(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges]))
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


class Encoder:
    """Conversations to ids. Text never becomes a special token: marks are put around encoded pieces."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.bos, self.end, self.system, self.user, self.assistant = (tokenizer.token_to_id(t) for t in SPECIAL)
        self.known = {}

    def text(self, text, remember=False):
        ids = self.known.get(text)
        if ids is None:
            ids = self.tokenizer.encode(text, add_special_tokens=False).ids
            if remember:
                self.known[text] = ids
        return ids

    def conversation(self, system, turns, cut=None):
        """Ids of a training conversation, and for each whether an assistant wrote it.

        With ``cut``, from 0 to 1, it is what a ring with sinks holds late in a talk: the system block, at least four tokens, of
        the first turn nothing else, of the second turn the rest after so much of it, and then the others. What is left of the
        second turn teaches nothing, as its beginning is gone.
        """
        ids = self.opening(system)
        answer = [0] * len(ids)
        for turn, (_, question, reply) in enumerate(turns):
            asked, said = self.question(question), self.text(reply, remember=len(self.known) < 200_000) + [self.end]
            if cut is not None and turn < 2:
                whole = asked + said
                part = whole[: max(0, SINKS - len(ids))] if turn == 0 else whole[1 + int(cut * (len(whole) - 1)) :]
                ids += part
                answer += [0] * len(part)
                continue
            ids += asked + said
            answer += [0] * len(asked) + [1] * len(said)
        return ids, answer

    def opening(self, system=None):
        return [self.bos] + ([self.system, *self.text(system), self.end] if system else [])

    def question(self, text):
        return [self.user, *self.text(text), self.end, self.assistant]
