"""JSONL files → checked rows. Nothing expensive starts on rows that are broken, leaked or cannot be measured.

What a row shows is computed by the gates' own strict reader and the base model's own tokenizer; Great Expectations
decides over the columns. Its set, uniqueness and mean expectations pass an empty or all-null column, so row count,
missing values and types come first, and a result that looked at fewer rows than there are is no pass.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import gates
from gates.canonical import canonical_json
from release.data import formats, text_checks
from release.data.chat import PROBE_ANSWER, Chat, Example
from release.values.errors import DataError

FEWEST_TRAINING_ROWS = 8  # fewer teach nothing, and an expectation over an empty table passes
UNANSWERABLE = (0.2, 0.4)  # the share of rows that should be refused: fewer teach no refusal, more teach little else
MANY = 5  # rows that share a line before it can count as an instruction
SHOWN = 20  # problems listed in a message; the report lists all

Level = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Check:
    level: Level
    """What it is unless ``data.checks`` says otherwise."""
    says: str
    """Of a row that fails it."""
    kind: Literal["true", "unique", "length", "share"] = "true"


CHECKS: Mapping[str, Check] = {
    "roles": Check(level="error", says="its messages are not an optional system, then user and assistant in turn"),
    "json": Check(level="error", says="the reference answer is not JSON"),
    "schema": Check(level="error", says="the reference answer breaks the schema"),
    "rules": Check(level="error", says="the reference answer breaks a contract rule"),
    "refusal": Check(level="error", says="it cannot be told whether the reference answer refuses"),
    "labels": Check(level="error", says="the reference answer refuses what is labelled answerable, or the reverse"),
    "citations": Check(level="error", says="the reference answer cites a document that the row does not hold"),
    "length": Check(level="error", says="it is too long", kind="length"),
    "end_token": Check(level="error", says="it does not teach the model to stop"),
    "template": Check(level="error", says="it cannot be learned as it would be asked"),
    "ids": Check(level="error", says="its id stands twice in this file", kind="unique"),
    "prompts": Check(level="error", says="its prompt stands twice in this file", kind="unique"),
    "questions": Check(level="warning", says="its question stands twice in this file, over other documents"),
    "leakage": Check(level="error", says="its question is in the golden set too: the gates would measure memory"),
    "near_duplicates": Check(
        level="error", says="it is nearly a row of the golden set: the gates would measure memory"
    ),
    "placeholders": Check(level="error", says="it holds placeholder text"),
    "control_characters": Check(level="error", says="it holds control or private characters"),
    "script": Check(level="warning", says="it is in another script than most rows"),
    "secrets": Check(level="warning", says="it holds what looks like a secret; the model would learn it"),
    "personal_data": Check(level="warning", says="it holds what looks like personal data"),
    "balance": Check(level="warning", says="the share of unanswerable rows is outside 20-40 %", kind="share"),
}
OF_TRAINING_ONLY = {"leakage", "near_duplicates", "end_token"}
NEED_TOKENS = {"length", "end_token", "template"}
ONLY_FROM_HERE = (  # its pages would ask half a dozen content networks for styles, scripts and a logo
    """<meta http-equiv="Content-Security-Policy" content="default-src 'self' 'unsafe-inline' data:">"""
)
NOT_DONE = "could not be checked"
NO_RESULT: Mapping[str, Any] = {"success": False, "result": {}, "exception_info": {}}
FOLLOW_FROM_JSON = {"schema", "rules", "refusal", "labels", "citations"}


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A file's rows in order, and the sha256 of its canonical bytes."""

    path: Path
    rows: tuple[gates.Golden, ...]
    sha256: str
    lines: tuple[int, ...] = ()
    """The line of each row in ``path``."""
    canonical: bytes = field(default=b"", repr=False)
    """What to train on and to keep: the file itself where it is in the canonical format."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A part of a row: characters of one of its messages, the reference answer being the last."""

    message: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    check: str
    level: Level
    split: str
    line: int
    row: str
    """The row's id; empty where the whole file is meant."""
    says: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Split:
    """One file as it was checked."""

    name: str
    dataset: Dataset
    examples: tuple[Example, ...]
    """Each row as training sees it; empty without a tokenizer."""
    unanswerable: tuple[bool | None, ...]
    """Of each row, by its label or else by its reference answer; None where neither says."""
    asked: tuple[tuple[str, ...], ...]
    """Of each row, its question: without its documents, without the lines that many rows share, and as it stands."""


