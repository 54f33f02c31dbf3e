r"""Regular expressions of a contract, with the meaning that Python gives them, found without backtracking.

Python's ``re`` tries every way to split a text between repeats, so one pattern and one answer can hold it for hours
(CWE-1333). RE2 reads a text once, whatever the pattern is. It does not have Python's ``\d``, ``\w``, ``\b`` and ``$``;
so a text is written down in the characters that the pattern can tell apart, one byte for each kind, and RE2 searches
that. Places in the bytes are places in the text. A pattern by which ``re`` too reads a text once, as most of markers
are, is left to ``re``.
"""

import re
import re._constants as op  # type: ignore[import-not-found]  # no public way to a pattern's tree
import re._parser as parser  # type: ignore[import-not-found]
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from gates import kinds
from gates.invalid import InvalidData

if TYPE_CHECKING:
    import re2

Argument: TypeAlias = Any
"""Of an operation: a number, a tree, or a tuple that holds some. ``re._parser`` has no types."""
Tree: TypeAlias = Sequence[tuple[object, Argument]]
"""A pattern as ``re._parser`` reads it: operations, one after the other."""
MEMORY = 2**20
"""Bytes that RE2 may take for one pattern: some 10,000 steps of its program."""
REPEATS = 1000
"""RE2's most for a counted repeat."""
WORK = 1_000_000_000
"""Characters times steps of the program that all searches of one text may cost, at their worst: seconds. A count and
not a clock, so that every machine comes to the same."""
SINGLE = (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN)
"""Parts of a pattern that stand for one character."""
FEW = 16
"""Parts around a repeat that Python's engine may try again at each character."""
CANNOT = {
    op.ASSERT: "looks ahead or behind: take the neighbour into the pattern, outside the group",
    op.ASSERT_NOT: "looks ahead or behind: take the neighbour into the pattern, outside the group, as in [^x]",
    op.GROUPREF: "repeats what a group matched: write the alternatives out",
    op.GROUPREF_EXISTS: "asks whether a group matched: write the alternatives out",
    op.ATOMIC_GROUP: "has an atomic group: write (?:...), nothing is tried twice here",
    op.POSSESSIVE_REPEAT: "has a possessive repeat: write it without the second +, nothing is tried twice here",
    op.FAILURE: "has a part that never matches: leave it out",
}


class TooMuchWork(InvalidData):
    """A text on which a pattern's searches together could cost more than ``WORK``."""


class _Cannot(Exception):
    """Why RE2 cannot run it."""


class Found(NamedTuple):
    """One place where a pattern matches; a tuple, for there are many and a tuple is made soonest."""

    text: str
    """What it matches."""
    groups: tuple[str | None, ...]
    """What each group matched; None where it took no part."""
    start: int
    end: int
    spans: tuple[tuple[int, int], ...]
    """Where each group stands in the text searched."""


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A regular expression that can be searched in any text in bounded time."""

    source: str
    names: tuple[tuple[str, int], ...]
    """The named groups with their numbers."""
    groups: int
    written: bytes = field(repr=False)
    """The pattern over kinds of characters, for RE2."""
    alphabet: kinds.Kinds = field(repr=False, compare=False)
    direct: re.Pattern[str] | None = field(repr=False, compare=False)
    """For Python's own engine, where that reads a text once too: it is three times as quick."""

    @cached_property
    def _engine(self) -> "re2._Regexp":
        return _engine(self.written)

    @cached_property
    def _size(self) -> int:
        """Steps of its program."""
        return int(self._engine.programsize)

    def find(self, text: str) -> Iterator[Found]:
        """Each place where it matches, from left to right; ``TooMuchWork`` before it could take long."""
        size = self._size
        work = len(text) * size
        self._affordable(work, text)
        for places in self._places(text):
            (start, end), spans = places[0], places[1:]
            groups = tuple([None if low < 0 else text[low:high] for low, high in spans])
            yield Found(text[start:end], groups, start, end, spans)
            work += (len(text) - end) * size
            self._affordable(work, text)

    def _places(self, text: str) -> Iterator[tuple[tuple[int, int], ...]]:
        """Where each match stands, and then its groups."""
        if self.direct is not None:
            return (match.regs for match in self.direct.finditer(text))
        matches = self._engine.finditer(self.alphabet.write(text))
        return (tuple(match._spans) for match in matches)  # noqa: SLF001  # `span(n)` takes longer than the search

    def _affordable(self, work: int, text: str) -> None:
        if work > WORK:
            raise TooMuchWork([f"{self.source!r} cannot be searched for in {len(text)} characters: too much work"])

    def named(self, found: Found) -> dict[str, str | None]:
        """What the named groups matched."""
        return {name: found.groups[number - 1] for name, number in self.names}

    def replaced(self, text: str, new: Callable[[Found], str]) -> str:
        """The text with what is found replaced."""
        parts, last = [], 0
        for found in self.find(text):
            parts += [text[last : found.start], new(found)]
            last = found.end
        return "".join((*parts, text[last:]))


