"""Where two texts first differ in tokens, by the tokenizer of somebody else's release: in a process of its own.

Its patterns and rules may take all time and all memory, and its library ends the process where it gets none.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from release.running import child
from release.running.tied import inherited as locks
from release.running.tied import tied

SECONDS = 60
"""Of a processor, for all texts together; an honest tokenizer reads a thousand answers in one."""
MEMORY = 4 << 30
"""Bytes of address space; the largest vocabularies of today take one."""
Pair = tuple[str, str]


def first_different(tokenizer: Path, pairs: Sequence[Pair]) -> list[int | None]:
    """Of each pair the number of the first other token; None where the tokenizer does not tell within its bounds."""
    nothing: list[int | None] = [None] * len(pairs)
    if not pairs or not tokenizer.exists():
        return nothing
    try:
        done = subprocess.run(
            tied([sys.executable, "-P", "-m", __name__, str(tokenizer), str(SECONDS)]),
            **locks(),
            input=json.dumps(pairs),
            capture_output=True,
            text=True,
            env={**child.inherited(), **child.ENVIRONMENT},
            timeout=10 * SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return nothing
    return list(json.loads(done.stdout)) if done.returncode == 0 else nothing


def first_difference(one: Sequence[object], other: Sequence[object]) -> int:
    """The place of the first item that differs; of two of which one begins the other, where that ends."""
    both = zip(one, other, strict=False)
    return next((number for number, (a, b) in enumerate(both) if a != b), min(len(one), len(other)))


def main() -> None:
    """The process: pairs on standard input, places on standard output."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]), int(sys.argv[2])))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    from tokenizers import Tokenizer

    read: Tokenizer = Tokenizer.from_file(sys.argv[1])
    read.no_truncation()  # some files say how long a text may be
    read.no_padding()
    pairs = ((read.encode(text, add_special_tokens=False).ids for text in pair) for pair in json.load(sys.stdin))
    sys.stdout.write(json.dumps([first_difference(*pair) for pair in pairs]))


if __name__ == "__main__":
    main()