@dataclass(frozen=True, kw_only=True)
class Report:
    splits: tuple[Split, ...]
    findings: tuple[Finding, ...]
    unchecked: Mapping[str, str]
    """Checks that were not made, and why."""
    max_length: int | None

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.level == "error")

    @property
    def passed(self) -> bool:
        return not self.errors

    def line(self, finding: Finding) -> str:
        """A finding in words, with file, line and row."""
        path = next(split.dataset.path for split in self.splits if split.name == finding.split)
        where = f"{path}:{finding.line}: row {finding.row}" if finding.row else str(path)
        return f"{where}: {finding.says}"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a check may know beside rows and contract."""

    levels: Mapping[str, str] = field(default_factory=dict)
    """``data.checks``: another level for a check."""
    tokens: Chat | None = None
    without_tokens: str = ""
    """Why there are none."""
    docs: Path | None = None
    """A folder for Great Expectations' own pages."""
    max_length: int | None = None
    max_new_tokens: int | None = None
    """Of an answer that is judged: a longer reference answer could never be given."""
    policy: gates.Policy | None = None


@dataclass
class _Facts:
    """What one row shows: a value for each check, and the evidence for those that fail."""

    columns: dict[str, Any]
    says: dict[str, str]
    marks: dict[str, tuple[Mark, ...]]


def load(path: Path, form: str = "auto", fields: Mapping[str, str] | None = None) -> Dataset:
    """Every line of ``path`` as a row with a reference answer; ``DataError`` names each that is not."""
    read = formats.read(path, form, fields or {})
    _stop_on([f"{path}: row {row.id} has no reference answer" for row in read.rows if row.gold is None])
    if not read.rows:
        _stop_on([f"{path} is empty: there is nothing to learn or to measure"])
    digest = hashlib.sha256(read.canonical).hexdigest()
    return Dataset(path=path, rows=read.rows, sha256=digest, lines=read.lines, canonical=read.canonical)


def check(train: Dataset, golden: Dataset, contract: gates.Contract, options: Options | None = None) -> Report:
    """The data gate over both files: the report, or a ``DataError`` that lists every violation with its row."""
    report = examine(train, golden, contract, options)
    _stop_on([report.line(finding) for finding in report.errors])
    return report


def examine(train: Dataset, golden: Dataset | None, contract: gates.Contract, options: Options | None = None) -> Report:
    """The same without stopping; without a golden set what compares with it counts as not checked."""
    options = options or Options()
    datasets = [("train", train)] if golden is None else [("train", train), ("golden", golden)]
    usual = _usual([_lines(row, contract) for _, dataset in datasets for row in dataset.rows])
    splits = [_split(name, dataset, contract, options, usual) for name, dataset in datasets]
    unchecked = _unchecked(splits, golden, contract, options)
    findings = [finding for split in splits for finding in _findings(split, splits, contract, options, unchecked)]
    if golden is not None:
        findings += _golden_findings(golden, options.policy)
    return Report(splits=tuple(splits), findings=tuple(findings), unchecked=unchecked, max_length=options.max_length)


def _split(name: str, dataset: Dataset, contract: gates.Contract, options: Options, usual: frozenset[str]) -> Split:
    tokens = options.tokens
    return Split(
        name=name,
        dataset=dataset,
        examples=()
        if tokens is None
        else tuple(tokens.example(row.prompt, row.gold or PROBE_ANSWER) for row in dataset.rows),
        unanswerable=tuple(_unanswerable(row, _answer(row, contract)) for row in dataset.rows),
        asked=tuple(_asked(row, _lines(row, contract), usual) for row in dataset.rows),
    )


