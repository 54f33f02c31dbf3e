"""An adapter that was trained elsewhere takes the way of one that was trained here, and says everywhere that it was."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gates.report import cell
from release.checking import opening, reproduce, verify
from release.checking.opening import Known
from release.checking.reproduce import Request
from release.config import reading
from release.judging.released import Released
from release.models import base as bases
from release.running import trainer
from release.values import layout
from release.values.errors import ConfigError, VerificationError
from tests.helpers import trainers
from tests.helpers.line import adapter_release, small_config
from tests.helpers.prepared import prepared_config
from tests.helpers.small_release import read_record, reseal, small_release_of
from tests.release.checking.test_retrained import lent


def quiet(_: object) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of an imported adapter, made in a second."""
    folder = tmp_path_factory.mktemp("imported")
    small_config(folder, run={"output_dir": "runs"})
    trainers.configuration(folder / "release.yaml", "brought", quantization={"load_in_4bit": True})
    return small_release_of(reading.load(folder / "release.yaml")).folder


def test_a_release_of_an_imported_adapter_verifies_and_says_trained_elsewhere(package: Path) -> None:
    verify.verify(str(package), "file:hub", quiet, Known())

    record, card = read_record(package), (package / layout.CARD).read_text("utf-8")
    assert record["training"] is None
    assert record["data"]["train"] is None
    assert record["origin"]["tool"] == "Axolotl"
    assert record["config"]["adapter"]["source"] == "."  # no folder of a machine
    assert "training" not in record["config"]
    assert "## Trained elsewhere" in card
    assert f"| trained by | {cell('Axolotl 0.12.2')} |" in card
    assert "nobody could check whether the golden rows" in card
    assert "\n## Training\n" not in card
    assert layout.DATA["train"] not in record["files"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"origin": None}, "trained here and that it was trained elsewhere"),
        ({"tool": "Axolotl\n## Gates\n| a |"}, ""),
    ],
)
def test_a_record_that_says_two_things_of_its_training_is_no_record_of_one(
    package: Path, change: Mapping[str, Any], said: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(package, copy)

    def lie(record: Any) -> None:
        if "origin" in change:
            del record["origin"]
        else:
            record["origin"] |= change

    reseal(copy, lie)
    with pytest.raises(VerificationError):
        verify.verify(str(copy), "file:hub", quiet, Known())
    found = opening.Opened(release=Released(folder=copy, name="copy"))
    told = [line for step in verify.check(found) for line in step.problems]
    assert any(said in line for line in told)


def test_its_bytes_cannot_be_asked_for_again_and_that_is_said_before_anything_runs(
    package: Path, tmp_path: Path
) -> None:
    request = Request(
        release=str(package), endpoint="file:hub", level="bits", known=Known(), output=tmp_path / "reproduced"
    )

    with pytest.raises(ConfigError, match='trained elsewhere, by "Axolotl", so its bytes cannot be made again here'):
        reproduce.reproduce(request, quiet)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"adapter": {"method": "imported"}}, "adapter.source is missing"),
        ({"adapter": {"method": "qlora", "source": "there"}}, "adapter.source is given"),
        ({"adapter": {"method": "lora", "named_base": "a/b"}}, "adapter.named_base is given"),
        ({"adapter": {"method": "imported", "source": "hf://a/b@main"}}, "adapter.source"),
        ({"training": {"num_train_epochs": 1}}, "training is given"),
        ({"adapter": {"method": "qlora"}}, "data.train_file is missing"),
    ],
)
def test_what_is_said_of_an_imported_adapter_is_told_where_it_contradicts(
    change: Mapping[str, Any], said: str, tmp_path: Path
) -> None:
    path = trainers.configuration(small_config(tmp_path), "brought")
    edit_yaml(path, change)

    with pytest.raises(ConfigError) as refused:
        reading.load(path)

    assert any(said in problem for problem in refused.value.problems), refused.value.problems


