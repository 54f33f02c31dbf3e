"""What is said of a model that somebody serves, of which nobody here has a byte: as values, and as a JSON file.

Its schema is ``schemas/attestation.schema.json``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gates.canonical import digest
from release.values import record as records
from release.values.as_json import OPTIONAL, Tree, tree
from release.values.record import Decoding, Program, Rows, Source

VERSION = 1
NO_BYTES = "no bytes were judged: an address answered, and what is behind it nobody here has seen"


@dataclass(frozen=True, kw_only=True)
class Hosted:
    """The model, as it was asked for and as the address spoke of it. None of it is proved."""

    url: str
    asked_for: str
    """The name in every question."""
    served_model: str
    """The name in every answer."""
    system_fingerprint: str | None
    server: str | None
    server_version: str | None

    @property
    def sha256(self) -> str:
        """Of what is said here: the ledger holds it where the digest of an adapter would stand."""
        return digest(tree(self))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How it was asked, and when."""

    by: str
    decoding: Decoding
    seed: int
    chat_template_kwargs: Tree
    prompts_sha256: str
    """Of the messages of all questions."""
    began: str
    ended: str
    """In UTC, by the clock of the machine that asked."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """Where it is published, and under which licence."""

    repo_id: str
    tag: str
    license: str
    language: list[str]
    tags: list[str]


@dataclass(frozen=True, kw_only=True)
class Attestation:
    attestation: int
    program: Program
    name: str
    judged: str
    """``NO_BYTES``."""
    model: Hosted
    asked: Asked
    source: Source
    golden: Rows
    policy_sha256: str
    answers_sha256: str
    verdict_sha256: str
    passed: bool
    attempt: int
    """Which attempt this is of all that were judged on this golden set, at least."""
    published: Published
    record_sha256: str = ""
    """Of the canonical JSON of all but this and ``files``."""
    files: Tree | None = field(default=None, metadata=OPTIONAL)
    """sha256 of every file published beside this one."""


def prompts_sha256(prompts: Iterable[Sequence[Mapping[str, str]]]) -> str:
    """Of the messages of all questions, in their order."""
    return digest([[dict(message) for message in prompt] for prompt in prompts])


def problems(value: object) -> list[str]:
    """Where a JSON value is not what the schema says, or its own digest is another."""
    return records.checked(value, "attestation", VERSION)