def _answer(row: gates.Golden, contract: gates.Contract) -> gates.Answer:
    return gates.read_answer(row, gates.Output(id=row.id, output=row.gold or ""), contract)


def _unanswerable(row: gates.Golden, answer: gates.Answer) -> bool | None:
    return answer.fields.refused if row.answerable is None else not row.answerable


def _unchecked(
    splits: Sequence[Split], golden: Dataset | None, contract: gates.Contract, options: Options
) -> dict[str, str]:
    missing: dict[str, str] = {}
    if options.tokens is None or options.max_length is None:
        why = f": {options.without_tokens}" if options.without_tokens else ""
        missing |= dict.fromkeys(sorted(NEED_TOKENS), f"the base model's tokenizer is not at hand{why}")
    if golden is None:
        missing |= dict.fromkeys(("leakage", "near_duplicates"), "there is no golden set to compare with")
    if not contract.refusal and all(label is None for split in splits for label in split.unanswerable):
        missing["balance"] = "neither labels nor the contract say what is unanswerable"
    return missing


def _golden_findings(golden: Dataset, policy: gates.Policy | None) -> Iterator[Finding]:
    """What keeps this set from measuring anything; always an error."""

    def finding(says: str, row: int | None = None) -> Finding:
        name, line = ("", 0) if row is None else (golden.rows[row].id, _line(golden, row))
        return Finding(check="measurable", level="error", split="golden", line=line, row=name, says=says)

    for number, row in enumerate(golden.rows):
        if row.answerable is None or row.support is None:
            yield finding("it has no `answerable` and `support`: the gates measure by them", number)
    answerable = {row.answerable for row in golden.rows}
    if True not in answerable:
        yield finding("no row is answerable, so citation coverage and answer rate cannot be measured")
    if False not in answerable:
        yield finding("no row is unanswerable, so refusals cannot be measured. Add rows no document answers")
    for plan in gates.plan(golden.rows, policy) if policy else ():
        if plan.bar.required and not plan.possible:
            yield finding(f"gate {plan.bar.gate} counts {plan.n} rows here; {plan.missing} more are needed to pass it")


def _line(dataset: Dataset, number: int) -> int:
    return dataset.lines[number] if dataset.lines else number + 1


def _findings(
    split: Split, splits: Sequence[Split], contract: gates.Contract, options: Options, unchecked: Mapping[str, str]
) -> list[Finding]:
    """What Great Expectations says of one file, in words."""
    not_here = {*unchecked, *(OF_TRAINING_ONLY if split.name == "golden" else ())}
    limit = options.max_length if split.name == "train" else options.max_new_tokens
    if limit is None:
        not_here.add("length")
    names = [name for name in CHECKS if name not in not_here]
    facts = _facts(split, splits, contract, options)
    fewest = FEWEST_TRAINING_ROWS if split.name == "train" else 1
    columns = [{name: one.columns[name] for name in names} for one in facts]
    docs = options.docs / split.name if options.docs else None
    results = _validate(columns, names, (fewest, limit or 1), docs)
    found = []
    for name, failed in results.items():
        level = "error" if name == "rows" else options.levels.get(name, CHECKS[name].level)
        found += [_finding(split, name, level, facts, number) for number in failed]
    return [one for one in found if not _follows(one, found)]


def _follows(finding: Finding, found: Sequence[Finding]) -> bool:
    """Whether an error about this row's JSON already says it."""
    return finding.check in FOLLOW_FROM_JSON and any(
        other.check == "json" and other.level == "error" and other.line == finding.line for other in found
    )


def _finding(split: Split, name: str, level: str, facts: Sequence[_Facts], number: int | str) -> Finding:
    if isinstance(number, str):
        if NOT_DONE in number:
            level = "error"  # what was not looked at is no pass, whatever it would have been worth
        return Finding(check=name, level=_level(level), split=split.name, line=0, row="", says=number)
    return Finding(
        check=name,
        level=_level(level),
        split=split.name,
        line=_line(split.dataset, number),
        row=split.dataset.rows[number].id,
        says=CHECKS[name].says + facts[number].says.get(name, ""),
        marks=facts[number].marks.get(name, ()),
    )


