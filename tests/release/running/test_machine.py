"""The one card that is used: which one, by nvidia-smi's own words and CUDA_VISIBLE_DEVICES, and what rules it out."""

import json
import os
from pathlib import Path

import pytest

from release.running import machine
from release.running.machine import Gpu
from release.running.place import Here
from release.values.errors import PreflightError
from tests.helpers import contained
from tests.helpers.cards import ADA, ADA_LINE, TURING, TURING_LINE, machine_with

H200 = "NVIDIA H200, 143000, 580.65.06, GPU-3, 9.0, Disabled"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (H200, Gpu(name="NVIDIA H200", free=143000 << 20, driver="580.65.06", uuid="GPU-3", capability=(9, 0))),
        (
            "A card, of two words, 1, 610.1, GPU-4, 12.0, [N/A]",
            Gpu(name="A card, of two words", free=1 << 20, driver="610.1", uuid="GPU-4", capability=(12, 0)),
        ),
        (
            "NVIDIA A100, [N/A], 580.1, GPU-5, 8.0, Enabled",
            Gpu(name="NVIDIA A100", free=None, driver="580.1", uuid="GPU-5", capability=(8, 0), split=True),
        ),
        (
            "Old, 1, 580.1, GPU-6, [Not Supported], [N/A]",
            Gpu(name="Old", free=1 << 20, driver="580.1", uuid="GPU-6", capability=None),
        ),
    ],
)
def test_what_nvidia_smi_prints_is_read_and_its_warnings_are_passed_over(printed: str, expected: Gpu) -> None:
    warning = "WARNING: infoROM is corrupted at gpu 0000:01:00.0"

    assert machine.read_gpus(f"{printed}\n\n{warning}\n") == (expected,)


CARDS = machine.read_gpus(f"{ADA_LINE}\n{TURING_LINE.replace('7.5', '8.6')}\n")


@pytest.mark.parametrize(
    ("named", "uuid"),
    [
        (None, ADA),
        ("0", ADA),
        ("1", TURING),
        (" 1 ", TURING),
        ("1,0", TURING),
        ("0,7", ADA),  # what follows a name that is none is not visible
        (TURING, TURING),
        ("GPU-12", TURING),
        ("GPU-11,GPU-12", ADA),
        ("MIG-9a8b", "MIG-9a8b"),
        (f"MIG-{ADA}/1/0,1", f"MIG-{ADA}/1/0"),
    ],
)
def test_the_first_visible_card_is_the_one(named: str | None, uuid: str) -> None:
    found = machine.choose(CARDS, named)

    assert found.problem == ""
    assert found.gpu is not None
    assert found.gpu.uuid == uuid


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("2", "'2' is no card of this machine"),
        ("7,0", "'7' is no card of this machine"),
        ("GPU-1", "is the beginning of more than one card's UUID"),
        ("GPU-13", "'GPU-13' is no card of this machine"),
        (TURING.lower(), "is no card of this machine"),
        ("all", "'all' is no card of this machine"),
        ("1.0", "'1.0' is no card of this machine"),
    ],
)
def test_a_name_that_is_no_card_is_no_silent_run_on_the_processor(named: str, said: str) -> None:
    found = machine.choose(CARDS, named)

    assert found.gpu is None
    assert said in found.problem
    assert f"0: NVIDIA GeForce RTX 4090, {ADA}; 1: Tesla T4, {TURING}" in found.problem
    assert "Name one of these, or set CUDA_VISIBLE_DEVICES='' for a run on the processor." in found.problem


@pytest.mark.parametrize("named", ["", " ", "-1", "-1,0", "NoDevFiles", ",0"])
def test_where_every_card_is_hidden_there_is_none_and_nobody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """nvidia-smi fails here: hiding the cards is what its message says to do."""
    machine_with(tmp_path, monkeypatch, "Failed to initialize NVML: Driver/library version mismatch", status=18)
    monkeypatch.setenv(machine.VISIBLE, named)

    assert machine.find_gpu() == machine.Found(
        gpu=None, says=f"CUDA_VISIBLE_DEVICES={named!r} hides every card, so a CPU run"
    )


@pytest.mark.parametrize(
    ("lines", "status", "why"),
    [
        (("Failed to initialize NVML: Driver/library version mismatch",), 18, "exit status 18: Failed to initialize"),
        (('Field "compute_cap" is not a valid field to query.',), 2, 'exit status 2: Field "compute_cap"'),
        (("No devices were found",), 0, "it names no card: 'No devices were found'"),
        ((ADA_LINE, "Unable to determine the device handle for GPU0000:02:00.0: Unknown Error"), 255, "exit status"),
    ],
)
def test_cards_that_do_not_answer_are_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...], status: int, why: str
) -> None:
    machine_with(tmp_path, monkeypatch, *lines, status=status)

    found = machine.find_gpu()

    assert found.gpu is None
    assert f"nvidia-smi does not answer ({why}" in found.problem
    assert "driver, R580 or newer, or set CUDA_VISIBLE_DEVICES=''" in found.problem
    with pytest.raises(PreflightError, match="does not answer"):
        machine.usable_gpu()


@pytest.mark.parametrize(
    ("named", "processes", "given"),
    [(None, 1, ADA), (None, 2, f"{ADA},{TURING}"), ("1,0", 2, f"{TURING},{ADA}"), ("1", 1, TURING), ("", 2, "")],
)
def test_several_processes_have_a_card_each_in_the_order_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, processes: int, given: str
) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE, TURING_LINE.replace("7.5", "8.6"))
    if named is not None:
        monkeypatch.setenv(machine.VISIBLE, named)

    assert machine.cards(processes)[machine.VISIBLE] == given


