"""`init --from`: another trainer's configuration answers what it can, and its settings are those of the repository."""

import json
from pathlib import Path
from typing import Any

import pytest

import gates
from release.cli.options import ReadAs
from release.cli.repository import Init, init
from release.config import foreign, reading, tree
from release.repository import elsewhere
from release.values.errors import ConfigError, Stop
from tests.helpers.line import ROOT
from tests.release.repository.shapes import chat, write
from tests.release.repository.test_written import BASE, COMMIT

FILES = ROOT / "tests" / "data" / "trainers"
BASED: dict[str, Any] = {"base": BASE}
GIVEN = {**BASED, "data": Path("data/train.jsonl"), "repo": "me/mine"}
EACH = {
    "axolotl.yml": BASED,
    "llamafactory.yaml": GIVEN,
    "swift.yaml": {**BASED, "repo": "me/mine"},
    "alignment_handbook.yaml": GIVEN,
    "mlx.yaml": {**BASED, "repo": "me/mine"},
    "unsloth.json": GIVEN,
}
"""A configuration of each trainer, and what it leaves to be said."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "train.jsonl", chat())
    monkeypatch.chdir(tmp_path)


AS_IT_IS = ReadAs(format="auto", field=[], role=[], ignore=[], without=[], least_rating=None)


def begun(elsewhere: str = "given.yaml", **typed: Any) -> str:
    """What `init` says where nobody is at the terminal."""
    said: list[str] = []
    options = {"base": None, "data": None, "golden": None, "repo": None, "tool": None, "read_as": AS_IT_IS, **typed}
    given = Init(folder=Path("mine"), elsewhere=Path(elsewhere), example=False, seed=42, yes=True, **options)
    init(given, lambda event: said.append(str(event)))
    return "\n".join(said)


def refused(**typed: Any) -> Stop:
    """Why `init` stopped; nothing was written."""
    with pytest.raises(Stop) as stopped:
        begun(**typed)
    assert not Path("mine").exists()
    return stopped.value


@pytest.mark.parametrize("name", EACH)
def test_the_repository_has_every_setting_that_the_conversion_takes(name: str, tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_bytes((FILES / name).read_bytes())

    said = begun(**EACH[name])

    assert "settings taken" in said
    config = reading.load(tmp_path / "mine" / "release.yaml")
    loaded, made = reading.effective(config), foreign.convert(tree.read(FILES / name))
    for key, one in made.settings.items():
        if key not in elsewhere.OF_INIT:
            assert tree.get(loaded, key) == one.value, key
    text = (tmp_path / "mine" / "release.yaml").read_text("utf-8")
    assert all(line.partition(": ")[0] in text for line in made.without)
    assert "hf_notarealtoken" not in text
    contract = gates.load_contract(config.contract, tmp_path / "mine")
    assert len(gates.read_golden(tmp_path / "mine" / "data" / "golden.jsonl")) > 20
    assert {"citations", "refusal"} <= set(contract.declares)


@pytest.mark.parametrize("name", EACH)
def test_what_the_file_does_not_say_is_named_with_its_reason_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_bytes((FILES / name).read_bytes())

    stopped = refused()

    assert stopped.exit_code == ConfigError.exit_code
    assert "--base is missing" in str(stopped)
    copy = name in ("mlx.yaml", "unsloth.json")
    assert ("it is a converted copy" if copy else "git ls-remote https://huggingface.co/") in str(stopped)
    for option in ("data", "repo"):
        assert (f"--{option} is missing" in str(stopped)) == (option in EACH[name])


AXOLOTL = f"base_model: a/b\nrevision_of_model: '{COMMIT}'\nlora_r: 8\nsequence_len: 2048\nhub_model_id: me/x\n"


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("", 2, "holds no settings"),
        ("base_model: [", 2, "cannot be read as YAML"),
        ("lora_r: 8\nlora_r: 16\n", 2, "written twice"),
        ("a: 1\nb: 2\n", 2, "adapter-release config convert --from NAME"),
        (f"{AXOLOTL}datasets: [{{path: data/none.jsonl}}]\n", 2, "data/none.jsonl is not a file here"),
        (f"{AXOLOTL}datasets: [{{path: tatsu-lab/alpaca}}]\n", 2, "hf://datasets/tatsu-lab/alpaca@COMMIT"),
        (f"{AXOLOTL}datasets: [{{path: data/train.jsonl, type: alpaca}}]\n", 3, "instruction"),
        (f"{AXOLOTL}datasets: [{{path: data/train.jsonl}}]\n".replace("2048", "512"), 2, "Change them there"),
    ],
)
def test_a_file_that_is_broken_or_names_no_rows_is_refused(text: str, code: int, says: str, tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_text(text, "utf-8")

    stopped = refused()

    assert (stopped.exit_code, says in str(stopped)) == (code, True), stopped


def test_base_commit_rows_and_repository_of_the_file_are_enough(tmp_path: Path) -> None:
    """Rows are looked for beside the file, and those to judge by that it names are taken."""
    rows, there = chat(), tmp_path / "elsewhere"
    (there / "rows").mkdir(parents=True)
    write(there / "rows" / "all.jsonl", rows[:120])
    write(there / "rows" / "test.jsonl", rows[120:])
    text = "datasets: [{path: rows/all.jsonl, type: chat_template}]\ntest_datasets: [{path: rows/test.jsonl}]\n"
    (there / "config.yml").write_text(AXOLOTL + text, "utf-8")

    begun("elsewhere/config.yml")

    config = reading.load(tmp_path / "mine" / "release.yaml")
    assert (config.model.base_model_id, config.model.revision) == ("a/b", COMMIT)
    assert config.publishing.hf_repo == "me/x"
    kept = (tmp_path / "mine" / "data" / "golden.jsonl").read_text("utf-8").splitlines()
    assert len(kept) == len(rows[120:])
    assert json.loads(kept[0])["messages"][0] == rows[120]["messages"][0]


def test_an_option_goes_before_the_file_and_the_example_takes_none(tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_bytes((FILES / "axolotl.yml").read_bytes())
    (tmp_path / "data" / "train.jsonl").rename("other.jsonl")

    begun(base=BASE, data=Path("other.jsonl"), repo="me/typed")

    assert reading.load(tmp_path / "mine" / "release.yaml").publishing.hf_repo == "me/typed"
    with pytest.raises(ConfigError, match="--example has its own of all that --from say"):
        init(
            Init(
                folder=Path("other"), elsewhere=Path("given.yaml"), example=True, seed=42, yes=True,
                base=None, data=None, golden=None, repo=None, tool=None, read_as=AS_IT_IS,
            ),
            lambda _: None,
        )  # fmt: skip
