"""Measures a model on everything that training never saw.

    python evaluate.py FILE.gguf                                   with PyTorch
    python evaluate.py --command "tl chat FILE.gguf" [--limit N]   with a program: one message a line in, one answer a line out

Sets: whole held-out templates, off-topic lines from held-out templates, name recall over three turns, held-out pairs of
numbers, lines worded independently (``held_out/independent*.jsonl``), 200 answers at temperature 0.8, and conversations of
sixty turns, which go on after the context has slid.
"""

import argparse
import json
import random
import shlex
import subprocess
import time
from pathlib import Path

from generate import bare, independent_lines, words_of
from match import Matcher
from sampling import SAMPLING

HERE = Path(__file__).parent
WARM = SAMPLING | {"temperature": 0.8}
# Tokens of an answer, and tokens that stay when the context slides.
LIMIT, SINKS = 200, 4


class Torch:
    """Answers with PyTorch, all conversations at once."""

    def __init__(self, path, device):
        import export
        import tokenizer

        self.model, words = export.read(path)
        self.model = self.model.to(device).eval()
        self.encoder = tokenizer.Encoder(words)

    def answers(self, conversations, sampling=None):
        """For each list of user lines the last (answer, whether it ended)."""
        return [said[-1] for said in self.talks(conversations, sampling)]

    def talks(self, conversations, sampling=None):
        """For each list of user lines all of (answer, whether it ended)."""
        from model import generate

        said = [[] for _ in conversations]
        for turn in range(max(map(len, conversations))):
            rows = [i for i, lines in enumerate(conversations) if len(lines) > turn]
            prompts = [self._prompt(conversations[i][: turn + 1], said[i]) for i in rows]
            for i, (ids, ended) in zip(rows, generate(self.model, self.encoder, prompts, sampling=sampling)):
                said[i].append((self.encoder.tokenizer.decode(ids, skip_special_tokens=False), ended, ids))
        return [[(text, ended) for text, ended, _ in s] for s in said]

    def _prompt(self, lines, said):
        ids = self.encoder.opening()
        for line, answer in zip(lines, [*said, None]):
            ids += self.encoder.question(line)
            if answer:
                ids += [*answer[2], self.encoder.end]
        # As the ring of `tl` does, the first tokens stay and the oldest others go; room is left for the answer.
        room = self.model.config.context - LIMIT
        return ids if len(ids) <= room else ids[:SINKS] + ids[SINKS - room :]


class Command:
    """Answers through a program that reads a message a line and writes an answer a line."""

    def __init__(self, command):
        self.command = shlex.split(command)

    def answers(self, conversations, sampling=None):
        return [said[-1] for said in self.talks(conversations, sampling)]

    def talks(self, conversations, sampling=None):
        flags = ["--max-tokens", str(LIMIT), "--seed", "1", "--temperature", str(sampling["temperature"] if sampling else 0)]
        out = []
        for lines in conversations:
            run = subprocess.run([*self.command, *flags], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=1200)
            if run.returncode:
                raise SystemExit(f"{shlex.join(self.command)} failed with {run.returncode}: {run.stderr.strip()}")
            answers = run.stdout.splitlines()
            if len(answers) != len(lines):
                raise SystemExit(f"{len(lines)} lines went in and {len(answers)} came out: {lines!r} -> {answers!r}")
            # A program does not say how an answer ended; one that was cut off matches no intent and has no full stop.
            out.append([(a, a.rstrip("`").endswith((".", "!", "?", "。", "！", "？"))) for a in answers])
        return out


def load_lines(data):
    lines = [json.loads(line) for line in (Path(data) / "held_out.jsonl").read_text("utf-8").splitlines()]
    seen = set((Path(data) / "seen.txt").read_text("utf-8").splitlines())
    for line in independent_lines():
        name = "independent off-topic" if line["intent"] == "off_topic" else "independent"
        line = {"set": name, "intent": line["intent"], "turns": [*line.get("before", []), line["text"]]}
        lines.append(line | {"unseen": bare(line["turns"][-1]) not in seen})
    return lines


def measure(answerer, data, matcher, limit=None):
    """(figures, misses) of one model."""
    lines = load_lines(data)
    if limit:
        random.Random(1).shuffle(lines)
        lines = lines[:limit]
    sets, misses = {}, []
    for line, (answer, ended) in zip(lines, answerer.answers([line["turns"] for line in lines])):
        known = line["intent"] in matcher.intents
        if "expect" in line:
            right = answer.lower() == line["expect"].lower()
        else:
            right = known and matcher.right(line["intent"], answer)
        tally = sets.setdefault(line["set"], {"right": 0, "of": 0, "false facts": 0})
        tally["of"] += 1
        tally["right"] += right
        if line.get("unseen"):
            part = sets.setdefault(line["set"] + ", not in training", {"right": 0, "of": 0})
            part["of"] += 1
            part["right"] += right
        false = not right and matcher.false_fact(answer, " ".join(line["turns"]))
        tally["false facts"] += false
        if not right:
            misses.append({**line, "answer": answer, "got": sorted(matcher.intents_of(answer)), "false fact": false})
    hello = answerer.answers([["Hello"]])[0][0]
    figures = {"hello": hello, **sets, "warm": warm(answerer, lines, data, matcher, misses)}
    return figures, misses


