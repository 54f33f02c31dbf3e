"""What Ollama itself makes of a Modelfile, recorded: by its own parser and template packages, built from its source.

`python -m tests.helpers.ollama PROGRAM COMMIT` asks again and writes tests/data/ollama/said.jsonl. PROGRAM is
tests/data/ollama/main.go, built in a checkout of Ollama at COMMIT.
"""

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gates
from gates.canonical import digest
from release.data import chat as chats
from release.data.chat import Chat, Messages
from release.models.exports import modelfile
from release.values.errors import PreflightError
from tests.helpers import families, stand_in_tokenizer
from tests.helpers.line import ROOT

SAID = ROOT / "tests" / "data" / "ollama" / "said.jsonl"
FAMILIES = ("QWEN3", "QWEN25_BASE", "GEMMA_2", "MISTRAL", "OLMO_2", "GPT_NEOX")
"""Whose templates write no date."""
GOLDEN_ROWS = 3
USER, SYSTEM, ANSWER = ({"role": role, "content": role[0].upper()} for role in ("user", "system", "assistant"))
CONVERSATIONS: tuple[Messages, ...] = (
    (USER,),
    (SYSTEM, USER),
    (USER, ANSWER, USER),
    (SYSTEM, USER, ANSWER, USER),
    (USER, USER),
    (SYSTEM, SYSTEM, USER),
    (USER, SYSTEM, USER),
    ({"role": "system", "content": ""}, USER),
    ({"role": "user", "content": '  {{ .System }} """ <b>&amp; \u00e9 \U0001f600 \u2028\n\n'},),
    (),
)
ODD = (
    "X{{ if not .System }}{{ else }}{{ end }}more",
    "X{{ end }}more",
    "X{{ range .Messages }}{{ .Content }}{{ else }}n{{ end }}Y",
    "X{{ range .Messages }}{{ .Content }}",
    "X{{ range .Messages }}{{{ .Content }}{{ end }}",
    "X{{ range .Messages }}{{ .Content }}}{{ end }}",
    "{{ range .Messages }}{ {{ .Content }}{{ end }}",
    "{{ if not .System }}{{ range .Messages }}{{ .Content }}{{ end }}{{ end }}",
    "{{ range .Messages }}{{ if not .System }}A{{ end }}{{ end }}",
    '{{ range .Messages }}{{ if eq .Role "user" }}{{ if not .System }}{{ end }}{{ end }}{{ end }}',
    '{{ range .Messages }}{{ if eq .Role "user" }}x{{ else if eq .Role "user" }}y{{ end }}{{ end }}',
    '{{ range .Messages }}{{ if eq .Role "tool" }}{{ if odd }}{{ end }}{{ end }}{{ end }}',
    '{{ if eq .Role "user" }}x{{ end }}',
    '{{- "a" }}X',
    'X {{- "a" }}',
    '{{"a"}}',
    "{{/* a comment */}}X",
    "a}}b",
    "{",
    "{{",
    "",
)
"""Templates that somebody may put into a release: each is read as Ollama reads it, or refused."""
LETTERS = (
    '"',
    "\n",
    "\r",
    "\t",
    " ",
    "\\",
    "#",
    "'",
    "\u00e9",
    "\u00a0",
    "\u200d",
    "\ufeff",
    "\u2028",
    "\x00",
    "FROM x\n",
)
ENDS = (" <e> ", "a\\", "\\n", "'", "#x", "a  b", "\u00e9", "\u00a0", "\u2028", "\u200d", "{{", '"', '"e"')


@dataclass(frozen=True, kw_only=True)
class Case:
    """What Ollama is asked: a Modelfile, and which messages it is to write; the template and ends that were put in."""

    modelfile: str
    template: str
    ends: tuple[str, ...]
    prompts: tuple[Messages, ...]


def says(ends: Sequence[str]) -> modelfile.Says:
    return modelfile.Says(model="model.gguf", adapter=None, context=512, max_new_tokens=64, ends=ends)


def chats_of(folder: Path) -> Iterator[tuple[Chat, tuple[Messages, ...]]]:
    """Of the default and of families: how each is asked, and what."""
    rows = gates.read_golden(ROOT / "data" / "elements" / "golden.jsonl")[:GOLDEN_ROWS]
    yield chats.read(ROOT / "tests" / "data" / "releases" / "v3"), tuple(row.prompt for row in rows)
    for name in FAMILIES:
        family = getattr(families, name)
        template = families.template_of(family)
        yield chats.read(stand_in_tokenizer.write(folder / name, family.tokens, template)), CONVERSATIONS[:-1]


def of_chats(folder: Path) -> Iterator[tuple[Case, str]]:
    """The Modelfiles that are written, each with a prompt that it is written for, and that as it is judged."""
    for chat, conversations in chats_of(folder):
        ends = tuple(chat.token(one) for one in chat.ends)
        for one in conversations:
            try:
                text = modelfile.text(modelfile.Asks(says=says(ends), chat=chat, prompts=[one]))
            except PreflightError:  # this conversation is none that Ollama can write so
                continue
            judged = chat.text(one, generation_prompt=True)
            yield Case(modelfile=text, template=modelfile.go_template(chat), ends=ends, prompts=(one,)), judged


def written(template: str, ends: tuple[str, ...] = ("<e>",), prompts: tuple[Messages, ...] = ()) -> Case | None:
    """The Modelfile with this template; None where it is refused."""
    try:
        text = modelfile.written(says(ends), template)
    except PreflightError:
        return None
    return Case(modelfile=text, template=template, ends=ends, prompts=prompts)


def said() -> Mapping[str, Mapping[str, Any]]:
    """What Ollama said, by the digest of what it was asked."""
    first, *lines = map(json.loads, SAID.read_text("utf-8").splitlines())
    assert first.keys() == {"ollama"}
    return {one["asked"]: one for one in lines}


def asked(case: Case) -> str:
    """The digest of a Modelfile and its prompts."""
    return digest([case.modelfile, case.prompts])


def every() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        yield from (case for case, _ in of_chats(Path(folder)))
    yield from (case for case, _ in odd())
    yield from plain()


def odd() -> Iterator[tuple[Case, Messages]]:
    """Each template that somebody may put into a release, with each conversation."""
    for template in ODD:
        for messages in (*CONVERSATIONS[:2], CONVERSATIONS[-1]):
            if case := written(template, prompts=(messages,)):
                yield case, messages


def plain() -> list[Case]:
    """Texts of one and two of the letters that a reader could stumble over, and ends; those that are not refused."""
    texts = ["".join(each) for size in (1, 2) for each in itertools.product(LETTERS, repeat=size)]
    return [one for one in (*map(written, texts), *(written("a", (end,)) for end in ENDS)) if one]


def main(program: str, commit: str) -> None:
    cases = {asked(one): one for one in every()}
    lines = "".join(json.dumps({"modelfile": one.modelfile, "prompts": one.prompts}) + "\n" for one in cases.values())
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    kept = [{"asked": name, **one} for name, one in zip(cases, answers, strict=True)]
    SAID.write_text("".join(json.dumps(one) + "\n" for one in [{"ollama": commit}, *kept]), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
