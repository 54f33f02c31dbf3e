"""What makes a golden row lie: it is judged by, so whatever is wrong in it is taken for right.

Each function looks at one row, or at all rows of a golden set, and says what is wrong in words; nothing means nothing
was found. Texts are compared without case, marks of sentences, spacing, and characters that cannot be seen.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

import gates
from gates import statistics
from gates.policy import SPENDING
from gates.rows import id_key, near_key
from gates.shown import some
from gates.words import spelled

BEGINNING = 100
"""Characters of a document by which it is looked for: a prompt may show its beginning alone."""
AT_LEAST = 3
"""Words of an answer that is looked for in its question: a shorter one may be one of the choices it names."""
MOSTLY = 0.5
NEARLY = 0.8
"""Of six documents five are nearly all; of five or fewer all of them are."""
FEWER = 0.8
"""Things asked about, as a share of the rows that ask, below which it is worth saying."""
COMMON = 0.2
"""A word in more rows than this share is part of the wording, not what is asked about."""
NEARBY = 60
"""Characters before a document in which its number is looked for."""
CONFIDENCE = 0.95
TIMES, SHARE = 5, 0.05
"""A cluster may hold so many times the median cluster's rows, or this share of all rows if that is more."""
FIELD = re.compile(r"^([^:\n]{1,40}:)", re.MULTILINE)


def naming_everything(rows: Sequence[gates.Golden], contract: gates.Contract) -> frozenset[int]:
    """The rows whose support is nearly all of two documents or more, where most rows are so: citing all is right."""
    several = [
        (number, len(ids.intersection(row.support)) > NEARLY * len(ids))
        for number, row in enumerate(rows)
        if row.answerable and row.support and len(ids := document_ids(row, contract)) > 1
    ]
    everything = frozenset(number for number, all_of_them in several if all_of_them)
    return everything if len(everything) > MOSTLY * len(several) else frozenset()


def document_ids(row: gates.Golden, contract: gates.Contract) -> set[str]:
    """The ids of the documents that an answer to this row may cite."""
    return set(gates.read_answer(row, gates.Output(id=row.id, output=""), contract).documents)


def documents_problem(row: gates.Golden, contract: gates.Contract) -> str:
    """In what way the documents that may be cited are not those that the prompt shows; empty if they are."""
    found = _listed(row, contract) if row.documents else _found(row, contract)
    return next(found, "")


def _listed(row: gates.Golden, contract: gates.Contract) -> Iterator[str]:
    prompt = "\n".join(message["content"] for message in row.prompt)
    shown, ids = spelled(prompt), [id_key(document["id"]) for document in row.documents]
    texts = {name: _text(document, contract) for name, document in zip(ids, row.documents, strict=True)}
    for name, document in zip(ids, row.documents, strict=True):
        strings = [value for value in document.values() if isinstance(value, str)]
        sentences = [value for value in strings if " " in value.strip()]  # `lang: en` stands in any prompt
        keys = [texts[name]] if texts[name] else sentences or [*strings, name]
        if not any(_shows(shown, key) for key in keys):
            yield f": document {name} is not in its prompt"
    for name, text in texts.items():
        others = "|".join(re.escape(other) for other in ids if other != name)
        begins = [rf"[\[(\u3010](?:{others})[\])\u3011]", *_begins(prompt, text, name, others)]
        if others and any(re.search(rf"^\s*{one}", text, re.MULTILINE) for one in begins):
            yield f": the text of document {name} holds what looks like another document"
    yield from _numbered_otherwise(shown, {name: spelled(text)[:BEGINNING] for name, text in texts.items() if text})


def _begins(prompt: str, text: str, name: str, others: str) -> Iterator[str]:
    """How a document with another id would begin, as the line does in which this one begins or the line before it."""
    lines = prompt[: prompt.find(text)].split("\n")[-2:] if text in prompt else []
    for line in lines:
        before, own, behind = line.strip().partition(name)
        # A number with a point alone begins the items of a list too, which a document may hold.
        if own and len(line) <= NEARBY and re.search(r"[^\W\d_]|[<>\[\]()#\u3010\u3011]", before + behind):
            yield rf"{re.escape(before)}(?:{others})(?!\w){re.escape(behind.strip())}"


def _text(document: Mapping[str, object], contract: gates.Contract) -> str:
    text = document.get(contract.document_text)
    return text if isinstance(text, str) else ""


def _shows(shown: str, text: str) -> bool:
    written = spelled(json.dumps(text, ensure_ascii=False)[1:-1])
    return any(one and one in shown for one in (spelled(text)[:BEGINNING], written[:BEGINNING]))


