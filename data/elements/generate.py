"""Make train.jsonl, tuning.jsonl and golden.jsonl from facts.csv; the same bytes every time.

Usage: python data/elements/generate.py [--train N] [--tuning N] [--golden N] [--seed N]
"""

import argparse
import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PROPERTIES = ("symbol", "atomic number", "period", "group", "block")
SYSTEM = "Answer from the sources as JSON."
GOLDEN_SHARE = 0.25  # of the elements; none of them appears in a training row
UNANSWERABLE_SHARE = 0.4

Facts = dict[str, dict[str, str]]
Pair = tuple[str, str]
"""An element and a property."""


def read_facts() -> Facts:
    """Every element's non-empty properties."""
    with (HERE / "facts.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: {name: row[name] for name in PROPERTIES if row[name]} for row in csv.DictReader(file)}


def sentence(element: str, name: str, value: str) -> str:
    return f"The {name} of {element} is {value}"


def example(facts: Facts, row_id: str, asked: Pair, answerable: bool, rng: random.Random) -> dict[str, object]:
    """One row: three sources, one question, the reference answer.

    Two sources are hard negatives in every row: the asked element with another property, and another element
    with the asked property. The third holds the answer, or is another near miss.
    """
    element, name = asked
    others = [other for other in facts if other != element and name in facts[other]]
    first, second = rng.sample(others, 2)
    same_element = rng.choice([other for other in facts[element] if other != name])
    third = (element, name) if answerable else (second, name)
    stated = [(element, same_element), (first, name), third]
    rng.shuffle(stated)
    documents = [{"id": n, "text": f"{sentence(e, p, facts[e][p])}."} for n, (e, p) in enumerate(stated, 1)]
    support = [n for n, pair in enumerate(stated, 1) if pair == asked]
    text = (
        f"{sentence(element, name, facts[element][name])} [{support[0]}]."
        if answerable
        else f"{sentence(element, name, 'not in the sources')}."
    )
    target = {"answer": text, "citations": support, "refusal": not answerable}
    sources = "\n".join(f"{sentence(e, p, facts[e][p])} [{n}]." for n, (e, p) in enumerate(stated, 1))
    return {
        "id": row_id,
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"{sources}\nWhat is the {name} of {element}?"},
            {"role": "assistant", "content": json.dumps(target, separators=(",", ":"))},
        ],
        "documents": documents,
        "answerable": answerable,
        "support": support,
    }


def split(facts: Facts, rng: random.Random) -> dict[str, Facts]:
    names = list(facts)
    rng.shuffle(names)
    cut = round(len(names) * GOLDEN_SHARE)
    return {"golden": {n: facts[n] for n in names[:cut]}, "train": {n: facts[n] for n in names[cut:]}}


def questions(pairs: Sequence[Pair], count: int, rng: random.Random) -> list[Pair]:
    """``count`` of the pairs in a drawn order, each asked once before any is asked again."""
    order, asked = list(pairs), list[Pair]()
    while len(asked) < count:
        rng.shuffle(order)
        asked.extend(order)
    return asked[:count]


def rows(part: str, facts: Facts, asked: Sequence[Pair], rng: random.Random) -> list[dict[str, object]]:
    """A row for each pair, a share of them unanswerable."""
    unanswerable = round(len(asked) * UNANSWERABLE_SHARE)
    flags = [False] * unanswerable + [True] * (len(asked) - unanswerable)
    rng.shuffle(flags)
    return [
        example(facts, f"{part}-{n:04d}", pair, answerable, rng)
        for n, (pair, answerable) in enumerate(zip(asked, flags, strict=True), 1)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=640)
    parser.add_argument("--tuning", type=int, default=40)
    parser.add_argument("--golden", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    parts = split(read_facts(), random.Random(options.seed))
    pairs = {part: [(element, name) for element in facts for name in facts[element]] for part, facts in parts.items()}
    # of its own: more training rows leave the golden set as it is
    drawn = {part: random.Random(f"{options.seed} {part}") for part in ("train", "tuning", "golden")}
    asked = {part: questions(pairs[part], getattr(options, part), drawn[part]) for part in ("train", "golden")}
    left = sorted(set(pairs["golden"]) - set(asked["golden"]))
    if len(left) < options.tuning:
        there = len(pairs["golden"])
        fit = [f"--tuning {len(left)}"] if left else []
        fit += [f"--golden {there - options.tuning}"] if options.tuning < there else []
        parser.error(
            f"--tuning {options.tuning}: golden and tuning rows share {there} pairs of element and property, and "
            f"--golden {options.golden} leaves {len(left)}. Give {' or '.join(fit)}."
        )
    asked["tuning"] = questions(left, options.tuning, drawn["tuning"])
    for part, rng in drawn.items():
        facts = parts["train" if part == "train" else "golden"]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows(part, facts, asked[part], rng)]
        (options.out / f"{part}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
