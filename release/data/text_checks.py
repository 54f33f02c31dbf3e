"""What is wrong with a text as text: placeholders, control characters, secrets, personal data; and what repeats it."""

import json
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from gates.normal import normal

ASCII_LETTER = re.compile("[A-Za-z]")
Span = tuple[int, int]
Shingles = frozenset[tuple[str, ...]]

NEAR = 0.8  # Jaccard similarity of word shingles from which two texts are near-duplicates (Lee et al. 2022 use 0.8)
SHINGLE = 3  # words
_INSIDE = r"(?:[^\[\]]|\[\d+\]){0,120}?"  # of brackets; citation markers may stand there

PATTERNS: Mapping[str, re.Pattern[str]] = {
    # A sentence in brackets that says what should stand there, an unfilled template field, or a word for later.
    "placeholders": re.compile(
        rf"\[(?=[A-Za-z]){_INSIDE}\b(?i:would|generated|simulated|placeholder|insert|dummy|your \w+ here"
        r"|content (?:that|from|for|about)|answer (?:for|to|would|demonstrates))\b(?:[^\[\]]|\[\d+\]){0,400}\]?"
        r"|\{\{ ?[A-Za-z_]\w* ?\}\}|(?<![\w\\])\{[a-z_]{2,30}\}|<(?i:insert|your)[ _][^<>\n]{1,40}>"
        r"|(?i:\blorem ipsum\b)|\b(?:TODO|TBD|FIXME|XXX)\b"
    ),
    # What chat templates write and nobody else: a text with it has been through one.
    "special_tokens": re.compile(
        r"<\|(?:im_start|im_end|im_sep|start_header_id|end_header_id|eot_id|begin_of_text|end_of_text|endoftext|user|assistant"
        r"|system|end|start|message|channel|return|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN)\|>"
        r"|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|<\uff5c(?:User|Assistant|begin\u2581of\u2581sentence)\uff5c>"
    ),
    # Controls but tab and line ends, the replacement character, directions that reorder text, private use.
    "control_characters": re.compile(
        "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ufeff\u202a-\u202e\u2066-\u2069\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff]"
    ),
    "secrets": re.compile(
        r"\bhf_[A-Za-z0-9]{30,}|\bsk-[A-Za-z0-9_-]{20,}|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{40,}|\bAKIA[0-9A-Z]{16}\b"
        r"|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[\w-]{35}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
        r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}|//[^/\s:@]+:[^/\s:@]+@|(?i:\b(?:password|passwd|api_key)\s*[=:]\s*\S{6,})"
    ),
    "personal_data": re.compile(
        r"(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b"  # e-mail
        r"|(?<![\w.])\+\d{1,3}[ ./-]?\(?\d{1,4}\)?(?:[ ./-]?\d{2,4}){2,4}(?!\w)"  # telephone with its country code
        r"|\b\d{3}-\d{2}-\d{4}\b|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b"  # US social security number, IBAN
    ),
}

IN_EACH_SECRET = (
    "hf_", "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "AKIA", "xox", "AIza",
    "PRIVATE KEY", "eyJ", "//",
)  # fmt: skip
"""One of these stands in each secret of the pattern, or one of the next in whatever case: most texts hold none."""
IN_EACH_SETTING = ("passw", "_key")
IN_EACH_PLACEHOLDER = re.compile(r"\[[A-Za-z]|\{[{a-z_]|<|TODO|TBD|FIXME|XXX")
IN_EACH_ACCOUNT, IN_EACH_NUMBER = re.compile(r"[A-Z][A-Z]\d"), re.compile(r"\d-\d\d-\d")
WORDS = bytes(ord(chr(n).lower()) if n < 128 and chr(n).isalnum() else ord(" ") for n in range(256))
"""Of each ASCII character what ``normalised`` makes of it."""


def spans(check: str, text: str) -> tuple[Span, ...]:
    """Where ``text`` shows what the check looks for."""
    if not may_show(check, text):
        return ()
    return tuple(match.span() for match in PATTERNS[check].finditer(text))


def may_show(check: str, text: str) -> bool:
    """Whether the pattern may find anything in a text, or in a part of it: some of them look long at each place."""
    if check == "placeholders":
        return IN_EACH_PLACEHOLDER.search(text) is not None or "lorem" in text.casefold()
    if check == "special_tokens":
        return "<" in text or "INST]" in text
    if check == "secrets":
        small = text.casefold()
        return any(map(text.__contains__, IN_EACH_SECRET)) or any(map(small.__contains__, IN_EACH_SETTING))
    if check == "personal_data":
        numbered = IN_EACH_ACCOUNT.search(text) is not None or ("-" in text and IN_EACH_NUMBER.search(text) is not None)
        return numbered or "@" in text or "+" in text
    return PATTERNS[check].search(text) is not None


