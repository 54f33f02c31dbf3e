"""The user's JSON Schema: loaded only if everything in it will be checked, then asked for the faults of an answer."""

import copy
import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gates import pointer, schema_size, strict_json, value_formats
from gates.canonical import Json
from gates.invalid import MESSAGE
from gates.schema_keywords import Steps, bounded
from gates.schema_patterns import SIZE, SchemaPattern, schema_pattern
from gates.schema_shapes import unwrapped
from gates.shown import shorten

if TYPE_CHECKING:
    import jsonschema_rs
    from jsonschema.protocols import Validator
    from referencing._core import Resolver

DRAFTS = {
    "http://json-schema.org/draft-07/schema": "draft-07",
    "https://json-schema.org/draft/2019-09/schema": "2019-09",
    "https://json-schema.org/draft/2020-12/schema": "2020-12",
}
MAX_SCHEMA = 2_000_000
"""Characters of a schema: they take some seconds."""
ANNOTATIONS = (
    frozenset({"$schema", "$id", "$anchor", "$comment", "$defs", "$vocabulary", "$dynamicAnchor", "$recursiveAnchor"})
    | {"definitions", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}
    | {"then", "else", "minContains", "maxContains", "example", "externalDocs", "xml"}
)
"""Keywords that assert nothing by themselves."""
UNCHECKED = frozenset(
    {"contentEncoding", "contentMediaType", "contentSchema", "nullable", "discriminator", "divisibleBy", "extends"}
)
"""Keywords that readers take for a check and no validator of these drafts checks."""


INSTEAD = {
    "nullable": ' (write "type": ["string", "null"])',
    "discriminator": " (write oneOf beside it, of which it says again which one is meant)",
}
"""What to write in place of a keyword, where that is one thing."""


@dataclass(frozen=True, kw_only=True, order=True)
class Fault:
    """One thing wrong with an answer."""

    path: str
    """A JSON Pointer into the answer."""
    rule: str
    """The schema keyword or the contract rule that it breaks."""
    message: str


Schema: TypeAlias = Mapping[str, Json]
SchemaCheck: TypeAlias = Callable[[Json], tuple[Fault, ...]]


def read_schema(path: Path) -> tuple[Schema | None, list[str], tuple[str, ...]]:
    """The schema in a file, what is wrong with it, and how it was read; it is None if it cannot be used at all."""
    try:
        with path.open("rb") as file:  # a contract may name what has no end, such as /dev/zero
            data = file.read(4 * MAX_SCHEMA + 1)  # bytes of a character in UTF-8, at most
        reading = strict_json.read(data, max_characters=MAX_SCHEMA)
    except OSError as error:
        return None, [f"schema {path}: {error.strerror}. Give the path relative to the contract's folder"], ()
    if not reading.ok or not isinstance(reading.value, dict):
        return None, [f"schema {path}: not a JSON object ({reading.code}: {reading.detail})"], ()
    schema, notes = unwrapped(reading.value)
    if notes and not _checks_something(schema):
        return None, [f"schema {path}: names no draft, and has no keyword that checks, such as type or properties"], ()
    problems = [f"schema {path}: {problem}" for problem in schema_problems(schema)]
    return schema, problems, tuple(f"schema {path}: {note}" for note in notes)


def _checks_something(schema: Schema) -> bool:
    from jsonschema import Draft202012Validator

    return bool(schema.keys() & Draft202012Validator.VALIDATORS.keys())


def schema_problems(schema: Schema) -> list[str]:
    """Why answers could not be checked against this schema, in alphabetical order; empty if they can."""
    import jsonschema_rs

    draft = schema.get("$schema")
    if not isinstance(draft, str) or draft.rstrip("#") not in DRAFTS:
        return [f"$schema is {draft!r}, and must be one of {', '.join(DRAFTS)}: drafts differ in what they check"]
    validator = _validator_class(schema)
    if not jsonschema_rs.meta.is_valid(dict(schema)):  # a second opinion: it is fast, and has fewer words
        broken = validator(validator.META_SCHEMA).iter_errors(schema)
        found = sorted(broken, key=lambda error: str(error.absolute_path))
        if found:
            return [f"{pointer.write(list(error.absolute_path))}: {shorten(error.message, MESSAGE)}" for error in found]
    name = DRAFTS[draft.rstrip("#")]
    # Sorted: the library walks the parts by sets of keywords, in another order in each process.
    problems = {one for part, resolver in _parts(schema) for one in _part_problems(part, resolver, validator, name)}
    problems |= {f"$schema {inner!r} inside: one file, one draft" for inner in _inner_drafts(schema, draft)}
    return sorted(problems) or _unbounded(schema)


