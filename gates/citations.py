"""Citations inside a text: those that the contract's markers take, and what else a reader takes for one.

Contracts of version 1 take what their pattern finds, split at commas and spaces. Since version 2 lists and ranges are
read, an id is whole whatever characters it holds, and digits of every script and characters without width do not hide
a citation. What names documents of the prompt in any form counts as if the pattern had taken it; what names something
else is looked for all the same, for whoever reads the answer takes ``[^9]``, a tag or an address for a source. A form
that ordinary text has too, as ``(Tokyo 2020)``, is none.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gates import patterns
from gates.canonical import Json
from gates.normal import normal
from gates.patterns import Pattern
from gates.rows import id_key
from gates.words import plain

LONGEST_RANGE = 100
"""How far behind its first the last document of a range may be: ``[1-1998]`` is not a range of documents."""
LONGEST = 200
"""Characters that brackets around citations hold, but for those that the contract's pattern takes."""
SEPARATORS = re.compile(r"[,;\s]+")
AND = "and|or|und|oder|et|ou|y|e|o|en"
"""Between the numbers of a list, in the languages of which refusals are known."""
AND_UNSPACED = "\u548c\u4e0e\u8207\u6216\u53ca\u3068"
SIGNS = "+/|\u00b7"
"""What joins the numbers of a list, and as often other numbers."""
JOINS = f"[,;&{SIGNS}{AND_UNSPACED}]"
SEPARATOR = re.compile(
    rf"(?=[\s{JOINS[1:]})(?:(?:\s*{JOINS})+(?:\s*(?:{AND})(?=\s))?\s*|\s+(?:{AND})\s+)", re.IGNORECASE
)
"""Looks ahead first: most characters are none of a separator."""
TO = "\\b(?:to|bis|\u00e0|al?|at\u00e9|tot)\\b|\u81f3|\u5230|\u304b\u3089"
DASH = f"[-\u2010-\u2015\u2212~\u301c]|\\.\\.\\.?|\u2026|{TO}"
RANGE = re.compile(rf"(\D{{0,40}}?)(\d{{1,9}})\s*(?:{DASH})\s*\1?(\d{{1,9}})", re.IGNORECASE)
ALIKE = {0xFF00 + code: chr(0x20 + code) for code in range(1, 0x5F)} | {
    ord(one): other
    for one, other in zip("\u3014\u3015\u27e6\u27e7\u3016\u3017\ufe5d\ufe5e\u3001", "[][]\u3010\u3011[],", strict=True)
}
"""Brackets, commas and letters of other widths and scripts, each for one of ASCII or the lenticular ones."""
OTHERS = re.compile("[\uff01-\uff5e\u3014\u3015\u27e6\u27e7\u3016\u3017\ufe5d\ufe5e\u3001]")
NUMBER = r"\^?\s*\d{1,9}[a-z]?"
NUMBERS = re.compile(rf"{NUMBER}(?:\s+{NUMBER})*|{NUMBER}\s*(?:{DASH})\s*{NUMBER}", re.IGNORECASE)
"""What stands between the separators of a list of numbers."""
SEE = re.compile(r"^(?:see|cf|siehe|vgl|voir|v\u00e9ase|vedi|zie)\b\.?\s*", re.IGNORECASE)
LABEL = re.compile(
    r"(?:sources?|docs?|documents?|refs?|references?|citations?|quellen?|dokumente?|belege?|r\u00e9f\u00e9rences?"
    r"|fuentes?|documentos?|referencias?|font[ei]|document[oi]|riferiment[oi]|fontes?|refer\u00eancias?"
    r"|bron(?:nen)?|documenten|referenties?)(?![^\W\d_])|\u6765\u6e90|\u4f86\u6e90|\u51fa[\u5904\u8655]|\u51fa\u5178"
    r"|\u6587[\u732e\u737b\u6863\u6a94\u66f8]|[\u8d44\u8cc7]\u6599",
    re.IGNORECASE,
)
"""What calls the number behind it a document, in the languages of which refusals are known."""
PLACE = r"\s*(?:\u2020|[,:]\s*(?:pp?|pages?|lines?|sec(?:tion)?|S|Seiten?|p\u00e1gs?|p[\u00e1a]ginas?)\b)"
PLACES = re.compile(rf"{PLACE}.{{0,60}}$", re.IGNORECASE | re.DOTALL)
"""Where in a document: what may stand behind its number."""
TITLE = re.compile(r"(?<=\d):\s*\D.*", re.DOTALL)
"""What the document behind a label and a number is called."""
KEY = re.compile(r"\^|-?@\w|#\s?\d")
"""Before a key of footnotes or of a bibliography."""
YEAR = r"(?:1[5-9]|20)\d\d"
YEARS = re.compile(YEAR)
SURNAME = r"[^\W\d_][\w'\u2019-]+"
AUTHORS = re.compile(
    rf"\bet\s+al\b[.,\s]*{YEAR}|{SURNAME} & {SURNAME}, {YEAR}|^{SURNAME}, [A-Z]\.,? {YEAR}"
    rf"|^{SURNAME},? {YEAR}(?:[a-e]\b|{PLACE})"
)
"""Authors and a year, told by what places and dates do not have."""

