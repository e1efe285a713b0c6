"""Which intent an answer belongs to: the answers' own templates, turned into patterns. Nothing is guessed."""

import re
from pathlib import Path

from dialogue import grammar, intents, memory

HERE = Path(__file__).parent
DECLINES = {"off_topic", "math_limit"}


class Matcher:
    def __init__(self):
        self.intents = intents.load(HERE / "data")
        self.patterns = {
            name: [grammar.pattern(t) for t in (*intent.say, *intent.unknown) if t != "{facts}"] for name, intent in self.intents.items()
        }
        told = [p for name in memory.ASKS if name != "ask_all" for p in self.patterns[name][:1]]
        self.told = re.compile("(?:(?:" + "|".join(_loose(p) for p in told) + ") ?)+")

    def intents_of(self, answer):
        """Every intent that has this very answer."""
        found = {name for name, patterns in self.patterns.items() if any(p.match(answer) for p in patterns)}
        if self.told.fullmatch(answer):
            found.add("ask_all")
        return found

    def right(self, intent, answer):
        """Whether the answer is one of the intent, or of one that its data names as serving as well."""
        wanted = {intent, *self.intents[intent].also}
        if intent == "off_topic":
            wanted |= DECLINES
        return bool(wanted & self.intents_of(answer))

    def false_fact(self, answer, told=""):
        """Not a decline, and either no known answer, a wrong sum, or a recall of what nobody told."""
        found = self.intents_of(answer)
        if not found:
            return True
        exercise = re.fullmatch(r"(\d+) ([-+*]) (\d+) = (-?\d+)\.", answer)
        if exercise:
            a, sign, b, c = exercise.groups()
            return {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign] != int(c)
        if found & set(memory.ASKS) and not answer.startswith("You have not told"):
            value = answer.rstrip(".").split()[-1]
            return value.lower() not in told.lower()
        return False


def _loose(pattern):
    """The pattern without its end mark and its names, so that several may follow each other."""
    return re.sub(r"\(\?P<\w+>", "(?:", pattern.pattern.removesuffix(r"\Z"))
