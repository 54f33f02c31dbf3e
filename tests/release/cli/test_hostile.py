"""What every command shows of what others wrote: nothing that acts on a terminal, no command to a workflow's runner."""

import json
import re
import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from gates.__main__ import main as gates_main
from release.cli import __main__ as cli
from tests.helpers.line import ROOT, small_config
from tests.helpers.small_release import edit

KEPT = max((ROOT / "tests" / "data" / "releases").glob("v*"))
MARK = "HOSTILE"
TEXT = (
    f"{MARK}\x1b[2J\x1b]0;title\x07\x9b31m\x7f\r::error::a\n::error::b\n \t::set-output name=c::d\n 1. ok     all\n"
    "##[error]e\u2028::error::f\u202egnp.exe\u2066\u200b\u2060\ufeff"
)
NAME = TEXT.replace("/", "")


def row(**changes: Any) -> str:
    first = json.loads((ROOT / "data" / "elements" / "golden.jsonl").read_text("utf-8").partition("\n")[0])
    return json.dumps({**first, **changes}) + "\n"


def settings(folder: Path, **sections: Any) -> None:
    small_config(folder, container={"use": "never"}, **sections)


def a_key(folder: Path) -> None:
    settings(folder)
    path = folder / "release.yaml"
    path.write_text(path.read_text("utf-8") + yaml.safe_dump({TEXT: 1}), "utf-8")


def a_policy(folder: Path) -> None:
    settings(folder, gates={TEXT: {"target": 0.5}})


def rows(folder: Path) -> None:
    """Two rows of one id, a document's id that is not there, and a key that nobody knows."""
    wrong = row(id=TEXT, support=[TEXT])
    (folder / "rows.jsonl").write_text(wrong + wrong + row(**{TEXT: TEXT}), "utf-8")
    shutil.copy(ROOT / "data" / "elements" / "train.jsonl", folder / "train.jsonl")
    settings(folder, data={"train_file": "train.jsonl", "golden_file": "rows.jsonl"})


def other_rows(folder: Path) -> None:
    told = {"prompt": "a", "completion": "b", TEXT: 1}
    (folder / "rows.jsonl").write_text(json.dumps(told) + "\n" + json.dumps({**told, "prompt": {TEXT: TEXT}}), "utf-8")


def other_keys(folder: Path) -> None:
    told = {"prompt": "a", "completion": "b", TEXT: 1}
    (folder / "rows.jsonl").write_text(json.dumps(told) + "\n", "utf-8")


def a_trainers_file(folder: Path) -> None:
    told = {"base_model": TEXT, "lora_r": 8, "hub_model_id": TEXT, TEXT: TEXT, "datasets": [{TEXT: TEXT}]}
    (folder / "given.yaml").write_text(json.dumps(told), "utf-8")


def a_trainers_repository(folder: Path) -> None:
    rows(folder)
    a_trainers_file(folder)


def a_release(folder: Path) -> None:
    """Names of files, versions of libraries, the base, the tag and the commit."""
    shutil.copytree(KEPT, folder / "release")
    (folder / "release" / NAME).write_text("x", "utf-8")

    def change(record: dict[str, Any]) -> None:
        record["files"][f"{TEXT}.bin"] = TEXT
        record["training"]["versions"][TEXT] = TEXT
        record["generation"]["versions"]["torch"] = TEXT
        record["config"]["publishing"]["tag"] = TEXT

    edit(folder / "release" / "release.json", change)


def a_receipt(folder: Path) -> None:
    shutil.copytree(KEPT, folder / "release")
    (folder / "receipt").write_text(json.dumps({"commit": TEXT, "manifest_digest": TEXT, TEXT: TEXT}), "utf-8")


def a_candidate(folder: Path) -> None:
    settings(folder)
    (folder / "release").mkdir()
    (folder / "release" / "SHA256SUMS").write_text(f"{'0' * 64}  {NAME}\n", "utf-8")
    (folder / "release" / NAME).write_text("x", "utf-8")


def a_brought_adapter(folder: Path) -> None:
    (folder / "adapter").mkdir()
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        shutil.copy(KEPT / name, folder / "adapter")
    edit(
        folder / "adapter" / "adapter_config.json",
        lambda told: told.update(base_model_name_or_path=TEXT, peft_type=TEXT),
    )
    (folder / "adapter" / "README.md").write_text(f"---\nlibrary_name: {json.dumps(TEXT)}\n---\n{TEXT}\n", "utf-8")


def in_the_way(folder: Path) -> None:
    (folder / NAME).mkdir()
    (folder / NAME / "release.yaml").write_text("x", "utf-8")


def nothing(_: Path) -> None:
    """Only what is typed."""