RAISED = re.compile(
    "(?:[.,;:!?\"'\u201d\u2019\u00bb\u3001\u3002\u300d\u300f\u3011\x1f]|[^\\W\\d_]{4}|[\u3040-\u9fff])\\Z"
)
"""Before a raised number that is a footnote: a mark of sentences, a citation or a word."""
POWER = re.compile(r"[^\W\d_]")
"""Before a raised 2 or 3 that is a square or a cube."""
SUPERSCRIPTS = "\u2070\u00b9\u00b2\u00b3\u2074-\u2079"
IN_ADDRESS = "[^\\s<>\"'()\\[\\]\u3001\u3002\u3040-\u30ff\u4e00-\u9fff]"
LOOKS = {
    "square": re.compile(rf"\\?\[([^\[\]]{{1,{LONGEST}}})\](?!\()"),
    "lenticular": re.compile(f"\u3010([^\u3010\u3011]{{1,{LONGEST}}})\u3011"),
    "round": re.compile(rf"\(([^()\[\]]{{1,{LONGEST}}})\)"),
    "superscript": re.compile(f"([{SUPERSCRIPTS}]+)"),
    "raised": re.compile(
        rf"<\s*sup\b[^<>]{{0,{LONGEST}}}>\s*\[?([\d\s,;-]{{1,60}})\]?\s*(?:</\s*sup\s*>)?", re.IGNORECASE
    ),
    "tag": re.compile(
        rf"<\s*((?:cite|citation|ref|reference|source|footnote|doc|document)s?|a)\b([^<>]{{0,{LONGEST}}})>"
        rf"(?:([^<>]{{0,{LONGEST}}})</\s*\1\s*>)?",
        re.IGNORECASE,
    ),
    "command": re.compile(r"\\[a-zA-Z]{0,12}cite[a-zA-Z]{0,12}\*?(?:\[[^\[\]\n]{0,60}\]){0,2}\{([^{}\n]{1,80})\}"),
    "private marks": re.compile("[\ue000-\uf8ff][^\ue000-\uf8ff\n]{0,80}[\ue000-\uf8ff]?"),
    "address": re.compile(
        rf"(?<![a-z0-9])(?:https?://|ftp://|www\.){IN_ADDRESS}+|(?:\bdoi\b:?\s?)?(?<![\w.])10\.\d{{4,9}}/{IN_ADDRESS}+"
        r"|\barxiv(?::\s?|\s)(?:preprint\s)?\d{4}\.\d{4,5}",
        re.IGNORECASE,
    ),
}
"""Every form in which a reader takes something for a citation; the first group of most holds what is cited."""
BRACKETS = ("square", "lenticular", "round")
IN_ASCII = {"[": ("square",), "(": ("round",), "<": ("raised", "tag"), "{": ("command",)}
"""What a text in ASCII has in it where it has something of these forms; of others but addresses it has nothing."""
BEYOND_ASCII = {"\u3010": ("lenticular",), "": ("superscript", "private marks")}
"""The same for other texts, beside that; signs of which there are many are not asked for."""
CLOSING = {"[": "]", "(": ")", "\u3010": "\u3011"}
WORK = re.compile(r"(?<![\w.])(10\.\d{4,9}/.+)|arxiv.*?(\d{4}\.\d{4,5})")
"""What names one work wherever it stands."""
WITHIN = re.compile(r"[a-z0-9.@_-]")
GOES_ON = re.compile(r"/?(?:[\w%#?&=~+-]|[.,;:!?][a-z0-9])|//", re.ASCII)
"""Before and behind an address: what makes it part of another one."""


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


