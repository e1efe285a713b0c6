"""Conversations: which intents follow each other, with the state that recall needs."""

from . import arithmetic, grammar, intents as data, memory
from .noise import noisy, rephrased

# How often a turn comes from each data file.
GROUPS = {"smalltalk": 15, "identity": 11, "usage": 20, "concepts": 17, "offtopic": 22, "arithmetic": 13, "story": 4}
SYSTEM = [
    "You are a helpful assistant.", "You are a friendly assistant.", "Answer briefly.", "Be kind and brief.", "You are the assistant of TensorLogic.",
    "You are a helpful, honest assistant.", "Answer in one sentence.", "You help people to use tl.", "Speak English.", "You are a small model.",
]


class Composer:
    """Draws conversations from the intents. ``part`` is "train" or "held"."""

    def __init__(self, intents, lists):
        self.intents, self.lists = intents, lists
        self.by_group = {}
        for intent in intents.values():
            self.by_group.setdefault(intent.group, []).append(intent)
        self.group_names = list(GROUPS)
        self.group_weights = list(GROUPS.values())

    def conversation(self, rng):
        """A list of (intent, question, answer), with an optional system text before it."""
        draw = rng.random()
        if draw < 0.50:
            turns = [self.turn(self._pick(rng), rng, memory.Memory())]
        elif draw < 0.72:
            facts = memory.Memory()
            turns = [self.turn(self._pick(rng), rng, facts) for _ in range(rng.randint(2, 6))]
        elif draw < 0.98:
            turns = self._recall(rng)
        else:
            facts = memory.Memory()
            turns = [self._any_turn(rng, facts) for _ in range(rng.randint(8, 18))]
        if len(turns) > 1 and rng.random() < 0.15:
            turns.insert(0, self.turn(self.intents["greet"], rng, memory.Memory()))
        system = None
        if rng.random() < 0.08:
            system = rng.choice(SYSTEM)
        return system, turns

    def turn(self, intent, rng, facts, part="train", template=None):
        """One question and its answer."""
        slots, known, keep, trained = {}, True, (), part == "train" and template is None
        if intent.group == "arithmetic":
            slots = {k: str(v) for k, v in arithmetic.numbers(intent.name, rng).items()}
        elif intent.name in memory.TELLS:
            slots = facts.tell(intent.name, rng, self.lists)
            keep = [v for k, v in slots.items() if k in ("name", "petname", "city", "value", "job", "thing", "pet")]
        elif intent.name in memory.ASKS:
            slots, known = facts.ask(intent.name, rng, self.lists)
            keep = [v for k, v in slots.items() if k in ("thing", "pet")]
        if template is None:
            templates = getattr(intent, part)
            template = rng.choices([t for t, _ in templates], _cumulative(intent, part))[0]
        shown = dict(slots)
        if intent.name in memory.TELLS and rng.random() < 0.3:
            # People write names small; the answer copies what was written.
            for key in ("name", "petname", "city", "value"):
                if key in shown:
                    shown[key] = shown[key].lower()
                    slots[key] = shown[key]
            for told in facts.facts.values():
                for key in set(told) & set(slots):
                    told[key] = told[key].lower() if told[key].lower() == slots[key] else told[key]
            keep = [slots.get(k) for k in ("name", "petname", "city", "value", "job", "thing", "pet") if k in slots]
        question = grammar.expand(template, rng, slots, self.lists)
        if trained and data.FILLED in question and rng.random() < 0.2:
            question = rephrased(question, rng)
        question = question.replace(data.FILLED, "").replace(data.END, "")
        # Where the template's own words decide, openers and closers do no harm; on bare names and greetings they do.
        wrapped = intent.group not in ("smalltalk",) and intent.name not in memory.TELLS
        question = noisy(question, rng, keep=keep, question=wrapped)
        answer = grammar.expand(rng.choice(intent.say if known else intent.unknown), rng, slots, self.lists)
        return intent.name, question, answer

    def _pick(self, rng):
        group = rng.choices(self.group_names, self.group_weights)[0]
        choices = self.by_group[group]
        return rng.choices(choices, [i.weight for i in choices])[0]

    def _any_turn(self, rng, facts):
        if rng.random() < 0.3:
            name = rng.choice(list(memory.TELLS) + list(memory.ASKS))
            return self.turn(self.intents[name], rng, facts)
        return self.turn(self._pick(rng), rng, facts)

    def _recall(self, rng):
        """Facts, other talk, and questions about the facts; sometimes about facts that were never told."""
        facts, turns = memory.Memory(), []
        tells = rng.choices(list(memory.TELLS), [5, 2, 2, 2, 1, 1, 1, 1], k=rng.choice([0, 1, 1, 1, 2, 2, 3]))
        for name in tells:
            turns += [self.turn(self._pick(rng), rng, facts) for _ in range(rng.choice([0, 0, 0, 1]))]
            turns.append(self.turn(self.intents[name], rng, facts))
        turns += [self.turn(self._pick(rng), rng, facts) for _ in range(rng.choice([0, 0, 1, 1, 2, 3]))]
        about = [name for name, kind in memory.ASKS.items() if any(kind in memory.TELLS[t] for t in tells)]
        for _ in range(rng.choice([1, 1, 2, 3])):
            name = rng.choice(about) if about and rng.random() < 0.75 else rng.choices(list(memory.ASKS), [4, 2, 1, 1, 2, 1, 1])[0]
            turns.append(self.turn(self.intents[name], rng, facts))
            if rng.random() < 0.25:
                turns.append(self.turn(self._pick(rng), rng, facts))
        return turns


def _cumulative(intent, part, cache={}):
    key = (intent.name, part)
    if key not in cache:
        cache[key] = [w for _, w in getattr(intent, part)]
    return cache[key]
