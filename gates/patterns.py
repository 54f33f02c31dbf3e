r"""Regular expressions that a contract or a schema brings: refused where one answer could hold the gate for hours.

Python's ``re`` tries every way to split a text between nested repeats, so ``^(a+)+$`` doubles its time with each
character (CWE-1333). A nested repeat is taken only if a character that the inner repeat cannot match separates the
rounds, as in ``(\.[a-z]+)*``. Repeats of the same characters in a row, as in ``.*,.*,.*x``, multiply the length with
itself for each: two are taken, and a search that may start anywhere counts as one.
"""

import re
import re._constants as op  # type: ignore[import-not-found]  # no public way to a pattern's tree
import re._parser as parser  # type: ignore[import-not-found]
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

Argument: TypeAlias = Any
"""Of an operation: a number, a tree, or a tuple that holds some. ``re._parser`` has no types."""
Item: TypeAlias = tuple[object, Argument]
Tree: TypeAlias = Sequence[Item]
"""A pattern as ``re._parser`` reads it: operations, one after the other."""

REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT)
LARGE = 16
"""A repeat up to this many times is no worse than writing it out."""
SAMPLE = [*map(chr, range(256)), "\u03b1", "\u4e2d", "\u2019"]
"""Characters by which two sets are compared."""
ANYTHING = re.compile(r"(?s:.)")


def pattern_problem(pattern: str) -> str:
    """Why this pattern cannot be used, or an empty string."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a set in a set: Python says that its meaning will change
            tree = parser.parse(pattern)
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        return f"is not one of Python's regular expressions: {error}"
    if _explodes(tree):
        return "repeats a repeat, so its time may double with each character"
    if _longest_run(tree) + (not _anchored(tree)) > 2:
        return "has repeats that share characters, so its time may grow with the cube of the length: begin it with ^"
    return ""


def _explodes(tree: Tree) -> bool:
    for operation, argument in tree:
        if operation in REPEATS and argument[1] > LARGE and not _rounds_are_apart(argument[2]):
            return True
        if any(_explodes(branch) for branch in _branches(operation, argument)):
            return True
    return False


def _anchored(tree: Tree) -> bool:
    first = next(_flat(tree), None)
    return first in ((op.AT, op.AT_BEGINNING), (op.AT, op.AT_BEGINNING_STRING))


def _longest_run(tree: Tree) -> int:
    """How many large repeats in a row can take characters from each other; one at the very end cannot fail."""
    longest = run = 0
    last = ANYTHING
    between: list[re.Pattern[str]] = []
    items = list(_flat(tree))
    while items and items[-1][0] in REPEATS:
        items.pop()
    for operation, argument in items:
        if operation in REPEATS and argument[1] > LARGE:
            matcher = _one_character(argument[2]) or ANYTHING
            taken = all(_share(one, last) and _share(one, matcher) for one in between)
            run = run + 1 if run and taken and _share(last, matcher) else 1
            longest, last, between = max(longest, run), matcher, []
        elif operation in (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY):
            between.append(_one_character([(operation, argument)]) or ANYTHING)
    inner = (_longest_run(branch) for item in items for branch in _inner(*item))
    return max((longest, *inner))


def _flat(tree: Tree) -> Iterator[Item]:
    """The items of a sequence, with those of its groups in their place."""
    for operation, argument in tree:
        if operation is op.SUBPATTERN:
            yield from _flat(argument[3])
        else:
            yield operation, argument


def _inner(operation: object, argument: Argument) -> list[Tree]:
    return [] if operation in REPEATS else _branches(operation, argument)


def _share(one: re.Pattern[str], other: re.Pattern[str]) -> bool:
    return any(one.search(character) and other.search(character) for character in SAMPLE)


def _branches(operation: object, argument: Argument) -> list[Tree]:
    if operation in (*REPEATS, op.POSSESSIVE_REPEAT):
        return [argument[2]]
    if operation is op.SUBPATTERN:
        return [argument[3]]
    if operation is op.BRANCH:
        return list(argument[1])
    if operation in (op.ASSERT, op.ASSERT_NOT):
        return [argument[1]]
    if operation is op.GROUPREF_EXISTS:
        return [branch for branch in argument[1:] if branch is not None]
    return [argument] if operation is op.ATOMIC_GROUP else []


def _rounds_are_apart(body: Tree) -> bool:
    """Whether the body of a repeat can be split into rounds in one way only, as far as a simple look can tell."""
    items = list(body)
    while len(items) == 1 and items[0][0] is op.SUBPATTERN:
        items = list(items[0][1][3])
    inner = list(_inner_sets(items))
    if not inner:
        return True
    edges = [chr(item[1]) for item in (items[0], items[-1]) if item[0] is op.LITERAL]
    return any(all(matcher is not None and not matcher.search(edge) for matcher in inner) for edge in edges)


def _inner_sets(items: Tree) -> Iterator[re.Pattern[str] | None]:
    """What each repeat or choice inside matches, as a one-character pattern; None where that is not simple."""
    for operation, argument in items:
        if operation in REPEATS and argument[1] > LARGE:
            yield _one_character(argument[2])
        elif operation is op.BRANCH and _first_letters_differ(argument[1]):
            for branch in argument[1]:
                yield from _inner_sets(branch)
        elif operation is op.BRANCH or (operation in REPEATS and argument[0] != argument[1]):
            yield from (_one_character(branch) for branch in _branches(operation, argument))
        else:
            for branch in _branches(operation, argument):
                yield from _inner_sets(branch)


def _first_letters_differ(branches: Sequence[Tree]) -> bool:
    firsts = [branch[0][1] if len(branch) and branch[0][0] is op.LITERAL else None for branch in branches]
    return None not in firsts and len(set(firsts)) == len(firsts)


CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}


def _one_character(body: Tree) -> re.Pattern[str] | None:
    items = list(body)
    if len(items) != 1:
        return None
    operation, argument = items[0]
    if operation is op.LITERAL:
        return re.compile(re.escape(chr(argument)))
    if operation is op.NOT_LITERAL:
        return re.compile(f"[^{re.escape(chr(argument))}]")
    if operation is op.ANY:
        return re.compile(".")
    if operation is not op.IN:
        return None
    parts = "".join(_class_part(kind, value) for kind, value in argument)
    return re.compile(f"[{parts}]")


def _class_part(kind: object, value: Argument) -> str:
    if kind is op.NEGATE:
        return "^"
    if kind is op.LITERAL:
        return re.escape(chr(value))
    if kind is op.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    return CATEGORIES[value]