@pytest.mark.parametrize(("named", "processes", "there"), [(None, 3, 2), ("1", 2, 1), ("0,1", 4, 2)])
def test_fewer_cards_than_processes_are_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, processes: int, there: int
) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE, TURING_LINE.replace("7.5", "8.6"))
    if named is not None:
        monkeypatch.setenv(machine.VISIBLE, named)

    with pytest.raises(PreflightError, match=rf"tensor_parallel_size, asks for more than the {there} cards"):
        machine.cards(processes)


def test_a_card_that_is_too_old_is_none_for_a_second_process_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE, TURING_LINE)

    with pytest.raises(PreflightError, match=r"Tesla T4 has compute capability 7\.5"):
        machine.cards(2)


def test_a_machine_without_a_card_has_none_whatever_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "DEVICES", tmp_path)
    monkeypatch.setenv(machine.VISIBLE, "1")

    assert machine.find_gpu() == machine.Found(gpu=None, says="no NVIDIA card, so a CPU run")
    assert machine.usable_gpu() is None


@pytest.mark.parametrize(
    ("capability", "fits"),
    [("6.1", False), ("7.0", False), ("7.5", False), ("8.0", True), ("8.9", True), ("10.0", True), ("[N/A]", True)],
)
def test_a_card_without_bfloat16_is_refused(capability: str, fits: bool) -> None:
    found = machine.choose(machine.read_gpus(TURING_LINE.replace("7.5", capability)), None)

    assert (found.problem == "") == fits
    if not fits:
        assert found.problem.startswith(f"Tesla T4 has compute capability {capability}. Training")
        assert "Use another card (there is no other card here), or set CUDA_VISIBLE_DEVICES=''" in found.problem


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (ADA_LINE, f"(CUDA_VISIBLE_DEVICES={ADA} is NVIDIA GeForce RTX 4090)"),
        (TURING_LINE.replace(TURING, "GPU-2"), "(none of the other cards here has it)"),
    ],
)
def test_the_refusal_names_another_card_that_has_it(other: str, said: str) -> None:
    assert said in machine.choose(machine.read_gpus(f"{TURING_LINE}\n{other}"), "0").problem


@pytest.mark.parametrize(
    ("driver", "fits"),
    [("470.256.02", False), ("579.99", False), ("580.65.06", True), ("610.1", True), ("[N/A]", False)],
)
@pytest.mark.parametrize("named", [None, "MIG-9a8b"])
def test_a_driver_older_than_cuda_13_is_refused(driver: str, fits: bool, named: str | None) -> None:
    problem = machine.choose(machine.read_gpus(ADA_LINE.replace("580.65.06", driver)), named).problem

    assert (problem == "") == fits
    assert fits or f"the driver is {driver}; CUDA 13 needs 580 or newer. Update" in problem


def test_a_card_in_parts_is_used_by_the_name_of_a_part() -> None:
    gpus = machine.read_gpus(H200.replace("Disabled", "Enabled"))

    assert "CUDA_VISIBLE_DEVICES=MIG-..., as `nvidia-smi -L` lists them" in machine.choose(gpus, None).problem
    part = machine.choose(gpus, "MIG-9a8b")
    assert part == machine.Found(
        gpu=Gpu(name="MIG-9a8b", free=None, driver="580.65.06", uuid="MIG-9a8b", capability=None),
        says="MIG-9a8b, a part of a card; only it is used",
    )


@pytest.mark.parametrize(
    ("lines", "named", "says"),
    [
        ((ADA_LINE,), None, "the only card"),
        ((ADA_LINE, H200), None, "only card 0 of the 2 is used, the first: CUDA_VISIBLE_DEVICES can name another"),
        ((H200, ADA_LINE), "1,0", "only card 1 of the 2 is used, the first that CUDA_VISIBLE_DEVICES names"),
    ],
)
def test_which_card_is_used_of_how_many_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...], named: str | None, says: str
) -> None:
    machine_with(tmp_path, monkeypatch, *lines)
    if named is not None:
        monkeypatch.setenv(machine.VISIBLE, named)

    assert machine.find_gpu().says == f"NVIDIA GeForce RTX 4090, driver 580.65.06: {says}"


@pytest.mark.parametrize(
    ("named", "seen"), [(None, ADA), ("1", "GPU-3"), ("GPU-3", "GPU-3"), ("", ""), ("MIG-7", "MIG-7")]
)
def test_a_stage_on_this_machine_sees_that_card_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, seen: str
) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE, H200)
    if named is not None:
        monkeypatch.setenv(machine.VISIBLE, named)

    given = environment_of_a_stage(tmp_path)

    assert (given[machine.VISIBLE], given["CUDA_DEVICE_ORDER"]) == (seen, "PCI_BUS_ID")


def test_one_stage_sees_as_many_cards_as_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE, H200)

    given = environment_of_a_stage(tmp_path, Here().of(1, machine.visible()))

    assert given[machine.VISIBLE] == f"{ADA},GPU-3"


def test_a_stage_on_a_machine_without_a_card_sees_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "DEVICES", tmp_path)
    monkeypatch.setenv(machine.VISIBLE, "0")

    assert environment_of_a_stage(tmp_path)[machine.VISIBLE] == ""


def test_a_stage_is_not_started_on_a_card_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(tmp_path, monkeypatch, TURING_LINE)

    with pytest.raises(PreflightError, match="bfloat16"):
        environment_of_a_stage(tmp_path)

    assert not (tmp_path / "given.json").exists()


def environment_of_a_stage(folder: Path, place: Here | None = None) -> dict[str, str]:
    (place or Here()).call(contained.__name__, ["given", folder], say=lambda _: None, log=folder / "log")
    given: dict[str, str] = json.loads((folder / "given.json").read_bytes())
    assert os.environ["PATH"] == given["PATH"]
    return given
