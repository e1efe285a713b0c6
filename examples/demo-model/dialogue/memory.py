"""What a user has told about themself in a conversation, and the answers that follow from it."""

TELLS = {
    "tell_name": ("name",),
    "tell_favourite": ("favourite",),
    "tell_pet": ("pet",),
    "tell_city": ("city",),
    "tell_job": ("job",),
    "tell_name_city": ("name", "city"),
    "tell_name_favourite": ("name", "favourite"),
    "tell_name_pet": ("name", "pet"),
}
ASKS = {
    "ask_name": "name",
    "ask_favourite": "favourite",
    "ask_pet": "pet",
    "ask_pet_any": "pet",
    "ask_city": "city",
    "ask_job": "job",
    "ask_all": None,
}


class Memory:
    """Facts of one conversation: fact -> slots that were told, the last one of each kind counts."""

    def __init__(self):
        self.facts = {}

    def tell(self, intent, rng, lists):
        """Draws new values for a telling turn and remembers them."""
        slots = {}
        for kind in TELLS[intent]:
            drawn = draw_fact(kind, rng, lists)
            slots.update(drawn)
            key = (kind, drawn["thing"]) if kind == "favourite" else (kind, drawn["pet"]) if kind == "pet" else kind
            self.facts[key] = drawn
        return slots

    def ask(self, intent, rng, lists):
        """Slots of an asking turn, and whether the fact is known."""
        kind = ASKS[intent]
        if kind is None:
            sentences = " ".join(_sentence(key, slots) for key, slots in self.facts.items())
            return {"facts": sentences}, bool(self.facts)
        known = [slots for key, slots in self.facts.items() if key == kind or (isinstance(key, tuple) and key[0] == kind)]
        if intent == "ask_pet_any":
            return (dict(known[-1]), True) if known else ({}, False)
        if known and (kind not in ("favourite", "pet") or rng.random() < 0.85):
            return dict(rng.choice(known)), True
        drawn = draw_fact(kind, rng, lists)
        for slots in known:
            if slots.get("thing", slots.get("pet")) == drawn.get("thing", drawn.get("pet")):
                return dict(slots), True
        return drawn, False


def draw_fact(kind, rng, lists):
    if kind == "favourite":
        # Colours and food are what people tell most.
        thing = rng.choice(["colour", "colour", "color", "food"]) if rng.random() < 0.4 else rng.choice(list(lists.favourites))
        value = rng.choice(lists.favourites[thing]) if rng.random() < 0.85 else lists.draw("pseudo", rng)
        return {"thing": thing, "value": value}
    if kind == "pet":
        return {"pet": lists.draw("pet", rng), "petname": lists.draw("petname", rng)}
    return {kind: lists.draw(kind, rng)}


def _sentence(key, slots):
    kind = key[0] if isinstance(key, tuple) else key
    text = {
        "name": "Your name is {name}.",
        "favourite": "Your favourite {thing} is {value}.",
        "pet": "Your {pet} is called {petname}.",
        "city": "You live in {city}.",
        "job": "Your job is {job}.",
    }[kind]
    return text.format(**slots)