def _level(text: str) -> Level:
    return "warning" if text == "warning" else "error"


def _facts(split: Split, splits: Sequence[Split], contract: gates.Contract, options: Options) -> list[_Facts]:
    """What each row of a file shows."""
    rows = split.dataset.rows
    facts = [_facts_of_row(row, contract) for row in rows]
    for number, (one, label) in enumerate(zip(facts, split.unanswerable, strict=True)):
        one.columns["balance"] = None if label is None else float(label)
        if split.examples:
            _measure(one, split.examples[number], split.name, options)
    _repeats(facts, split)
    for other in splits:
        if split.name == "train" and other.name == "golden":
            _leaks(facts, split, other)
    return facts


def _facts_of_row(row: gates.Golden, contract: gates.Contract) -> _Facts:
    answer = _answer(row, contract)
    facts = _Facts(columns={}, says={}, marks={})
    facts.columns |= {"ids": row.id, "prompts": canonical_json(list(row.prompt)).decode()}
    facts.columns["roles"] = _turns_in_order(row)
    facts.columns["json"] = answer.parsed
    if not answer.parsed:
        facts.says["json"] = f" ({answer.reading.code}: {answer.reading.detail})"
    _faults(facts, row, answer)
    texts = [*(message["content"] for message in row.prompt), row.gold or ""]
    for name in text_checks.PATTERNS:
        _put(
            facts,
            name,
            [Mark(message=n, start=s, end=e) for n, text in enumerate(texts) for s, e in text_checks.spans(name, text)],
        )
    facts.columns["script"] = text_checks.script(" ".join(texts))
    return facts


def _put(facts: _Facts, name: str, marks: Sequence[Mark]) -> None:
    facts.columns[name] = not marks
    facts.marks[name] = tuple(marks)


def _faults(facts: _Facts, row: gates.Golden, answer: gates.Answer) -> None:
    """What the contract says of the reference answer."""
    text, last = row.gold or "", len(row.prompt)

    def put(name: str, faults: Sequence[tuple[str, str]]) -> None:
        facts.columns[name] = answer.parsed and not faults
        if faults:
            facts.says[name] = ": " + "; ".join(said for _, said in faults)
        places = [text_checks.locate(text, path) for path, _ in faults if path]
        facts.marks[name] = tuple(Mark(message=last, start=one[0], end=one[1]) for one in places if one)

    refusal = [fault for fault in answer.rule_faults if fault.rule == "refusal"]
    rules = [fault for fault in answer.rule_faults if fault.rule != "refusal"]
    put("schema", [(fault.path, f"{fault.path or 'the answer'}: {fault.message}") for fault in answer.schema_faults])
    put("rules", [(fault.path, f"{fault.rule}: {fault.message}") for fault in rules])
    put("refusal", [(fault.path, fault.message) for fault in refusal])
    disagrees = row.answerable is not None and answer.fields.refused is row.answerable
    put("labels", [("/", f"labelled {'answerable' if row.answerable else 'unanswerable'}")] if disagrees else [])
    strange = sorted(answer.cited - answer.documents) if answer.documents else []
    put("citations", [("/", ", ".join(strange))] if strange else [])


def _turns_in_order(row: gates.Golden) -> bool:
    roles = [message["role"] for message in row.prompt]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    return len(turns) % 2 == 1 and turns == (["user", "assistant"] * len(turns))[: len(turns)]


def _measure(facts: _Facts, example: Example, split: str, options: Options) -> None:
    counted, limit, setting = example.total, options.max_length, "data.max_length"
    if split == "golden":
        counted, limit, setting = len(example.learned), options.max_new_tokens, "generation.max_new_tokens"
    counted = counted or 1  # a row that the template refuses has no length; its own finding says so
    facts.columns |= {"length": counted, "end_token": counted <= (limit or 0), "template": not example.fault}
    facts.says["length"] = f": {counted} tokens, {setting} is {limit}"
    facts.says["end_token"] = f": cut at {setting} it loses its end-of-sequence token"
    facts.says["template"] = f": {example.fault}"


