"""What the data gate found: a summary for the terminal, JSON, and one HTML page that needs nothing else."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from gates.canonical import canonical_json
from gates.shown import counted, shorten, some
from release.data import text_checks
from release.data.checks import CHECKS, Finding, Mark, Report, Split
from release.values.artifacts import write_atomically
from release.values.errors import DataError

BINS = 24
REASON = 200  # characters of a reason in a line of the summary
CONTEXT = 400  # characters shown on both sides of a mark; a row can be long
PLAIN_ROWS = 200  # rows on the page: a browser must still open it; the JSON lists all
POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # the page shows what others wrote: nothing in it may load
HIDDEN = ("secrets", "personal_data")  # a report must not spread what it warns of
STYLE = """
:root{color-scheme:light dark;--text:#1b1f24;--paper:#fff;--soft:#f6f8fa;--line:#d0d7de;--quiet:#57606a;--bar:#4c78a8;
--error:#b3261e;--warning:#8a5a00;--ok:#1a7f37;--mark:#ffd8a8}
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--paper:#0d1117;--soft:#161b22;--line:#30363d;--quiet:#9198a1;
--bar:#6f9fd8;--error:#ff7b72;--warning:#e3b341;--ok:#56d364;--mark:#7d4e00}}
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:var(--text);
background:var(--paper);overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;
vertical-align:top;overflow-wrap:normal}td.count{text-align:right}td:first-child{white-space:nowrap}td:last-child{min-width:10rem}
.error{color:var(--error)}.warning{color:var(--warning)}.ok{color:var(--ok)}
article{border-top:1px solid var(--line);padding:.6rem 0}article ul{margin:.2rem 0;padding-left:1.2rem}
pre{white-space:pre-wrap;margin:.3rem 0;background:var(--soft);padding:.5rem;border-radius:4px}
mark{background:var(--mark);color:inherit}small{color:var(--quiet)}
.charts{display:flex;flex-wrap:wrap;gap:1rem 2rem}svg{max-width:100%;height:auto;fill:var(--text)}
.bar{fill:var(--bar)}.axis{stroke:var(--line)}.limit{fill:var(--error);stroke:var(--error);stroke-width:0}line.limit{stroke-width:1}
""".strip()


def terminal(report: Report) -> list[str]:
    """A line for each file and each check that found something, with a few rows each."""
    lines = [line for split in report.splits for line in [_of_split(split), *told_of(split)]]
    for found in _by_check(report):
        rows = [one.row for one in found if one.row]
        what = f"{counted(len(rows), 'row')} ({some(rows, 5)})" if rows else "; ".join(one.says for one in found)
        what += f": {shorten(found[0].says, REASON)}" if rows else ""
        lines.append(f"  {found[0].level:7}  {found[0].split:6}  {found[0].check:18}  {what}")
    lines += [f"  not checked: {name}, because {why}" for name, why in report.unchecked.items()]
    errors, warnings = len(report.errors), len(report.findings) - len(report.errors)
    return [*lines, f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"]


def told_of(split: Split) -> list[str]:
    """What of a file was kept apart, left out or not learned."""
    return [f"  {one}" for one in split.dataset.told]


def to_json(report: Report) -> bytes:
    """Every finding with its row, and what was measured."""
    value = {
        "passed": report.passed,
        "files": [asdict(_measured(split)) for split in report.splits],
        "counts": {f"{found[0].split}.{found[0].check}": len(found) for found in _by_check(report)},
        "findings": [
            {
                "check": one.check,
                "level": one.level,
                "split": one.split,
                "line": one.line or None,
                "row": one.row or None,
                "says": one.says,
                "marks": [[mark.message, mark.start, mark.end] for mark in one.marks],
            }
            for one in report.findings
        ],
        "not_checked": dict(report.unchecked),
    }
    return canonical_json(value)


def write(report: Report, folder: Path, *, text: bool = True) -> tuple[Path, Path]:
    """``data_report.json`` and ``data_report.html`` in a folder; ``text``: whether the page quotes the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    as_json, as_html = folder / "data_report.json", folder / "data_report.html"
    write_atomically(as_json, to_json(report))
    write_atomically(as_html, html(report, text=text).encode())
    return as_json, as_html


@dataclass(frozen=True, kw_only=True)
class Pages:
    """What is wanted to read of the data gate."""

    folder: Path
    text: bool = True
    """Whether the page quotes the rows."""
    docs: Path | None = None
    """A folder for Great Expectations' own pages."""


def told(report: Report, wanted: Pages) -> list[str]:
    """The report, written to a folder and in lines; ``DataError`` with them if an error was found."""
    docs = wanted.docs
    _, page = write(report, wanted.folder, text=wanted.text)
    lines = [*terminal(report), f"The rows, with what is wrong in them marked: {page}"]
    lines += [f"Great Expectations' own pages: {one}" for one in sorted(docs.glob("*/index.html"))] if docs else []
    if not report.passed:
        raise DataError("\n".join([*lines, "Nothing was trained. Mend the rows and run again."]))
    return lines


