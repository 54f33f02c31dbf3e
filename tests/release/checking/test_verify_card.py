"""The card that `verify` reads is the one that the Hub's client reads and that people see."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from release.checking import opening, verify, verify_card
from release.config.settings import Publishing
from release.judging.released import Released
from release.publishing import card, snippet
from tests.helpers.line import ROOT
from tests.helpers.small_release import reseal

KEPT = ROOT / "tests" / "data" / "releases"
CARD = "the card is the one that record, verdict and answers make, to the byte"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT / "v2", tmp_path / "release"))


def problems(folder: Path) -> tuple[str, ...]:
    (step,) = verify.check(opening.Opened(release=Released(name="release", folder=folder)), [CARD])
    return step.problems


def test_metadata_is_found_by_the_pattern_of_the_hubs_client() -> None:
    assert verify_card.BLOCK.pattern == REGEX_YAML_BLOCK.pattern
    assert verify_card.BLOCK.flags == REGEX_YAML_BLOCK.flags


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_the_metadata_of_a_kept_release_is_what_the_hubs_client_reads(version: str) -> None:
    read = verify_card.metadata(Released(folder=KEPT / version))
    theirs = ModelCard.load(KEPT / version / "README.md").data.to_dict()

    for name in ("base_model", "license", "language", "tags", "pipeline_tag"):
        assert read[name] == theirs[name]
    ours = read["model-index"][0]["results"][0]["metrics"]  # type: ignore[index]
    assert [one["value"] for one in ours] == [one["value"] for one in theirs["model-index"][0]["results"][0]["metrics"]]


EDITS: dict[str, Callable[[str], str]] = {
    "another word": lambda text: text.replace("## Limits", "## No limits"),
    "a space at the end": lambda text: f"{text} ",
    "another spelling of the same metadata": lambda text: text.replace("license: apache-2.0", "license: 'apache-2.0'"),
    "a comment in the metadata": lambda text: text.replace("license:", "# the best\nlicense:", 1),
    "lines that end otherwise": lambda text: text.replace("\n", "\r\n"),
    "an entity for a letter": lambda text: text.replace("# elements", "# &#101;lements", 1),
    "nothing behind the metadata": lambda text: "---\n" + text.split("---\n")[1] + "---\n",
}


@pytest.mark.parametrize("edit", EDITS)
def test_whatever_is_edited_is_named_by_its_line(edit: str, release: Path) -> None:
    path = release / "README.md"
    path.write_bytes(EDITS[edit](path.read_text("utf-8")).encode())
    reseal(release)

    assert any("of the card is" in line or "before its metadata" in line for line in problems(release))


def test_an_edit_of_a_megabyte_is_told_in_a_line(release: Path) -> None:
    path = release / "README.md"
    path.write_text(path.read_text("utf-8") + "x" * 1_000_000, "utf-8")

    assert sum(map(len, problems(release))) < 1000


@pytest.mark.parametrize(
    "value",
    ["a\n\n| json&#95;parse | PASS | 5000/5000 |", "<!-- hidden", "[here](https://evil)", "`code`", "\x1b[2J"],
)
def test_a_value_of_the_record_stays_within_its_line_and_is_no_markup(value: str) -> None:
    found = Released(folder=KEPT / "v3")
    record = found.record
    liar = replace(record, base=replace(record.base, origin=value), name=value)

    before = card.render(record, [], "", _publishing(found)).decode()
    after = card.render(liar, [], "", _publishing(found)).decode()

    body, honest = (text.split("\n# ", 1)[1] for text in (after, before))
    assert len(body.splitlines()) == len(honest.splitlines())
    title, rest = body.split("\n## Gates", 1)
    assert not set("<>`\x1b|") & set(title.replace("](https://huggingface.co/", ""))
    assert rest == honest.split("\n## Gates", 1)[1]


def _publishing(found: Released) -> Publishing:
    return verify_card.publishing(found.record)


def test_a_word_of_the_record_cannot_become_code_of_the_cards_programs() -> None:
    record = Released(folder=KEPT / "v3").record
    asked = snippet.as_trained(record)
    liar = replace(asked, loaded=replace(asked.loaded, dtype="float32\nimport os\nos.system('true')"))

    with pytest.raises(ValueError, match="is not a name that a program can have"):
        snippet.python(record, liar, "a/b")