Span = tuple[int, int, tuple[str, ...]]
"""From where to where in the text which documents are cited."""


class Prompt(NamedTuple):
    """What the prompt holds that an answer may name or repeat."""

    known: Mapping[str, str]
    """Each document's id by its spellings."""
    documents: Mapping[str, Mapping[str, Json]]
    takes: Callable[[str], str | None]
    """What the contract's pattern finds in a text that it takes whole; None where it does not."""


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
    strange: list[str] = []
    prose = found.prose
    text = prose if prose.isascii() else _masked(clean, spans)
    if forms := _forms(text):
        prompt = Prompt(known, documents, lambda part: _taken_whole(markers, part))
        more, strange = _others(_masked(clean, spans) if text is prose else text, forms, prompt, spans)
        if more and markers is not None:
            spans = sorted([*spans, *more])
            prose = _without(clean, spans)
    names = [name for _, _, names in spans for name in names]
    unknown = [name for name in names if name not in documents]
    return Found(tuple(names), tuple(dict.fromkeys([*unknown, *strange])), prose)


def _taken_whole(markers: Pattern | None, text: str) -> str | None:
    for found in () if markers is None else markers.find(text):
        return found.groups[0] if (found.start, found.end) == (0, len(text)) else None
    return None


def names_in(held: str, known: Mapping[str, str]) -> tuple[str, ...]:
    """The ids that brackets hold: the whole, a list, or a range. ``known`` has each document's id by its spelling."""
    whole = id_key(held.strip())
    if whole in known:
        return (known[whole],)
    return tuple(name for part in _parts(" ".join(_seen(whole).split()), known) for name in _one(part, known))


def _parts(whole: str, known: Mapping[str, str]) -> Iterator[str]:
    """What stands between the separators of a list; an id that holds some is one part."""
    cuts = [0, *(place for match in SEPARATOR.finditer(whole) for place in match.span()), len(whole)]
    parts = [(start, end) for start, end in zip(cuts[::2], cuts[1::2], strict=True) if start < end]
    longest = max(map(len, known), default=0)
    at = 0
    while at < len(parts):
        start = parts[at][0]
        end = at + 1
        while end < len(parts) and parts[end][1] - start <= longest:
            end += 1
        end = next((n for n in range(end, at, -1) if whole[start : parts[n - 1][1]] in known), at + 1)
        yield whole[start : parts[end - 1][1]]
        at = end


def _one(part: str, known: Mapping[str, str]) -> list[str]:
    if part in known:
        return [known[part]]
    if (match := RANGE.fullmatch(part)) and int(match[2]) < int(match[3]) <= int(match[2]) + LONGEST_RANGE:
        places = len(match[2])  # 01 to 03 has 02
        numbers = [f"{match[1]}{number:0{places}}" for number in range(int(match[2]), int(match[3]) + 1)]
        return [known.get(number, number) for number in numbers]
    words = part.split()
    return [known[word] for word in words] if words and all(word in known for word in words) else [part]


def _seen(held: str) -> str:
    """As it is seen: compatible characters as one, without marks upon others and what cannot be seen."""
    if held.isascii() and held.isprintable():
        return held
    return "".join(map(_as_seen, normal("NFKC", held)))


def _as_seen(character: str) -> str:
    if character.isspace() or character in "\u2800\ufffc":
        return " "
    return "" if unicodedata.category(character) in ("Cc", "Cf", "Cn", "Me", "Mn") else character


def _masked(text: str, spans: Sequence[Span]) -> str:
    """The text in one spelling, with a space that nobody writes for each character of these places."""
    parts, end = [], 0
    for start, stop, _ in spans:
        parts += [text[end:start], "\x1f" * (stop - start)]
        end = stop
    masked = "".join([*parts, text[end:]]) if spans else text
    return _alike(masked)


