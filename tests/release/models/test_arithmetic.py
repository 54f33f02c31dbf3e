"""On which kinds of machines a training was made: who goes on on another one is told, and so is the reader."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from release.models import arithmetic
from release.running import environment
from release.values.events import Event, Line

CPU = {"cpu": "A", "cpu_capability": "AVX2", "threads": 2, "gpu": None}
OTHER = CPU | {"cpu_capability": "AVX512"}
CARD = {"name": "NVIDIA H100", "compute_capability": "9.0", "driver": "580"}
NEWER = CARD | {"driver": "610"}


@pytest.mark.parametrize(
    ("starts", "kinds"),
    [
        ([(CPU, False), (CPU | {"threads": 4}, True)], ["A, AVX2"]),
        ([(CPU, False), (OTHER, True), (CPU, True)], ["A, AVX2", "A, AVX512"]),
        ([(CPU, False), (OTHER, False)], ["A, AVX512"]),
        ([(CPU, True)], ["A, AVX2"]),
        ([(CPU | {"gpu": CARD}, False), (OTHER | {"gpu": NEWER}, True)], ["NVIDIA H100, 9.0"]),
        ([(CPU | {"gpu": CARD}, False), (CPU, True)], ["NVIDIA H100, 9.0", "A, AVX2"]),
    ],
)
def test_a_checkpoint_of_another_kind_of_machine_is_gone_on_from_and_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    starts: list[tuple[Mapping[str, Any], bool]],
    kinds: list[str],
) -> None:
    said, found = list[Event](), list[str]()
    for hardware, goes_on in starts:
        monkeypatch.setattr(environment, "hardware", lambda hardware=hardware: hardware)
        found = arithmetic.machines(tmp_path, goes_on=goes_on, say=said.append)

    assert found == kinds == json.loads((tmp_path / arithmetic.MACHINES).read_bytes())
    told = [one.text for one in said if isinstance(one, Line)]
    assert bool(told) is (len(kinds) > 1)
    assert all("no other training need come to these bytes" in one for one in told)