def _inner_drafts(schema: Schema, draft: str) -> set[str]:
    named = (str(part["$schema"]) for part, _ in _parts(schema) if "$schema" in part)
    return {one for one in named if one.rstrip("#") != draft.rstrip("#")}


def _unbounded(schema: Schema) -> list[str]:
    """Why checking an answer could take for ever; empty if it cannot."""
    if problem := schema_size.measure(schema).problem:
        return [problem]
    if _unbounded_words(schema) and _fast(schema) is None:
        beside = "a recursive schema or a pattern that looks around"
        return [f"unevaluatedProperties and patternProperties beside {beside}: write additionalProperties"]
    return []


def schema_check(schema: Schema) -> SchemaCheck:
    """A function that returns an answer's faults, the shortest path first; the validators are built once.

    jsonschema-rs says in no time which answers are valid. Of the others, and of all where the schema has no bound for
    it, jsonschema finds the faults, with its steps counted.
    """
    fast = _fast(schema)
    slow = _faults_of(fast) if fast is not None and _unbounded_words(schema) else _slow(schema)

    def faults(value: Json) -> tuple[Fault, ...]:
        if fast is not None and _is_valid(fast, value):
            return ()
        try:
            found = slow(value)
        except (ArithmeticError, RecursionError, ValueError) as error:
            # A pattern or a schema that takes too many steps: not checked is not valid.
            return (Fault(path="", rule="schema", message=f"could not be checked: {type(error).__name__}: {error}"),)
        return tuple(sorted(found, key=lambda fault: (fault.path.count("/"), fault)))

    return faults


def _is_valid(fast: "jsonschema_rs.Validator", value: Json) -> bool:
    try:
        return fast.is_valid(value)
    except (ArithmeticError, RecursionError, ValueError):
        return False  # jsonschema says why


def _fast(schema: Schema) -> "jsonschema_rs.Validator | None":
    """jsonschema-rs where its time is bounded; None where it is not."""
    import jsonschema_rs

    parts = _copied_parts(schema)
    patterns = {name: schema_pattern(name) for part in parts for name in _patterns(part)}
    linear = all(isinstance(one, SchemaPattern) and not one.backtracks for one in patterns.values())
    if not linear or not schema_size.measure(schema).bounded:
        return None
    written = {name: one.written for name, one in patterns.items() if isinstance(one, SchemaPattern)}
    for part in parts[1:]:
        part.pop("$schema", None)
    for part in parts:
        if isinstance(pattern := part.get("pattern"), str):
            part["pattern"] = written[pattern]
        if isinstance(named := part.get("patternProperties"), dict):
            part["patternProperties"] = {written[name]: member for name, member in named.items()}
    formats = {str(part["format"]) for part in parts if isinstance(part.get("format"), str)}
    try:
        return jsonschema_rs.validator_for(
            parts[0],
            formats={name: value_formats.is_valid(name) for name in formats},
            validate_formats=True,
            retriever=_nothing_is_fetched,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=SIZE),
        )
    except (jsonschema_rs.ReferencingError, ValueError):
        return None


def _nothing_is_fetched(address: str) -> Json:
    raise ValueError(f"{address}: nothing is fetched")


def _slow(schema: Schema) -> Callable[[Json], list[Fault]]:
    """Jsonschema with its steps counted."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped,unused-ignore]

    steps = Steps()
    parts = _copied_parts(schema)
    for part in parts:
        part.pop("$schema", None)  # the library would take the draft's own validator again, without the bounds
    checks = bounded(_validator_class(schema), steps)
    validator = checks(parts[0], registry=REGISTRY, format_checker=value_formats.strict_formats())

    def faults(value: Json) -> list[Fault]:
        steps.taken = 0
        return [
            Fault(
                path=pointer.write(list(error.absolute_path)),
                rule=str(error.validator),
                message=shorten(error.message, MESSAGE),
            )
            for error in validator.iter_errors(value)
        ]

    return faults


def _unbounded_words(schema: Schema) -> bool:
    """Whether jsonschema would search with Python's ``re`` where no keyword of ours can take its place."""
    keywords = {keyword for part, _ in _parts(schema) for keyword in part}
    return {"unevaluatedProperties", "patternProperties"} <= keywords


def _faults_of(fast: "jsonschema_rs.Validator") -> Callable[[Json], list[Fault]]:
    """The faults in jsonschema-rs's own words."""

    def faults(value: Json) -> list[Fault]:
        return [
            Fault(
                path=pointer.write(error.instance_path),
                rule=error.kind.name,
                message=shorten(error.message, MESSAGE),
            )
            for error in fast.iter_errors(value)
        ]

    return faults