@lru_cache(8)  # of a row the same text is asked for by several checks, one after the other
def normalised(text: str) -> str:
    """Without case, punctuation and spacing, so that a sentence respelled is the same sentence."""
    if text.isascii():  # the same, at a third of it
        return b" ".join(text.encode().translate(WORDS).split()).decode()
    return re.sub(r"[\W_]+", " ", normal("NFKC", text).casefold()).strip()


def script(text: str) -> str:
    """The script most of its letters are in, as Unicode names them; empty where there is no letter."""
    if text.isascii():
        return "LATIN" if ASCII_LETTER.search(text) else ""
    counts = Counter[str]()
    for letter, n in Counter(text).items():
        if letter.isalpha():
            counts[unicodedata.name(letter, "?").split()[0]] += n
    return counts.most_common(1)[0][0] if counts else ""


def shingles(text: str) -> Shingles:
    """Every run of three words; of a shorter text the text."""
    return frozenset(_runs(normalised(text).split()))


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    if 0 < len(words) < SHINGLE:
        return iter([tuple(words)])
    return zip(*(words[start:] for start in range(SHINGLE)), strict=False)


def near_duplicates(texts: Sequence[str], others: Sequence[str]) -> dict[int, tuple[int, float]]:
    """For each text that has one, the most similar of the others and how similar, where that is ``NEAR`` or more."""
    near = Near(others)
    return {number: found for number, text in enumerate(texts) if (found := near.of(text)) is not None}


class Near:
    """Finds texts that nearly are one of some others; it holds those, and nothing of the texts that it is asked about.

    Exact: two texts that similar share a shingle among each one's few first, in whatever order shingles are, so only
    such pairs are compared (prefix filtering: Chaudhuri, Ganti and Kaushik 2006). First come the rarest of the others,
    so a text's own words lead to nothing.
    """

    def __init__(self, others: Sequence[str]) -> None:
        self.others = [shingles(text) for text in others]
        self.frequency = Counter(shingle for one in self.others for shingle in one)
        self.known = frozenset(self.frequency)
        self.begin = frozenset(one[0] for one in self.known)
        self.index: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, one in enumerate(self.others):
            for shingle in self._first(one):
                self.index[shingle].append(number)

    def _first(self, one: Shingles) -> list[tuple[str, ...]]:
        ordered = sorted(one, key=lambda shingle: (self.frequency.get(shingle, 0), shingle))
        return ordered[: len(ordered) - math.ceil(NEAR * len(ordered)) + 1]

    def of(self, text: str) -> tuple[int, float] | None:
        """The number of the most similar of the others, and how similar; None below ``NEAR``."""
        words = normalised(text).split()
        first = set(words[: 1 - SHINGLE])
        if len(first - self.begin) > (1 - NEAR) * len(words) + 0.5:  # each begins a run that none of the others has
            return None
        known = sum(map(self.known.__contains__, _runs(words)))
        if len(first) * NEAR > known + 0.5:  # no two of these begin the same run; a float may be a little off
            return None
        one = frozenset(_runs(words))
        if len(one) * NEAR > len(one & self.known) + 0.5:
            return None
        candidates = sorted({other for shingle in self._first(one) for other in self.index.get(shingle, ())})
        alike = [(len(one & self.others[other]) / len(one | self.others[other]), -other) for other in candidates]
        similarity, other = max(alike, default=(0.0, 0))
        return (-other, similarity) if similarity >= NEAR else None


def locate(text: str, path: str) -> Span | None:
    """Where the value at a JSON Pointer stands in a JSON text; None where there is none."""
    try:
        position, end = _value(text, 0)
        for token in path.split("/")[1:]:
            wanted = token.replace("~1", "/").replace("~0", "~")
            position, end = next((start, end) for name, start, end in _members(text, position) if name == wanted)
    except (ValueError, StopIteration, IndexError):
        return None
    return position, end


def _value(text: str, position: int) -> Span:
    position = _after_space(text, position)
    return position, json.JSONDecoder().raw_decode(text, position)[1]


def _after_space(text: str, position: int) -> int:
    while text[position] in " \t\r\n":
        position += 1
    return position


def _members(text: str, position: int) -> Iterator[tuple[str, int, int]]:
    """The name or index of each member of the object or array here, and where its value stands."""
    opening, position, index = text[position], position + 1, 0
    if opening not in "{[":
        return
    while text[position := _after_space(text, position)] not in "}]":
        name = str(index)
        if opening == "{":
            name, position = json.JSONDecoder().raw_decode(text, position)
            position = _after_space(text, position) + 1  # the colon
        start, end = _value(text, position)
        yield name, start, end
        position = _after_space(text, end)
        position += text[position] == ","
        index += 1
