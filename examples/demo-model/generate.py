"""Writes the training dialogues and the evaluation sets.

    python generate.py [--dialogues N] [--out build] [--seed 1]
    python generate.py --intents > intents.md

Writes ``build/train-*.jsonl`` (one conversation a line: {"system": …, "turns": [[intent, question, answer], …]}, and "cut"
where only the end is in view), ``build/held_out.jsonl`` (conversations from templates and number pairs that training never
sees), ``build/long.jsonl`` (conversations of sixty turns) and ``build/words.txt`` (every word of training answers that the
user did not type before it). A held-out question that the training text holds as well,
letter for letter but for case and end marks, is left out; lines of ``held_out/`` that it holds are named in ``build/seen.txt``.
"""

import argparse
import json
import multiprocessing
import random
import re
import time
from pathlib import Path

from dialogue import arithmetic, intents, lists, memory
from dialogue.compose import Composer

HERE = Path(__file__).parent


def composer():
    return Composer(intents.load(HERE / "data"), lists.Lists(HERE / "words"))


def words_of(text):
    """Words as the word list counts them: letters with inner apostrophes, digits one by one."""
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d", text)


def bare(text):
    """A question without case, end marks and double spaces."""
    return " ".join(text.lower().split()).rstrip(" ?.!,;:。！？")


def independent_lines():
    """The lines of ``held_out/`` that others worded."""
    for path in sorted((HERE / "held_out").glob("*.jsonl")):
        for text in path.read_text("utf-8").splitlines():
            if text.strip():
                yield json.loads(text)


def write_shard(job):
    """Writes one file; returns its answer words and which of the questions to watch for it holds."""
    path, count, seed, watched = job
    rng, make, words, seen = random.Random(seed), composer(), set(), set()
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            made = make.conversation(rng)
            file.write(json.dumps(made, ensure_ascii=False) + "\n")
            typed = set()
            for _, question, answer in made["turns"]:
                typed.update(words_of(question))
                words.update(set(words_of(answer)) - typed)
                if bare(question) in watched:
                    seen.add(bare(question))
    return words, seen


def held_out_sets(seed):
    """Evaluation conversations: {"set", "intent", "turns": [questions], "expect": answer or null}."""
    rng, make, out = random.Random(seed), composer(), []
    for intent in make.intents.values():
        if intent.name in memory.TELLS or intent.name in memory.ASKS or intent.group == "offtopic":
            continue
        held = [t for t, _ in intent.held]
        for template in held if len(held) <= 8 else rng.sample(held, 8):
            _, question, answer = make.turn(intent, rng, memory.Memory(), template=template)
            line = {"set": "templates", "intent": intent.name, "turns": [question]}
            out.append(line | {"expect": answer} if intent.name in ("sum", "difference", "product") else line)
    off_topic = make.intents["off_topic"]
    for _ in range(300):
        _, question, _ = make.turn(off_topic, rng, memory.Memory(), "held")
        out.append({"set": "off_topic", "intent": "off_topic", "turns": [question]})
    for _ in range(200):
        facts = memory.Memory()
        turns = [make.turn(make.intents["tell_name"], rng, facts)[1], make.turn(make._pick(rng), rng, facts)[1]]
        _, question, answer = make.turn(make.intents["ask_name"], rng, facts)
        out.append({"set": "recall", "intent": "ask_name", "turns": [*turns, question], "expect": answer})
    pairs = [(a, b) for a in range(10, 100) for b in range(10, 100) if arithmetic.held_pair(a, b)]
    for a, b in rng.sample(pairs, 300):
        out.append({"set": "sums", "intent": "sum", "turns": [f"What is {a} + {b}?"], "expect": f"{a} + {b} = {a + b}."})
    for a, b in rng.sample(pairs, 100):
        out.append({"set": "differences", "intent": "difference", "turns": [f"{a} - {b}"], "expect": f"{a} - {b} = {a - b}."})
    return out


def long_set(seed, count=20, turns=60):
    """Conversations that go on until the context has slid: {"turns": [[intent, question, expect or null], …]}."""
    rng, make = random.Random(seed + 7), composer()
    exact = ("sum", "difference", "product", *memory.ASKS)
    for _ in range(count):
        yield {"turns": [[name, asked, said if name in exact else None] for name, asked, said in make.held_long(rng, turns)]}


def intent_list():
    """The intents by name, as intents.md gives them to those who write lines for held_out/."""
    groups = {}
    for intent in composer().intents.values():
        groups.setdefault(intent.group, []).append(f"* `{intent.name}`: {intent.about}\n")
    text = "# Intents\n\nWritten by `python generate.py --intents`. Lines for `held_out/` name one of these.\n"
    return text + "".join(f"\n## {group}\n\n" + "".join(lines) for group, lines in groups.items())


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--dialogues", type=int, default=2_300_000)
    args.add_argument("--out", type=Path, default=HERE / "build")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--shards", type=int, default=16)
    args.add_argument("--intents", action="store_true", help="only list the intents")
    args = args.parse_args()
    if args.intents:
        print(intent_list(), end="")
        return
    args.out.mkdir(parents=True, exist_ok=True)
    start = time.time()
    each = -(-args.dialogues // args.shards)
    held = held_out_sets(args.seed)
    apart = {bare(line["turns"][-1]) for line in held if line["set"] != "recall"}
    independent = {bare(line["text"]) for line in independent_lines()}
    jobs = [(args.out / f"train-{i:02}.jsonl", each, args.seed * 1000 + i, apart | independent) for i in range(args.shards)]
    with multiprocessing.Pool(min(args.shards, multiprocessing.cpu_count())) as pool:
        words, seen = (set().union(*sets) for sets in zip(*pool.map(write_shard, jobs)))
    (args.out / "words.txt").write_text("\n".join(sorted(words)) + "\n", "utf-8")
    (args.out / "seen.txt").write_text("".join(f"{text}\n" for text in sorted(seen & independent)), "utf-8")
    kept = [line for line in held if line["set"] == "recall" or bare(line["turns"][-1]) not in seen]
    for name, lines in ("held_out.jsonl", kept), ("long.jsonl", long_set(args.seed)):
        (args.out / name).write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    print(
        f"generate: {each * args.shards} conversations, {len(words)} answer words; left out {len(held) - len(kept)} of {len(held)} held-out "
        f"questions; training holds {len(seen & independent)} of {len(independent)} independent lines; {time.time() - start:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
