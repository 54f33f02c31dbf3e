"""The page of a release: one file, made of record and judged files alone, that `verify` makes again to the byte."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import gates
from release.checking import opening, verify, verify_card
from release.checking.steps import Step
from release.judging.released import Counted, Released
from release.publishing import page
from release.publishing.page import charts, picture, rows
from release.values import layout
from release.values.record import CURVES
from tests.helpers.pages import HOSTILE, KEPT, hostile_rows, page_of, release_in, shown_of
from tests.helpers.small_release import reseal


class Read(HTMLParser):
    """What a parser finds: elements with their attributes, and the text of each script and style."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            self.raw.append((self.cdata_elem, data))
        else:
            self.text += data


def data_of(page: bytes) -> Any:
    """The rows that a page holds."""
    return json.loads(next(text for _, text in Read(page).raw if text.startswith('{"gates"')))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release whose rows play tricks, and whose form `plain` gets three of them wrong."""
    folder = tmp_path_factory.mktemp("hostile")
    return release_in(folder, golden=hostile_rows(folder / "rows.jsonl"), wrong=(0, 1, 9))


def page_step(folder: Path) -> Step:
    found = opening.Opened(release=Released(folder=folder, name="release"))
    return verify.check(found, [verify.PAGE])[0]


@pytest.mark.parametrize("name", ["v1", "v2", "v3"])
def test_kept_releases_have_no_page_and_one_can_be_made_of_each(name: str) -> None:
    made = shown_of(KEPT / name)

    assert layout.PAGE not in Released(folder=KEPT / name).names
    assert page_step(KEPT / name).outcome == "--"
    assert page_of(made) == page_of(shown_of(KEPT / name))
    assert len(data_of(page_of(made))["rows"]) == 100


def test_a_new_release_holds_its_page_and_verify_makes_it_again(hostile: Path) -> None:
    assert page_of(shown_of(hostile)) == (hostile / layout.PAGE).read_bytes()
    assert page_step(hostile).outcome == "ok"


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"19/20", b"20/20"), (b"</body>", b"<script>alert(1)</script></body>"), (b"\n</html>", b"</html>")],
)
def test_a_page_that_was_edited_fails_verification(hostile: Path, tmp_path: Path, old: bytes, new: bytes) -> None:
    folder = Path(shutil.copytree(hostile, tmp_path / "release"))
    page = (folder / layout.PAGE).read_bytes()
    assert old in page
    (folder / layout.PAGE).write_bytes(page.replace(old, new, 1))
    reseal(folder)

    assert "is not the page that record and answers make: do not open it" in page_step(folder).problems[0]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (layout.PICTURE, lambda path: path.write_bytes(path.read_bytes().replace(b"19/20", b"20/20"))),
        (layout.PICTURE, lambda path: path.write_bytes(path.read_bytes().replace(b"</svg>", b"<script/></svg>"))),
        (layout.PICTURE, Path.unlink),
        (layout.PAGE, Path.unlink),
    ],
)
def test_a_picture_that_was_edited_and_one_without_its_page_fail_verification(
    hostile: Path, tmp_path: Path, name: str, change: Callable[[Path], object]
) -> None:
    folder = Path(shutil.copytree(hostile, tmp_path / "release"))
    whole = (folder / name).read_bytes()
    change(folder / name)
    assert not (folder / name).exists() or (folder / name).read_bytes() != whole
    reseal(folder)

    assert page_step(folder).outcome == "FAILED"


def test_a_picture_is_an_image_with_a_title_and_nothing_that_acts() -> None:
    release = Released(folder=KEPT / "v3")
    record, publishing = release.record, verify_card.publishing(release.record)
    odd = replace(record, name='</title><script>alert(1)</script>&"\u202e\x1b' + "long " * 100)

    for one in (record, odd):
        root = ET.fromstring(page.drawn(one, release.counted, publishing))
        found = [(element.tag.rpartition("}")[2], element.attrib) for element in root.iter()]

        assert {tag for tag, _ in found} == {"svg", "title", "desc", "rect", "text", "g", "path"}
        assert not any(
            name.startswith("on") or "href" in name or name == "style" for _, given in found for name in given
        )
        assert len([tag for tag, _ in found if tag == "g"]) == len(release.counted)
        assert len(root[0].text or "") < 100
    assert page.drawn(record, release.counted, publishing) == page.drawn(record, release.counted, publishing)


@pytest.mark.parametrize(
    ("k", "n", "bound", "bar"),
    [
        (0, 0, None, "░" * 32 + ":" + "░" * 3 + "|" + "░" * 3),
        (0, 40, 0.0, "▲" + "░" * 31 + ":" + "░" * 3 + "|" + "░" * 3),
        (39, 40, 0.85, "█" * 32 + ":" + "█" + "▲" + "█" + "|" + "██" + "░"),
        (999, 1000, None, "█" * 32 + ":" + "███" + "|" + "██" + "░"),
        (40, 40, 1.0, "█" * 32 + ":" + "███" + "|" + "██" + "▲"),
    ],
)
def test_a_bar_of_characters_is_full_only_where_all_is_right(k: int, n: int, bound: float | None, bar: str) -> None:
    one = Counted(gate="a", state="PASS", required=True, k=k, n=n, bound=bound, target=0.9, floor=0.8)

    assert picture.text([one]).splitlines()[1].split("  ")[1] == bar


def test_the_card_shows_the_picture_and_the_summary_of_a_run_its_bars(hostile: Path) -> None:
    assert f"]({layout.PICTURE})" in (hostile / layout.CARD).read_text("utf-8")
    summary = (hostile.parent / page.SUMMARY).read_text("utf-8")

    assert "json_parse  ████" in summary
    assert summary.endswith((hostile.parent / "report.md").read_text("utf-8"))


def test_a_run_holds_the_page_that_its_release_is_published_with(hostile: Path) -> None:
    assert (hostile.parent / "report.html").read_bytes() == (hostile / layout.PAGE).read_bytes()


def test_rows_without_a_licence_stay_in_the_run(tmp_path: Path) -> None:
    package = release_in(tmp_path, licence=False)
    published, kept = (package / layout.PAGE).read_bytes(), (package.parent / "report.html").read_bytes()

    assert "What is the group of livermorium?" in kept.decode()
    for secret in ("What is the group of livermorium?", "The period of livermorium is 7.", "Answer from the sources"):
        assert secret not in published.decode()
    data = data_of(published)
    assert data["whole"] is False
    assert data["rows"][0].keys() == {"id", "a", "w", "refused", "cites"} - {"cites"}
    found = opening.Opened(release=Released(folder=package, data=package.parent / "data"))
    assert [step.outcome for step in verify.check(found, [verify.PAGE])] == ["ok"]


def test_a_browser_may_run_the_program_of_the_page_and_nothing_else(hostile: Path) -> None:
    read = Read((hostile / layout.PAGE).read_bytes())
    policy = next(given["content"] for tag, given in read.elements if given.get("http-equiv"))
    style, data, program = (text for _, text in read.raw)

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert policy == (
        f"default-src 'none'; style-src {hashed(style)}; script-src {hashed(program)}; base-uri 'none'; "
        "form-action 'none'"
    )
    assert json.loads(data)["rows"]
    for tag, given in read.elements:
        assert tag not in ("img", "link", "iframe", "object", "embed", "base", "foreignobject")
        assert not any(name.startswith("on") or name in ("style", "src", "srcdoc") for name in given)
        assert given.get("href", "#").startswith("#")  # type: ignore[union-attr]


def test_hostile_texts_are_texts_and_nothing_in_the_markup_acts(hostile: Path) -> None:
    page = (hostile / layout.PAGE).read_bytes().decode("utf-8")
    read = Read(page.encode())

    assert len([tag for tag, _ in read.elements if tag == "script"]) == 2
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]", page)
    found = {row["id"]: row for row in data_of(page.encode())["rows"]}
    for number, text in enumerate(HOSTILE, 1):
        row = found[f"golden-{number:04}"]
        assert row["q"].endswith(text)
        assert row["d"][0][1] == text
        assert json.loads(row["a"]["trained"])["answer"].endswith(text)


def test_an_answer_may_hold_half_a_character_and_a_nul() -> None:
    made = shown_of(KEPT / "v3")
    odd = "half \ud83d, none \x00, \x07 </script>"
    answers = [gates.Output(id=one.id, output=odd) for one in made.answers["trained"]]

    page = page_of(replace(made, answers={**made.answers, "trained": answers}))

    assert b"\0" not in page
    assert data_of(page)["rows"][0]["a"]["trained"] == odd


def test_a_row_says_why_it_is_wrong_where_and_in_which_form(hostile: Path) -> None:
    data = data_of((hostile / layout.PAGE).read_bytes())
    parses = data["gates"].index("json_parse")
    wrong = {
        form: {row["id"]: why for row in data["rows"] for gate, why, *_ in row["w"].get(form, ()) if gate == parses}
        for form in data["forms"]
    }

    assert wrong["trained"] == {"golden-0008": "too_long: 100104 characters, at most 20000 are read"}
    assert wrong["plain"].keys() == {"golden-0001", "golden-0002", "golden-0008", "golden-0010"}
    assert wrong["plain"]["golden-0001"].startswith("syntax: ")


def test_a_release_with_one_before_it_shows_both(hostile: Path, tmp_path: Path) -> None:
    folder = release_in(tmp_path, golden=hostile_rows(tmp_path / "rows.jsonl"), before=hostile)
    page = (folder / layout.PAGE).read_bytes()
    data = data_of(page)

    assert data["last"] == "v0.0.9"
    assert all(row["a"]["last"] for row in data["rows"])
    assert data["compared"].keys() == {"base", "last"}
    assert "beside the last release" in Read(page).text
    assert b'class="before"' in page
    assert page_step(folder).outcome == "ok"


def test_a_thousand_rows_are_under_two_megabytes() -> None:
    made = shown_of(KEPT / "v3")
    page = page_of(made)
    of_rows = len(rows.data(made).encode())

    assert len(page) - of_rows + 10 * of_rows < 2_000_000


def test_of_rows_that_are_too_many_those_that_are_wrong_come_first(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = shown_of(hostile)
    monkeypatch.setattr(rows, "MOST", 5000)

    data = data_of(page_of(made))

    assert data["all"] == 20
    assert [row["id"] for row in data["rows"]][:2] == ["golden-0001", "golden-0002"]
    assert "golden-0010" in [row["id"] for row in data["rows"]]
    assert len(data["rows"]) < 20


def test_a_curve_goes_from_left_to_right_and_down() -> None:
    drawn = charts.curve("loss", [(0, 4.0), (10, 2.0), (20, 0.0)], [(40, 1.0)])

    assert drawn is not None
    points = [tuple(map(float, point.split(","))) for point in drawn.now.split()]
    assert points == sorted(points)
    assert [y for _, y in points] == sorted(y for _, y in points)
    assert drawn.before.startswith("332.0,")
    assert charts.curve("loss", [], []) is None


def test_a_curve_of_many_points_keeps_some_hundred_and_its_last() -> None:
    drawn = charts.curve("loss", [(step, 1.0) for step in range(100_001)], ())

    assert drawn is not None
    assert len(drawn.points) <= charts.POINTS + 1
    assert drawn.points[-1][0] == "100000"


def test_what_a_training_logged_is_drawn_over_that_of_the_last_release(hostile: Path, tmp_path: Path) -> None:
    made = shown_of(release_in(tmp_path, golden=hostile_rows(tmp_path / "rows.jsonl"), before=hostile))
    assert made.record.training is not None
    older = replace(made, record=replace(made.record, training=replace(made.record.training, curves=None)))

    page, page_then = Read(page_of(made)), Read(page_of(older))

    assert len(_drawn(page, "now")) == 1 + len(CURVES)
    assert len(_drawn(page, "before")) == len(_drawn(page, "now")) + len(made.alone.verdict.gates)
    assert len(_drawn(page_then, "now")) == 1
    assert "Not recorded: learning rate and gradient norm" in page_then.text
    last = [given["cx"] for tag, given in page.elements if tag == "circle" and given["class"] == "last"]
    assert len([1 for at in last if at and "%" in at]) == 1


def _drawn(page: Read, line: str) -> list[str]:
    return [tag for tag, given in page.elements if tag == "polyline" and given["class"] == line]


def test_a_history_goes_from_left_to_right_and_what_is_proved_lies_below_what_was_right() -> None:
    drawn = charts.history("parses", [("v1", 90, 100, 0.84), ("v2", 60, 60, 0.95), ("here", 99, 100, 0.96)], 0.9)

    across, shares = zip(*((float(one.across), float(one.value)) for one in drawn.dots), strict=True)
    assert sorted(across) == list(across)
    assert shares[1] < shares[2] < shares[0]
    assert all(float(one.bound) > float(one.value) for one in drawn.dots)
    assert all(0 <= float(one.bound) <= drawn.height for one in drawn.dots)
    assert [one.says for one in drawn.dots] == ["v1: 90/100", "v2: 60/60", "here: 99/100"]
    assert [one.says for one in drawn.up] == ["80 %", "90 %", "100 %"]


@pytest.mark.parametrize("shares", [[("a", 0, 5, 0.0)], [("a", 5, 5, 0.6), ("b", 0, 1, 0.0)]])
def test_a_history_of_nothing_right_stays_in_its_picture(shares: list[tuple[str, int, int, float]]) -> None:
    drawn = charts.history("parses", shares, 1.0)

    assert all(0 <= float(y) <= drawn.height for one in drawn.dots for y in (one.value, one.bound))
