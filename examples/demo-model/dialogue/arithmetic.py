"""Numbers for the arithmetic intents, with pairs that training never shows.

A pair of two-digit numbers is held out whatever its order, so that a + b cannot be learned from b + a.
"""

import hashlib

HELD_OUT_SHARE = 0.1


def held_pair(a, b):
    """Whether the unordered pair is held out of every sum and difference; only for numbers from 10 to 99."""
    if min(a, b) < 10:
        return False
    low, high = sorted((a, b))
    return int(hashlib.sha1(f"{low},{high}".encode()).hexdigest()[:8], 16) / 2**32 < HELD_OUT_SHARE


def numbers(intent, rng):
    """Slots of one exercise."""
    if intent == "product":
        a, b = rng.randint(0, 12), rng.randint(0, 12)
        return {"a": a, "b": b, "c": a * b}
    if intent == "math_limit":
        return _too_large(rng)
    while True:
        low = 0 if rng.random() < 0.2 else 10
        a, b = rng.randint(low, 99), rng.randint(0 if rng.random() < 0.2 else 10, 99)
        if held_pair(a, b):
            continue
        if intent == "difference" and a < b and rng.random() < 0.5:
            a, b = b, a
        return {"a": a, "b": b, "c": a + b if intent == "sum" else a - b}


def _too_large(rng):
    def big():
        return str(rng.randint(100, 10 ** rng.randint(3, 6)))

    def any_number():
        return str(rng.randint(0, 99)) if rng.random() < 0.6 else big()

    out = {"big": big(), "big2": big(), "two": str(rng.randint(13, 99)), "two2": str(rng.randint(13, 99)), "small": str(rng.randint(2, 12))}
    return out | {name: any_number() for name in ("any", "any2", "any3")}
