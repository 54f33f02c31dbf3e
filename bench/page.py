"""Seconds until a page of 5,000 rows shows its first ones in chromium, as a ratio to an empty page.

usage: python -m bench.page [--rows 5000] [RELEASE]     needs Debian's chromium, and what [dev] installs
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from release.publishing.page import rows
from tests.helpers.pages import KEPT, page_of, shown_of

TIMES = 5


def main(release: Path, count: int) -> None:
    shown = shown_of(release)
    whole = page_of(shown).decode()
    one = rows.data(shown)
    head, _, lines = one.partition('"rows":[\n')
    each = lines.removesuffix("\n]}").split(",\n")
    many = ",\n".join(each[number % len(each)].replace("golden-", f"r{number}-") for number in range(count))
    large = whole.replace(one, f'{head}"rows":[\n{many}\n]}}'.replace('"all":100', f'"all":{count}'))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        empty, page = Path(folder) / "empty.html", Path(folder) / "page.html"
        empty.write_text("<!doctype html><title>empty</title><p id=count>none")
        page.write_text(large)
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        nothing, all_of_it = _seconds(browser, empty), _seconds(browser, page)
    size = len(large.encode()) / 1e6
    print(f"{count} rows, {size:.1f} MB: {all_of_it:.2f} s, an empty page {nothing:.2f} s: {all_of_it / nothing:.1f}x")


def _seconds(browser: Browser, page: Path) -> float:
    """The median time from asking for a page until its first rows are drawn."""
    found = []
    for _ in range(TIMES):
        tab = browser.new_context().new_page()
        tab.goto(page.as_uri())
        tab.wait_for_selector("#count:not(:empty)")
        drawn = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now() / 1000))))"
        found.append(float(tab.evaluate(drawn)))
        tab.context.close()
    return statistics.median(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("release", type=Path, nargs="?", default=KEPT / "v3")
    given = parser.parse_args()
    main(given.release, given.rows)
