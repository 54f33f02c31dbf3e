"""What a record says of files, folders, images and addresses is data: the release's own take their place."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from release.checking import laid_out, opening
from release.config import reading, schema
from release.config.settings import FIELDS, Container
from release.config.tree import get, put
from release.judging.released import Released
from release.running import spending
from release.running.price_list import Hour
from release.values import layout, record
from release.values.errors import VerificationError
from release.values.record import Record, known
from tests.helpers.line import ROOT
from tests.helpers.small_release import read_record, small_release

WORDS = (
    "adapter.named_base",
    *("model.base_model_id", "model.revision", "run.name", "publishing.hf_repo", "publishing.tag"),  # have a pattern
    *("data.license", "data.source", "publishing.license", "gates.weaker_because", "budget.currency"),
    "training.metric_for_best_model",  # has a pattern too
    *("serving.*.model", "serving.*.base_model", "publishing.language"),
    *(f"data.fields.{name}" for name in FIELDS),  # keys of a row
)
"""Settings of free text that name no file, folder or address: a new one is either here or in ``OF_THE_RELEASE``."""
MAPPINGS = ("model.chat_template_kwargs", "contract", "gates", "tries.search.space.*")
"""Sections without declared settings. Of these only `contract.schema` names a file."""


def leaves(rule: Mapping[str, Any], key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every declared setting by its dotted name, with its rule; a section without declared settings is one itself."""
    of_all = rule.get("additionalProperties")
    inner = {**rule.get("properties", {}), **({"*": of_all} if isinstance(of_all, dict) else {})}
    for name, one in inner.items():
        yield from leaves(one, f"{key}.{name}" if key else name)
    if not inner or (of_all is not False and "*" not in inner and key):
        yield key, rule


def of_text(rule: Mapping[str, Any]) -> bool:
    """Whether a setting may be a path or any text: not a number, a choice, a list, a section or yes and no."""
    either = [inner for one in rule.get("anyOf", [rule]) for inner in one.get("anyOf", [one])]
    texts = [one for one in either if one.get("type") in ("string", None) and not {"enum", "const"} & one.keys()]
    return bool(texts)


DECLARED = dict(leaves(json.loads(schema.text())))
SECTIONS = sorted(name for name, rule in DECLARED.items() if rule.get("type") == "object")
TEXTS = sorted(name for name, rule in DECLARED.items() if name not in SECTIONS and of_text(rule))


def test_the_walk_finds_the_settings() -> None:
    """So that the tests below can fail."""
    assert {"run.seed", "serving.*.url", "data.train_file", "container.image"} <= DECLARED.keys()
    assert {"publishing.endpoint", "publishing.signing_key", "model.chat_template"} <= set(TEXTS)
    assert "run.seed" not in TEXTS


def test_every_setting_that_can_name_a_file_or_an_address_is_the_releases_own() -> None:
    named = {name for name in laid_out.OF_THE_RELEASE if name != "contract.schema"}

    assert set(TEXTS) - set(WORDS) == named
    assert not named & set(WORDS)


def test_sections_without_declared_settings_are_known() -> None:
    assert sorted(MAPPINGS) == SECTIONS


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    value: Mapping[str, Any] = read_record(small_release(tmp_path_factory.mktemp("made")).folder)
    return value


EVIL = "/etc/passwd"
LIES = {
    **{name: EVIL for name in laid_out.OF_THE_RELEASE if not name.startswith("serving")},
    "container.image": f"evil.example/image@sha256:{'d' * 64}",
    "publishing.endpoint": "https://evil.example",
    "data.golden_file": f"hf://datasets/evil/rows@{'d' * 40}/golden.jsonl",
}


def lying(honest: Mapping[str, Any], lies: Mapping[str, object]) -> Record:
    value = json.loads(json.dumps(honest))
    for key, lie in lies.items():
        put(value["config"], key, lie)
    if "data.tuning_file" in lies:
        put(value["config"], "training.eval_steps", 5)  # without it nothing reads those rows
    return known(value)


@pytest.mark.parametrize("key", sorted(LIES))
def test_what_a_record_names_is_not_used(key: str, honest: Mapping[str, Any]) -> None:
    settings = laid_out.settings_of(lying(honest, {key: LIES[key]}))

    assert LIES[key] not in json.dumps(settings)
    assert get(settings, key) in (laid_out.OF_THE_RELEASE[key], None) or key == "container.image"
    laid_out.parsed(settings, Path("release.yaml"))


