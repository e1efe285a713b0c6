"""Word lists of the data files, and names that no list holds.

Half of all names are made from syllables, so that the model learns to copy what it was told instead of a closed set.
"""

from pathlib import Path

_ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl dr fr gr kr pl pr sh sk sl st th tr y".split()
_VOWELS = "a e i o u a e i o ai ea ee ia io ou".split()
_CODAS = ["", "", "", "", "n", "r", "l", "s", "k", "m", "t", "x", "nd", "rt", "ck"]


def pseudo_word(rng, least=1, most=3):
    """A pronounceable word that almost surely means nothing."""
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.randint(least, most))
    )


def _keyed(folder):
    """``favourites.tsv``: a kind of thing, a tab, and values of it."""
    lines = (line.split("\t") for line in (Path(folder) / "favourites.tsv").read_text("utf-8").splitlines() if line)
    return {thing: [v.strip() for v in values.split("|")] for thing, values in lines}


class Lists:
    """Lists by name; ``draw`` gives one entry."""

    def __init__(self, folder):
        self.words = {}
        for path in sorted(Path(folder).glob("*.txt")):
            name = None
            for line in path.read_text("utf-8").splitlines():
                line = line.strip()
                if line.startswith("@"):
                    name = line[1:].strip()
                    if name in self.words:
                        raise ValueError(f"{path.name}: the list {name} is given twice")
                    self.words[name] = []
                elif line and not line.startswith("#"):
                    self.words[name] += [w.strip() for w in line.split("|") if w.strip()]
        self.favourites = _keyed(folder)
        self.made = {
            "name": lambda rng: self._or_pseudo("first_name", rng, 0.5).title(),
            "petname": lambda rng: self._or_pseudo("pet_name", rng, 0.5).title(),
            "city": lambda rng: self._or_pseudo("town", rng, 0.35).title(),
            "pseudo": lambda rng: pseudo_word(rng, 2, 3),
            "digits": lambda rng: str(rng.randint(0, 10 ** rng.randint(1, 4))),
            "job": self._job,
            "year": lambda rng: str(rng.randint(1400, 2030)),
        }

    def _or_pseudo(self, name, rng, share):
        return pseudo_word(rng, 2, 3) if rng.random() < share else rng.choice(self.words[name])

    def _job(self, rng):
        """A job of the list, one made of a field and a kind, or one that nobody has."""
        draw = rng.random()
        if draw < 0.7:
            return rng.choice(self.words["job"])
        if draw < 0.9:
            return f"{rng.choice(self.words['jobfield'])} {rng.choice(self.words['jobkind'])}"
        return pseudo_word(rng, 1, 2) + "er"

    def draw(self, name, rng):
        if name in self.made:
            return self.made[name](rng)
        if name not in self.words:
            raise KeyError(f"no word list is called {name!r}")
        words = self.words[name]
        return words[int(rng.random() * len(words))]
