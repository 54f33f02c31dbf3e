"""The page in a real browser: filtered, opened, compared, dark, narrow and printed, with nothing asked of anybody."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from release.checking import side_by_side
from release.values import layout
from tests.helpers.pages import HOSTILE, KEPT, hostile_rows, page_of, release_in, shown_of
from tests.helpers.pictures import keep

CHROMIUM = shutil.which("chromium")
if not os.environ.get("CI"):  # where it must be there
    pytest.importorskip("playwright")
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium", allow_module_level=True)

from axe_playwright_python.sync_playwright import Axe  # noqa: E402  only where it is
from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402  the same

WIDE = {"width": 1100, "height": 900}
NARROW = {"width": 360, "height": 700}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A page that is open, and what happened in it."""

    page: Page
    asked: list[str] = field(default_factory=list)
    """Addresses, but for the page's own."""
    said: list[str] = field(default_factory=list)
    """Errors, messages of its console, and dialogues."""

    def rows(self) -> list[str]:
        """The names of the rows that are shown."""
        return list(self.page.locator("details.row > summary > strong").all_inner_texts())

    def row(self, name: str) -> Any:
        return self.page.locator("details.row").filter(has=self.page.locator("summary > strong", has_text=name))

    def question(self, name: str) -> Any:
        return self.row(name).locator("div:has(> h3:text-is('question')) pre")

    def choose(self, name: str, value: str) -> None:
        self.page.locator(f"#filter [name={name}]").select_option(value)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        yield started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kept release, and of a hostile one with another before it."""
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / f"{name}.html" for name in ("v1", "v2", "v3")}
    for name, path in found.items():
        path.write_bytes(page_of(shown_of(KEPT / name)))
    first = release_in(folder / "first", golden=hostile_rows(folder / "rows.jsonl"))
    second = release_in(folder / "second", golden=folder / "rows.jsonl", wrong=(0, 2, 9), before=first)
    where = side_by_side.Where(endpoint="file:hub", data=None, runs=folder)
    beside = side_by_side.compared(str(KEPT / "v2"), str(KEPT / "v3"), where, lambda _: None)
    assert beside is not None
    return {**found, "hostile": second / layout.PAGE, "beside": beside}


def opened(browser: Browser, path: Path, at: str = "", **how: Any) -> Shown:
    page = browser.new_context(**{"viewport": WIDE, **how}).new_page()
    shown = Shown(page=page)
    page.on("request", lambda one: shown.asked.append(one.url) if not one.url.startswith(path.as_uri()) else None)
    page.on("console", lambda one: shown.said.append(one.text))
    page.on("pageerror", lambda one: shown.said.append(str(one)))
    page.on("dialog", lambda one: shown.said.append(one.message))
    page.goto(path.as_uri() + at)
    return shown


def much_open(shown: Shown) -> None:
    """Everything but rows, and ten of them with all that is in them."""
    for which in ("details:not(.row)", "details.row", "details.row details"):
        shown.page.evaluate(
            f"for (const one of [...document.querySelectorAll('{which}')].slice(0, 20)) one.open = true"
        )
        shown.page.wait_for_timeout(50)


@pytest.mark.parametrize(("name", "scheme"), [("v3", "light"), ("hostile", "dark"), ("beside", "light")])
def test_anybody_can_read_it(browser: Browser, pages: dict[str, Path], name: str, scheme: str) -> None:
    shown = opened(browser, pages[name], color_scheme=scheme, viewport=NARROW if scheme == "dark" else WIDE)
    keep(shown.page, f"page-{name}-{scheme}")
    much_open(shown)

    found = Axe().run(shown.page).response["violations"]

    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []


@pytest.mark.parametrize("name", ["v1", "v2", "v3", "hostile", "beside"])
def test_it_fits_a_telephone_and_asks_nobody_for_anything(browser: Browser, pages: dict[str, Path], name: str) -> None:
    shown = opened(browser, pages[name], viewport=NARROW)
    much_open(shown)

    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert shown.asked == []
    assert shown.said == []


def test_rows_are_filtered_by_gate_form_result_and_words(browser: Browser, pages: dict[str, Path]) -> None:
    shown = opened(browser, pages["v3"])
    assert len(shown.rows()) == 50
    shown.page.get_by_role("button", name="Show more rows").click()
    assert len(shown.rows()) == 100

    shown.choose("form", "unquantized")
    shown.choose("result", "wrong")
    assert shown.page.get_by_role("status").inner_text() == "3 of 100 rows; wrong ones come first"
    shown.choose("gate", "refusal_recall")
    wrong = shown.rows()
    assert len(wrong) == 2
    shown.choose("refused", "no")
    assert shown.rows() == wrong
    shown.page.get_by_role("button", name="Show all rows").click()
    expect(shown.page.locator("details.row")).to_have_count(50)
    shown.page.get_by_label("words").fill("LIVERMORIUM group")
    assert "golden-0001" in shown.rows()
    assert len(shown.rows()) < 50


def test_a_row_is_compared_word_by_word_and_its_citations_lead_to_documents(
    browser: Browser, pages: dict[str, Path]
) -> None:
    shown = opened(browser, pages["v3"])
    shown.choose("form", "unquantized")
    shown.choose("result", "wrong")
    shown.choose("from", "trained")
    name = shown.rows()[0]
    row = shown.row(name)
    row.locator("> summary").press("Enter")

    expect(row.get_by_role("heading", name="Why it is wrong")).to_be_visible()
    this = row.locator(".this")
    other = row.locator(".answers > div").filter(has_text="trained")
    assert this.locator("ins").count() > 0
    assert other.locator("del").count() > 0
    shown.choose("from", "")
    expect(this).to_be_visible()
    assert this.locator("ins").count() == 0
    link = row.locator(".answers pre a").first
    marker = link.inner_text()
    link.press("Enter")
    assert shown.page.evaluate("document.activeElement.innerText").startswith(marker)


def test_an_address_names_a_row(browser: Browser, pages: dict[str, Path]) -> None:
    shown = opened(browser, pages["v1"], "#row-golden-0077")

    assert shown.row("golden-0077").get_attribute("open") is not None
    assert shown.page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_hostile_rows_are_shown_as_texts(browser: Browser, pages: dict[str, Path]) -> None:
    shown = opened(browser, pages["hostile"])
    much_open(shown)

    assert shown.page.locator("#list img, #list script, #list b").count() == 0
    assert shown.said == []
    question = shown.question("golden-0001")
    assert question.inner_text().endswith(HOSTILE[0])
    assert "U+202Eright to leftU+202C" in shown.question("golden-0003").inner_text()
    assert "U+001B[31mred" in shown.question("golden-0004").inner_text()
    assert "U+2028" in shown.question("golden-0005").inner_text()
    assert "漢字 かな עברית" in shown.question("golden-0006").inner_text()
    assert len(shown.question("golden-0008").inner_text()) < 3000
    shown.row("golden-0008").get_by_role("button", name="Show all 100,").first.click()
    assert len(shown.question("golden-0008").inner_text()) > 100_000


def test_the_last_release_stands_beside_and_what_was_lost_is_found(browser: Browser, pages: dict[str, Path]) -> None:
    shown = opened(browser, pages["hostile"])
    shown.choose("base", "won")
    shown.row("golden-0010").locator("> summary").click()

    assert "last release, v0.0.9" in shown.row("golden-0010").inner_text()
    shown.choose("last", "lost")
    assert shown.rows() == []


def test_of_two_beside_each_other_the_rows_won_are_found(browser: Browser, pages: dict[str, Path]) -> None:
    shown = opened(browser, pages["beside"])
    shown.choose("last", "won")

    assert shown.rows() == ["golden-0077", "golden-0085"]
    shown.row("golden-0077").locator("> summary").press("Enter")
    panel = shown.row("golden-0077").locator(".answers > div").filter(has_text=str(KEPT / "v2"))
    expect(panel).to_contain_text('"refusal":false')
    shown.choose("from", "last")
    assert panel.locator("del").count() > 0


def test_it_prints_without_its_controls(browser: Browser, pages: dict[str, Path]) -> None:
    shown = opened(browser, pages["v3"])
    shown.page.emulate_media(media="print")

    assert not shown.page.locator("#filter").is_visible()
    assert shown.page.locator("#verdict-title").is_visible()


def test_all_of_it_is_reached_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    shown = opened(browser, pages["v3"])
    shown.page.keyboard.press("Tab")
    assert shown.page.evaluate("document.activeElement.innerText") == "Skip to the verdict"
    shown.page.locator("a[href='#rows']").first.press("Enter")
    for _ in range(2):
        shown.page.keyboard.press("Tab")
    assert shown.page.evaluate("document.activeElement.name") in ("words", "gate")