def html(report: Report, *, text: bool = True) -> str:
    """One page: what was found, how long rows are, and each row with the part in question marked."""
    state = '<b class="ok">fit to use</b>' if report.passed else '<b class="error">not fit to use</b>'
    errors, warnings = len(report.errors), len(report.findings) - len(report.errors)
    body = [f"<h1>Data report</h1><p>{state}: {counted(errors, 'error')}, {counted(warnings, 'warning')}</p>"]
    body += [_html_of_split(split, report.max_length) for split in report.splits]
    body += [_html_of_checks(report), *_html_of_rows(report, text=text)]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Data report</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<style>{STYLE}</style>{''.join(body)}</html>\n"
    )


def _by_check(report: Report) -> list[list[Finding]]:
    """Findings of one file and check together: errors before warnings, the most first."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for one in report.findings:
        groups.setdefault((one.split, one.check, one.level), []).append(one)
    return sorted(groups.values(), key=lambda found: (found[0].level, -len(found)))


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What is counted of one file."""

    split: str
    file: str
    sha256: str
    rows: int
    labels: Mapping[str, int]
    tokens: Mapping[str, int] | None
    """The shortest, median and longest row; None without a tokenizer."""
    told: tuple[str, ...]
    """What of the file was kept apart, left out or not learned."""


