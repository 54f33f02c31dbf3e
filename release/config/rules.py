"""Kinds of settings that pydantic has no word for, each with how JSON Schema says it.

Paths are relative to the folder that validation has as its context: that of the configuration file.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar, get_args

from pydantic import (
    AfterValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    WrapValidator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")
HUB_ADAPTER = r"hf://([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)@([0-9a-f]{40})"
"""A repository with an adapter, at a commit."""
_HUB_FILE = r"hf://datasets/([A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*)@([0-9a-f]{40})/((?!.*\.\.)[^/].*)"


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a dataset repository at a commit."""

    repo_id: str
    commit: str
    path: str

    def __str__(self) -> str:
        return f"hf://datasets/{self.repo_id}@{self.commit}/{self.path}"


def located(text: str, folder: Path) -> Path | HubFile:
    """The file that a setting names: of a dataset repository, or here."""
    found = re.fullmatch(_HUB_FILE, text)
    return HubFile(repo_id=found[1], commit=found[2], path=found[3]) if found else absolute(text, folder)


def absolute(text: str, folder: Path) -> Path:
    return Path(os.path.normpath(folder / text))


def relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


@dataclass(frozen=True, eq=False)
class Rule:
    """Any rule, and how JSON Schema says it."""

    holds: Callable[..., object]
    says: Mapping[str, object]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), **self.says}

    def _checked(self, value: T) -> T:
        if not self.holds(value):
            raise ValueError
        return value


def matches(pattern: str) -> Rule:
    """Text with a pattern. JSON Schema's ``$`` is the end; Python's would let a line break follow."""
    return Rule(re.compile(pattern.replace("$", r"\Z")).search, {"pattern": pattern})


def no_key_of(names: tuple[str, ...], pattern: str) -> Rule:
    """A section whose keys have a pattern and are none of ``names``."""
    fits = re.compile(pattern.replace("$", r"\Z")).search
    says = {"propertyNames": {"pattern": pattern, "not": {"enum": list(names)}}}
    return Rule(lambda section: all(fits(key) and key not in names for key in section), says)


DISTINCT = Rule(lambda values: len(set(values)) == len(values), {"uniqueItems": True})
AS_WRITTEN = WrapValidator(lambda value, check: (check(value), value)[1])
"""A number keeps its spelling: 3 does not become 3.0, which would be other bytes in a record."""


class _WhereGiven:
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(get_args(source)[0])


Given = Annotated[T | None, _WhereGiven()]
"""None only where the file leaves the setting out: null in a file is not a value."""


@dataclass(frozen=True)
class OrAlone:
    """A list that can also be written as one text of type ``alone``."""

    alone: object

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        either = core_schema.union_schema([handler.generate_schema(self.alone), handler(source)])
        return core_schema.no_info_after_validator_function(
            lambda value: (value,) if isinstance(value, str) else value, either
        )


@dataclass(frozen=True)
class Names:
    """A section with these keys and values of one kind; in ``words`` and ``examples`` ``{}`` is replaced by a key."""

    names: tuple[str, ...]
    words: str = ""
    examples: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        kind = handler.generate_schema(get_args(source)[1])
        return core_schema.typed_dict_schema(
            {name: core_schema.typed_dict_field(kind, required=False) for name in self.names}, extra_behavior="forbid"
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        section = handler(schema)
        for name, rule in section["properties"].items() if self.words else ():
            rule |= {
                "description": self.words.format(name),
                "examples": [example.format(name) for example in self.examples],
            }
        return section


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _folder(info: ValidationInfo) -> Path:
    assert isinstance(info.context, Path)
    return info.context


def _file(value: object, info: ValidationInfo) -> Path:
    return absolute(_text(value), _folder(info))


def _row_file(value: object, info: ValidationInfo) -> Path | HubFile:
    file = located(_text(value), _folder(info))
    if isinstance(file, Path) and _text(value).startswith("hf:"):
        raise ValueError
    return file


def _adapter(value: object, info: ValidationInfo) -> Path | str:
    text = _text(value)
    if not text.startswith("hf:"):
        return absolute(text, _folder(info))
    if not re.fullmatch(HUB_ADAPTER, text):
        raise ValueError
    return text


def _one_spelling(endpoint: str, info: ValidationInfo) -> str:
    if not endpoint.startswith("file:"):
        return endpoint
    folder = _folder(info)
    return f"file:{relative(absolute(re.sub('^file:(//(?=/))?', '', endpoint), folder), folder)}"


Text = Annotated[str, Field(min_length=1)]
File = Annotated[Path, PlainValidator(_file), WithJsonSchema({"type": "string", "minLength": 1})]
RowFile = Annotated[
    Path | HubFile,
    PlainValidator(_row_file),
    WithJsonSchema({"type": "string", "minLength": 1, "pattern": f"^(?!hf:)|^{_HUB_FILE}$"}),
]
BroughtAdapter = Annotated[
    Path | str,
    PlainValidator(_adapter),
    WithJsonSchema({"type": "string", "minLength": 1, "pattern": f"^(?!hf:)|^{HUB_ADAPTER}$"}),
]
Url = Annotated[str, matches(r"^https?://[^/@\s?#]+[^@\s?#]*$")]
"""Never with a password or a query, which may hold one."""
Endpoint = Annotated[str, matches(r"^(https?://[^/@\s]+[^@\s]*|file:.*[^/].*)$"), AfterValidator(_one_spelling)]
"""``file:`` and a folder has one spelling, relative to the configuration file."""