def test_a_form_at_an_address_is_not_asked(honest: Mapping[str, Any]) -> None:
    address = {"engine": "openai", "url": "https://evil.example/v1", "model": "m"}

    settings = laid_out.settings_of(lying(honest, {"serving": {"there": address, "merged": {"merged": True}}}))

    assert settings["serving"] == {"merged": {"merged": True}}


@pytest.mark.parametrize(
    ("key", "today", "value"),
    [
        ("training.chat_template_path", "model.chat_template", EVIL),
        ("data.chat_template", "model.chat_template", "../../secret.jinja"),
        ("artifacts.output_dir", "run.output_dir", "/tmp/elsewhere"),
        ("data.eval_file", "data.golden_file", f"hf://datasets/evil/rows@{'d' * 40}/golden.jsonl"),
    ],
)
def test_a_path_under_an_older_name_leads_nowhere_else(
    key: str, today: str, value: str, honest: Mapping[str, Any]
) -> None:
    settings = laid_out.settings_of(lying(honest, {key: value}))
    section, _, name = today.partition(".")
    settings[section].pop(name, None)  # as if the record had the older name alone

    with pytest.raises(VerificationError, match="which is not a file of the release"):
        laid_out.parsed(settings, Path("release.yaml"))


def test_the_releases_own_files_are_in_place_of_all(honest: Mapping[str, Any], tmp_path: Path) -> None:
    config = laid_out.parsed(laid_out.settings_of(lying(honest, LIES)), tmp_path / "release.yaml")

    assert config.data.train_file == tmp_path / layout.DATA["train"]
    assert config.data.golden_file == tmp_path / layout.DATA["golden"]
    assert config.run.output_dir == tmp_path / "runs"
    assert config.contract["schema"] == layout.ANSWER_SCHEMA
    assert config.publishing.signing_key is None
    assert config.publishing.endpoint == "file:hub"


BUDGETS: Mapping[str, object] = {
    "limit": 0.01,
    "hours": 0.001,
    "alerts": ["5 EUR"],
    "currency": "EUR",
    "price_per_hour": 1000,
    "tries": 1,
}


def test_every_setting_of_a_budget_is_among_those_that_are_tested() -> None:
    assert {f"budget.{name}" for name in BUDGETS} == {name for name in DECLARED if name.startswith("budget.")}


@pytest.mark.parametrize("name", sorted(BUDGETS))
def test_what_its_maker_might_spend_stops_nobody_who_makes_it_again(
    name: str, honest: Mapping[str, Any], tmp_path: Path
) -> None:
    plain = laid_out.parsed(laid_out.settings_of(lying(honest, {})), tmp_path / "release.yaml")

    config = laid_out.parsed(laid_out.settings_of(lying(honest, {"budget": {name: BUDGETS[name]}})), plain.path)

    assert config == plain
    nothing = Hour(price=None, says="")
    spending.start(tmp_path, config.budget, "run", "attempt", nothing).write(36_000)
    assert not spending.start(tmp_path, config.budget, "run", "again", nothing).must_stop(36_000, 36_000)


@pytest.mark.parametrize("digest", [None, f"sha256:{'d' * 64}"])
@pytest.mark.parametrize("use", ["auto", "require", "never"])
def test_a_record_does_not_choose_where_it_runs(digest: str | None, use: str, honest: Mapping[str, Any]) -> None:
    record = dataclasses.replace(lying(honest, {"container": {"use": "never", "gpus": "none"}}), image_digest=digest)

    config = reading.parse(laid_out.settings_of(record, Container(use=use)), Path("release.yaml"))  # type: ignore[arg-type]

    assert config.container == Container(use=use)  # type: ignore[arg-type]
    assert reading.parse(laid_out.settings_of(record), Path("release.yaml")).container == Container(use="auto")


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "of_another_revision.json"])
def test_over_a_base_of_another_revision_nothing_is_asked(name: str, tmp_path: Path) -> None:
    """The record says which bytes the base had: whatever comes by its name today must be these."""
    value = read_record(ROOT / "tests" / "data" / "releases" / "v3")
    value["base"]["files"][name] = "0" * 64
    (tmp_path / layout.RECORD).write_text(json.dumps({**value, "record_sha256": record.digest(value)}), "utf-8")

    with pytest.raises(VerificationError, match=f"not the one v3 was made on: {name} differ in"):
        laid_out.base_of(opening.Opened(release=Released(folder=tmp_path, name="v3")), lambda _: None)