def _measured(split: Split) -> _Measured:
    lengths = sorted(one.total for one in split.dataset.measured)
    labels = Counter({None: "unknown", True: "unanswerable", False: "answerable"}[one] for one in split.unanswerable)
    names, found = ("shortest", "median", "longest"), len(lengths)
    return _Measured(
        split=split.name,
        file=split.dataset.path.name,
        sha256=split.dataset.sha256,
        rows=len(split.dataset.rows),
        labels={name: labels[name] for name in ("answerable", "unanswerable", "unknown")},
        told=split.dataset.told,
        tokens=dict(zip(names, (lengths[0], lengths[found // 2], lengths[-1]), strict=True)) if found else None,
    )


def _of_split(split: Split) -> str:
    measured = _measured(split)
    rows, refused = counted(measured.rows, "row"), measured.labels["unanswerable"]
    text = f"{split.name}: {measured.file}, {rows}, {refused} unanswerable"
    if measured.tokens:
        text += f", {measured.tokens['median']} tokens in the median, {measured.tokens['longest']} at most"
    return text


def _html_of_split(split: Split, longest: int | None) -> str:
    measured = _measured(split)
    title = f"<h2>{split.name}: {escape(split.dataset.path.name)}</h2><p>{counted(measured.rows, 'row')}"
    title += f" <small>sha256 {split.dataset.sha256}</small></p>"
    title += f"<ul>{''.join(f'<li>{escape(one)}' for one in measured.told)}</ul>" if measured.told else ""
    charts = [_bars("rows by label", {name: n for name, n in measured.labels.items() if n})]
    if split.dataset.measured:
        limit = longest if split.name == "train" else None
        charts.insert(0, _histogram("rows by tokens", [one.total for one in split.dataset.measured], limit))
    return f'{title}<div class="charts">{"".join(charts)}</div>'


def _histogram(title: str, values: Sequence[int], limit: int | None) -> str:
    """Counts over equal ranges; a line at the limit."""
    top = max([*values, limit or 0]) + 1
    width = max(1, -(-top // BINS))
    counts = Counter(value // width for value in values)
    tallest = max(counts.values())
    bars = "".join(
        f'<rect class="bar" x="{30 + n * 15}" y="{110 - 90 * count / tallest:.1f}" width="14"'
        f' height="{90 * count / tallest:.1f}">'
        f"<title>{n * width}-{(n + 1) * width - 1} tokens: {count} rows</title></rect>"
        for n, count in sorted(counts.items())
    )
    at = 30 + 15 * (limit or 0) / width
    line = f'<line x1="{at:.1f}" x2="{at:.1f}" y1="15" y2="110" class="limit"/>' if limit else ""
    note = f'<text x="{min(at, 340):.1f}" y="12" font-size="11" class="limit">limit {limit}</text>' if limit else ""
    axis = '<line x1="30" x2="390" y1="110.5" y2="110.5" class="axis"/>'
    axis += f'<text x="30" y="125" font-size="11">0</text><text x="360" y="125" font-size="11">{BINS * width}</text>'
    return _svg(title, f"{bars}{line}{note}{axis}", 130, tallest)


def _bars(title: str, counts: Mapping[str, int]) -> str:
    tallest = max(counts.values(), default=1)
    bars = "".join(
        f'<rect class="bar" x="100" y="{20 + 24 * n}" width="{200 * count / tallest:.1f}" height="18"/>'
        f'<text x="95" y="{34 + 24 * n}" font-size="11" text-anchor="end">{escape(name)}</text>'
        f'<text x="{105 + 200 * count / tallest:.1f}" y="{34 + 24 * n}" font-size="11">{count}</text>'
        for n, (name, count) in enumerate(counts.items())
    )
    return _svg(title, bars, 130, None)


def _svg(title: str, inside: str, height: int, tallest: int | None) -> str:
    most = f'<text x="25" y="25" font-size="11" text-anchor="end">{tallest}</text>' if tallest else ""
    said = f'<text x="30" y="{12 if tallest is None else height - 5}" font-size="12" dx="130">{escape(title)}</text>'
    return (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 400 {height}" width="400" height="{height}" '
        f'font-family="system-ui,sans-serif"><title>{escape(title)}</title>{said}{most}{inside}</svg>'
    )


def _html_of_checks(report: Report) -> str:
    rows = [
        f'<tr><td class="{one.level}">{one.level}<td>{one.split}<td>{one.check}<td class="count">{len(found)}'
        f"<td>{escape(CHECKS[one.check].says if one.row and one.check in CHECKS else one.says)}"
        for found in _by_check(report)
        for one in found[:1]
    ]
    rows += [f"<tr><td>not checked<td><td>{name}<td><td>{escape(why)}" for name, why in report.unchecked.items()]
    named = {one.check for one in report.findings} | set(report.unchecked)
    rows += [
        f'<tr><td class="ok">ok<td><td>{name}<td class="count">0<td><small>no row: {escape(check.says)}</small>'
        for name, check in CHECKS.items()
        if name not in named
    ]
    head = "<tr><th>level<th>file<th>check<th>rows<th>what"
    return f'<h2>Checks</h2><div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _html_of_rows(report: Report, *, text: bool) -> Iterator[str]:
    yield "<h2>Rows</h2>"
    by_row: dict[tuple[str, int], list[Finding]] = {}
    for one in report.findings:
        if one.row:
            by_row.setdefault((one.split, one.line), []).append(one)
    splits = {split.name: split for split in report.splits}
    for (name, line), found in list(by_row.items())[:PLAIN_ROWS]:
        yield _html_of_row(splits[name], line, found, text=text)
    if len(by_row) > PLAIN_ROWS:
        yield f"<p>… and {len(by_row) - PLAIN_ROWS} more rows, all in the JSON.</p>"


def _html_of_row(split: Split, line: int, found: Sequence[Finding], *, text: bool) -> str:
    lines = split.dataset.lines
    row = split.dataset.rows[lines.index(line) if lines else line - 1]
    texts = [*((message["role"], message["content"]) for message in row.prompt), ("answer", row.gold or "")]
    said = "".join(f'<li class="{one.level}">{one.check}: {escape(one.says)}' for one in found)
    where = f"{split.dataset.path.name}:{line}"
    shown = "".join(_quoted(texts, [mark for one in found for mark in one.marks])) if text else ""
    return f"<article><b>{escape(row.id)}</b> <small>{escape(where)}</small><ul>{said}</ul>{shown}</article>"


def _quoted(texts: Sequence[tuple[str, str]], marks: Sequence[Mark]) -> Iterator[str]:
    """Each message in which something is marked; the last question, where nothing is."""
    for number, (role, said) in enumerate(texts):
        here = [mark for mark in marks if mark.message == number]
        if here or (not marks and number == len(texts) - 2):
            hidden = [span for name in HIDDEN for span in text_checks.spans(name, said)]
            shown = said if here else said[:CONTEXT]
            yield f"<small>{escape(role)}</small><pre>{_marked(shown, here, hidden)}</pre>"


def _marked(text: str, marks: Sequence[Mark], hidden: Sequence[text_checks.Span]) -> str:
    """The text as HTML: marked, what lies far from any mark left out, secrets and personal data hidden."""
    marked, secret, near = set[int](), set[int](), set[int]()
    for mark in marks:
        marked |= set(range(mark.start, mark.end))
        near |= set(range(max(0, mark.start - CONTEXT), min(len(text), mark.end + CONTEXT)))
    for start, end in hidden:
        secret |= set(range(start + 3, end))
    parts: list[str] = []
    before: str | None = None
    for number, character in enumerate(text):
        kind = "far" if marks and number not in near else "mark" if number in marked else "plain"
        if kind != before:
            parts.append(("</mark>" if before == "mark" else "") + {"far": " … ", "mark": "<mark>", "plain": ""}[kind])
        before = kind
        if kind != "far":
            parts.append("•" if number in secret else _visible(character))
    return "".join(parts) + ("</mark>" if before == "mark" else "")


def _visible(character: str) -> str:
    return f"\\u{ord(character):04x}" if text_checks.spans("control_characters", character) else escape(character)