def _copied_parts(schema: Schema) -> list[dict[str, Json]]:
    """Every subschema of a copy, which may be changed; the whole comes first."""
    return [part for part, _ in _parts(copy.deepcopy(schema)) if isinstance(part, dict)]


def _patterns(part: Schema) -> list[str]:
    named = part.get("patternProperties")
    found = (part.get("pattern"), *(named if isinstance(named, dict) else ()))
    return [pattern for pattern in found if isinstance(pattern, str)]


def _validator_class(schema: Schema) -> "type[Validator]":
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    return validator_for(schema, default=Draft202012Validator)  # $schema is one of DRAFTS


def _parts(schema: Schema) -> "Iterator[tuple[Schema, Resolver[Schema]]]":
    """Every subschema with its resolver, those that only a reference reaches included."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped,unused-ignore]
    from referencing import Resource
    from referencing.exceptions import Unresolvable

    root = Resource.from_contents(schema)
    base = root.id() or ""
    waiting = [(root, REGISTRY.with_resource(base, root).resolver(base))]
    seen: set[int] = set()
    while waiting:
        resource, resolver = waiting.pop()
        if id(resource.contents) in seen or not isinstance(resource.contents, dict):
            continue
        seen.add(id(resource.contents))
        yield resource.contents, resolver
        specification = resource._specification  # noqa: SLF001  # a part has the draft of the whole, and no public name for it
        waiting += [(part, resolver.in_subresource(part)) for part in resource.subresources()]
        for _, reference in _references(resource.contents):
            try:
                target = resolver.lookup(reference)
            except Unresolvable:
                continue  # named by _part_problems
            if not str(target.resolver._base_uri).startswith(tuple(DRAFTS)):  # noqa: SLF001
                waiting.append((specification.create_resource(target.contents), target.resolver))


def _references(part: Schema) -> list[tuple[str, str]]:
    found = ((key, part.get(key)) for key in ("$ref", "$dynamicRef", "$recursiveRef"))
    return [(key, reference) for key, reference in found if isinstance(reference, str)]


def _part_problems(
    part: Schema, resolver: "Resolver[Schema]", validator: "type[Validator]", draft: str
) -> Iterator[str]:
    yield from _reference_problems(part, resolver)
    beside = ", ".join(sorted(set(part) - ANNOTATIONS - {"$ref"}))
    if draft == "draft-07" and "$ref" in part and beside:
        yield f"{beside} beside $ref {part['$ref']!r}: draft-07 ignores what stands beside $ref; use allOf"
    known = set(validator.VALIDATORS) | ANNOTATIONS
    tagged = "discriminator" in part and ("oneOf" in part or "anyOf" in part)  # says again what they check
    for keyword in sorted(set(part) - known - ({"discriminator"} if tagged else set())):
        if problem := _keyword_problem(keyword, known):
            yield f"keyword {keyword!r} {problem} in {draft}"
    name = part.get("format")
    if isinstance(name, str) and name not in value_formats.strict_formats().checkers:
        known_formats = ", ".join(sorted(value_formats.strict_formats().checkers))
        instead = "take it out, or write minimum, maximum or pattern"
        yield f"format {name!r} cannot be checked: {instead} (known: {known_formats})"
    for pattern in _patterns(part):
        if isinstance(said := schema_pattern(pattern), str):
            yield f"pattern {pattern!r} {said}"


def _reference_problems(part: Schema, resolver: "Resolver[Schema]") -> Iterator[str]:
    from referencing.exceptions import Unresolvable

    for key, reference in _references(part):
        try:
            resolver.lookup(reference)
        except Unresolvable:
            yield f"{key} {reference!r} leads nowhere in this file, and nothing is fetched: copy its target into $defs"


def _keyword_problem(keyword: str, known: set[str]) -> str:
    """Words of the user's own are annotations; a misspelled check or one of another draft would be skipped silently."""
    from jsonschema import Draft7Validator, Draft201909Validator, Draft202012Validator

    drafts = (Draft7Validator, Draft201909Validator, Draft202012Validator)
    if keyword in UNCHECKED or any(keyword in draft.VALIDATORS for draft in drafts):
        return f"is not checked{INSTEAD.get(keyword, '')}"
    near = difflib.get_close_matches(re.sub(r"[-_]", "", keyword), known, cutoff=0.8)
    return f"is unknown (did you mean {near[0]!r}?)" if near else ""