def read_pattern(source: str, flags: int = 0) -> tuple[Pattern | None, str]:
    """The pattern, or None and why it cannot be used."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a set in a set: Python says that its meaning will change
            tree = parser.parse(source, flags)
            re.compile(source, flags)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        return None, f"is not one of Python's regular expressions: {error}"
    try:
        return _pattern(source, tree), ""
    except _Cannot as error:
        return None, str(error)
    except RecursionError:
        return None, "is nested too deeply: write it flatter"


def _pattern(source: str, tree: Argument) -> Pattern:
    ends: set[bool] = set()
    sets = _Sets()
    flags = tree.state.flags
    if flags & re.LOCALE:
        raise _Cannot("depends on the machine's locale: leave out (?L)")
    parts = list(_written(tree, flags, sets, ends))
    if len(ends) > 1:
        raise _Cannot(r"has line ends of both kinds: write \Z for the end of the text")
    try:
        alphabet = kinds.kinds_of(sets.found, boundary=sets.boundary, last_line_only=False in ends)
    except kinds.TooMany as error:
        raise _Cannot(str(error)) from None
    written = b"".join(alphabet.written(part) if isinstance(part, kinds.CharacterSet) else part for part in parts)
    _engine(written)
    names = tuple(sorted(tree.state.groupdict.items(), key=lambda item: item[1]))
    return Pattern(
        source=source,
        names=names,
        groups=tree.state.groups - 1,
        written=written,
        alphabet=alphabet,
        direct=re.compile(source, flags) if _reads_once(list(_flat(tree)), flags) else None,
    )


def _flat(tree: Tree) -> Iterator[tuple[object, Argument]]:
    """The parts of a pattern without the groups around them, but for groups that change its flags."""
    for operation, argument in tree:
        if operation is op.SUBPATTERN and not argument[1] and not argument[2]:
            yield from _flat(argument[3])
        else:
            yield operation, argument


def _reads_once(parts: Tree, flags: int) -> bool:
    r"""Whether Python's engine needs no more than a few steps for each character, as of ``\[(\d+)\]``.

    It begins with a character of its own, and repeats one set of others: no two beginnings meet in what is repeated.
    """
    (first, begins), *rest = parts or [(None, None)]
    repeats = [argument for operation, argument in rest if operation in (op.MAX_REPEAT, op.MIN_REPEAT)]
    singles = [part for part in rest if part[0] in SINGLE]
    if first is not op.LITERAL or flags & re.IGNORECASE or len(repeats) > 1 or len(rest) > FEW:
        return False
    if len(repeats) + len(singles) < len(rest):
        return False
    inner = [part for _, _, body in repeats for part in body]
    if len(inner) != len(repeats) or any(operation not in SINGLE for operation, _ in inner):
        return False
    kind = (begins, kinds.class_of(chr(begins)))
    return not any(
        kinds.character_set(_items(operation, argument, flags), flags).takes(kind) for operation, argument in inner
    )


def _engine(written: bytes) -> "re2._Regexp":
    import re2

    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = MEMORY
    try:
        return re2.compile(written, options)
    except re2.error as error:
        said = error.args[0]
        said = said.decode("latin-1") if isinstance(said, bytes) else str(said)
        if "too large" in said or "repetition" in said:
            raise _Cannot("is too large: write * or + in place of large counts") from None
        raise _Cannot(f"cannot be run: {said}") from None


class _Sets:
    """What the parts of a pattern that stand for one character can be."""

    def __init__(self) -> None:
        self.found: list[kinds.CharacterSet] = []
        self.boundary: list[bool] = []
        """Whether each word boundary is one of ASCII words."""

    def add(self, items: Tree, flags: int) -> kinds.CharacterSet:
        try:
            made = kinds.character_set(items, flags)
        except kinds.TooMany as error:
            raise _Cannot(str(error)) from None
        self.found.append(made)
        return made


def _written(tree: Tree, flags: int, sets: _Sets, ends: set[bool]) -> Iterator[bytes | kinds.CharacterSet]:
    for operation, argument in tree:
        if operation in CANNOT:
            raise _Cannot(CANNOT[operation])
        if operation in SINGLE:
            yield sets.add(_items(operation, argument, flags), flags)
        elif operation is op.AT:
            yield _place(argument, flags, sets, ends)
        else:
            yield from _composed(operation, argument, flags, sets, ends)


def _items(operation: object, argument: Argument, flags: int) -> Tree:
    """One of ``SINGLE`` as a set."""
    if operation is op.LITERAL:
        return [(op.LITERAL, argument)]
    if operation is op.NOT_LITERAL:
        return [(op.NEGATE, None), (op.LITERAL, argument)]
    if operation is op.ANY:
        return [(op.NEGATE, None), *([] if flags & re.DOTALL else [(op.LITERAL, 10)])]
    items: Tree = argument
    return items


def _composed(
    operation: object, argument: Argument, flags: int, sets: _Sets, ends: set[bool]
) -> Iterator[bytes | kinds.CharacterSet]:
    if operation is op.BRANCH:
        yield b"(?:"
        for number, branch in enumerate(argument[1]):
            yield b"|" if number else b""
            yield from _written(branch, flags, sets, ends)
        yield b")"
    elif operation is op.SUBPATTERN:
        group, more, less, body = argument
        yield b"(" if group else b"(?:"
        yield from _written(body, (flags | more) & ~less, sets, ends)
        yield b")"
    elif operation in (op.MAX_REPEAT, op.MIN_REPEAT):
        least, most, body = argument
        if least > REPEATS or (most > REPEATS and most != op.MAXREPEAT):
            raise _Cannot(f"counts to more than {REPEATS}: write * or +")
        yield b"(?:"
        yield from _written(body, flags, sets, ends)
        yield b"){%d,%b}" % (least, b"" if most == op.MAXREPEAT else b"%d" % most)
        yield b"?" if operation is op.MIN_REPEAT else b""
    else:
        raise _Cannot(f"has a part that is not known here: {operation}")


def _place(where: Argument, flags: int, sets: _Sets, ends: set[bool]) -> bytes:
    if where in (op.AT_BOUNDARY, op.AT_NON_BOUNDARY):
        sets.boundary.append(bool(flags & re.ASCII))
        return rb"\b" if where is op.AT_BOUNDARY else rb"\B"
    if where is op.AT_END_STRING:
        return rb"\z"
    multiline = bool(flags & re.MULTILINE)
    if where is op.AT_END:
        ends.add(multiline)
        return b"(?m:$)"
    if where is op.AT_BEGINNING and multiline:
        ends.add(multiline)
        return b"(?m:^)"
    return rb"\A"