def warm(answerer, lines, data, matcher, misses):
    """200 answers at temperature 0.8: intent, words and ends."""
    vocabulary = set((Path(data) / "words.txt").read_text("utf-8").split("\n"))
    lines = [line for line in lines if line["set"] in ("templates", "off_topic", "recall", "sums")]
    lines = random.Random(2).sample(lines, min(200, len(lines)))
    tally = {"right": 0, "of": len(lines), "ended": 0, "unknown words": 0}
    for line, (answer, ended) in zip(lines, answerer.answers([line["turns"] for line in lines], WARM)):
        right = matcher.right(line["intent"], answer) and ("expect" not in line or answer.lower() == line["expect"].lower())
        strange = set(words_of(answer)) - vocabulary - set(words_of(" ".join(line["turns"])))
        tally["right"] += right
        tally["ended"] += ended
        tally["unknown words"] += len(strange)
        if not right or strange or not ended:
            misses.append({**line, "set": "warm", "answer": answer, "ended": ended, "unknown words": sorted(strange)})
    return tally


def long_talks(answerer, data, matcher, sampling=None, limit=None):
    """Conversations of sixty turns: right answers, those of the last twenty turns, ends, words of no training answer, and the misses."""
    vocabulary = set((Path(data) / "words.txt").read_text("utf-8").split("\n"))
    talks = [json.loads(line)["turns"] for line in (Path(data) / "long.jsonl").read_text("utf-8").splitlines()][:limit]
    tally, late, misses = {"right": 0, "of": 0, "ended": 0, "unknown words": 0, "false facts": 0}, {"right": 0, "of": 0}, []
    for talk, said in zip(talks, answerer.talks([[asked for _, asked, _ in talk] for talk in talks], sampling)):
        told = ""
        for turn, ((intent, asked, expect), (answer, ended)) in enumerate(zip(talk, said)):
            told += " " + asked
            right = answer.lower() == expect.lower() if expect else matcher.right(intent, answer)
            strange = set(words_of(answer)) - vocabulary - set(words_of(told))
            false = not right and matcher.false_fact(answer, told)
            for name, value in ("right", right), ("of", 1), ("ended", ended), ("unknown words", len(strange)), ("false facts", false):
                tally[name] += value
            if turn >= 40:
                late["right"] += right
                late["of"] += 1
            if not right or strange or not ended:
                miss = {"set": "long", "intent": intent, "turn": turn, "turns": [asked], "answer": answer, "expect": expect}
                misses.append(miss | {"ended": ended, "unknown words": sorted(strange), "false fact": bool(false)})
    return tally, late, misses


def measure_long(answerer, data, matcher, limit=None):
    """The figures of the long conversations by the names that card.py knows, and the misses at temperature 0."""
    cold, cold_late, misses = long_talks(answerer, data, matcher, None, limit)
    warmed, warmed_late, _ = long_talks(answerer, data, matcher, WARM, limit)
    return {"long": cold, "long, last twenty": cold_late, "long warm": warmed, "long warm, last twenty": warmed_late}, misses


def show(name, figures):
    print(f"== {name}: Hello -> {figures.get('hello')!r}", flush=True)
    for key, tally in figures.items():
        if key != "hello":
            rest = ", ".join(f"{k} {v}" for k, v in tally.items() if k not in ("right", "of"))
            print(f"   {key}: {tally['right']} of {tally['of']} ({tally['right'] / max(1, tally['of']):.1%}); {rest}", flush=True)


def compare(files, chosen, data, out, device):
    """Every exported file; writes report.json, and the misses of the chosen one to misses.jsonl."""
    matcher, report, chosen_misses = Matcher(), {}, []
    for name, path in files.items():
        start = time.time()
        figures, misses = measure(Torch(path, device), data, matcher)
        report[name] = {"chosen": name == chosen, "bytes": path.stat().st_size, **figures}
        show(f"{name}, {path.stat().st_size} bytes", figures)
        print(f"   ({time.time() - start:.0f} s)", flush=True)
        if name == chosen:
            long, long_misses = measure_long(Torch(path, device), data, matcher)
            report[name] |= long
            show("sixty turns", {"hello": figures["hello"], **long})
            chosen_misses = misses + long_misses
    (Path(out) / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
    with open(Path(out) / "misses.jsonl", "w", encoding="utf-8") as file:
        for miss in chosen_misses:
            file.write(json.dumps(miss, ensure_ascii=False) + "\n")


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("gguf", nargs="?", type=Path)
    args.add_argument("--command")
    args.add_argument("--data", type=Path, default=HERE / "build")
    args.add_argument("--limit", type=int)
    args.add_argument("--misses", type=Path)
    args.add_argument("--long", action="store_true", help="only the conversations of sixty turns; --limit takes some of them")
    args.add_argument("--device", default="cpu")
    args = args.parse_args()
    if not args.gguf and not args.command:
        raise SystemExit("error: give a GGUF file or --command")
    answerer = Command(args.command) if args.command else Torch(args.gguf, args.device)
    figures, misses = (measure_long if args.long else measure)(answerer, args.data, Matcher(), args.limit)
    show(args.command or args.gguf.name, figures)
    if args.misses:
        args.misses.write_text("".join(json.dumps(m, ensure_ascii=False) + "\n" for m in misses), "utf-8")


if __name__ == "__main__":
    main()
