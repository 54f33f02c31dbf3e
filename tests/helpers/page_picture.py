"""docs/page.png anew: ``python -m tests.helpers.page_picture``, from the kept releases, each after the other."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import sync_playwright

from release.checking import opening, verify_card
from release.judging import derive, previous
from release.judging.released import Released
from release.publishing import page
from release.publishing.page import shown
from tests.helpers.line import ROOT
from tests.helpers.pages import KEPT

PICTURE = ROOT / "docs" / "page.png"
SHOWN = """
const section = name => document.querySelector(`section[aria-labelledby=${name}]`);
for (const name of ['use', 'slices', 'training', 'chain']) section(name)?.remove();
for (const one of [...document.querySelectorAll('.gates tbody tr')].slice(0, 4)) one.remove();
for (const one of [...section('gates').children].slice(3)) one.remove();
const [title, says, curves] = [...section('beside').querySelectorAll('h3, h3 + p, .curves')].slice(-3);
section('beside').replaceChildren(title, says, curves);
for (const one of [...curves.children].slice(0, -2)) one.remove();
for (const one of [...section('rows').querySelectorAll('details.row')].slice(1)) one.remove();
"""
"""What the picture has room for: the verdict, some gates, each over the releases, and a row."""


def made() -> bytes:
    """The page of the last kept release, as it is where those before it are its previous releases."""
    names = ("v1", "v2")
    before = [previous.read(f"v0.{n}.0", f"{n}" * 40, KEPT / name) for n, name in enumerate(names, 1)]
    found = opening.Opened(release=Released(folder=KEPT / "v3", name="v3"))
    release = found.release
    beside = derive.beside(release.terms, release.answers, before)
    derived = shown.Derived(alone=found.alone, beside=beside, forms=found.forms)
    of = shown.of_release(release, derived)
    of = replace(of, record=replace(of.record, earlier=beside.earlier), before=shown._last(before, release.terms))
    return page.page(of, replace(verify_card.publishing(of.record), tag="v0.3.0"))


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        path = Path(folder) / "page.html"
        path.write_bytes(made())
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme="light")
        tab.goto(path.as_uri())
        tab.locator("#filter [name=form]").select_option("unquantized")
        tab.locator("#filter [name=result]").select_option("wrong")
        tab.evaluate(SHOWN)
        tab.locator("details.row > summary").first.click()
        tab.screenshot(path=PICTURE, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
