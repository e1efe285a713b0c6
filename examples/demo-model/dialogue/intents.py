"""Intents as data: ``data/*.txt`` parsed into templates, with whole templates held out before anything is generated.

A section starts with ``[name] what it is about``. Its lines:

    ask: template            one way to put it
    hold: template           one that is never trained on, for intents of which the split would hold out none
    term: a | b              nouns for the frames of [define] in frames.txt
    goal: a | b              verb phrases for the frames of [howto]
    use: a | b               commands and flags for the frames of [usage]
    say: template            an answer; several are chosen from at random
    unknown: template        the answer when the conversation did not hold what is asked for
    also: intent             an intent whose answer serves as well, for the evaluation
    weight: 2.0              how often, against the other intents of its file
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

# Around the words that fill a frame, so that noise can tell them from the frame; the composer takes them out.
FILLED, END = "\uf8f0", "\uf8f1"
FRAMES = {"term": "define", "goal": "howto", "use": "usage"}


@dataclass
class Intent:
    name: str
    group: str
    about: str
    weight: float = 1.0
    say: list = field(default_factory=list)
    unknown: list = field(default_factory=list)
    also: list = field(default_factory=list)
    ask: list = field(default_factory=list)
    hold: list = field(default_factory=list)
    kinds: dict = field(default_factory=dict)
    train: list = field(default_factory=list)
    held: list = field(default_factory=list)


def held_out(text, share):
    """Whether a template belongs to the held-out part: decided by its own text alone."""
    return int(hashlib.sha1(text.encode()).hexdigest()[:8], 16) / 2**32 < share


def load(folder):
    """All intents by name, each with its templates for training and those held out."""
    intents, frames = {}, {}
    for path in sorted(Path(folder).glob("*.txt")):
        for intent in _sections(path):
            if path.stem == "frames":
                frames[intent.name] = intent.ask
            elif intent.name in intents:
                raise ValueError(f"{path.name}: the intent {intent.name} is given twice")
            else:
                intents[intent.name] = intent
    for intent in intents.values():
        _split(intent, frames)
    return intents


def _sections(path):
    out = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        line = line.strip()
        header = re.match(r"\[([a-z0-9_]+)\]\s*(.*)\Z", line)
        if not line or line.startswith("#"):
            continue
        if header:
            out.append(Intent(header[1], path.stem, header[2]))
            continue
        key, colon, value = line.partition(":")
        value = value.strip()
        if not colon or not out or key not in ("ask", "hold", "say", "unknown", "also", "weight", *FRAMES):
            raise ValueError(f"{path.name}:{number}: expected `ask:`, `say:`, … , got {line!r}")
        if key == "weight":
            out[-1].weight = float(value)
        elif key in FRAMES:
            out[-1].kinds.setdefault(key, []).extend(split_top(value))
        else:
            getattr(out[-1], key).append(value)
    return out


def split_top(text):
    """Split at the bars that stand outside brackets."""
    parts, depth, start = [], 0, 0
    for at, mark in enumerate(text):
        depth += (mark == "[") - (mark == "]")
        if mark == "|" and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    parts.append(text[start:].strip())
    return [p for p in parts if p]


def _split(intent, frames):
    """Held out are about a tenth of an intent's own templates and an eighth of the frames, the latter for all intents alike."""
    intent.held += [(template, 1.0) for template in intent.hold]
    for template in intent.ask:
        (intent.held if held_out(intent.name + template, 0.1) else intent.train).append((template, 1.0))
    for kind, items in intent.kinds.items():
        # The frames of one intent weigh together as much as a handful of its own templates, however many they are.
        weight = 8.0 / len(frames[FRAMES[kind]])
        phrase = "[" + "|".join(items) + "]"
        for frame in frames[FRAMES[kind]]:
            template = frame.replace("{X}", FILLED + phrase + END)
            (intent.held if held_out(frame, 0.125) else intent.train).append((template, weight))
