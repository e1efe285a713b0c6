"""How people type: casing, punctuation, fillers, abbreviations and slips of the finger, put on the user's lines alone."""

import re

from .intents import END, FILLED

OPENERS = [
    "hey", "hi", "hello", "ok", "okay", "so", "um", "uh", "well", "right", "now", "and", "also", "alright", "yo", "oh",
    "hey there", "ok so", "hmm", "one more thing", "another question", "quick question", "question", "i have a question",
    "i am new here", "i'm new to this", "sorry", "excuse me", "just wondering", "i was wondering", "out of curiosity",
    "tell me", "please tell me", "let me ask", "by the way", "btw", "next", "cool", "great", "nice", "thanks", "actually",
    "sorry to bother you", "i wonder", "help", "please help", "noob question", "stupid question", "silly question",
    "good morning", "perfect", "got it", "i see", "say", "listen", "bro", "dude", "friend", "dear assistant", "computer",
]
CLOSERS = [
    "please", "thanks", "thank you", "pls", "plz", "for me", "again", "exactly", "actually", "then", "now", "anyway",
    "by the way", "if you can", "if possible", "in short", "briefly", "quickly", "in simple words", "mate", "bot", "my friend",
    "i forgot", "i am curious", "just curious", "i'd like to know", "do you know", "any idea", "thx", "cheers", "or not", "right now",
]
SHORT = [
    (r"\bwhat is\b", ["what's", "whats", "what s", "wat is", "wots"]), (r"\byou are\b", ["you're", "ur", "youre"]), (r"\byou\b", ["u", "ya"]),
    (r"\bare\b", ["r"]), (r"\bplease\b", ["pls", "plz"]), (r"\bhow do i\b", ["how to", "how do you", "how would i", "how can i", "how does one"]),
    (r"\bdo not\b", ["don't", "dont"]), (r"\bcannot\b", ["can't", "cant", "can not"]), (r"\bi am\b", ["i'm", "im"]), (r"\bi would\b", ["i'd", "id"]),
    (r"\bwhat does\b", ["what do", "wat does"]), (r"\bwant to\b", ["wanna", "would like to"]), (r"\bgoing to\b", ["gonna"]),
    (r"\bfavourite\b", ["favorite", "fav", "favorit"]), (r"\bcolour\b", ["color"]), (r"\bthanks\b", ["thx", "tnx"]), (r"\band\b", ["&", "n"]),
    (r"\bexplain\b", ["explain to me", "describe"]), (r"\bcan you\b", ["could you", "would you", "can u", "will you"]), (r"\btell me\b", ["tell us", "say"]),
    (r"\bprogram\b", ["script"]), (r"\bmodel\b", ["llm", "ai model"]), (r"\bwho is\b", ["who's", "whos"]), (r"\bwhere is\b", ["where's", "wheres"]),
    (r"\bit is\b", ["it's", "its"]), (r"\bcommand\b", ["cmd", "subcommand"]), (r"\bmean\b", ["stand for"]),
]
PROPER = {
    "tensorlogic": "TensorLogic", "gpu": "GPU", "gpus": "GPUs", "cpu": "CPU", "gguf": "GGUF", "kv": "KV", "llm": "LLM", "llms": "LLMs", "ai": "AI",
    "bpe": "BPE", "vulkan": "Vulkan", "japanese": "Japanese", "english": "English", "german": "German", "french": "French", "spanish": "Spanish",
    "tl": "TL", "rope": "RoPE", "rmsnorm": "RMSNorm", "wgsl": "WGSL", "i": "I", "llama": "Llama",
}
# Words of which frames are made, to put some others among them.
COMMON = (
    "what is are the a of to how do does i you me my we it this that about for in on with please can could would should tell explain show know want "
    "need like think understand mean use why when where which who one some any more here now today just really maybe again good new thing word idea "
    "have has had was will be if then so but not no yes as from at by or all way work help question read heard said told friend time simple short"
).split()
_NEAR = {a: b for a, b in zip("abcdefghijklmnopqrstuvwxyz", "svxsdfghojklkbnpqatdyibccts")}


