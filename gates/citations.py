"""Citations inside a text: those that the contract's markers take, and what looks like one and is not a document.

Contracts of version 1 take what their pattern finds, split at commas and spaces. Since version 2 lists and ranges are
read, an id is whole whatever characters it holds, and digits of every script and characters without width do not hide
a citation. What a pattern does not take is looked for all the same: whoever reads the answer takes ``[^9]``, a tag or
an address for a source.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gates import patterns
from gates.canonical import Json
from gates.normal import normal
from gates.patterns import Pattern
from gates.rows import id_key
from gates.words import plain

LONGEST_RANGE = 100
"""How far behind its first the last document of a range may be: ``[1-1998]`` is not a range of documents."""
SEPARATORS = re.compile(r"[,;\s]+")
SEPARATOR = re.compile(r"\s*[,;]\s*|\s+(?:and|&)\s+")
DASH = "[-\u2010-\u2015\u2212~]|\\.\\.\\.?|\u2026|to\\b"
RANGE = re.compile(rf"(\d{{1,6}})\s*(?:{DASH})\s*(\d{{1,6}})")
ALIKE = str.maketrans("\uff3b\uff3d\u3014\u3015\u27e6\u27e7\uff08\uff09\uff0c\u3001\uff1b", "[][][](),,;")
"""Brackets and commas of other scripts, each for one of ASCII."""
SUPERSCRIPTS = "\u2070\u00b9\u00b2\u00b3\u2074-\u2079"
LABEL = r"(?:see |cf\.? )?(?:sources?|docs?|documents?|refs?|references?|citations?)\b"
NUMBER = rf"\d{{1,6}}[a-z]?(?:\s*(?:{DASH})\s*\d{{1,6}})?"
PLACE = r"\s*(?:\u2020|[,:]\s*(?:pp?|pages?|lines?|sec(?:tion)?)\b)[^\[\]\n]{0,60}"
"""Where in a document: what may stand behind its number."""

NUMBERS = re.compile(
    rf"\[\s*(\^?\s*{NUMBER}(?:(?:\s*[,;&]\s*|\s+(?:and\s+)?){NUMBER})*)(?:{PLACE})?\s*\](?!\()", re.IGNORECASE
)
"""Brackets around numbers; the text of a Markdown link is another matter."""
LOOKS = {
    "brackets": NUMBERS,
    "named": re.compile(rf"\[\s*((?:\^|@\w|#\s?\d)[^\[\]\n]{{0,60}}|{LABEL}[^\[\]\n]{{0,60}})\](?!\()", re.IGNORECASE),
    "lenticular": re.compile("\u3010([^\u3010\u3011\n]{1,80})\u3011"),
    "round": re.compile(rf"\(\s*({LABEL}[ .:#]*\d[^()\n]{{0,40}})\)", re.IGNORECASE),
    "author and year": re.compile(
        r"\(([A-Z][\w'\u2019-]+(?: et al\.?,?| (?:and|&) [A-Z][\w'\u2019-]+,?|,)? (?:1[5-9]|20)\d\d[a-z]?)\)"
    ),
    "superscript": re.compile(f"(?:(?<=[.,;:!?)\"'\u201d\u2019])|(?<=[^\\W\\d_]{{4}}))([{SUPERSCRIPTS}]+)"),
    "tag": re.compile(
        r"(?<!\d)<\s*(?:cite|citation|ref|reference|source|footnote|sup|a)\b([^<>\n]{0,200}>[^<>\n]{0,80})",
        re.IGNORECASE,
    ),
    "command": re.compile(r"\\[a-zA-Z]{0,12}cite[a-zA-Z]{0,12}\*?(?:\[[^\[\]\n]{0,60}\]){0,2}\{([^{}\n]{1,80})\}"),
    "private marks": re.compile("[\ue000-\uf8ff][^\ue000-\uf8ff\n]{0,80}[\ue000-\uf8ff]?"),
    "address": re.compile(
        r"\b(?:https?://|ftp://|www\.|doi:\s?10\.|arxiv:\s?\d)[^\s<>\"'()\[\]\u3001\u3002]+", re.IGNORECASE
    ),
}
"""Every form in which a reader takes something for a citation; a group holds what is cited."""
IN_ASCII = {"[": ("brackets", "named"), "(": ("round", "author and year"), "<": ("tag",), "{": ("command",)}
"""What a text in ASCII has in it where it has something of these forms; of others but addresses it has nothing."""
MONTHS = frozenset(
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
CLOTHES = re.compile(rf"^\W*(?:{LABEL}[ .:#]*)?|\s*\u2020.*$|{PLACE}$", re.IGNORECASE)
"""What stands around the name of what is cited."""


class Found(NamedTuple):
    """The citations in one text."""

    markers: tuple[str, ...]
    """Names of what is cited in a form that is read; those that are not documents included."""
    strange: tuple[str, ...]
    """What looks like a citation, is not read as one, and is not a document."""
    prose: str
    """The text without what was read."""
    taken: tuple[patterns.Found, ...] | None = None
    """What the contract's pattern finds, in a reading of version 1: one of version 2 goes on from there."""


def read_plainly(markers: Pattern | None, text: str) -> Found:
    """The reading of version 1: the text without what the pattern takes, and that split at commas and spaces."""
    parts: list[str] = []
    ids: list[str] = []
    last = 0
    taken = () if markers is None else tuple(markers.find(text))
    for found in taken:
        parts.append(text[last : found.start])
        last = found.end
        ids += _split(found.groups[0] or "")
    return Found(markers=tuple(ids), strange=(), prose="".join((*parts, text[last:])), taken=taken)


def _split(held: str) -> list[str]:
    return [id_key(part) for part in ([held] if held.isalnum() else SEPARATORS.split(held)) if part]


