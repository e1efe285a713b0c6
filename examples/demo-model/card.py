"""Prints the figures and the misses of README.md as markdown, so that neither is typed by hand.

    python card.py [--data build]            the tables
    python card.py [--data build] --write    the same between the marks of README.md
"""

import argparse
import json
import re
from pathlib import Path

HERE = Path(__file__).parent
MARKS = "<!-- figures -->", "<!-- end of figures -->"
SETS = {
    "templates": "held-out templates: right intent", "off_topic": "held-out templates off topic: declined",
    "recall": "name recalled over three turns", "sums": "held-out sums of two-digit numbers", "differences": "held-out differences of two-digit numbers",
    "independent": "lines worded independently: right intent", "independent, not in training": "of these, lines that no training question equals",
    "independent off-topic": "independent lines off topic: declined", "independent off-topic, not in training": "of these, lines that no training question equals",
    "warm": "temperature 0.8: right intent",
    "long": "twenty conversations of sixty turns: right answers", "long, last twenty": "of these, in the last twenty turns",
    "long warm": "the same conversations at temperature 0.8: right answers", "long warm, last twenty": "of these, in the last twenty turns",
}
BARS = {"templates": 0.95, "off_topic": 0.95, "recall": 0.95, "sums": 0.90, "independent": 0.75, "independent off-topic": 0.85, "warm": 0.85}
BARS |= {"long": 0.93, "long, last twenty": 0.93, "long warm": 0.90, "long warm, last twenty": 0.90}


def share(tally):
    return f"{tally['right']} of {tally['of']} ({tally['right'] / max(1, tally['of']):.1%})"


def figures(report):
    chosen = next(name for name, values in report.items() if values["chosen"])
    values = report[chosen]
    rows = [f"| set | `{chosen}`, {values['bytes']:,} bytes | at least |", "|---|---|---|"]
    rows += [f"| {text} | {share(values[key])} | {f'{BARS[key]:.0%}' if key in BARS else ''} |" for key, text in SETS.items() if key in values]
    warm = values["warm"]
    rows += [
        f"| {SETS[key].removesuffix(': right answers')}: words that training answers do not have | {values[key]['unknown words']} | none |"
        for key in ("long", "long warm") if key in values
    ]
    false = sum(tally.get("false facts", 0) for tally in values.values() if isinstance(tally, dict))
    rows += [
        f"| temperature 0.8: ended by itself | {warm['ended']} of {warm['of']} | all |",
        f"| temperature 0.8: words that training answers do not have | {warm['unknown words']} | none |",
        f"| false facts in all sets | {false} | none |",
        f"| `Hello` at temperature 0 | {values['hello']} | Hello! How can I help you today? |",
    ]
    return "\n".join(rows)


def comparison(report):
    keys = [key for key in SETS if all(key in values for values in report.values())]
    rows = ["| file | bytes | " + " | ".join(keys) + " |", "|---|---|" + "---|" * len(keys)]
    for name, values in report.items():
        rows.append(f"| `{name}` | {values['bytes']:,} | " + " | ".join(f"{values[key]['right']} / {values[key]['of']}" for key in keys) + " |")
    return "\n".join(rows)


def code(text):
    return "`" + text.replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`"


def misses(lines):
    rows = ["| set | intent | asked | answered |", "|---|---|---|---|"]
    for miss in lines:
        asked = " → ".join(code(turn) for turn in miss["turns"])
        mark = " **false fact**" if miss.get("false fact") else ""
        mark += f" **unknown: {', '.join(miss['unknown words'])}**" if miss.get("unknown words") else ""
        rows.append(f"| {miss['set']} | {miss['intent']} | {asked} | {code(miss['answer'])}{mark} |")
    return "\n".join(rows)


def card(folder):
    report = json.loads((folder / "report.json").read_text("utf-8"))
    lines = [json.loads(line) for line in (folder / "misses.jsonl").read_text("utf-8").splitlines()]
    return (
        f"{figures(report)}\n\nThe same weights in other types, right answers of each set:\n\n{comparison(report)}\n\n"
        f"Every miss of the chosen file:\n\n{misses(lines)}"
    )


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=Path, default=HERE / "build")
    args.add_argument("--write", action="store_true", help="put it into README.md")
    args = args.parse_args()
    text = card(args.data)
    if not args.write:
        print(text)
        return
    readme = HERE / "README.md"
    before, after = MARKS
    marked = re.compile(re.escape(before) + ".*?" + re.escape(after), re.S)
    old = readme.read_text("utf-8")
    if not marked.search(old):
        raise SystemExit(f"error: README.md has no {before} and {after}; put both on lines of their own")
    readme.write_text(marked.sub(lambda _: f"{before}\n\n{text}\n\n{after}", old), "utf-8")


if __name__ == "__main__":
    main()
