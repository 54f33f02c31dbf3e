"""A review in a real browser: twenty rows by keyboard, closed in the middle and gone on, with hostile rows."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gates import human_review
from release.reviewing import opened, server
from release.reviewing.server import Serving
from tests.helpers.pages import HOSTILE, hostile_rows
from tests.helpers.pictures import keep
from tests.helpers.reviews import quiet, waiting

CHROMIUM = shutil.which("chromium")
if not os.environ.get("CI"):  # where it must be there
    pytest.importorskip("playwright")
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium", allow_module_level=True)

from axe_playwright_python.sync_playwright import Axe  # noqa: E402  only where it is
from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402  the same


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A page that is open, and what happened in it."""

    page: Page
    asked: list[str] = field(default_factory=list)
    """Addresses elsewhere than at the server."""
    said: list[str] = field(default_factory=list)
    """Errors, messages of its console, and dialogues."""

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def begin(self, name: str) -> None:
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_label("Your name").press("Enter")
        expect(self.page.locator("#start")).to_be_hidden()

    def done(self, rows: int) -> None:
        expect(self.page.locator("#done")).to_have_text(f"{rows} of 20 rows are answered and saved")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        yield started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose rows all are read, of which eight are hostile."""
    golden = hostile_rows(tmp_path / "rows.jsonl")
    asks = {"human_review": {"rows": 20, "target": 0.8, "floor": 0.5, "reviewers": 2}}
    bars = {name: {"mode": "point", "target": 0.5, "min_n": 1} for name in ("json_parse", "schema_compliance")}
    return waiting(tmp_path / "run", gates={**bars, **asks}, data={"golden_file": str(golden)})[2]


@pytest.fixture
def serving(run: Path) -> Iterator[Serving]:
    with ExitStack() as stack:
        to_read = stack.enter_context(opened.opened(str(run), Path(), "file:hub", quiet))
        yield stack.enter_context(server.served(to_read))


def open_(browser: Browser, serving: Serving, **how: Any) -> Shown:
    page = browser.new_context(**how).new_page()
    shown = Shown(page=page)
    page.on("request", lambda one: None if one.url.startswith(serving.address) else shown.asked.append(one.url))
    page.on("console", lambda one: shown.said.append(one.text))
    page.on("pageerror", lambda one: shown.said.append(str(one)))
    page.on("dialog", lambda one: shown.said.append(one.message))
    page.goto(serving.address)
    return shown


def kept(serving: Serving) -> human_review.Review:
    return human_review.parse(json.loads(serving.to_read.file.read_bytes()), "")


def axe(shown: Shown) -> list[Any]:
    found = Axe().run(shown.page).response["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]


def test_twenty_rows_by_keyboard_closed_in_the_middle_and_gone_on_and_settled(
    browser: Browser, serving: Serving
) -> None:
    shown = open_(browser, serving)
    shown.begin("Ada")
    for row in range(1, 8):
        shown.press("w", "2", "r", "n")
        shown.done(row)
    shown.press("w")  # half a row, and the browser is gone
    expect(shown.page.locator("[aria-pressed=true]")).to_have_count(1)
    shown.page.wait_for_function("saved => document.getElementById('done').textContent.startsWith(saved)", arg="7 ")
    while len(kept(serving).reviewers[0].rows) < 8:
        shown.page.wait_for_timeout(50)
    shown.page.close()

    again = open_(browser, serving)
    expect(again.page.locator("#people")).to_contain_text("Ada: 7 of 20 rows")
    again.begin("Ada")
    assert "Row 8 of 20" in again.page.locator("#row-title").inner_text()
    keep(again.page, "review-gone-on")
    again.press("r")
    for row in range(8, 20):
        again.done(row)
        again.press("n", "r", "r")
    again.done(20)
    assert "this adapter" not in again.page.locator("#read").inner_text()
    again.press("f")
    expect(again.page.locator("#end-title")).to_be_focused()
    assert again.page.locator("#mine tr").count() == 20
    expect(again.page.locator("#open")).to_contain_text("1 of 2 reviewers began")
    ada = kept(serving).reviewers[0]
    assert ada.through
    said = [one for row in ada.rows for one in (row.this, row.other) if one]
    assert (len(said), sum(one.says == "wrong" for one in said)) == (40, 8)
    assert {one.reason for one in said if one.says == "wrong"} == {"", "not in the documents"}

    other = open_(browser, serving)
    other.begin("Bo")
    for row in range(1, 21):
        other.press("r", "r", "n")
        other.done(row)
    other.press("f")
    wrong = [row.id for row in ada.rows if row.this and row.this.says == "wrong"]
    expect(other.page.locator("#disagreed > div")).to_have_count(len(wrong))
    assert axe(other) == []
    keep(other.page, "review-settled")
    for number in range(len(wrong)):
        button = other.page.locator("#disagreed > div").nth(number).get_by_role("button", name="right", exact=True)
        button.focus()
        button.press("Enter")
        expect(other.page.locator("#disagreed [aria-pressed=true]")).to_have_count(number + 1)
    expect(other.page.locator("#found")).to_contain_text("PASS         human_review  20/20")
    other.page.get_by_role("button", name="Close").press("Enter")
    assert serving.ended.wait(5)
    assert [shown.asked, again.asked, other.asked, shown.said, again.said, other.said] == [[]] * 6
    assert "PASS         human_review  20/20" in "\n".join(server.summary(serving.to_read))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_anybody_can_read_it_and_hostile_rows_are_texts(browser: Browser, serving: Serving, scheme: str) -> None:
    shown = open_(browser, serving, color_scheme=scheme, viewport={"width": 360, "height": 700})
    assert axe(shown) == []
    shown.begin("<b>Ada</b>\u202e")
    seen = ""
    for _ in range(20):
        shown.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        seen += shown.page.locator("#read").inner_text()
        assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shown.press("n")
    keep(shown.page, f"review-hostile-{scheme}")
    assert axe(shown) == []
    assert shown.page.locator("img, #read script, #read b").count() == 0
    assert (shown.said, shown.asked) == ([], [])
    for text in (
        HOSTILE[0],
        "U+202Eright to leftU+202C",
        "U+001B[31mred",
        "U+2028",
        "漢字 かな עברית",
        "Show all 100,",
    ):
        assert text in seen
    shown.press("r")
    shown.page.wait_for_timeout(200)
    shown.page.reload()
    expect(shown.page.locator("#people")).to_contain_text("<b>Ada</b>U+202E")


def test_keys_are_letters_where_somebody_writes(browser: Browser, serving: Serving) -> None:
    shown = open_(browser, serving)
    shown.begin("")
    shown.page.get_by_label("Notes").fill("")
    shown.page.get_by_label("Notes").press_sequentially("rwn")
    shown.press("Escape")
    expect(shown.page.locator("#row-title")).to_be_focused()
    while not serving.to_read.file.exists():
        shown.page.wait_for_timeout(50)
    (row,) = kept(serving).reviewers[0].rows
    assert (row.notes, row.this, row.other) == ("rwn", None, None)
    shown.page.locator("summary", has_text="Keys").click()
    shown.page.get_by_label("use these keys").uncheck()
    shown.page.locator("#row-title").focus()
    shown.press("r")
    assert shown.page.locator("[aria-pressed=true]").count() == 0


def test_a_page_elsewhere_cannot_reach_it(browser: Browser, serving: Serving) -> None:
    """A page of another origin sends what a browser lets it send, and gets nothing."""
    page = browser.new_page()
    with server.served(serving.to_read) as other:  # another port is another origin
        page.goto(other.address)
        script = """async (address) => {
            const tries = [{}, {mode: "no-cors", method: "POST", body: "{}"}, {method: "POST", body: "{}"}];
            const got = [];
            for (const how of tries) got.push(await fetch(address, how).then((one) => one.type, () => "refused"));
            return got;
        }"""
        assert page.evaluate(script, serving.address) == ["refused"] * 3
    assert not serving.to_read.file.exists()


def test_the_door_leads_to_it(browser: Browser, serving: Serving) -> None:
    page = browser.new_page()
    with server.door(serving) as door:
        page.goto(door)
        page.wait_for_url(serving.address)
        assert Path(door.removeprefix("file://")).parent.stat().st_mode & 0o077 == 0
    expect(page.locator("#start-title")).to_be_visible()