def _lines(row: gates.Golden, contract: gates.Contract) -> list[str]:
    """The lines of the last message less its documents, without case, punctuation and spacing; a '?' stays."""
    text = row.prompt[-1]["content"]
    if contract.documents is not None:
        text = contract.documents.sub(" ", text)
    for document in row.documents:
        content = document.get(contract.document_text)
        if isinstance(content, str) and content:
            text = text.replace(content, " ").replace(content.rstrip("."), " ")
    named = ((text_checks.normalised(line), "?" if "?" in line else "") for line in text.splitlines())
    return [line + mark for line, mark in named if line and not line.isdigit()]


def _usual(rows: Sequence[Sequence[str]]) -> frozenset[str]:
    """Lines that stand in a twentieth of all rows, such as instructions; a question is never one."""
    counts = Counter(line for lines in rows for line in set(lines))
    return frozenset(line for line, n in counts.items() if n >= max(MANY, len(rows) / 20) and not line.endswith("?"))


def _asked(row: gates.Golden, lines: Sequence[str], usual: frozenset[str]) -> tuple[str, ...]:
    whole = text_checks.normalised(row.prompt[-1]["content"])
    without = (line for line in lines if line not in usual)
    return tuple(dict.fromkeys(one for one in (" ".join(lines), " ".join(without), whole) if one))


def _repeats(facts: Sequence[_Facts], split: Split) -> None:
    rows = split.dataset.rows
    first: dict[str, int] = {}
    for number, asked in enumerate(split.asked):
        earlier = min((first[one] for one in asked if one in first), default=None)
        facts[number].columns["questions"] = earlier is None
        if earlier is not None:
            facts[number].says["questions"] = f": first in row {rows[earlier].id}"
        for one in asked:
            first.setdefault(one, number)
    scripts = Counter(one.columns["script"] for one in facts)
    usual = scripts.most_common(1)[0][0] if scripts else ""
    for fact in facts:
        fact.says["script"] = f": {fact.columns['script']}, most rows are {usual}"
        fact.columns["script"] = fact.columns["script"] in (usual, "")


def _leaks(facts: Sequence[_Facts], split: Split, golden: Split) -> None:
    ids = {asked: row.id for row, some in zip(golden.dataset.rows, golden.asked, strict=True) for asked in some}
    texts, golden_texts = ([row.prompt[-1]["content"] for row in one.dataset.rows] for one in (split, golden))
    alike = text_checks.near_duplicates(texts, golden_texts)
    for number, row in enumerate(split.dataset.rows):
        one, same = facts[number], next((ids[asked] for asked in split.asked[number] if asked in ids), None)
        whole = Mark(message=len(row.prompt) - 1, start=0, end=len(texts[number]))
        one.columns |= {"leakage": same is None, "near_duplicates": number not in alike}
        if same is not None:
            one.says["leakage"], one.marks["leakage"] = f" (golden row {same})", (whole,)
        if number in alike:
            other, similarity = alike[number]
            one.says["near_duplicates"] = f" (row {golden.dataset.rows[other].id}: {similarity:.0%} of three-word runs)"
            one.marks["near_duplicates"] = (whole,)


def _validate(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], limits: tuple[int, int], docs: Path | None = None
) -> dict[str, list[int | str]]:
    """For each failed check the numbers of the rows that fail it; a text where the check fails as a whole.

    ``limits``: the fewest rows, and the most tokens of one.
    """
    import pandas as pd

    fewest, longest = limits
    plan: list[tuple[str, str, dict[str, Any]]] = [("rows", "ExpectTableRowCountToBeBetween", {"min_value": fewest})]
    for name in names:
        plan += [(name, kind, {"column": name, **arguments}) for kind, arguments in _expectations(name, longest)]
    frame = pd.DataFrame([{"_row": number, **row} for number, row in enumerate(rows)])
    results = {result["expectation_config"]["meta"]["number"]: result for result in _run(plan, frame, docs)}
    failed: dict[str, list[int | str]] = {}
    for number, (name, kind, _) in enumerate(plan):
        for problem in _failures(name, kind, results.get(number, NO_RESULT), len(rows)):
            if problem not in failed.setdefault(name, []):
                failed[name].append(problem)
    return failed


