"""Formats as strict as their standards where jsonschema's own checks are lenient: both must agree.

The library takes a date-time with a line break after it, a uuid with digits of other scripts, and any text with an @
for an e-mail address. It does not know IRIs by itself: a second library that checks schemas does.
"""

import re
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonschema import FormatChecker

LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIME = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
CLOCK = r"T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)"
DAYS = r"([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)"
SHAPES = {
    "uuid": r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "date": DATE,
    "time": TIME,
    "date-time": f"{DATE}[Tt]{TIME}",
    "duration": f"P({DAYS}({CLOCK})?|{CLOCK}|[0-9]+W)",
    "hostname": rf"(?!.{{254}}){LABEL}(\.{LABEL})*",
    "email": rf'(?!.{{255}})({ATOM}(\.{ATOM})*|"([^"\\\r\n]|\\.)*")@({LABEL}(\.{LABEL})*|\[[0-9A-Fa-f.:IPv]+\])',
}
"""RFC 9562, RFC 3339 with its appendix A, RFC 1123, RFC 5321; in ASCII, from the first character to the last."""
IRIS = ("iri", "iri-reference")
"""RFC 3987."""


@cache
def strict_formats() -> "FormatChecker":
    """The newest set of checks of jsonschema, with these shapes on top."""
    from jsonschema import Draft202012Validator, FormatChecker

    # Draft 7 does not name uuid and duration. A schema that uses them means them, so each draft gets the newest set.
    strict = FormatChecker(formats=())
    known = Draft202012Validator.FORMAT_CHECKER.checkers
    strict.checkers = dict(known)
    for name, shape in SHAPES.items():
        check, raises = known[name]
        strict.checkers[name] = partial(_both, shape, check), raises
    strict.checkers |= {name: (_iri(name), ()) for name in IRIS}
    return strict


def _iri(name: str) -> Callable[[object], bool]:
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator({"format": name}, validate_formats=True).is_valid


def _both(shape: str, check: Callable[[object], bool], value: object) -> bool:
    return not isinstance(value, str) or (re.fullmatch(shape, value) is not None and check(value))


@cache
def is_valid(name: str) -> Callable[[str], bool]:
    """The check of one format as a function that says yes or no."""
    return partial(strict_formats().conforms, format=name)
