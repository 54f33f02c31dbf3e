"""Releases whose record, answers or settings attack whoever looks at them. Each liar has mended all digests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from release.judging.released import Released
from release.values import layout
from release.values.artifacts import sha256_file
from tests.helpers.small_release import edit, reseal

Trick = Callable[[Path], object]
ESCAPES = "\x1b[2J\x1b[H 1. ok     \x1b]0;title\x07\x9b31m"
WORKFLOW = "1.0\n::error file=a::b\r::set-output name=a::b"
EVIL = {"AutoTokenizer": ["evil/repo--tok.Tok", None]}
TURNED = "\u202etxt.exe\u2066\u200f"
MARKS = "a" + "\u0301" * 300_000 + "\u0323" * 300_000
"""Out of order: who puts them in order by insertion takes minutes."""
SLOW_PATTERNS = (
    r"^(?:a{0,16}){0,16}$",
    r"^((?:a{0,16}){0,16})$",
    r"^(?=(?:a{0,16}){0,16}$)",
    r"(?i)^(?:a{0,16}){0,16}$",
    "^" + "a{0,16}" * 12 + "$",
    "^" + "a?" * 30 + "a" * 30 + "$",
    r"^(?:(?:a|aa|aaa){0,16}){3}$",
    r"^(.*)(.*)\1\2x",
    "^" + "(?:a|b|ab)" * 40 + "$",
    r"^a*a*$",
    r"\s*\[(\d+)\]",
    r"a*b\[(\d+)\]",
    r"^(a*)\1\1\1\1$",
    r"^(a+)+$",
    r"(?:x|a+)*y",
)


def settings(path: str, value: object) -> Trick:
    """The record's configuration says ``value`` at ``path``, such as ``data.train_file``."""
    *above, last = path.split(".")

    def change(record: Any) -> None:
        at = record["config"]
        for name in above:
            at = at.setdefault(name, {})
        at[last] = value

    return lambda folder: reseal(folder, change)


def recorded(path: str, value: object) -> Trick:
    """The record itself says so."""
    *above, last = path.split(".")

    def change(record: Any) -> None:
        at = record
        for name in above:
            at = at[name]
        at[last] = value

    return lambda folder: reseal(folder, change)


def remote_code(folder: Path) -> None:
    """Record, configuration, adapter and card name one base, whose code the record trusts."""
    settings_file, card = folder / layout.SETTINGS, folder / layout.CARD
    name, revision = "someone/evil", "e" * 40
    old = json.loads(settings_file.read_bytes())
    edit(settings_file, lambda value: value.update(base_model_name_or_path=name, revision=revision))
    card.write_text(card.read_text("utf-8").replace(old["base_model_name_or_path"], name), "utf-8")

    def change(record: Any) -> None:
        named = {"base_model_id": name, "revision": revision}
        record["config"]["model"] |= {**named, "source": "hub", "trust_remote_code": True}
        record["base"] |= named

    reseal(folder, change)


def named(name: str) -> Trick:
    """A file of this name beside the others."""

    def change(folder: Path) -> None:
        (folder / name).write_text("text", "utf-8")
        reseal(folder)

    return change


def in_adapter(name: str, content: object) -> Trick:
    """A JSON file of the adapter holds this, as if it had been judged so."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(json.dumps(content), "utf-8")
        files = {**Released(folder=folder).record.adapter.files, name: sha256_file(folder / name)}
        digest = Released(folder=folder).manifest(list(files)).digest

        def both(record: Any) -> None:
            record["adapter"].update(files=files, sha256=digest)
            for one in (record["generation"], *(form["answering"] for form in (record.get("forms") or {}).values())):
                one["adapter_sha256"] = digest

        reseal(folder, both)

    return change


def beside(name: str, content: object) -> Trick:
    """A JSON file elsewhere in the release holds this."""

    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content), "utf-8")
        reseal(folder)

    return change


def answered(text: str) -> Trick:
    """Every answer is this text."""

    def change(folder: Path) -> None:
        path = folder / layout.ANSWERS
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        path.write_text("".join(json.dumps({**row, "output": text}) + "\n" for row in rows), "utf-8")
        reseal(folder, lambda record: record["generation"].update(answers_sha256=sha256_file(path)))

    return change


def first_row(name: str, **changes: object) -> Trick:
    """The first row of a file of rows says this too."""

    def change(folder: Path) -> None:
        first, *others = (folder / name).read_text("utf-8").splitlines(keepends=True)
        row = json.dumps({**json.loads(first), **changes}, ensure_ascii=False)
        (folder / name).write_text(f"{row}\n" + "".join(others), "utf-8")
        reseal(folder)

    return change


def schema(change: Callable[[Any], object], text: str | None = None) -> Trick:
    """The answer's schema is changed; with ``text``, every answer is it."""

    def both(folder: Path) -> None:
        edit(folder / layout.ANSWER_SCHEMA, change)
        (answered(text) if text else reseal)(folder)

    return both


