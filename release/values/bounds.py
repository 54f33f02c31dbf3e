"""How much of a release is read: of each kind of file, and of all together. What is larger is refused, and not opened.

The figures are far above honest releases (100,000 golden rows, adapters of 100,000 tensors, merged weights of any open
model) and low enough that what somebody else's files cost to read stays within minutes and a few gigabytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from gates import rows

KB, MB, GB = 1000, 1000**2, 1000**3


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file: what its bytes must be, and how many."""

    form: Literal["text", "json", "jsonl", "safetensors", "gguf"]
    most: int
    """Bytes."""
    why: str
    """What the largest honest one holds."""
    longest: int = rows.LONGEST_LINE
    """Bytes of a line, of rows."""


CARD = Kind(form="text", most=64 * MB, why="a table that lists every lost and won row of 100,000 for each gate")
PAGE = Kind(form="text", most=64 * MB, why="a page with all the rows that a browser opens without a wait, twice over")
PICTURE = Kind(form="text", most=1 * MB, why="a picture of all the gates there are")
TEMPLATE = Kind(form="text", most=1 * MB, why="a chat template of hundreds of lines")
TERMS = Kind(form="text", most=1 * MB, why="a licence or a notice")
RECORD = Kind(form="json", most=64 * MB, why="a line for each of 100,000 tensors and files")
SETTINGS = Kind(form="json", most=16 * MB, why="the names of 100,000 modules, or of as many added tokens")
TOKENIZER = Kind(form="json", most=100 * MB, why="a vocabulary of 256,000 tokens and their merges, three times over")
RULES = Kind(form="json", most=4 * MB, why="an answer's schema or a policy, with thousands of allowed values")
RESULT = Kind(form="json", most=64 * MB, why="each wrong, lost or won row of 100,000, for each gate")
STATEMENT = Kind(form="json", most=64 * MB, why="the digest of each file and package, and the configuration")
ROWS = Kind(form="jsonl", most=4 * GB, why="100,000 rows with documents of 40,000 characters")
ANSWERS = Kind(form="jsonl", most=2 * GB, longest=4 * MB, why="100,000 answers of 20,000 characters")
LEDGER = Kind(form="jsonl", most=64 * MB, longest=100 * KB, why="10,000 attempts, each with the digests of 256 rows")
ENVELOPES = Kind(form="jsonl", most=256 * MB, why="two statements, or a review, in base64")
WEIGHTS = Kind(form="safetensors", most=40 * GB, why="a LoRA of high rank over the largest open models")
MERGED = Kind(form="safetensors", most=2000 * GB, why="a merged model of a trillion parameters in one file")
GGUF = Kind(form="gguf", most=2000 * GB, why="the same in one file")

TOTAL = 4000 * GB
"""Bytes of all files together: two such models."""
FILES = 20_000
"""Files and folders together: a thousand shards, and the files of a thousand previous releases and forms."""
PROBLEMS = 20
"""Lines that a step of a check says; how many more there are is counted."""
LINE = 600
"""Characters of such a line: others' values are in it."""
SHOWN = 80
"""Characters of one value or name of somebody else's in a message."""
METADATA = 200_000
"""Characters of a card's YAML: a result has 150, and a gate one result."""
HEADER = 64 * MB
"""Bytes of a safetensors header: 100,000 tensors have 15 million. The library's own limit is 100 million."""

RECEIPT, KEY = 1 * MB, 64 * KB
"""Bytes of what a publisher gives beside a release: a receipt has 400, a key of any kind not a thousand."""

SECONDS = 60
PER_MEGABYTE = {"jsonl": 20.0, "json": 2.0, "text": 0.5, "safetensors": 0.1, "gguf": 0.1}
"""Seconds of a processor for a million bytes of each form: ten times what a slow machine needs to judge or hash it."""


def seconds(sizes: Iterable[tuple[Kind, int]]) -> float:
    """Seconds of a processor that a check of files of these kinds and sizes may take."""
    return SECONDS + sum(PER_MEGABYTE[kind.form] * size / MB for kind, size in sizes)