def _alike(text: str) -> str:
    return text if text.isascii() else OTHERS.sub(lambda match: ALIKE[ord(match[0])], text)


def _without(text: str, spans: Sequence[Span]) -> str:
    """The text without these places, which are in order."""
    kept, end = [], 0
    for start, stop, _ in spans:
        kept.append(text[end:start])
        end = max(end, stop)  # an empty match can stand within a list
    return "".join([*kept, text[end:]])


def _forms(text: str) -> Sequence[str]:
    """The forms that can be in a text: looking for each takes longer than reading the answer."""
    signs = IN_ASCII if text.isascii() else {**IN_ASCII, **BEYOND_ASCII}
    found = [form for sign, forms in signs.items() if sign in text for form in forms]
    return [*found, "address"] if _may_hold_an_address(text) else found


def _may_hold_an_address(text: str) -> bool:
    if ":" not in text and "." not in text:  # one character is found sooner than several
        return False
    if "/" in text and ("://" in text or "10." in text):
        return True
    small = text.lower()
    return "www." in small or ("x" in small and "arxiv" in small)


def _others(text: str, forms: Sequence[str], prompt: Prompt, spans: Sequence[Span]) -> tuple[list[Span], list[str]]:
    """What cites documents beside what the contract's pattern takes, and what looks so and names something else."""
    more: list[Span] = []
    odd: list[tuple[str, re.Match[str]]] = []
    for form in forms:
        for match in LOOKS[form].finditer(text):
            cited = _cited(form, match, prompt)
            if cited is None:
                continue
            if cited and all(name in prompt.documents for name in cited):
                more += _places(form, match, cited, prompt)
            else:
                odd.append((form, match))
    if not odd:
        return more, []
    texts = {name: _all_text(fields) for name, fields in prompt.documents.items()}
    everything = "\n".join(texts.values())
    names = {name for _, _, names in [*spans, *more] for name in names}
    said = "\n".join(texts[name] for name in texts if name in names) or everything
    small = everything.lower()
    asked = {(form == "address", _context(form, match)) for form, match in odd}
    quoted = {one: _is_an_address_of(small, one[1].lower()) if one[0] else one[1] in said for one in asked}
    return more, [
        match[0].replace("\x1f", "") for form, match in odd if not quoted[form == "address", _context(form, match)]
    ]


def _context(form: str, match: re.Match[str]) -> str:
    """What a document must say for a form to stand in it as a whole."""
    start = max(match.start() - 4, 0) if form in ("superscript", "raised") else match.start()
    return match.string[start : match.end()].lstrip("\\")


def _all_text(fields: Mapping[str, Json]) -> str:
    return _alike("\n".join(value for value in fields.values() if isinstance(value, str)))


def _cited(form: str, match: re.Match[str], prompt: Prompt) -> tuple[str, ...] | None:
    """What is cited at a place, empty where it has no name; None where the text is none of citations."""
    if form in BRACKETS:
        return _in_brackets(form, match[0], match[1], prompt)
    if form in ("superscript", "raised"):
        return _raised(match, prompt)
    if form == "tag":
        return _in_tag(match, prompt)
    if form == "command":
        return names_in(_bare(match[1]), prompt.known)
    name = match[0].rstrip(".,;:!?")
    return (prompt.known[name],) if name in prompt.known else ()


def _raised(match: re.Match[str], prompt: Prompt) -> tuple[str, ...] | None:
    before = match.string[max(match.start() - 4, 0) : match.start()]
    power = _seen(match[1]).strip() in ("2", "3") and POWER.fullmatch(before[-1:])
    spaced = match[0][0] == "<" and before[-1:].isspace()
    return names_in(match[1], prompt.known) if not power and (spaced or RAISED.search(before)) else None


