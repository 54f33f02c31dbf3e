"""The numbers of a text, as people write them: each is read, or kept as it is written, and none is passed over.

Signs, decimals, groups of thousands, powers of ten, fractions and words of scale are read where they mean one thing.
Numbers in words ("two hundred") and digits of names ("H2O", "v2.1") are words.
"""

import re
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import NamedTuple

from gates.canonical import Json
from gates.words import CASED, DASHES, LOWERED, RAISED, plain, unraised

MOST_DIGITS = 400
"""Digits of a number that is read, and places before or behind its point: more than any float has."""
EXACT = Context(prec=4 * MOST_DIGITS)
ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
        **dict.fromkeys("\u2019\u02bc\u066c\uff07", "'"),
        **dict.fromkeys("\u066b\uff0e", "."),
        "\uff0c": ",",
        "\uff0b": "+",
    }
)
"""What stands between digits or before them, character for character."""
FRACTIONS = {
    "\u00bd": "0.5", "\u00bc": "0.25", "\u00be": "0.75", "\u2155": "0.2", "\u2156": "0.4", "\u2157": "0.6",
    "\u2158": "0.8", "\u215b": "0.125", "\u215c": "0.375", "\u215d": "0.625", "\u215e": "0.875", "\u2152": "0.1",
}  # fmt: skip
"""Those that decimals write out; the others are not read."""
SCALES = {
    word: places
    for places, words in {
        2: "hundred hundreds hundert \u767e",
        3: "thousand thousands tausend mila duizend tsd \u5343",
        4: "\u4e07 \u842c",
        6: "million millions millionen mill\u00f3n millones milione milioni milh\u00e3o milh\u00f5es"
        " miljoen mio \u767e\u4e07",
        7: "\u5343\u4e07",
        8: "\u4ebf \u5104",
        9: "milliard milliards milliarde milliarden miliardo miliardi miljard mrd",
    }.items()
    for word in words.split()
}
"""The places by which they move a number's point."""
UNSURE = (
    "billion|billions|billionen|bill\u00f3n|billones|bilh\u00e3o|bilh\u00f5es|bilione|bilioni|biljoen|billiarden?|trillion|trillions|trilh\u00f5es"
    "|dozen|dutzend|mille|mil|lakh|crore|bn|mn|mln|mld|tn|and a half|and a quarter|y medi[ao]|et demie?|e mezz[ao]"
    "|e mei[ao]|en een half|einhalb"
)
"""They change a number, but not everywhere alike: a billion has nine noughts or twelve. Such a number is not read."""
_WORDS = "|".join([*(one for one in SCALES if one[0] < "\u3000"), UNSURE]).replace(" ", r"\ ")
_WORD = rf"(?i:{_WORDS})(?![^\W_])"
_POWER = rf"(?:[{RAISED}]+|(?:\^|\*\*)[{{(]?[-+{DASHES[1:]}]?\d+[}})]?)"
_UNIT = r"(?:[dcmk\u00b5\u03bcn]?m|ft|in|yd|mi)[23](?!\w)"
FOUND = re.compile(
    rf"""
    (?=[{DASHES}\d.mMnN\u8d1f\u8ca0\u96f6\u30de\u00b1+$\u20ac\u00a3\u00a5])
    (?:
      (?P<minus> (?<!\w) (?<!al\ ) (?<!au\ ) (?<!du\ ) (?<!lo\ ) (?<!ao\ ) (?i:minus|negative|moins|menos|meno)\s+
               | [\u8d1f\u8ca0] | \u96f6\u4e0b | \u30de\u30a4\u30ca\u30b9
               | (?<![^\s(\[{{"'\u2018-\u201f\u00ab\u00bb=:<>~\u2248\u2264\u2265/*\u00d7,;|$\u20ac\u00a3\u00a5])
                 [{DASHES}] (?=[.]?\d|[$\u20ac\u00a3\u00a5]\ ?[.]?\d) )?
      (?P<about> \u00b1\ ? | \+/?[{DASHES}]\ ? )?
      (?:[$\u20ac\u00a3\u00a5]\ ?)?
      (?P<digits> [1-9]\d{{0,2}}(?:\ \d{{3}})+(?!\d)(?:[.,]\d+)*
                | (?<![\w.,])[.]\d+
                | \d+(?:[.,]\d+|'\d{{3}}(?!\d))* )
      (?P<exponent> [eE][-+{DASHES[1:]}]?\d+(?![.,]?\d) )?
      (?: \ ?[\u00d7x\u00b7\u22c5*]\ ?10(?P<of_ten>{_POWER}) )?
      (?P<raised> {_POWER} | [{LOWERED}]+ )?
      (?P<part> \ ?[\u00bc-\u00be\u2150-\u215f\u2189] )?
      (?: (?:\s{{0,2}}|-)(?P<scale> {_WORD}(?:[\s-]\s?{_WORD})* | k(?!\w) | (?<!\ )[KMB](?!\w) | [\u767e\u5343]\u4e07
                      | \u767e(?!\u5206) | \u5343(?![\u7c73\u514b\u74e6\u7126\u5361\u5e15\u4f0f\u8d6b\u5b89])
                      | [\u4e07\u842c\u5104\u4ebf] | \u5146(?![\u74e6\u8d6b\u5b57\u5e15\u7126]) ) )?
      (?P<more> (?!{_UNIT})[{CASED}]*[_\d][{CASED}_\d]* )?
    )
  | (?P<name> (?<![{CASED}_\u0300-\u036f])[{CASED}_][{CASED}_\u0300-\u036f]*[\d{RAISED}{LOWERED}]
              [{CASED}_\d\u0300-\u036f{RAISED}{LOWERED}]*(?:(?<=\d)[.]\d+)* )
  | [{RAISED}{LOWERED}]+ | [\u00bc-\u00be\u2150-\u218b\u2460-\u249b\u24ea-\u24ff\u2776-\u2793]
    """,
    re.VERBOSE,
)
MAY_HOLD = re.compile(rf"[\d{RAISED}{LOWERED}\u00bc-\u00be\u2150-\u218b\u2460-\u249b\u24ea-\u24ff\u2776-\u2793]")
GROUPED = re.compile(
    r"[1-9]\d{0,2}(?:(?P<by>[, '])\d{3}(?:(?P=by)\d{3})*(?:(?!(?P=by))[.,]\d+)?|\.\d{3}(?:(?:\.\d{3})+(?:,\d+)?|,\d+))"
)
"""1,000 is a thousand; 1.000 is one, and 1.000.000 a million."""
DECIMAL = re.compile(r"\d*[.,]?\d+")


