"""What is sent to another machine: all that a configuration names, this code, and nothing that opens anything."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from release.checking import laid_out
from release.config import reading
from release.config import tree as trees
from release.judging import recording
from release.remote import parcel, there
from release.running.image_source import COPIED
from release.values.errors import ConfigError
from tests.helpers.lent import sent_to
from tests.helpers.line import ROOT, small_config
from tests.helpers.prepared import prepared_config

SECRET = "hf_" + "z" * 34
HUB = "hub/models/local/elements.git"


def every_path(folder: Path) -> Path:
    """A configuration in which every setting that can name a file or a folder does."""
    for name in ("chat.jinja", "keys/release.pem", "train.py", "locks/their.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"{name}\n", "utf-8")
    (folder / "brought").mkdir()
    (folder / "brought" / "adapter_config.json").write_text("{}", "utf-8")
    (folder / HUB).mkdir(parents=True)
    (folder / HUB / "config").write_text("a Hub's", "utf-8")
    (folder / "hub" / "token").write_text(SECRET, "utf-8")
    path = small_config(
        folder,
        run={"output_dir": "../elsewhere/run"},
        model={"chat_template": "chat.jinja"},
        publishing={"signing_key": "keys/release.pem"},
    )
    settings = trees.read(path).tree
    assert isinstance(settings, dict)
    del settings["training"]
    with_it = {"command": ["python", "train.py", "{output}"], "lock": "locks/their.txt", "files": ["train.py"]}
    settings["adapter"] = {"method": "imported", "source": "brought", "reproduce_with": with_it}
    path.write_text(json.dumps(settings), "utf-8")
    return path


def test_everything_a_configuration_names_is_sent_and_lies_below_one_folder(tmp_path: Path) -> None:
    loaded = reading.load(every_path(tmp_path))

    sent_to(tmp_path / "there", tmp_path)

    work = tmp_path / "there" / "work"
    arrived = reading.load(work / "release.yaml")
    for path in laid_out.places_in(arrived):
        assert isinstance(path, Path)
        assert path.is_relative_to(work), path
        assert path in (arrived.path, arrived.run.output_dir) or path.exists(), path
    assert (work / "sent" / "source" / "adapter_config.json").exists()
    assert (work / "train.py").exists()
    assert (work / "locks" / "their.txt").exists()
    assert (work / HUB / "config").exists()
    assert recording.as_published(arrived) == recording.as_published(loaded)


def test_no_token_no_key_and_no_folder_of_this_machine_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_path(tmp_path)
    monkeypatch.setenv("HF_TOKEN", SECRET)

    sent_to(tmp_path / "there", tmp_path)

    for path in (path for path in (tmp_path / "there").rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert b"release.pem" not in content or "code" in path.parts, path
        assert str(tmp_path).encode() not in content, path


@pytest.mark.parametrize("hub", ["file:hub", "file:.", "file:.."])
def test_of_a_folder_that_is_named_only_what_is_looked_at_is_sent(tmp_path: Path, hub: str) -> None:
    line = tmp_path / "line"
    line.mkdir()
    path = every_path(line)
    settings = json.loads(path.read_text("utf-8"))
    settings["publishing"]["endpoint"] = hub
    path.write_text(json.dumps(settings), "utf-8")
    for name in ("brought/.git/config", "brought/.env", "brought/optimizer.pt", ".env", "hub/models/local/other.git/x"):
        (line / name).parent.mkdir(exist_ok=True, parents=True)
        (line / name).write_text(SECRET, "utf-8")
    (tmp_path / "outside").write_text(SECRET, "utf-8")

    sent_to(tmp_path / "there", line)

    found = [path for path in (tmp_path / "there").rglob("*") if path.is_file()]
    assert (tmp_path / "there" / "work" / "sent" / "source" / "adapter_config.json") in found
    assert [path for path in found if SECRET.encode() in path.read_bytes()] == []


KEYS = ("data.train_file", "data.golden_file", "data.tuning_file", "contract.schema", "model.chat_template")


@pytest.mark.parametrize("key", KEYS)
def test_a_file_that_is_not_here_is_named(tmp_path: Path, key: str) -> None:
    path = prepared_config(tmp_path)
    evaluated = {"training.eval_steps": "10"} if key == "data.tuning_file" else {}
    loaded = reading.load(path, {key: "no-such-file.json", **evaluated})

    with pytest.raises(ConfigError, match=rf"{key} names .*no-such-file.json, which is no file here. Nothing was sent"):
        parcel.of(loaded)


def test_the_code_is_what_a_wheel_holds() -> None:
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert set(parcel.ASSETS) == packed["force-include"].keys()
    assert set(COPIED) == set(packed["packages"])


def test_the_digest_names_inputs_and_not_what_was_counted(tmp_path: Path) -> None:
    prepared_config(tmp_path)

    def digest(**changes: Any) -> str:
        return parcel.of(reading.load(tmp_path / "release.yaml", changes)).digest

    before = digest()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "spent.jsonl").write_text("", "utf-8")
    assert there.COUNTED[1] in parcel.of(reading.load(tmp_path / "release.yaml")).counted
    assert digest() == before
    assert digest(**{"run.seed": "7"}) != before
    (tmp_path / "golden.jsonl").write_text("{}\n", "utf-8")
    assert digest() != before