def doubled(value: Any) -> None:
    """A schema of which each part is checked twice by the next: 2**40 checks."""
    parts = {f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(40)}
    value["$defs"] = {**value.get("$defs", {}), **parts, "d40": {"type": "object"}}
    value["allOf"] = [{"$ref": "#/$defs/d0"}]


def itself(value: Any) -> None:
    """A schema that leads to itself without an end."""
    value["$defs"] = {**value.get("$defs", {}), "a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}
    value["allOf"] = [{"$ref": "#/$defs/a"}]


def pattern_of_answers(pattern: str) -> Trick:
    """The schema has this pattern on a text that the answer fills with what makes it slow."""
    wrong = json.dumps({"answer": "a" * 3990 + "!", "citations": [], "refusal": False})
    return schema(lambda value: value["properties"]["answer"].update(pattern=pattern), wrong)


def pattern_of_citations(pattern: str) -> Trick:
    """The contract finds citations by this pattern."""

    def change(folder: Path) -> None:
        edit(folder / layout.CONTRACT, lambda value: value.update(markers=pattern))
        wrong = {"answer": "a" * 3990 + "!", "citations": [], "refusal": False}
        answered(json.dumps(wrong))(folder)

    return change


OPEN: dict[str, Trick] = {
    "remote code of a base that the record trusts": remote_code,
    "remote code by the setting alone": settings("model.trust_remote_code", value=True),
    "a commit that only a pull request has": recorded("source.commit", "a" * 40),
    "a commit that is an option of git": recorded("source.commit", "--upload-pack=touch RAN"),
    "an image of a stranger": settings("container", {"use": "auto", "image": f"evil.example/a@sha256:{'b' * 64}"}),
    "an image of a stranger that it was made in": recorded("image_digest", f"sha256:{'b' * 64}"),
    "training rows at a path of this machine": settings("data.train_file", "/etc/passwd"),
    "golden rows at a path above": settings("data.golden_file", "../../../../etc/passwd"),
    "rows from an address": settings("data.train_file", "hf://datasets/someone/evil"),
    "a chat template at a path": settings("model.chat_template", "/etc/passwd"),
    "a schema at a path": settings("contract.schema", "/etc/passwd"),
    "a signing key at a path": settings("publishing.signing_key", "/etc/passwd"),
    "an output folder at a path": settings("run.output_dir", "/var/tmp/escaped"),
    "a Hub of a stranger": settings("publishing.endpoint", "http://127.0.0.1:9/"),
    "a served model at an address": settings(
        "serving", {"api": {"engine": "openai", "url": "http://169.254.169.254/v1", "model": "a"}}
    ),
}
"""What asks for something that is never done without the user's word. What `verify` says of it may be ok."""
CLOSED: dict[str, Trick] = {
    "escapes in a file's name": named("\x1b[2J\x1b[H 1. ok"),
    "a workflow command in a file's name": named("a\n::error::b"),
    "a name that turns the text": named(TURNED),
    "escapes in a library's version": recorded("training.versions.torch", ESCAPES),
    "a workflow command in a library's version": recorded("generation.versions.torch", WORKFLOW),
    "escapes in the base's name": recorded("base.base_model_id", ESCAPES),
    "a version that is a megabyte": recorded("training.versions.peft", "1" * 1_000_000),
    "a tokenizer that is code of a stranger": in_adapter("tokenizer_config.json", {"auto_map": EVIL}),
    "a tokenizer with another template": in_adapter("tokenizer_config.json", {"chat_template": "{{ 'Say yes.' }}"}),
    "special tokens that are code of a stranger": in_adapter("special_tokens_map.json", {"auto_map": EVIL}),
    "a merged model that is code of a stranger": beside("exports/merged/config.json", {"auto_map": EVIL}),
    "escapes in every answer": answered(f"{ESCAPES}{WORKFLOW}{TURNED}"),
    "a row whose id is accents without end": first_row(layout.DATA["golden"], id=MARKS),
    "a row whose prompt is accents without end": first_row(
        layout.DATA["golden"], messages=[{"role": "user", "content": MARKS}, {"role": "assistant", "content": "a"}]
    ),
    "an answer that is nested deeply": answered("[" * 100_000),
    "an answer of five million digits": answered("1" * 5_000_000),
    "a fence in every answer that does not end": answered("```" + "\t" * 90_000 + "x"),
    "a schema that doubles forty times": schema(doubled),
    "a schema that leads to itself": schema(itself),
    "a schema with a word for a pattern": schema(lambda value: value["properties"]["answer"].update(pattern=["a"])),
    "a number that no float holds": recorded("training.seconds", 10**400),
    **{f"a slow pattern of the schema: {one[:24]}": pattern_of_answers(one) for one in SLOW_PATTERNS},
    **{f"a slow pattern of citations: {one[:24]}": pattern_of_citations(one) for one in SLOW_PATTERNS},
}
"""What `verify` must not call ok."""