def _in_brackets(form: str, whole: str, held: str, prompt: Prompt) -> tuple[str, ...] | None:
    if form != "round" and held.strip() in prompt.known:
        return (prompt.known[held.strip()],)
    content = SEE.sub("", _seen(held).strip(" \\"), count=1)
    label = LABEL.match(content)
    names = None
    if form != "round":
        names = _listed(PLACES.sub("", content), whole[0], prompt, numbers=True)
    elif SEPARATOR.search(content):  # one alone the contract's pattern would have taken
        names = _listed(content, whole[0], prompt, numbers=False)
    if names is None and label:
        names = _listed(TITLE.sub("", _bare(content)), whole[0], prompt, numbers=True)
    if names is not None:
        dated = form == "round" and all(YEARS.fullmatch(name) and name not in prompt.documents for name in names)
        return None if dated else names
    named = (label or KEY.match(content)) if form == "square" else form == "lenticular" and "\u2020" in content
    return () if named or (YEARS.search(content) and AUTHORS.search(content)) else None


def _listed(held: str, opening: str, prompt: Prompt, *, numbers: bool) -> tuple[str, ...] | None:
    """The names in a list of which each part is a number or would be taken by the contract's pattern alone."""
    names: list[str] = []
    for part in _parts(held, prompt.known):
        found = _part(part, opening, prompt, numbers=numbers)
        if found is None:
            apart = [_part(word, opening, prompt, numbers=numbers) for word in part.split()]
            found = [name for one in apart for name in one or ()]
            if None in apart:
                return None
        names += found
    if any(sign in held for sign in SIGNS) and not any(name in prompt.documents for name in names):
        return None  # 10/12 is a date
    return tuple(names) or None


def _part(part: str, opening: str, prompt: Prompt, *, numbers: bool) -> Sequence[str] | None:
    bare = part.replace("^", "").lstrip("@# ")
    if numbers and (bare in prompt.known or NUMBERS.fullmatch(part)):
        return _one(bare, prompt.known)
    if (taken := prompt.takes(f"{opening}{part}{CLOSING[opening]}")) is not None:
        return names_in(taken, prompt.known)
    match = RANGE.fullmatch(part) if numbers else None
    return _one(part, prompt.known) if match and f"{match[1]}{match[2]}" in prompt.known else None


def _bare(held: str) -> str:
    """The name of what is cited without what stands around it."""
    content = _seen(held).strip()
    label = LABEL.match(content)
    return PLACES.sub("", content[label.end() :].lstrip(" \t\n.:#_-") if label else content).strip()


def _in_tag(match: re.Match[str], prompt: Prompt) -> tuple[str, ...] | None:
    """What a tag is around, if that is a list of names; if not, the first value in it."""
    name, attributes, content = match.groups()
    if content is None and not re.search(r"[=\d]|/\s*$", attributes):
        return None  # List<Source>
    if name.lower() == "a" and "=" not in attributes:
        return None
    names = _around(match, prompt)
    inside = re.search(r"=\s*[\"']?([^\"'>]+)", attributes) or re.search(r"([^\s:/]*\d[^/]*)", attributes)
    if names is None and inside:
        names = names_in(_bare(inside[1].strip(" /#")), prompt.known)
    return names or (() if content and content.strip() else None)


def _around(match: re.Match[str], prompt: Prompt) -> tuple[str, ...] | None:
    return _listed(_bare((match[3] or "").strip(" []")), "[", prompt, numbers=True)


def _places(form: str, match: re.Match[str], cited: tuple[str, ...], prompt: Prompt) -> list[Span]:
    """Where it cites; the text that tags are around is the answer's."""
    if form == "tag" and match[3] and _around(match, prompt) is None:
        return [(match.start(), match.start(3), cited), (match.end(3), match.end(), ())]
    return [(match.start(), match.end(), cited)]


def _is_an_address_of(text: str, address: str) -> bool:
    address = address.rstrip(".,;:!?/")
    work = WORK.search(address)
    bare = (work[1] or work[2]) if work else re.sub(r"^(?:(?:https?|ftp)://)?(?:www\.)?", "", address)
    at = text.find(bare)
    while at >= 0:
        before = text[max(at - 4, 0) : at]
        if (before == "www." or not WITHIN.match(before[-1:])) and not GOES_ON.match(text, at + len(bare)):
            return True
        at = text.find(bare, at + 1)
    return False
