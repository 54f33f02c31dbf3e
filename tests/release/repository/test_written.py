"""A repository of the user's own: what is written, what never is, and what is in it passes what checks this one."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import gates
from release import inputs
from release.config import reading
from release.repository import asked, written
from release.repository.asked import EMBEDDED, Wanted
from release.repository.rows import Given
from release.repository.written import Written
from release.values.errors import ConfigError
from tests.helpers.line import ROOT
from tests.release.repository.shapes import chat, write

BIN = Path(sys.executable).parent
COMMIT = "0123456789" * 4
BASE = f"Qwen/Qwen3-0.6B@{COMMIT}"
TOOL = f"somebody/adapter-release@{COMMIT}"
FILES = {
    ".github/actionlint.yaml", ".github/dependabot.yml", ".github/workflows/check.yml", ".github/workflows/release.yml",
    ".github/workflows/reproduce.yml", ".gitignore", "Makefile", "README.md", "data/answer.schema.json",
    "data/golden.jsonl", "data/train.jsonl", "release.yaml",
}  # fmt: skip


def made(folder: Path, rows: list[Any] | None = None, *, name: str = "rows.jsonl", **more: str) -> Written:
    data = write(folder / name, chat() if rows is None else rows)
    wanted = Wanted(base=BASE, repo="me/mine", rows=Given(data=data), tool=TOOL)
    return written.write(folder / "mine", replace(wanted, **more))  # type: ignore[arg-type]


def test_what_is_written_loads_and_its_reference_answers_pass_its_gates(tmp_path: Path) -> None:
    found = made(tmp_path)
    folder = tmp_path / "mine"

    assert {path.relative_to(folder).as_posix() for path in found.files} == FILES
    config = reading.load(folder / "release.yaml")
    contract = gates.load_contract(config.contract, folder)
    policy = inputs.there(inputs.read_policy(config, contract.declares))
    assert gates.gate_zero(gates.read_golden(folder / "data" / "golden.jsonl"), contract, policy).passed
    assert (config.model.base_model_id, config.model.revision) == tuple(BASE.split("@"))
    assert config.publishing.hf_repo == "me/mine"
    assert any(line.startswith("contract.markers: ") for line in found.guessed)
    assert "# guessed: in the text of" in (folder / "release.yaml").read_text("utf-8")


def test_without_refusals_the_gates_of_the_configuration_are_those_that_can_be_measured(tmp_path: Path) -> None:
    made(tmp_path, chat(lambda text, cited, _: {"answer": text, "citations": [cited]}, refusing=False))
    folder = tmp_path / "mine"

    config = reading.load(folder / "release.yaml")

    contract = gates.load_contract(config.contract, folder)
    policy = inputs.there(inputs.read_policy(config, contract.declares))
    assert gates.gate_zero(gates.read_golden(folder / "data" / "golden.jsonl"), contract, policy).passed
    assert "refusal_recall" not in (config.gates or {})


def test_files_that_are_there_are_named_all_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "data").mkdir(parents=True)
    (folder / "release.yaml").write_text("mine", "utf-8")
    (folder / "data" / "train.jsonl").symlink_to("nowhere")

    with pytest.raises(ConfigError) as stopped:
        made(tmp_path)

    assert "mine/data/train.jsonl, " in str(stopped.value)
    assert "mine/release.yaml: there already. Nothing was written" in str(stopped.value)
    assert sorted(path.name for path in folder.rglob("*")) == ["data", "release.yaml", "train.jsonl"]
    assert (folder / "release.yaml").read_text("utf-8") == "mine"


def test_the_example_is_the_default_with_workflows_around_it(tmp_path: Path) -> None:
    written.write(tmp_path, Wanted(base=EMBEDDED, repo=asked.EXAMPLE_REPO, rows=None, tool=TOOL))

    for name in ("release.yaml", "data/elements/golden.jsonl"):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()
    assert (tmp_path / ".github" / "workflows" / "check.yml").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"base": "Qwen/Qwen3-0.6B"}, "git ls-remote https://huggingface.co/Qwen/Qwen3-0.6B HEAD"),
        ({"base": "Qwen/Qwen3-0.6B@main"}, "with a full commit of 40 digits"),
        ({"base": f'x"/y@{COMMIT}'}, "git ls-remote https://huggingface.co/NAMESPACE/NAME HEAD"),
        ({"base": f"{BASE}\n"}, "--base"),
        ({"repo": "mine"}, '--repo "mine" is not NAMESPACE/NAME'),
        ({"repo": 'me/a"\n  tag: v9'}, "--repo"),
        ({"repo": "me/a\n"}, "--repo"),
        ({"tool": "somebody/adapter-release@main"}, "--tool"),
        ({"tool": "somebody/adapter-release\n"}, "--tool"),
        ({"tool": "$(touch x)/y"}, "--tool"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(more: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as stopped:
        made(tmp_path, None, **more)

    assert says in str(stopped.value)
    assert not (tmp_path / "mine").exists()


HOSTILE = 'e"vil\u2028\x85#: {}\t::error::\x7f\u202e'


def test_a_hostile_file_name_and_hostile_keys_stay_data(tmp_path: Path) -> None:
    """Nothing of them is YAML, a comment's end, or a part of a workflow."""
    rows = chat(
        lambda text, cited, no: {"answer": text, HOSTILE: {"c": [] if no else [{HOSTILE: cited}]}, "refusal": no}
    )

    found = made(tmp_path, rows, name="rows\n$(touch x) %%{version} ${{ secrets.A }}.jsonl")
    folder = tmp_path / "mine"

    config = reading.load(folder / "release.yaml")
    assert config.contract["citations"] == {"at": f"/{HOSTILE}/c", "key": HOSTILE, "matches": "id"}
    json.loads((folder / "data" / "answer.schema.json").read_text("utf-8"))
    assert set(yaml.safe_load((folder / "release.yaml").read_bytes())) == {
        *("run", "model", "adapter", "data", "contract", "gates", "publishing")
    } - ({"gates"} if config.gates is None else set())
    for path in found.files:
        if path.parent.name != "data":
            assert "touch x" not in path.read_text("utf-8"), path
            assert "\u2028" not in path.read_text("utf-8"), path


@pytest.mark.parametrize(
    "command",
    [
        [str(BIN / "actionlint")],
        [str(BIN / "zizmor"), "--offline", "--persona=auditor", "--no-progress", "--quiet", ".github"],
        [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.github-workflows"],
    ],
)
def test_its_workflows_pass_what_checks_this_repositorys(command: list[str], tmp_path: Path) -> None:
    made(tmp_path)
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "mine")], check=True)
    more = (
        [str(one) for one in (tmp_path / "mine" / ".github" / "workflows").iterdir()] if "check" in command[0] else []
    )

    done = subprocess.run([*command, *more], cwd=tmp_path / "mine", capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