def noisy(text, rng, keep=(), question=True):
    """``text`` as a person might type it. ``keep`` are values (names, numbers) that must come through unchanged."""
    if rng.random() < 0.12:
        return text
    kept = {}
    for i, value in enumerate(keep):
        mark = chr(0xE000 + i)
        text = re.sub(r"(?<![\w-])" + re.escape(value) + r"(?!\w)", mark, text)
        kept[mark] = value
    if rng.random() < 0.35:
        rule, forms = rng.choice(SHORT)
        text = re.sub(rule, lambda _: rng.choice(forms), text, count=1, flags=re.I)
    if question:
        if rng.random() < 0.16:
            text = rng.choice(OPENERS) + rng.choice([", ", " ", ": ", "! ", ". ", "... "]) + text
        if rng.random() < 0.10:
            text = text.rstrip("?.!") + rng.choice([" ", ", "]) + rng.choice(CLOSERS) + rng.choice(["?", "", "."])
    if rng.random() < 0.12:
        text = _slip(text, rng)
        if rng.random() < 0.3:
            text = _slip(text, rng)
    if rng.random() < 0.05:
        text = _drop_small_word(text, rng)
    text = _punctuate(text, rng)
    text = _cased(text, rng)
    for mark, value in kept.items():
        text = text.replace(mark, value)
    return text


def rephrased(text, rng):
    """A frame with other words than it was written with; what fills it stays. So the model learns to look for what was asked about."""
    before, rest = text.split(FILLED, 1)
    inside, after = rest.rsplit(END, 1)
    sides = [before.split(), after.split()]
    for _ in range(rng.choice([1, 1, 2, 3])):
        side = sides[int(rng.random() * 2)]
        at, kind = int(rng.random() * (len(side) + 1)), rng.randrange(4)
        if kind == 0 or at >= len(side):
            side.insert(at, rng.choice(COMMON))
        elif kind == 1:
            del side[at]
        elif kind == 2:
            side[at] = rng.choice(COMMON)
        elif at + 1 < len(side):
            side[at], side[at + 1] = side[at + 1], side[at]
    tail = " " if sides[1] and sides[1][0][0].isalnum() else ""
    return (" ".join(sides[0]) + " " + FILLED + inside + END + tail + " ".join(sides[1])).strip()


def _slip(text, rng):
    """One slip of the finger. Short words are spared: with another letter they are another word, as every `f16` and `q8` is."""
    places = [m.start() + i for m in re.finditer(r"[A-Za-z]{5,}", text) for i in range(len(m[0]))]
    if not places:
        return text
    at = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    if kind == 2 and at + 1 < len(text) and text[at + 1].isalpha():
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + _NEAR.get(text[at].lower(), text[at]) + text[at + 1 :]


def _drop_small_word(text, rng):
    words = text.split(" ")
    small = [i for i, w in enumerate(words) if w.lower() in ("a", "an", "the", "is", "do", "to", "of", "me", "i")]
    if len(words) > 3 and small:
        del words[rng.choice(small)]
    return " ".join(words)


def _punctuate(text, rng):
    draw = rng.random()
    if draw < 0.38:
        return text.rstrip("?.!")
    if draw < 0.43:
        return text.rstrip("?.!") + rng.choice(["??", "?!", "!", "...", " ?", "???", "!!", " !", ";", " :)"])
    if draw < 0.48:
        return text.replace(",", "").replace("'", "")
    return text


def _cased(text, rng):
    draw = rng.random()
    if draw < 0.42:
        return text.lower()
    if draw < 0.46:
        return text.upper()
    if draw < 0.50:
        return text.title()
    text = text[:1].upper() + text[1:]
    return _proper(text) if draw < 0.8 and "[" not in text else text


def _proper(text):
    """Names and abbreviations as they are written with care."""
    return re.sub(r"(?<![\w`/-])[A-Za-z]+(?!\w)", lambda m: PROPER.get(m[0].lower(), m[0]), text)
