"""The template grammar of the data files.

``[a|b|]`` is a choice (an empty branch makes it optional; choices nest), ``{word}`` is a slot. A slot is filled once per
turn from the list of its name and keeps its value, so that a question and its answer agree; ``{word2}`` draws another
value from the same list. The same template also yields a regular expression, by which answers are recognized.
"""

import re
from functools import lru_cache


_SLOT = re.compile(r"\{([a-z_]+[0-9]*)\}")


@lru_cache(maxsize=None)
def parse(template):
    """Tree of a template: ("seq", items), ("choice", branches), ("slot", name) or a plain string."""
    node, end = _sequence(template, 0, top=True)
    if end != len(template):
        raise ValueError(f"unbalanced brackets in template: {template!r}")
    return node


def _sequence(text, at, top=False):
    items, literal, code = [], [], False
    while at < len(text):
        mark = text[at]
        code ^= mark == "`"
        slot = _SLOT.match(text, at)
        if slot or (mark == "[" and not code):
            if literal:
                items.append("".join(literal))
                literal = []
            node, at = (("slot", slot[1]), slot.end()) if slot else _choice(text, at + 1)
            items.append(node)
        elif mark == "\\":
            literal.append(text[at + 1])
            at += 2
        elif not top and not code and mark in "|]":
            break
        else:
            literal.append(mark)
            at += 1
    if literal:
        items.append("".join(literal))
    return (items[0] if len(items) == 1 else ("seq", items)), at


def _choice(text, at):
    branches = []
    while True:
        node, at = _sequence(text, at)
        branches.append(node)
        if at >= len(text):
            raise ValueError(f"a choice is not closed: {text!r}")
        if text[at] == "]":
            return ("choice", branches), at + 1
        at += 1


def expand(template, rng, slots, lists):
    """One text of the template; fills ``slots`` in place with what it drew."""
    out = []
    _expand(parse(template), rng, slots, lists, out)
    return re.sub(r" {2,}", " ", "".join(out)).strip()


def _expand(node, rng, slots, lists, out):
    if isinstance(node, str):
        out.append(node)
        return
    kind, value = node
    if kind == "seq":
        for item in value:
            _expand(item, rng, slots, lists, out)
    elif kind == "choice":
        _expand(value[int(rng.random() * len(value))], rng, slots, lists, out)
    else:
        if value not in slots:
            slots[value] = _draw(value, rng, slots, lists)
        out.append(str(slots[value]))


def _draw(slot, rng, slots, lists):
    base = slot.rstrip("0123456789")
    taken = {v for k, v in slots.items() if k.rstrip("0123456789") == base}
    for _ in range(20):
        value = lists.draw(base, rng)
        if value not in taken:
            return value
    return value


def pattern(template):
    """Regular expression of all texts of the template; a slot that repeats must repeat its value."""
    seen = set()
    return re.compile(re.sub(r"(\\ ){2,}", r"\\ ", _pattern(parse(template), seen)) + r"\Z", re.S)


def _pattern(node, seen):
    if isinstance(node, str):
        return re.sub(r"\\ ", " ", re.escape(node)).replace(" ", " *")
    kind, value = node
    if kind == "seq":
        return "".join(_pattern(item, seen) for item in value)
    if kind == "choice":
        return "(?:" + "|".join(_pattern(branch, seen) for branch in value) + ")"
    if value in seen:
        return f"(?P={value})"
    seen.add(value)
    return f"(?P<{value}>[^\\n]{{1,40}}?)"
