"""Conversations: which intents follow each other, with the state that recall needs."""

from . import arithmetic, grammar, intents as data, memory
from .noise import noisy, rephrased

# How often a turn comes from each data file.
GROUPS = {"smalltalk": 15, "identity": 11, "usage": 21, "concepts": 17, "offtopic": 22, "arithmetic": 13, "story": 4}
# The share of conversations that fill the whole context: by their length they are more than a third of the tokens.
LONG = 0.06
# Characters of a conversation that fill 1,024 tokens, each turn's marks counted as some of them.
FULL, MARKS = 3900, 14
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
        """{"system": text or None, "turns": [(intent, question, answer), …]}, and "cut" for one of which only the end is in view."""
        system = rng.choice(SYSTEM) if rng.random() < 0.08 else None
        if rng.random() >= LONG:
            return {"system": system, "turns": self._short(rng)}
        if rng.random() < 0.5:
            return {"system": system, "turns": self._long(rng)}
        # The context has slid: of the first turn only what the engine keeps is in view, and the second has lost its beginning.
        # Nothing that was told there can be recalled, so neither of them tells anything.
        lost = [self.turn(self._pick(rng), rng, memory.Memory()) for _ in range(2)]
        return {"system": system, "turns": lost + self._long(rng), "cut": round(rng.random(), 3)}

    def _long(self, rng):
        """Turns for more than the whole context: some thirty, or up to sixty short ones."""
        facts, turns, size = memory.Memory(), [], 0
        groups = list(GROUPS) if rng.random() < 0.75 else rng.choice([["smalltalk", "arithmetic"], ["arithmetic", "identity"], ["usage", "concepts"]])
        remembered = rng.choice([0.05, 0.15, 0.3])
        while size < FULL:
            draw = rng.random()
            again = [turn for turn in turns if turn[0] not in memory.TELLS and turn[0] not in memory.ASKS] if draw < 0.06 else []
            if again:
                turn = rng.choice(again)
            elif draw < 0.06 + remembered:
                # What is told is asked for more often than not, and not all of it once it is much.
                names = list(memory.TELLS) if rng.random() < 0.4 else [n for n in memory.ASKS if n != "ask_all" or len(facts.facts) < 5]
                turn = self.turn(self.intents[rng.choice(names)], rng, facts)
            else:
                turn = self.turn(self._pick(rng, groups), rng, facts)
            turns.append(turn)
            size += len(turn[1]) + len(turn[2]) + MARKS
        return turns

    def _short(self, rng):
        """One turn, or several."""
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
        return turns

    def held_long(self, rng, count):
        """``count`` turns of templates that training never sees: every tenth tells a fact, and some turns later it is asked for."""
        facts, turns, due = memory.Memory(), [], {}
        while len(turns) < count:
            at = len(turns)
            if at in due:
                turns.append(self.turn(self.intents[due.pop(at)], rng, facts))
            elif at % 10 == 2:
                told = ("tell_name", "tell_city", "tell_job", "tell_favourite")[at // 10 % 4]
                facts = memory.Memory()
                turns.append(self.turn(self.intents[told], rng, facts))
                due[at + rng.randint(2, 7)] = told.replace("tell", "ask")
            else:
                intent = self._pick(rng)
                turns.append(self.turn(intent, rng, memory.Memory(), "held" if intent.held else "train"))
        return turns

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

    def _pick(self, rng, groups=None):
        group = rng.choices(self.group_names, self.group_weights)[0]
        if groups and group not in groups:
            group = rng.choice(groups)
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
