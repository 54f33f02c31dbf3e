"""What each row shows to the checks of the data gate: a value for each, and the evidence for those that fail.

Answers are read by the gates' own strict reader, lengths by the base model's own tokenizer.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import gates
from gates.canonical import digest
from release.data import golden_checks, parallel, text_checks
from release.data.chat import Example, Measured
from release.data.checks import CHECKS, Mark, Split
from release.data.dataset import Dataset, earlier_answers
from release.data.expectations import Column
from release.values.events import Say

WENT_THROUGH = "Give the messages apart, as they were before a chat template wrote them, or take it out of the text"
WORDS = 4
"""Of a question that is looked for inside other texts: a shorter one stands anywhere."""
MANY = 5  # rows that share a line before it can count as an instruction


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many tokens a row may have; None: not known here."""

    max_length: int | None = None
    max_new_tokens: int | None = None
    """Of an answer that is judged: a longer reference answer could never be given."""
    every_answer: bool = False
    """Whether each answer of a conversation is learned, and not the last alone."""


@dataclass
class Facts:
    """What one row shows: a value for each check, and the evidence for those that fail."""

    columns: dict[str, Column] = field(default_factory=dict)
    says: dict[str, str] = field(default_factory=dict)
    marks: dict[str, tuple[Mark, ...]] = field(default_factory=dict)


def splits(datasets: Sequence[tuple[str, Dataset]], contract: gates.Contract) -> list[Split]:
    """Each file with what its rows ask, and which of them should be refused."""
    count = sum(len(dataset.rows) for _, dataset in datasets)
    usual = _usual((_lines(row, contract) for _, dataset in datasets for row in dataset.rows), count)
    return [
        Split(
            name=name,
            dataset=dataset,
            unanswerable=tuple(_unanswerable(row, _answer(row, contract)) for row in dataset.rows),
            asked=tuple(_kept(name, _asked(row, _lines(row, contract), usual)) for row in dataset.rows),
        )
        for name, dataset in datasets
    ]


def facts(
    split: Split, others: Sequence[Split], contract: gates.Contract, limits: Limits, say: Say = lambda _: None
) -> list[Facts]:
    """What each row of a file shows, beside the rows of the other files."""
    rows, name = split.dataset.rows, f"rows of {split.dataset.path.name} checked"
    found = parallel.each(lambda number: _of_number(split, number, contract, limits), len(rows), say, name)
    _repeats(found, split)
    if split.name == "golden":
        _lies(found, split.dataset.rows, contract)
    for other in others:
        if split.name != "golden" and other.name == "golden":
            _leaks(found, split, other, say)
        if split.name == "train" and other.name == "tuning":
            _leaks_to_tuning(found, split, other, say)
    return found


def _of_number(split: Split, number: int, contract: gates.Contract, limits: Limits) -> Facts:
    """What a row shows by itself, with evidence only for what it fails."""
    row, label = split.dataset.rows[number], split.unanswerable[number]
    one = _of_row(row, contract)
    one.columns["balance"] = None if label is None else float(label)
    if split.dataset.measured:
        _measure(one, split.dataset.measured[number], split.name, limits)
        _special(one, row, split.dataset.measured[number])
    one.columns["earlier_answers"] = True
    if limits.every_answer:
        _earlier(one, row, contract)
    for name in [name for name, value in one.columns.items() if value is True]:
        one.says.pop(name, None)
        one.marks.pop(name, None)
    return one


def _answer(row: gates.Golden, contract: gates.Contract) -> gates.Answer:
    return gates.read_answer(row, gates.Output(id=row.id, output=row.gold or ""), contract)


def _unanswerable(row: gates.Golden, answer: gates.Answer) -> bool | None:
    return answer.fields.refused if row.answerable is None else not row.answerable