def read(
    markers: Pattern | None,
    text: str,
    documents: Mapping[str, Mapping[str, Json]],
    found: Found | None = None,
) -> Found:
    """The citations in a text; ``documents`` has the fields of each by its id.

    ``found`` is what ``read_plainly`` found in the text, where that is known already.
    """
    clean = plain(text)
    known = {plain(name): name for name in documents}
    if found is None or found.taken is None or clean != text:
        found = read_plainly(markers, clean)
    spans = [(one.start, one.end, names_in(one.groups[0] or "", known)) for one in found.taken or ()]
    prose = found.prose
    if markers is not None and "[" in _alike(prose) and (lists := _lists(clean, known, spans)):
        spans = sorted([*spans, *lists])
        prose = _without(clean, spans)
    names = [name for _, _, names in spans for name in names]
    return Found(tuple(names), tuple(dict.fromkeys(_strange(prose, known, documents, names))), prose)


def _lists(
    text: str, known: Mapping[str, str], spans: Sequence[tuple[int, int, tuple[str, ...]]]
) -> list[tuple[int, int, tuple[str, ...]]]:
    """Brackets around several numbers or a range of which each is a document, where the pattern takes single ones."""
    found, read = [], bytearray(len(text))
    for start, end, _ in spans:
        read[start:end] = b"\1" * (end - start)
    for match in NUMBERS.finditer(_alike(text)):
        names = names_in(match[1], known)
        if not any(read[match.start() : match.end()]) and all(name in known.values() for name in names):
            found.append((match.start(), match.end(), names))
    return found


def names_in(held: str, known: Mapping[str, str]) -> tuple[str, ...]:
    """The ids that brackets hold: the whole, a list, or a range. ``known`` has each document's id by its spelling."""
    whole = id_key(held.strip())
    if whole in known:
        return (known[whole],)
    cuts = [0, *(place for match in SEPARATOR.finditer(whole) for place in match.span()), len(whole)]
    parts = [(start, end) for start, end in zip(cuts[::2], cuts[1::2], strict=True) if start < end]
    names: list[str] = []
    while parts:
        start = parts[0][0]
        length = next((n for n in range(len(parts), 0, -1) if whole[start : parts[n - 1][1]] in known), 1)
        names += _one(whole[start : parts[length - 1][1]], known)
        parts = parts[length:]
    return tuple(names)


def _one(part: str, known: Mapping[str, str]) -> list[str]:
    if part in known:
        return [known[part]]
    if (match := RANGE.fullmatch(part)) and int(match[1]) < int(match[2]) <= int(match[1]) + LONGEST_RANGE:
        numbers = map(str, range(int(match[1]), int(match[2]) + 1))
        return [known.get(number, number) for number in numbers]
    words = part.split()
    return [known[word] for word in words] if words and all(word in known for word in words) else [part]


def _without(text: str, spans: Sequence[tuple[int, int, tuple[str, ...]]]) -> str:
    """The text without these places, which are in order."""
    kept, end = [], 0
    for start, stop, _ in spans:
        kept.append(text[end:start])
        end = max(end, stop)  # an empty match can stand within a list
    return "".join([*kept, text[end:]])


def _strange(
    text: str, known: Mapping[str, str], documents: Mapping[str, Mapping[str, Json]], cited: Sequence[str]
) -> list[str]:
    """What looks like a citation in a text from which those that were read are gone."""
    strange = [name for name in cited if name not in documents]
    text = _alike(text)
    found = [(form, match) for form in _forms(text) for match in LOOKS[form].finditer(text)]
    if not found:
        return strange
    texts = {name: _alike(_all_text(fields)) for name, fields in documents.items()}
    everything = "\n".join(texts.values())
    said = "\n".join(texts[name] for name in cited if name in texts) or everything
    for form, match in found:
        quoted = everything if form == "address" else said
        if match[0].rstrip(".,;:!?") not in quoted and not _is_harmless(form, match, known):
            strange.append(match[0])
    return strange


def _all_text(fields: Mapping[str, Json]) -> str:
    return "\n".join(value for value in fields.values() if isinstance(value, str))


def _alike(text: str) -> str:
    return text if text.isascii() else text.translate(ALIKE)


def _forms(text: str) -> Iterable[str]:
    """The forms that can be in a text: looking for each takes longer than reading the answer."""
    if not text.isascii():
        return LOOKS
    found = [form for sign, forms in IN_ASCII.items() if sign in text for form in forms]
    return [*found, "address"] if _may_hold_an_address(text) else found


def _may_hold_an_address(text: str) -> bool:
    if ":" not in text and "." not in text:  # one character is found sooner than several
        return False
    small = text.lower()
    return "www." in small or (":" in small and ("://" in small or "doi:" in small or "arxiv:" in small))


def _is_harmless(form: str, match: re.Match[str], known: Mapping[str, str]) -> bool:
    """Whether what looks like a citation names documents of the prompt and nothing else, or is a date."""
    if not match.re.groups:
        return match[0].rstrip(".,;:!?") in known
    if form == "author and year" and match[1].split()[0] in MONTHS:
        return True
    held = normal("NFKC", match[1])
    return all(name in known.values() for name in names_in(_in_tag(held) if form == "tag" else _bare(held), known))


def _bare(held: str) -> str:
    return CLOTHES.sub("", held).strip()


def _in_tag(held: str) -> str:
    """What a tag is around, or the first number or quoted name in it."""
    attributes, _, content = held.partition(">")
    inside = re.search(r"=\s*[\"']?([^\"'>]+)", attributes)
    around = "" if attributes.endswith("/") else _bare(content)  # behind <cite id="3"/> the sentence goes on
    return around or (inside[1].strip(" /") if inside else "")