STARTED = ("--base", "embedded", "--data", "rows.jsonl", "--repo", "you/name", "--yes")
Case = tuple[Callable[[Path], None], Sequence[str]]
CASES: Mapping[str, Sequence[Case]] = {
    "init": [
        (in_the_way, (NAME, "--example", "--yes")),
        (rows, ("new", *STARTED)),
        (a_trainers_file, ("new", "--from", "given.yaml", "--yes")),
        (a_trainers_repository, ("new", "--from", "given.yaml", *STARTED)),
    ],
    "changes": [(a_key, ("then",))],
    "example": [(in_the_way, (NAME,))],
    "import": [(a_brought_adapter, ("adapter",)), (nothing, (TEXT,))],
    "check": [(a_key, ()), (a_policy, ()), (rows, ())],
    "plan": [(a_key, ()), (a_policy, ())],
    "doctor": [(a_key, ())],
    "release": [(a_key, ()), (rows, ())],
    "candidate": [
        (a_key, ()),
        (settings, ("--on", TEXT)),
        (settings, ("--on", f"hf-jobs:{TEXT}")),
        (settings, ("--on", f"ssh:{TEXT}", "--python", TEXT)),
    ],
    "review": [(nothing, (TEXT, "--no-browser"))],
    "publish": [(a_candidate, ("release",))],
    "attest": [
        (a_key, ("--url", "http://127.0.0.1:1/v1", "--model", TEXT)),
        (settings, ("--url", TEXT, "--model", TEXT)),
    ],
    "pilot": [(a_key, ())],
    "verify": [(a_release, ("release",)), (a_receipt, ("release", "--receipt", "receipt"))],
    "explain": [(a_release, (TEXT, "release"))],
    "open": [(a_release, ("release", "--no-browser", "--row", TEXT))],
    "compare": [
        (a_release, ("release", "release", "--no-browser")),
        (other_keys, ("rows.jsonl", "elsewhere", "--no-browser")),
        (nothing, (TEXT, TEXT, "--no-browser")),
    ],
    "tries": [(a_release, ("release",)), (a_key, ()), (nothing, (TEXT,))],
    "serve-check": [(a_release, ("release",))],
    "export": [(a_release, ("release",)), (nothing, ("release", "--as", TEXT))],
    "rejudge": [(a_release, ("release",))],
    "reproduce": [(a_release, ("release",)), (nothing, (TEXT,))],
    "data check": [(rows, ())],
    "data convert": [(other_rows, ("rows.jsonl", "--to", "to")), (other_keys, ("rows.jsonl", "--to", "to"))],
    "data split": [(rows, ("rows.jsonl", "--train", "a", "--golden", "b"))],
    "config convert": [(a_trainers_file, ("given.yaml", "--to", "to.yaml"))],
    "hub serve": [(nothing, ("--port", TEXT))],
    "base": [(in_the_way, (NAME,))],
}
"""Of every command, what others may have written of all that it reads."""
EVERY = [(command, *case) for command, cases in CASES.items() for case in cases]


def acting(text: str) -> list[str]:
    """What in a text a terminal or a runner would act on, found by other means than what is tested."""
    odd = [
        f"U+{ord(one):04X}"
        for one in text
        if one not in "\n\t" and unicodedata.category(one) in ["Cc", "Cf", "Cs", "Zl", "Zp"]
    ]
    commands = [line for line in text.splitlines() if line.strip().startswith("::") or re.search(r"##\w*\[", line)]
    return odd + commands


def test_every_command_is_walked() -> None:
    assert {command.name for group in cli.GROUPS.values() for command in group} == CASES.keys()


@pytest.mark.parametrize(
    ("command", "prepare", "typed"), EVERY, ids=[f"{name}, {prepare.__name__}" for name, prepare, _ in EVERY]
)
def test_nothing_that_others_wrote_acts_on_whoever_reads_it(
    command: str,
    prepare: Callable[[Path], None],
    typed: Sequence[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", "true")

    code: object = 0
    try:
        cli.main([*command.split(), *typed])
    except SystemExit as ended:
        code = ended.code

    shown = "".join(capfd.readouterr())
    assert code != 1, shown
    assert MARK in shown
    assert acting(shown) == []
    assert not re.search(r"^ ?1\. ok     all", shown, re.MULTILINE)


def test_nothing_in_an_answer_acts_on_whoever_judges_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    golden, answers = tmp_path / "golden.jsonl", tmp_path / "answers.jsonl"
    golden.write_text(row(id=TEXT), "utf-8")
    answers.write_text(json.dumps({"id": TEXT, "output": TEXT, "finish_reason": "stop"}) + "\n", "utf-8")
    contract = tmp_path / "contract.yaml"
    contract.write_text(
        yaml.safe_dump({"schema": str(ROOT / "data/elements/answer.schema.json"), "answer": "/answer"}), "utf-8"
    )
    common = [str(answers), "--golden", str(golden), "--contract", str(contract)]

    for more in (["--without-gate-zero"], ["--explain", "json_parse"]):
        gates_main([*common, *more])
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump({TEXT: {"target": 1}}), "utf-8")
    gates_main([*common, "--policy", str(policy)])
    with pytest.raises(SystemExit):
        gates_main([*common, "--explain", TEXT])

    shown = "".join(capfd.readouterr())
    assert shown.count(MARK) > 3
    assert acting(shown) == []


def test_what_acts_would_be_found() -> None:
    assert len(acting(TEXT)) > 15
    assert acting("\u05e9\u05dc\u05d5\u05dd caf\u00e9 \u65e5\u672c \U0001f600 a::b\n# [x]") == []