def edit_yaml(path: Path, change: Mapping[str, Any]) -> None:
    import yaml

    said = yaml.safe_load(path.read_text("utf-8"))
    path.write_text(yaml.safe_dump({**said, **change}), "utf-8")


def test_the_configuration_of_a_run_is_read_again_as_it_was(tmp_path: Path) -> None:
    path = trainers.configuration(small_config(tmp_path), "brought")
    loaded = reading.load(path)

    again = reading.parse(reading.effective(loaded), path)

    assert again == loaded
    assert (loaded.adapter.quantization.load_in_4bit, loaded.data.train_file) == (False, None)


TRAINS = """
import sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

base, start, output = sys.argv[1:]
torch.manual_seed(0)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), start, is_trainable=True)
optimizer = torch.optim.SGD((one for one in model.parameters() if one.requires_grad), lr=1e-6)
ids = torch.arange(1000, 1032)[None]
model(input_ids=ids, labels=ids).loss.backward()
optimizer.step()
model.save_pretrained(output)
"""


def steps_from_the_released(folder: Path) -> dict[str, Any]:
    """A trainer of plain peft, one step on from the kept release's adapter; what it left is in ``brought``."""
    start = folder / "start"
    (folder / "train.py").write_text(TRAINS, "utf-8")
    (folder / "brought").rename(start)
    lock = lent(folder / "wheels")
    shutil.copyfile(lock, folder / "lock.txt")
    own = trainer.At(own=folder / "first", folder=folder)
    own.own.mkdir()
    base = bases.resolve(reading.load(folder / "release.yaml").model, quiet).folder
    trainer.by_lock(["python", "train.py", str(base), "start", str(folder / "brought")], lock, own, quiet)
    names = [f"start/{name}" for name in (layout.WEIGHTS, layout.SETTINGS)]
    for name in ("README.md", layout.CHAT_TEMPLATE):  # what a trainer leaves beside an adapter
        shutil.copyfile(start / name, folder / "brought" / name)
    command = ["python", "train.py", "{base}", "start", "{output}"]
    return {"command": command, "lock": "lock.txt", "files": ["train.py", *names]}


@pytest.mark.slow
@pytest.mark.usefixtures("base")  # unpacked before
def test_an_adapter_of_another_trainer_is_released_verified_and_trained_again_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the commands alone: an adapter of plain peft with the card of Axolotl."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    prepared_config(tmp_path, few=True)
    trainers.released(tmp_path / "brought")
    declared = steps_from_the_released(tmp_path)
    four_bits = {"load_in_4bit": True}
    trainers.configuration(tmp_path / "release.yaml", "brought", quantization=four_bits, reproduce_with=declared)

    made = adapter_release("release", "release.yaml", "--set", "container.use=never", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "trained elsewhere" in made.stderr
    hub = ("--hub", f"file:{tmp_path / 'hub'}")
    name = reading.load(tmp_path / "release.yaml").publishing
    released = f"{name.hf_repo}@{name.tag}"
    checked = adapter_release("verify", released, *hub, cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    shutil.copytree(tmp_path, tmp_path.with_name("elsewhere"), ignore=shutil.ignore_patterns("run", "brought", "hub"))
    options = ("--container", "never", "--output", "again", "--trainer", str(tmp_path.with_name("elsewhere")))
    refused = adapter_release("reproduce", released, *hub, *options, cwd=tmp_path)
    assert refused.returncode == 2
    assert "give --install-libraries (an environment from lock.txt)" in refused.stderr
    again = adapter_release("reproduce", released, *hub, *options, "--install-libraries", "--yes", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    report = json.loads((tmp_path / "again" / "reproduction.json").read_bytes())
    assert (report["how"], report["reached"], report["adapter"]["different"]) == ("reproduce", "bits", 0)
    run = next((tmp_path / "run").glob("**/origin.json")).parent
    assert (run / "adapter" / layout.WEIGHTS).read_bytes() == (tmp_path / "brought" / layout.WEIGHTS).read_bytes()
    assert json.loads((run / "record.json").read_bytes())["origin"]["tool"] == "Axolotl"
