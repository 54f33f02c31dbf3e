"""The data report as people meet it: the kept examples, and the page in a real browser."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import gates
from release import inputs
from release.config import reading
from release.data import chat as chats
from release.data import data_report, dataset, gate
from release.data.checks import Report
from release.data.evidence import Limits
from release.data.expectations import ONLY_FROM_HERE
from release.models import base as bases
from release.values.errors import DataError
from release.values.events import Event
from tests.gates.examples import KWANZAA
from tests.gates.test_kwanzaa import CONTRACT as KWANZAA_CONTRACT
from tests.helpers.line import ROOT, small_config

EXAMPLES = ROOT / "docs" / "examples"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
SHUT_OFF = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=2000"
)


def quiet(_: Event) -> None:
    """Say nothing."""


def faulty(folder: Path, fault: str) -> Report:
    data = {"train_file": str(ROOT / "tests" / "data" / "dataset" / fault / "train.jsonl")}
    return inputs.examined(inputs.load(reading.load(small_config(folder, data=data)), quiet), quiet)


@pytest.mark.usefixtures("base")
def test_the_example_in_the_docs_is_what_is_made_today() -> None:
    report = inputs.examined(inputs.load(reading.load(ROOT / "release.yaml"), quiet), quiet)

    assert (EXAMPLES / "data_report.html").read_text("utf-8") == data_report.html(report)


@pytest.mark.skipif(not KWANZAA.is_dir(), reason="the user's dataset is not part of this repository")
def test_the_example_of_a_real_users_dataset_is_what_is_made_today(base: bases.Base) -> None:
    """Without its text, which has another licence."""
    contract = gates.load_contract(KWANZAA_CONTRACT, KWANZAA)
    rows = dataset.load(KWANZAA / "train.jsonl")
    seen = dataset.measured(rows, chats.read(base.folder), quiet)
    report = gate.examine(seen, None, contract, gate.Options(limits=Limits(max_length=2048)))

    assert (EXAMPLES / "real_dataset_report.html").read_text("utf-8") == data_report.html(report, text=False)


@pytest.mark.usefixtures("base")
def test_a_page_without_text_quotes_no_row(tmp_path: Path) -> None:
    report = faulty(tmp_path, "answer_is_a_stub")

    assert "This answer would state" in data_report.html(report)
    assert "This answer would state" not in data_report.html(report, text=False)
    assert "train-0005" in data_report.html(report, text=False)


def shown(folder: Path, text: str, width: int = 1200) -> tuple[str, int]:
    """What a browser says on its console about a page, and the size of its picture."""
    page, picture = folder / "page.html", folder / "page.png"
    page.write_text(text, "utf-8")
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, *SHUT_OFF.split(), f"--user-data-dir={folder / 'profile'}", f"--window-size={width},800",
         f"--screenshot={picture}", page.as_uri()],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return "\n".join(line for line in done.stderr.splitlines() if ":CONSOLE" in line), picture.stat().st_size


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.usefixtures("base")
def test_the_page_renders_in_a_browser_and_can_load_nothing(tmp_path: Path) -> None:
    """Its policy refuses every request, and the browser complains of one: no complaint, no request."""
    text = data_report.html(faulty(tmp_path, "answer_is_a_stub"))
    asking = text.replace("<h1>", '<img src="http://127.0.0.1:9/a.png"><script>alert(1)</script><h1>')

    for width in (360, 1200):
        said, size = shown(tmp_path, text, width)
        assert said == ""
        assert size > 10_000
    assert "Content Security Policy" in shown(tmp_path, asking)[0]


@pytest.mark.usefixtures("base")
def test_great_expectations_pages_are_written_on_request_and_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    report = inputs.examined(inputs.load(reading.load(small_config(tmp_path)), quiet), quiet, tmp_path / "docs")
    lines = data_report.told(report, data_report.Pages(folder=tmp_path, docs=tmp_path / "docs"))
    pages = sorted((tmp_path / "docs").rglob("*.html"))

    assert f"Great Expectations' own pages: {tmp_path / 'docs' / 'train' / 'index.html'}" in lines
    assert {page.relative_to(tmp_path / "docs").parts[0] for page in pages} == {"train", "golden"}
    assert [page for page in pages if ONLY_FROM_HERE not in page.read_text("utf-8")] == []
    assert json.loads((tmp_path / "data_report.json").read_bytes())["passed"] is True


@pytest.mark.usefixtures("base")
def test_the_report_of_faulty_rows_is_written_and_stops(tmp_path: Path) -> None:
    report = faulty(tmp_path, "answer_is_a_stub")
    with pytest.raises(DataError, match="placeholders"):
        data_report.told(report, data_report.Pages(folder=tmp_path / "report"))
    page = (tmp_path / "report" / "data_report.html").read_text("utf-8")
    found = json.loads((tmp_path / "report" / "data_report.json").read_bytes())

    assert "<mark>[This answer would state the value and cite its source.]</mark>" in page
    assert "<svg" in page
    assert "http" not in page.replace("http-equiv", "")
    assert found["passed"] is False
    assert {one["row"] for one in found["findings"] if one["check"] == "placeholders"} == {"train-0005"}


@pytest.mark.usefixtures("base")
def test_a_report_does_not_spread_the_secrets_it_found(tmp_path: Path) -> None:
    lines = data_report.told(faulty(tmp_path, "secret"), data_report.Pages(folder=tmp_path / "report"))
    pages = [(tmp_path / "report" / name).read_text("utf-8") for name in ("data_report.html", "data_report.json")]

    assert "secrets" in "\n".join(lines)
    assert "hf_••••" in pages[0]
    assert not any("hf_aaaa" in text for text in [*pages, *lines])