def _of_row(row: gates.Golden, contract: gates.Contract) -> Facts:
    answer = _answer(row, contract)
    facts = Facts()
    facts.columns |= {"ids": row.id, "prompts": digest(list(row.prompt))}
    facts.columns["roles"] = _turns_in_order(row)
    facts.columns["json"] = answer.parsed
    if not answer.parsed:
        facts.says["json"] = f" ({answer.reading.code}: {answer.reading.detail})"
    _faults(facts, row, answer)
    texts = [*(message["content"] for message in row.prompt), row.gold or ""]
    for name in text_checks.PATTERNS:
        _put(
            facts,
            name,
            [Mark(message=n, start=s, end=e) for n, text in enumerate(texts) for s, e in text_checks.spans(name, text)],
        )
    marked = [text[s:e] for text in texts for s, e in text_checks.spans("special_tokens", text)]
    facts.says["special_tokens"] = f": {', '.join(dict.fromkeys(marked))}. {WENT_THROUGH}"
    facts.columns["script"] = text_checks.script(" ".join(texts))
    return facts


def _special(facts: Facts, row: gates.Golden, example: Measured) -> None:
    """The base's own special tokens in a row's text, beside those that any chat template writes."""
    if not example.special:
        return
    texts = [*(message["content"] for message in row.prompt), row.gold or ""]
    found = [(n, one, text.find(one)) for n, text in enumerate(texts) for one in example.special]
    marks = [Mark(message=n, start=at, end=at + len(one)) for n, one, at in found if at >= 0]
    _put(facts, "special_tokens", marks)
    facts.says["special_tokens"] = f": {', '.join(example.special)}, which the base reads as a real one. {WENT_THROUGH}"


def _earlier(facts: Facts, row: gates.Golden, contract: gates.Contract) -> None:
    """What is wrong with the answers before the last: they are learned as it is."""
    for number, text in earlier_answers(row):
        answer = gates.read_answer(row, gates.Output(id=row.id, output=text), contract)
        faults = [*answer.schema_faults, *answer.rule_faults]
        if answer.parsed and not faults:
            continue
        why = f"{answer.reading.code}: {answer.reading.detail}" if not answer.parsed else faults[0].message
        facts.columns["earlier_answers"] = False
        facts.says["earlier_answers"] = f": message {number + 1}: {why}"
        facts.marks["earlier_answers"] = (Mark(message=number, start=0, end=len(text)),)
        return


def _put(facts: Facts, name: str, marks: Sequence[Mark]) -> None:
    facts.columns[name] = not marks
    facts.marks[name] = tuple(marks)


def _faults(facts: Facts, row: gates.Golden, answer: gates.Answer) -> None:
    """What the contract says of the reference answer."""
    text, last = row.gold or "", len(row.prompt)

    def put(name: str, faults: Sequence[tuple[str, str]]) -> None:
        facts.columns[name] = answer.parsed and not faults
        if faults:
            facts.says[name] = ": " + "; ".join(said for _, said in faults)
        places = [text_checks.locate(text, path) for path, _ in faults if path]
        facts.marks[name] = tuple(Mark(message=last, start=one[0], end=one[1]) for one in places if one)

    refusal = [fault for fault in answer.rule_faults if fault.rule == "refusal"]
    rules = [fault for fault in answer.rule_faults if fault.rule != "refusal"]
    put("schema", [(fault.path, f"{fault.path or 'the answer'}: {fault.message}") for fault in answer.schema_faults])
    put("rules", [(fault.path, f"{fault.rule}: {fault.message}") for fault in rules])
    put("refusal", [(fault.path, fault.message) for fault in refusal])
    disagrees = row.answerable is not None and answer.fields.refused is row.answerable
    put("labels", [("/", f"labelled {'answerable' if row.answerable else 'unanswerable'}")] if disagrees else [])
    strange = sorted(answer.cited - answer.documents) if answer.documents else []
    put("citations", [("/", ", ".join(strange))] if strange else [])


def _turns_in_order(row: gates.Golden) -> bool:
    roles = [message["role"] for message in row.prompt]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    return len(turns) % 2 == 1 and turns == (["user", "assistant"] * len(turns))[: len(turns)]