class Numeral(NamedTuple):
    """One number of a text."""

    written: str
    value: Decimal | None
    """None: it is not read, for it could mean several things or is of more than ``MOST_DIGITS`` places."""


def numerals(value: Json) -> tuple[Numeral, ...]:
    """A number, or the numbers in a text, in order."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ()
    if isinstance(value, str):
        return tuple(_numeral(match) for match in _found(plain(value)) if match["name"] is None)
    if isinstance(value, int) and value.bit_length() > 4 * MOST_DIGITS:
        return (Numeral(hex(value), None),)
    return (Numeral(str(value), _read(str(value), 0)),)


def spans(text: str) -> list[tuple[int, int]]:
    """Where numbers stand in a text without invisible characters, and names that hold digits: nothing within is one."""
    return [match.span() for match in _found(text)]


def _found(text: str) -> Iterator[re.Match[str]]:
    text = text if text.isascii() else text.translate(ALIKE)
    first = MAY_HOLD.search(text)
    if first is None:
        return iter(())
    before = text[: first.start()].rsplit(maxsplit=2)  # two words, for a name or a minus begins before its digit
    return FOUND.finditer(text, len(before[0]) if len(before) > 2 else 0)


def _numeral(match: re.Match[str]) -> Numeral:
    digits = match["digits"]
    if digits == match[0] and digits.isdecimal():  # most are no more than that
        return Numeral(digits, _read(digits, 0))
    signs = ("-" if match["minus"] else "") + ("\u00b1" if match["about"] else "")
    written = match[0] if digits is None else match[0][match.start("digits") - match.start() :]
    return Numeral(signs + "".join(written.split()).casefold(), _value(match))


def _value(match: re.Match[str]) -> Decimal | None:
    digits, scale, raised, part = match["digits"], match["scale"], match["raised"], (match["part"] or "").strip()
    places = _moved(scale)
    if digits is None:
        return Decimal(FRACTIONS[match[0]]) if match[0] in FRACTIONS else None
    if match["about"] or match["more"] or places is None or (part and part not in FRACTIONS):
        return None
    if raised is not None:
        if digits != "10" or match["exponent"] or match["of_ten"] or raised[0] in "\u207f\u2071" or part:
            return None
        digits, power = "1", raised
    else:
        power = match["of_ten"]
    for written in (match["exponent"], power):
        moved = 0 if written is None else _power(written)
        if moved is None:
            return None
        places += moved
    if part and (places or not digits.isdecimal()) and scale is None:
        return None
    plainly = _plainly(digits)
    return None if plainly is None else _read(("-" if match["minus"] else "") + plainly, places, FRACTIONS.get(part))


def _moved(scale: str | None) -> int | None:
    """By how many places words of scale move a point; None if one of them is not sure."""
    words = [] if scale is None else re.split(r"[\s-]+", scale.casefold())
    return sum(SCALES[word] for word in words) if SCALES.keys() >= set(words) else None


def _power(written: str) -> int | None:
    """The exponent that is written so, or None for one that no number of ``MOST_DIGITS`` has."""
    text = re.sub(rf"[{DASHES}]", "-", unraised(written)).strip("eE^*{}()").lstrip("+")
    size = text.removeprefix("-").lstrip("0") or "0"
    if len(size) > len(str(MOST_DIGITS)) or not size.isdecimal():
        return None
    return -int(size) if text.startswith("-") else int(size)


def _plainly(digits: str) -> str | None:
    """The digits with a point and nothing else between them; None if they are no number."""
    if match := GROUPED.fullmatch(digits):
        by = match["by"] or "."
        return digits.replace(by, "").replace(",", ".")
    return digits.replace(",", ".") if DECIMAL.fullmatch(digits) else None


def _read(digits: str, places: int, part: str | None = None) -> Decimal | None:
    """The number whose point is moved by so many places."""
    if len(digits) > MOST_DIGITS + len("-."):
        return None
    value = Decimal(digits)
    if not value.is_finite() or len(value.as_tuple().digits) > MOST_DIGITS:
        return None
    if part is not None:
        value = EXACT.add(value, Decimal(part).copy_sign(value))
    if value and abs(value.adjusted() + places) > MOST_DIGITS:
        return None
    return EXACT.scaleb(value, places) if places else value
