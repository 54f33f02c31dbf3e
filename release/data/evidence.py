"""What each row shows to the checks of the data gate: a value for each, and the evidence for those that fail.

Answers are read by the gates' own strict reader, lengths by the base model's own tokenizer.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import gates
from gates.canonical import digest_of_texts
from release.data import golden_checks, parallel, stored, text_checks
from release.data.chat import Example, Measured
from release.data.checks import CHECKS, OF_GOLDEN_ONLY, Mark, Split
from release.data.dataset import Dataset, earlier_answers
from release.data.expectations import Column
from release.values.events import Say

WENT_THROUGH = "Give the messages apart, as they were before a chat template wrote them, or take it out of the text"
WORDS = 4
"""Of a question that is looked for inside other texts: a shorter one stands anywhere."""
DIGEST = 16
"""Bytes of a sha256 that are kept: two of a million texts share them once in 10^27 files."""
COUNTED = 200_000
"""Different lines that are counted at once."""
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


class Shown:
    """What all rows of a file show: a column for each check, and the evidence of those rows alone that fail one."""

    def __init__(self) -> None:
        self.rows = 0
        self.columns: dict[str, MutableSequence[Any]] = {}
        """Of what is true or not a byte for each row, of all else a list."""
        self.numbers: dict[tuple[str, float], float] = {}
        self.says: dict[tuple[int, str], str] = {}
        self.marks: dict[tuple[int, str], tuple[Mark, ...]] = {}

    def add(self, one: Facts) -> None:
        """What the next row shows by itself."""
        for name, value in one.columns.items():  # each row has all of them
            if isinstance(value, bool):
                self.columns.setdefault(name, bytearray()).append(value)
                continue
            column = self.columns.setdefault(name, [])
            if isinstance(value, int | float):  # of which there are a few, in a million rows
                column.append(self.numbers.setdefault((name, value), value))
            else:
                column.append(value)
        for name, says in one.says.items():
            self.says[self.rows, name] = says
        for name, marks in one.marks.items():
            self.marks[self.rows, name] = marks
        self.rows += 1

    def put(self, name: str, number: int, says: str, marks: tuple[Mark, ...] = ()) -> None:
        """What a row shows beside others: it fails this check."""
        self.columns[name][number] = False
        self.says[number, name], self.marks[number, name] = says, marks

    @property
    def unanswerable(self) -> tuple[bool | None, ...]:
        """Which rows should be refused."""
        return tuple(None if one is None else bool(one) for one in self.columns.get("balance", ()))

    def all_well(self, name: str) -> None:
        """A column of which nothing failed so far."""
        self.columns[name] = bytearray(b"\1" * self.rows)


def splits(datasets: Sequence[tuple[str, Dataset]], contract: gates.Contract, say: Say = lambda _: None) -> list[Split]:
    """Each file with what its rows ask; which of them should be refused is known with their ``facts``."""
    usual = _usual([dataset for _, dataset in datasets], contract, say)
    return [Split(name=name, dataset=one, asked=_questions(one, contract, usual)) for name, one in datasets]


def _questions(dataset: Dataset, contract: gates.Contract, usual: frozenset[bytes]) -> Sequence[tuple[str, ...]]:
    """What each row asks; of rows on the disk it is made when it is asked for."""
    rows = dataset.rows
    made = stored.Made(lambda number: _asked(rows[number], _lines(rows[number], contract), usual), len(rows))
    return made if isinstance(rows, stored.Made) else tuple(made)


def facts(
    split: Split, others: Sequence[Split], contract: gates.Contract, limits: Limits, say: Say = lambda _: None
) -> Shown:
    """What each row of a file shows, beside the rows of the other files."""
    rows, name, found = split.dataset.rows, f"rows of {split.dataset.path.name} checked", Shown()
    asked, beside = _Asked(), [_Beside(split, other) for other in others if _compared(split, other)]

    def work(number: int) -> tuple[Facts, list[bytes], list[Met | None]]:
        met = [one.met(number) for one in beside]
        return _of_number(split, number, contract, limits), _digests(split.asked[number]), met

    for number, (one, digests, met) in enumerate(parallel.one_by_one(work, len(rows), say, name)):
        found.add(one)
        asked.add(digests)
        for other, some in zip(beside, met, strict=True):
            if some is not None:
                other.found[number] = some
    _repeats(found, asked, rows)
    if split.name == "golden":
        _lies(found, split.dataset.rows, contract)
    for other in beside:
        put = _leaks if other.other.name == "golden" else _leaks_to_tuning
        put(found, split, other.other, other.found)
    return found


def _compared(split: Split, other: Split) -> bool:
    """Whether the rows of a file may not ask what those of another one ask."""
    return other.name == "golden" != split.name or (split.name, other.name) == ("train", "tuning")


def _of_number(split: Split, number: int, contract: gates.Contract, limits: Limits) -> Facts:
    """What a row shows by itself, with evidence only for what it fails."""
    row = split.dataset.rows[number]
    one = _of_row(row, contract)
    if split.dataset.measured:
        _measure(one, split.dataset.measured[number], split.name, limits)
        _special(one, row, split.dataset.measured[number])
    one.columns["earlier_answers"] = True
    if limits.every_answer:
        _earlier(one, row, contract)
    for name in [name for name, value in one.columns.items() if value is True]:
        one.says.pop(name, None)
        one.marks.pop(name, None)
    if one.columns.get("end_token") is True:
        one.says.pop("length", None)
    return one


def _answer(row: gates.Golden, contract: gates.Contract) -> gates.Answer:
    return gates.read_answer(row, gates.Output(id=row.id, output=row.gold or ""), contract)


def _of_row(row: gates.Golden, contract: gates.Contract) -> Facts:
    answer = _answer(row, contract)
    facts = Facts()
    asked = digest_of_texts((one["role"], one["content"]) for one in row.prompt)
    facts.columns |= {"ids": row.id, "prompts": asked[: 2 * DIGEST]}
    label = answer.fields.refused if row.answerable is None else not row.answerable
    facts.columns["balance"] = None if label is None else float(label)
    facts.columns["roles"] = _turns_in_order(row)
    facts.columns["json"] = answer.parsed
    if not answer.parsed:
        facts.says["json"] = f" ({answer.reading.code}: {answer.reading.detail})"
    _faults(facts, row, answer)
    texts = [*(message["content"] for message in row.prompt), row.gold or ""]
    together = "\n".join(texts)
    for name in text_checks.PATTERNS:
        some = enumerate(texts) if text_checks.may_show(name, together) else ()
        _put(
            facts, name, [Mark(message=n, start=s, end=e) for n, text in some for s, e in text_checks.spans(name, text)]
        )
    marked = [texts[one.message][one.start : one.end] for one in facts.marks["special_tokens"]]
    facts.says["special_tokens"] = f": {', '.join(dict.fromkeys(marked))}. {WENT_THROUGH}"
    facts.columns["script"] = text_checks.script(together)
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


def _usual(datasets: Sequence[Dataset], contract: gates.Contract, say: Say) -> frozenset[bytes]:
    """Digests of lines that stand in a twentieth of all rows, such as instructions; a question is never one."""
    rows = sum(len(dataset.rows) for dataset in datasets)
    least = max(MANY, rows / 20)

    def lines() -> Iterator[Sequence[bytes]]:
        for one in datasets:
            work, name = partial(_countable, one.rows, contract), f"lines of {one.path.name}"
            yield from parallel.one_by_one(work, len(one.rows), say, name)

    return frequent(lines, least)


def _asked(row: gates.Golden, lines: Sequence[str], usual: frozenset[bytes]) -> tuple[str, ...]:
    whole = text_checks.normalised(row.prompt[-1]["content"])
    without = (line for line in lines if _digest(line) not in usual)
    return tuple(dict.fromkeys(one for one in (" ".join(lines), " ".join(without), whole) if one))


def unfit(row: gates.Golden, example: Example, max_length: int) -> Iterator[str]:
    """Why a row cannot be trained on, in the words of the checks; it must fit, and be learned as it would be asked."""
    shown = Facts()
    _measure(shown, example.measured, "train", Limits(max_length=max_length))
    failed = {"length": example.total > max_length, "template": bool(example.fault)}
    for name in (name for name, wrong in failed.items() if wrong):
        yield f"row {row.id}: {CHECKS[name].says}{shown.says[name]}"


def _countable(rows: Sequence[gates.Golden], contract: gates.Contract, number: int) -> list[bytes]:
    """The digest of each line of a row that may be usual."""
    return [_digest(line) for line in dict.fromkeys(_lines(rows[number], contract)) if not line.endswith("?")]


def frequent(rows: Callable[[], Iterable[Sequence[bytes]]], least: float, most: int = COUNTED) -> frozenset[bytes]:
    """What stands in so many rows at least, exactly, with about ``most`` different ones counted at once.

    Where there are more, each loses what half of them have (Misra and Gries 1982): nothing that is frequent is lost
    but where more was taken off than that, which is tried again with room for twice as many. Those that are left are
    then counted alone.
    """
    while True:
        counts, taken = Counter[bytes](), 0
        for some in rows():
            counts.update(some)
            if len(counts) > most:
                off = int(median(counts.values()))
                counts, taken = Counter({one: n - off for one, n in counts.items() if n > off}), taken + off
        if taken < least:
            break
        most *= 2
    if taken:
        left = frozenset(counts)
        counts = Counter(one for some in rows() for one in some if one in left)
    return frozenset(one for one, n in counts.items() if n >= least)


class _Asked:
    """The digests of what each row asks, and whether a row before it asks the same."""

    def __init__(self) -> None:
        self.digests, self.counts = bytearray(), bytearray()

    def add(self, digests: Sequence[bytes]) -> None:
        self.digests += b"".join(digests)
        self.counts.append(len(digests))

    def earlier(self) -> dict[int, int]:
        """For each row that asks what one before it asks, the first that does."""
        import numpy as np

        rows = np.repeat(np.arange(len(self.counts)), np.frombuffer(bytes(self.counts), np.uint8))
        keys = np.frombuffer(bytes(self.digests), dtype=[("a", "<u8"), ("b", "<u8")])
        order = np.lexsort((rows, keys["b"], keys["a"]))
        ordered, numbers = keys[order], rows[order]
        new = np.ones(len(order), bool)
        new[1:] = ordered[1:] != ordered[:-1]
        firsts = numbers[new][np.cumsum(new) - 1]
        again = firsts < numbers
        found: dict[int, int] = {}
        for number, first in zip(numbers[again].tolist(), firsts[again].tolist(), strict=True):
            found[number] = min(first, found.get(number, first))
        return found


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:DIGEST]


def _digests(texts: Sequence[str]) -> list[bytes]:
    return [_digest(text) for text in texts]


def _repeats(found: Shown, asked: _Asked, rows: Sequence[gates.Golden]) -> None:
    found.all_well("questions")
    for number, earlier in asked.earlier().items():
        found.put("questions", number, f": first in row {rows[earlier].id}")
    written = found.columns.get("script", [])
    usual = Counter(written).most_common(1)[0][0] if written else ""
    found.all_well("script")
    for number, script in enumerate(written):
        if script not in (usual, ""):
            found.put("script", number, f": {script}, most rows are {usual}")


def _lies(found: Shown, rows: Sequence[gates.Golden], contract: gates.Contract) -> None:
    """What makes a row of the golden set take a wrong answer for right, or count twice."""
    everything, same = golden_checks.naming_everything(rows, contract), golden_checks.copies(rows)
    for name in OF_GOLDEN_ONLY:
        found.all_well(name)
    for number, row in enumerate(rows):
        if number in everything:
            found.put("support", number, "")
        if problem := golden_checks.documents_problem(row, contract):
            found.put("documents", number, problem)
        if number in same:
            found.put("copies", number, f" (row {same[number]})")
        if golden_checks.given_away(row, contract):
            found.put("given_away", number, "")


Same = tuple[int, str]
"""A message, and the row of another file that asks the same."""
Alike = tuple[int, int, float]
"""A message, the number of a row of another file that nearly asks the same, and how similar they are."""
Met = tuple[Same | None, Alike | None]


class _Beside:
    """What the rows of a file share with those of another one, which it holds ready."""

    def __init__(self, split: Split, other: Split) -> None:
        self.split, self.other = split, other
        rows = other.dataset.rows
        self.ids = {asked: row.id for row, some in zip(rows, other.asked, strict=True) for asked in some}
        self.inside = _Inside(self.ids)
        self.near = text_checks.Near([row.prompt[-1]["content"] for row in rows])
        self.found: dict[int, Met] = {}

    def met(self, number: int) -> Met | None:
        """What a row asks that the other file asks too, or nearly; in its earlier turns and in its system text too."""
        prompt = self.split.dataset.rows[number].prompt
        last, ids = len(prompt) - 1, self.ids
        same = next(((last, ids[asked]) for asked in self.split.asked[number] if asked in ids), None)
        same = same or next(((n, id_) for n in range(last) if (id_ := self.inside.of(prompt[n]["content"]))), None)
        asked = (n for n, message in enumerate(prompt) if n == last or message["role"] == "user")
        alike = next(((n, *most) for n in asked if (most := self.near.of(prompt[n]["content"]))), None)
        return None if same is None and alike is None else (same, alike)


def asked_again(
    rows: Sequence[gates.Golden], others: Sequence[gates.Golden], contract: gates.Contract
) -> Iterator[tuple[str, str]]:
    """The ids of two rows, of which one asks word for word what the other one asks: a part of what ``facts`` finds.

    It is had without comparing all words with all, and in this process alone.
    """
    none = frozenset[bytes]()
    ids = {asked: row.id for row in others for asked in _asked(row, _lines(row, contract), none)}
    for row in rows:
        again = next((ids[asked] for asked in _asked(row, _lines(row, contract), none) if asked in ids), None)
        if again is not None:
            yield row.id, again


def _leaks_to_tuning(found: Shown, split: Split, tuning: Split, met: Mapping[int, Met]) -> None:
    """Training rows that ask what a tuning row asks, or nearly."""
    found.all_well("tuning_leakage")
    for number, (same, alike) in met.items():
        place, other = same or (0, "")
        if same is None and alike is not None:
            place, other = alike[0], tuning.dataset.rows[alike[1]].id
        found.put("tuning_leakage", number, f" (tuning row {other})", (_whole(split.dataset.rows[number], place),))


def _leaks(found: Shown, split: Split, golden: Split, met: Mapping[int, Met]) -> None:
    """Rows that ask what the golden set asks, or nearly."""
    ids_of = [row.id for row in golden.dataset.rows] if met else []
    for check in ("leakage", "near_duplicates"):
        found.all_well(check)
    for number, (same, alike) in met.items():
        row = split.dataset.rows[number]
        if same is not None:
            place = same[0]
            where = "" if place == len(row.prompt) - 1 else f", in message {place + 1}, by {row.prompt[place]['role']}"
            found.put("leakage", number, f" (golden row {same[1]}{where})", (_whole(row, place),))
        if alike is not None:
            place, other, similarity = alike
            says = f" (row {ids_of[other]}: {similarity:.0%} of three-word runs)"
            found.put("near_duplicates", number, says, (_whole(row, place),))


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