def _measure(facts: Facts, example: Measured, split: str, limits: Limits) -> None:
    counted, limit, setting = example.total, limits.max_length, "data.max_length"
    if split == "golden":
        counted, limit, setting = example.learned, limits.max_new_tokens, "generation.max_new_tokens"
    counted = counted or 1  # a row that the template refuses has no length; its own finding says so
    facts.columns |= {"length": counted, "end_token": counted <= (limit or 0), "template": not example.fault}
    facts.says["length"] = f": {counted} tokens, {setting} is {limit}"
    facts.says["end_token"] = f": cut at {setting} it loses its end-of-sequence token"
    facts.says["template"] = f": {example.fault}"


def _lines(row: gates.Golden, contract: gates.Contract) -> list[str]:
    """The lines of the last message less its documents, without case, punctuation and spacing; a '?' stays."""
    text = row.prompt[-1]["content"]
    if contract.documents is not None:
        text = contract.documents.replaced(text, lambda _: " ")
    for document in row.documents:
        content = document.get(contract.document_text)
        if isinstance(content, str) and content:
            text = text.replace(content, " ").replace(content.rstrip("."), " ")
    named = ((text_checks.normalised(line), "?" if "?" in line else "") for line in text.splitlines())
    return [line + mark for line, mark in named if line and not line.isdigit()]


def _usual(rows: Iterable[Sequence[str]], count: int) -> frozenset[str]:
    """Lines that stand in a twentieth of all rows, such as instructions, by what is short for each.

    A question is never one.
    """
    counts = Counter(text_checks.short(line) for lines in rows for line in set(lines) if not line.endswith("?"))
    return frozenset(line for line, n in counts.items() if n >= max(MANY, count / 20))


def _kept(name: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(text_checks.short, asked)) if name == "train" else asked


def _asked(row: gates.Golden, lines: Sequence[str], usual: frozenset[str]) -> tuple[str, ...]:
    whole = text_checks.normalised(row.prompt[-1]["content"])
    without = (line for line in lines if text_checks.short(line) not in usual)
    return tuple(dict.fromkeys(one for one in (" ".join(lines), " ".join(without), whole) if one))


def unfit(row: gates.Golden, example: Example, max_length: int) -> Iterator[str]:
    """Why a row cannot be trained on, in the words of the checks; it must fit, and be learned as it would be asked."""
    shown = Facts()
    _measure(shown, example.measured, "train", Limits(max_length=max_length))
    failed = {"length": example.total > max_length, "template": bool(example.fault)}
    for name in (name for name, wrong in failed.items() if wrong):
        yield f"row {row.id}: {CHECKS[name].says}{shown.says[name]}"


def _repeats(facts: Sequence[Facts], split: Split) -> None:
    rows = split.dataset.rows
    first: dict[str, int] = {}
    for number, asked in enumerate(split.asked):
        earlier = min((first[one] for one in asked if one in first), default=None)
        facts[number].columns["questions"] = earlier is None
        if earlier is not None:
            facts[number].says["questions"] = f": first in row {rows[earlier].id}"
        for one in asked:
            first.setdefault(one, number)
    scripts = Counter(one.columns["script"] for one in facts)
    usual = scripts.most_common(1)[0][0] if scripts else ""
    for fact in facts:
        if (other := fact.columns["script"]) not in (usual, ""):
            fact.says["script"] = f": {other}, most rows are {usual}"
        fact.columns["script"] = other in (usual, "")


def _lies(facts: Sequence[Facts], rows: Sequence[gates.Golden], contract: gates.Contract) -> None:
    """What makes a row of the golden set take a wrong answer for right, or count twice."""
    everything, same = golden_checks.naming_everything(rows, contract), golden_checks.copies(rows)
    for number, (one, row) in enumerate(zip(facts, rows, strict=True)):
        problem = golden_checks.documents_problem(row, contract)
        one.columns |= {"support": number not in everything, "documents": not problem, "copies": number not in same}
        one.columns["given_away"] = not golden_checks.given_away(row, contract)
        one.says |= {"documents": problem, "copies": f" (row {same.get(number, '')})"}