def _numbered_otherwise(shown: str, texts: Mapping[str, str]) -> Iterator[str]:
    """A document whose own number is not at that side of it where every document has one: an id, or one in brackets.

    Other numbers may stand beside its own: those of a page or a year.
    """
    places = sorted((shown.find(text), text, name) for name, text in texts.items())
    if len(set(texts.values())) < len(texts) or any(start < 0 for start, _, _ in places):
        return
    names = "|".join(sorted(map(re.escape, texts), key=len, reverse=True))
    number = rf"(?<![\w.])(?:{names})(?!\w)|(?<=\[)\d{{1,2}}(?=\])"
    ends = [0, *(start + len(text) for start, text, _ in places)]
    before, after = [], []
    for (start, text, name), end in zip(places, ends, strict=False):
        found = re.findall(number, shown[max(end, start - NEARBY) : start])
        before.append((name, name if name in found else found[-1] if found else ""))
        behind = re.match(rf"\W{{0,3}}?({number})", shown[start + len(text) :])
        after.append((name, behind[1] if behind else ""))
    sides = [side for side in (before, after) if all(label for _, label in side)]
    if sides and not any(all(name == label for name, label in side) for side in sides):
        name, label = next((name, label) for name, label in sides[0] if name != label)
        yield f": document {name} has the number {label} in its prompt"


def _found(row: gates.Golden, contract: gates.Contract) -> Iterator[str]:
    """What is wrong with the documents that the contract's pattern finds in the prompt."""
    if contract.documents is None:
        return
    seen: Counter[str] = Counter()
    for message in row.prompt:
        matches = list(contract.documents.find(message["content"]))
        if matches and message["role"] == "assistant":
            yield ": an earlier answer in its prompt reads like a document"
        seen.update(id_key(contract.documents.named(match)["id"]) for match in matches)
        fields = {field for match in matches for field in FIELD.findall(match.text)}
        outside = fields & set(FIELD.findall(contract.documents.replaced(message["content"], lambda _: "\n")))
        if len(outside) > 1:
            yield f": beside its documents stands a block with {some(sorted(outside), 3)} that is not read as one"
    twice = sorted(name for name, count in seen.items() if count > 1)
    if twice:
        yield f": its prompt shows two documents with the id {twice[0]}"


def given_away(row: gates.Golden, contract: gates.Contract) -> bool:
    """Whether the reference answer stands in the question, word for word, outside the documents."""
    answer = gates.read_answer(row, gates.Output(id=row.id, output=row.gold or ""), contract)
    said, question = spelled(answer.prose), _question(row, contract)
    return bool(row.answerable) and answer.answered and len(said.split()) >= AT_LEAST and said in question


def _question(row: gates.Golden, contract: gates.Contract) -> str:
    """The last message without each document, once; empty where it cannot be told from its documents."""
    text = row.prompt[-1]["content"]
    if not row.documents:
        return "" if contract.documents is None else spelled(contract.documents.replaced(text, lambda _: " "))
    for document in row.documents:
        content = _text(document, contract)
        shown = next((one for one in (content, content.rstrip(".")) if one and one in text), None)
        if shown is None:
            return ""
        text = text.replace(shown, " ", 1)
    return spelled(text)


def copies(rows: Sequence[gates.Golden]) -> dict[int, str]:
    """For each row that asks what an earlier one asks, the earlier one's id."""
    first: dict[object, str] = {}
    found = {}
    for number, row in enumerate(rows):
        key = near_key(row)
        if key in first:
            found[number] = first[key]
        first.setdefault(key, row.id)
    return found


def swallowing(rows: Sequence[gates.Golden], policy: gates.Policy) -> list[str]:
    """The clusters that hold far more rows than the others do, since version 3 of a policy, and what to do.

    A cluster is wrong if one of its rows is, so a large one may be wrong throughout and count as one.
    """
    key = policy.cluster_key
    if key is None or policy.version < SPENDING:
        return []
    sizes = Counter(id_key(row.meta[key]) for row in rows if key in row.meta)
    most = max(TIMES * median(sizes.values()), SHARE * len(rows)) if sizes else 0
    return [
        f"{count} of {len(rows)} rows have {name!r} as meta.{key} and count as one, the median cluster has "
        f"{median(sizes.values()):g}. Give them finer names, at most {int(most)} rows each, or leave rows out"
        for name, count in sizes.most_common()
        if count > most
    ]


def shared_things(rows: Sequence[gates.Golden], questions: Sequence[str]) -> str:
    """How much less the answerable rows prove if those that ask about one thing go the same way; empty if none do.

    The thing is the rarest word of a question; a question with a word of its own asks about something of its own.
    """
    words = [set(question.replace("?", " ").split()) for question in questions]
    rows_of = Counter(word for one in words for word in one)
    things: Counter[str] = Counter()
    for number, (row, one) in enumerate(zip(rows, words, strict=True)):
        count, word = min(((rows_of[word], word) for word in one), default=(0, ""))
        own = count > max(1, COMMON * len(rows)) or not word
        things[f"row {number}" if own else word] += bool(row.answerable)
    n, few = sum(things.values()), sum(count > 0 for count in things.values())
    if not n or few > FEWER * n:
        return ""
    name, most = things.most_common(1)[0]
    apart, together = (100 * statistics.lower_bound(one, one, CONFIDENCE) for one in (n, few))
    return (
        f"{n} answerable rows ask about {few} things ({name!r} in {most} rows). If rows of one thing go the same way, "
        f"a perfect score proves ≥ {together:.1f} % and not ≥ {apart:.1f} %: name the thing in each row's meta, and "
        "that key as gates.cluster_key"
    )
