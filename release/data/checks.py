"""The checks of the data gate: what each asks of a row, how bad it is to fail it, and what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from release.data.dataset import Dataset

UNANSWERABLE = (0.2, 0.4)  # the share of rows that should be refused: fewer teach no refusal, more teach little else
Level = Literal["error", "warning"]
Kind = Literal["true", "unique", "length", "share"]


@dataclass(frozen=True, kw_only=True)
class Check:
    level: Level
    """What it is unless ``data.checks`` says otherwise."""
    says: str
    """Of a row that fails it."""
    kind: Kind = "true"
    """What its column must be: all true, without repeats, within a length, or a mean within a share."""


CHECKS: Mapping[str, Check] = {
    "roles": Check(level="error", says="its messages are not an optional system, then user and assistant in turn"),
    "json": Check(level="error", says="the reference answer is not JSON"),
    "schema": Check(level="error", says="the reference answer breaks the schema"),
    "rules": Check(level="error", says="the reference answer breaks a contract rule"),
    "refusal": Check(level="error", says="it cannot be told whether the reference answer refuses"),
    "labels": Check(level="error", says="the reference answer refuses what is labelled answerable, or the reverse"),
    "citations": Check(level="error", says="the reference answer cites a document that the row does not hold"),
    "length": Check(level="error", says="it is too long", kind="length"),
    "end_token": Check(level="error", says="it does not teach the model to stop"),
    "template": Check(level="error", says="it cannot be learned as it would be asked"),
    "special_tokens": Check(level="error", says="it holds a token by which chats are told apart, as text"),
    "earlier_answers": Check(level="error", says="an earlier answer, which data.learn: all learns, is not a right one"),
    "ids": Check(level="error", says="its id stands twice in this file", kind="unique"),
    "prompts": Check(level="error", says="its prompt stands twice in this file", kind="unique"),
    "questions": Check(level="warning", says="its question stands twice in this file, over other documents"),
    "leakage": Check(level="error", says="its question is in the golden set too: the gates would measure memory"),
    "near_duplicates": Check(
        level="error", says="it is nearly a row of the golden set: the gates would measure memory"
    ),
    "placeholders": Check(level="error", says="it holds placeholder text"),
    "control_characters": Check(level="error", says="it holds control or private characters"),
    "script": Check(level="warning", says="it is in another script than most rows"),
    "secrets": Check(level="warning", says="it holds what looks like a secret; the model would learn it"),
    "personal_data": Check(level="warning", says="it holds what looks like personal data"),
    "support": Check(
        level="error", says="its support is every document, as in most rows: an answer that cites everything is right"
    ),
    "documents": Check(level="error", says="its documents are not those that its prompt shows"),
    "given_away": Check(level="error", says="its reference answer stands in its question"),
    "copies": Check(level="error", says="its prompt is another row's, but for case, marks or invisible characters"),
    "tuning_leakage": Check(
        level="error", says="its question is among the tuning rows too, or nearly: evaluation would measure memory"
    ),
    "balance": Check(level="warning", says="the share of unanswerable rows is outside 20-40 %", kind="share"),
}
OF_TRAINING_ONLY = {"leakage", "near_duplicates", "end_token", "earlier_answers", "tuning_leakage"}
OF_GOLDEN_ONLY = {"support", "documents", "given_away", "copies"}
NEED_TOKENS = {"length", "end_token", "template"}
FOLLOW_FROM_JSON = {"schema", "rules", "refusal", "labels", "citations"}
"""Not told of a row whose answer is not JSON: that says it already."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A part of a row: characters of one of its messages, the reference answer being the last."""

    message: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    check: str
    level: Level
    split: str
    line: int
    row: str
    """The row's id; empty where the whole file is meant."""
    says: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Split:
    """One file as it was checked."""

    name: str
    dataset: Dataset
    unanswerable: tuple[bool | None, ...] = ()
    """Of each row, by its label or else by its reference answer; None where neither says."""
    asked: Sequence[tuple[str, ...]]
    """Of each row, its question: without its documents, without the lines that many rows share, and as it stands."""


@dataclass(frozen=True, kw_only=True)
class Report:
    splits: tuple[Split, ...]
    findings: tuple[Finding, ...]
    unchecked: Mapping[str, str]
    """Checks that were not made, and why."""
    max_length: int | None

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.level == "error")

    @property
    def passed(self) -> bool:
        return not self.errors

    def line(self, finding: Finding) -> str:
        """A finding in words, with file, line and row."""
        path = next(split.dataset.path for split in self.splits if split.name == finding.split)
        where = f"{path}:{finding.line}: row {finding.row}" if finding.row else str(path)
        return f"{where}: {finding.says}"