Same = tuple[int, str]
"""A message, and the row of another file that asks the same."""
Alike = tuple[int, int, float]
"""A message, the number of a row of another file that nearly asks the same, and how similar they are."""


def _shared(split: Split, golden: Split, say: Say) -> Iterator[tuple[Same | None, Alike | None]]:
    """Of each row what another file asks too, or nearly; in its earlier turns and in its system text too."""
    ids = {asked: row.id for row, some in zip(golden.dataset.rows, golden.asked, strict=True) for asked in some}
    asked_there = {text_checks.short(asked): id_ for asked, id_ in ids.items()}
    inside, near = _Inside(ids), text_checks.Near([row.prompt[-1]["content"] for row in golden.dataset.rows])

    def leak(number: int) -> tuple[Same | None, Alike | None]:
        row = split.dataset.rows[number]
        last = len(row.prompt) - 1
        same = next(((last, asked_there[one]) for one in split.asked[number] if one in asked_there), None)
        same = same or next(((n, id_) for n in range(last) if (id_ := inside.of(row.prompt[n]["content"]))), None)
        asked = (n for n, message in enumerate(row.prompt) if n == last or message["role"] == "user")
        alike = ((n, *found) for n in asked if (found := near.of(row.prompt[n]["content"])))
        return same, next(alike, None)

    yield from parallel.each(leak, len(split.dataset.rows), say, f"rows of {split.dataset.path.name} compared")


def _leaks_to_tuning(facts: Sequence[Facts], split: Split, tuning: Split, say: Say) -> None:
    """Training rows that ask what a tuning row asks, or nearly."""
    for one, row, (same, alike) in zip(facts, split.dataset.rows, _shared(split, tuning, say), strict=True):
        one.columns["tuning_leakage"] = same is None and alike is None
        other = same[1] if same else tuning.dataset.rows[alike[1]].id if alike else ""
        place = (same or alike or (0,))[0]
        one.says["tuning_leakage"], one.marks["tuning_leakage"] = f" (tuning row {other})", (_whole(row, place),)


def _leaks(facts: Sequence[Facts], split: Split, golden: Split, say: Say) -> None:
    """Rows that ask what the golden set asks, or nearly."""
    for one, row, (same, alike) in zip(facts, split.dataset.rows, _shared(split, golden, say), strict=True):
        one.columns |= {"leakage": same is None, "near_duplicates": alike is None}
        if same is not None:
            place = same[0]
            where = "" if place == len(row.prompt) - 1 else f", in message {place + 1}, by {row.prompt[place]['role']}"
            one.says["leakage"], one.marks["leakage"] = f" (golden row {same[1]}{where})", (_whole(row, place),)
        if alike is not None:
            place, other, similarity = alike
            one.says["near_duplicates"] = f" (row {golden.dataset.rows[other].id}: {similarity:.0%} of three-word runs)"
            one.marks["near_duplicates"] = (_whole(row, place),)


def _whole(row: gates.Golden, message: int) -> Mark:
    return Mark(message=message, start=0, end=len(row.prompt[message]["content"]))


class _Inside:
    """Finds questions that stand word for word inside other texts."""

    def __init__(self, asked: Mapping[str, str]) -> None:
        self.starting: dict[tuple[str, ...], list[tuple[tuple[str, ...], str]]] = {}
        for text, id_ in asked.items():
            words = tuple(text_checks.normalised(text).split())
            if len(words) >= WORDS:
                self.starting.setdefault(words[:WORDS], []).append((words, id_))
        self.known: dict[str, str | None] = {}

    def of(self, text: str) -> str | None:
        """The golden row whose question stands in a text."""
        if text not in self.known:  # most rows share their system text
            if len(self.known) == 1000:
                self.known.clear()
            self.known[text] = self._found(text)
        return self.known[text]

    def _found(self, text: str) -> str | None:
        words = tuple(text_checks.normalised(text).split())
        for start in range(len(words) - WORDS + 1):
            for question, id_ in self.starting.get(words[start : start + WORDS], ()):
                if words[start : start + len(question)] == question:
                    return id_
        return None
