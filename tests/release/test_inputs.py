"""What a configuration names is loaded once; what cannot be loaded is a value with its reason."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from release import inputs, pipeline
from release.config import reading
from release.inputs import Unread, there
from release.values.errors import ConfigError, DataError, PreflightError
from release.values.events import Event
from tests.helpers.line import ROOT, adapter_release, small_config

DATASETS = ROOT / "tests" / "data" / "dataset"
GOOD = {"train_file": str(DATASETS / "good" / "train.jsonl")}
LOADED = ("release.data.dataset.load", "release.data.chat.read", "gates.policy.load_policy",
          "gates.contract.load_contract", "release.models.base.outline")  # fmt: skip


def quiet(_: Event) -> None:
    """Say nothing."""


def calls(work: Callable[[], object]) -> Counter[str]:
    """How often each function was called."""
    counted: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            counted[f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}"] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counted


@pytest.mark.usefixtures("base")
def test_rows_policy_contract_and_tokens_are_loaded_once_for_every_check(tmp_path: Path) -> None:
    loaded = reading.load(small_config(tmp_path, data=GOOD, run={"output_dir": str(tmp_path / "runs")}))

    def work() -> None:
        found = inputs.load(loaded, quiet)
        pipeline.check_data(found, quiet)
        inputs.examined(found, quiet)

    counted = calls(work)

    assert {name: counted[name] for name in LOADED} == {name: 2 if "dataset" in name else 1 for name in LOADED}
    assert counted["release.data.chat.example"] == 10 + 100


@pytest.mark.usefixtures("base")
def test_the_rows_are_there_as_token_ids(tmp_path: Path) -> None:
    found = inputs.load(reading.load(small_config(tmp_path, data=GOOD)), quiet)
    rows = there(found.rows)

    assert rows.train is not None
    assert len(rows.train.measured) == len(rows.train.rows) == 10
    answered = there(found.chat).example(rows.golden.rows[0].prompt, str(rows.golden.rows[0].gold))
    assert rows.golden.measured[0].learned == len(answered.learned)


@pytest.mark.usefixtures("base")
def test_what_cannot_be_loaded_is_a_value_and_stops_only_who_needs_it(tmp_path: Path) -> None:
    faulty = small_config(
        tmp_path,
        data={"train_file": str(DATASETS / "not_json_on_line_3" / "train.jsonl")},
        gates={"jsn_parse": {"mode": "zero_failures"}},
        model={"chat_template": str(tmp_path / "none.jinja")},
    )
    found = inputs.load(reading.load(faulty), quiet)

    assert there(found.contract).answer == "/answer"
    for value, kind, said in (
        (found.rows, DataError, "train.jsonl line 3"),
        (found.policy, ConfigError, "release.yaml: .*jsn_parse"),
        (found.chat, PreflightError, "none.jinja cannot be read"),
    ):
        assert isinstance(value, Unread)
        with pytest.raises(kind, match=said):
            there(value)


@pytest.mark.usefixtures("base")
def test_a_contract_that_cannot_be_read_is_the_configurations_fault(tmp_path: Path) -> None:
    found = inputs.load(reading.load(small_config(tmp_path, data=GOOD, contract={"answer": "answer"})), quiet)

    with pytest.raises(ConfigError, match=r"release\.yaml: contract\.answer"):
        pipeline.check_data(found, quiet)


@pytest.mark.usefixtures("base")
def test_half_of_a_surrogate_pair_in_a_converted_row_is_exit_3_with_file_and_line(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"conversations": [{"from": "human", "value": "\\ud800"}, {"from": "gpt", "value": "{}"}]}\n')
    small_config(tmp_path, data={"train_file": str(rows)})
    done = adapter_release("data", "check", cwd=tmp_path)

    assert done.returncode == 3
    assert f"{rows} line 1: lone_surrogate: half of a surrogate pair" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("base")
def test_half_of_a_surrogate_pair_that_the_template_writes_is_told_of_its_rows(tmp_path: Path) -> None:
    template = '{% for m in messages %}{{ m.content }}{{ "\\ud800" }}<|im_end|>{% endfor %}'
    (tmp_path / "half.jinja").write_text(template, "utf-8")
    faulty = small_config(tmp_path, data=GOOD, model={"chat_template": str(tmp_path / "half.jinja")})
    found = inputs.load(reading.load(faulty), quiet)

    train = there(found.rows).train
    assert train is not None
    assert "writes half of a surrogate pair" in train.measured[0].fault


def test_rows_are_checked_where_no_hub_can_be_asked_for_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    loaded = reading.load(
        small_config(tmp_path, model={"base_model_id": "you/name", "source": "hub", "revision": "0" * 40})
    )

    found = inputs.load(loaded, quiet)

    assert isinstance(found.base, Unread)
    assert pipeline.check_data(found, quiet).brought is None