def _expectations(name: str, longest: int) -> list[tuple[str, dict[str, Any]]]:
    """The expectations over a column, those first without which the others pass vacuously."""
    there: tuple[str, dict[str, Any]] = ("ExpectColumnValuesToNotBeNull", {})
    match CHECKS[name].kind:
        case "true":
            of_type = ("ExpectColumnValuesToBeOfType", {"type_": "bool"})
            return [there, of_type, ("ExpectColumnValuesToBeInSet", {"value_set": [True]})]
        case "unique":
            return [there, ("ExpectColumnValuesToBeUnique", {})]
        case "length":
            of_type = ("ExpectColumnValuesToBeOfType", {"type_": "int64"})
            return [there, of_type, ("ExpectColumnValuesToBeBetween", {"min_value": 1, "max_value": longest})]
        case "share":
            low, high = UNANSWERABLE
            return [("ExpectColumnMeanToBeBetween", {"min_value": low, "max_value": high})]


def _failures(name: str, kind: str, result: Mapping[str, Any], count: int) -> Iterator[int | str]:
    """What one result means. It passes only if it succeeded and says that it looked at every row."""
    details = result["result"]
    rows = [index["_row"] for index in details.get("unexpected_index_list") or ()]
    looked = details.get("element_count", count)
    if result["success"] and looked == count and (count or name == "rows"):
        return
    if name == "rows" and "observed_value" in details:
        yield f"{count} rows; at least {result['expectation_config']['kwargs']['min_value']} are needed"
    elif kind == "ExpectColumnMeanToBeBetween" and isinstance(details.get("observed_value"), float):
        yield f"{CHECKS[name].says}: {details['observed_value']:.0%}"
    elif rows and kind != "ExpectColumnValuesToNotBeNull":
        yield from rows
    else:
        why = [one["exception_message"] for one in _exceptions(result) if one.get("exception_message")]
        yield f"{name} {NOT_DONE}: {kind} on {count} rows: {' '.join(why) or dict(details)}"


def _exceptions(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    info = result.get("exception_info") or {}
    return [info] if "exception_message" in info else [one for one in info.values() if isinstance(one, dict)]


def _run(plan: Sequence[tuple[str, str, Mapping[str, Any]]], frame: Any, docs: Path | None) -> list[dict[str, Any]]:
    """Great Expectations' results over the frame, one for each expectation in order; its pages too, if asked for."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    make: Mapping[str, Callable[..., Any]] = vars(gx.expectations)
    expectations = [make[kind](meta={"number": n}, **arguments) for n, (_, kind, arguments) in enumerate(plan)]
    asset = context.data_sources.add_pandas("files").add_dataframe_asset("rows")
    definition = gx.ValidationDefinition(
        name="data gate",
        data=asset.add_batch_definition_whole_dataframe("all"),
        suite=context.suites.add(gx.ExpectationSuite(name="rows", expectations=expectations)),
    )
    outcome = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["_row"]},
    )
    if docs is not None:
        _write_docs(context, docs)
    results: list[dict[str, Any]] = outcome.to_json_dict()["results"]
    return results


def _write_docs(context: Any, folder: Path) -> None:
    """Great Expectations' Data Docs of what was validated; the pages are kept from loading anything from elsewhere."""
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.absolute())}
    site = {"class_name": "SiteBuilder", "store_backend": store, "show_how_to_buttons": False}
    context.add_data_docs_site("here", site | {"site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}})
    context.build_data_docs(site_names=["here"])
    for page in folder.rglob("*.html"):
        text = page.read_text("utf-8").replace("<head>", f"<head>{ONLY_FROM_HERE}", 1)
        page.write_text(text, "utf-8")


def _stop_on(problems: Sequence[str]) -> None:
    if problems:
        more = f"\n… and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError("\n".join(problems[:SHOWN]) + more + "\nNothing was trained. Mend the rows and run again.")
