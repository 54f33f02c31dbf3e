"""The data gate: each broken file stops the line with the file, the row and the reason."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

import gates
from release import begin, inputs, pipeline
from release.config import reading
from release.config.settings import Config
from release.data import chat as chats
from release.data import checks, dataset, evidence, expectations, gate, sources, text_checks
from release.data.evidence import Limits
from release.models import base as bases
from release.values.errors import DataError
from release.values.events import Event
from tests.gates.examples import KWANZAA
from tests.gates.test_kwanzaa import CONTRACT as KWANZAA_CONTRACT
from tests.helpers.line import ROOT, small_config

FILES = ROOT / "tests" / "data" / "dataset"

FAULTS = {
    "rows": "too_few_rows",
    "measurable": "golden_without_labels",
    "roles": "assistant_speaks_first",
    "json": "answer_is_prose",
    "schema": "answer_breaks_schema",
    "rules": "answer_breaks_rule",
    "refusal": "refusal_fields_disagree",
    "labels": "label_disagrees_with_answer",
    "citations": "cites_a_document_it_does_not_hold",
    "length": "too_long",
    "end_token": "too_long",
    "template": "template_hides_the_prompt",
    "ids": "repeated_id",
    "prompts": "repeated_prompt",
    "questions": "repeated_question",
    "leakage": "golden_question_in_training",
    "near_duplicates": "golden_row_reworded",
    "placeholders": "answer_is_a_stub",
    "control_characters": "control_character",
    "script": "other_script",
    "secrets": "secret",
    "personal_data": "email_address",
    "balance": "nothing_unanswerable",
    "support": "golden_support_names_everything",
    "documents": "golden_documents_not_as_shown",
    "given_away": "golden_answer_in_question",
    "copies": "golden_near_copy",
    "special_tokens": "special_tokens_in_question",
    "earlier_answers": "earlier_answer_is_prose",
    "tuning_leakage": "training_question_in_tuning",
}


def quiet(_: Event) -> None:
    """Say nothing."""


def checked(folder: Path, **files: str) -> begin.Judged:
    """The default configuration over the files of these folders of tests/data/dataset."""
    paths = {name: str(FILES / fault / f"{name.removesuffix('_file')}.jsonl") for name, fault in files.items()}
    training = {"eval_steps": 5} if "tuning_file" in files else {}
    loaded = reading.load(small_config(folder, data=paths, training=training))
    return pipeline.check_data(inputs.load(loaded, quiet), quiet)


def test_the_default_dataset_is_fit_to_use(tmp_path: Path) -> None:
    """Its reference answers pass every gate, and each gate fails on answers broken on purpose."""
    judged = checked(tmp_path)

    answerable = [row.answerable for row in judged.golden.rows]
    assert len(answerable) == 100
    assert answerable.count(False) == 40
    assert judged.train is not None
    assert len(judged.train.rows) == 640


def test_the_default_dataset_is_what_its_generator_makes(tmp_path: Path) -> None:
    import subprocess
    import sys

    generator = ROOT / "data" / "elements" / "generate.py"
    subprocess.run([sys.executable, str(generator), "--out", str(tmp_path)], check=True)

    names = ("train.jsonl", "tuning.jsonl", "golden.jsonl")
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        assert (tmp_path / name).read_bytes() == (generator.parent / name).read_bytes()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--golden", "120"], "--golden 120 leaves 20. Give --tuning 20 or --golden 100."),
        (["--golden", "200"], "--golden 200 leaves 0. Give --golden 100."),
        (["--tuning", "200"], "--golden 100 leaves 40. Give --tuning 40."),
    ],
)
def test_more_golden_and_tuning_rows_than_there_are_pairs_are_refused_with_numbers_that_work(
    given: list[str], said: str, tmp_path: Path
) -> None:
    import subprocess
    import sys

    command = [sys.executable, str(ROOT / "data" / "elements" / "generate.py"), "--out", str(tmp_path)]
    done = subprocess.run([*command, *given], capture_output=True, text=True, check=False)

    assert (done.returncode, [*tmp_path.iterdir()]) == (2, [])
    assert done.stderr.strip().endswith(said)


def asked(rows: dataset.Dataset) -> list[str]:
    """The last line of each prompt."""
    return [row.prompt[-1]["content"].rpartition("\n")[2] for row in rows.rows]


def test_no_golden_or_tuning_element_is_seen_in_training() -> None:
    """Split by entity: not asked about, and in no source either."""
    judged = pipeline.check_data(inputs.load(reading.load(ROOT / "release.yaml"), quiet), quiet)
    assert judged.train is not None
    assert judged.tuning is not None
    questions = [*asked(judged.tuning), *asked(judged.golden)]
    elements = {question.rpartition(" of ")[2].rstrip("?") for question in questions}
    seen = " ".join(message["content"] for row in judged.train.rows for message in row.prompt)

    assert elements
    assert not [element for element in elements if f" {element} " in seen or f" {element}?" in seen]


def test_the_defaults_tuning_rows_let_one_expect_of_the_golden_rows_and_ask_nothing_that_they_ask() -> None:
    """Neither asks anything twice, and each label has the same share."""
    loaded = reading.load(ROOT / "release.yaml")
    tuning, (_, golden) = sources.tuning(loaded, quiet), sources.load(loaded, quiet)
    assert tuning is not None

    questions = [*asked(tuning), *asked(golden)]
    assert len(questions) == len(set(questions)) == 140
    answerable = [[row.answerable for row in rows.rows] for rows in (tuning, golden)]
    assert [one.count(False) / len(one) for one in answerable] == [0.4, 0.4]
    assert loaded.training.eval_generate == len(tuning.rows)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("not_json_on_line_3", r"not_json_on_line_3/train\.jsonl line 3"),
        ("empty", "is empty"),
        ("too_few_rows", "3 rows; at least 8"),
        ("repeated_id", "its id stands twice"),
        ("repeated_prompt", "its prompt stands twice"),
        ("no_reference_answer", "has no reference answer"),
        ("answer_is_prose", "row train-0005: the reference answer is not JSON"),
        ("answer_breaks_schema", "row train-0005: the reference answer breaks the schema: /citations/0"),
        ("answer_breaks_rule", "row train-0005: .* a contract rule"),
        ("assistant_speaks_first", "row train-0005: its messages"),
        ("golden_question_in_training", "row leak: its question is in the golden set too"),
        ("unknown_key", "unknown key 'suport'; did you mean 'support'|unknown key 'suport'"),
        ("there_is_no_such_folder", "cannot be read|No such file"),
    ],
)
def test_a_broken_training_file_is_refused(tmp_path: Path, file: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        checked(tmp_path, train_file=file)


def test_two_golden_rows_of_one_id_are_told_and_nothing_is_counted_of_them(tmp_path: Path) -> None:
    rows = (ROOT / "data" / "elements" / "golden.jsonl").read_text("utf-8").splitlines()
    twice = json.loads(rows[1]) | {"id": json.loads(rows[0])["id"]}
    golden = tmp_path / "golden.jsonl"
    golden.write_text("\n".join([*rows, json.dumps(twice)]) + "\n", "utf-8")

    with pytest.raises(DataError, match=r"its id stands twice in this file"):
        checked(tmp_path, golden_file=str(tmp_path))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("golden_all_answerable", "no row is unanswerable"),
        ("golden_all_unanswerable", "no row is answerable"),
        ("golden_without_labels", "has no `answerable` and `support`"),
        ("golden_too_small", "Gate json_parse counts 12 rows of golden\\.jsonl, so no adapter could pass it"),
        ("golden_cites_no_document", "cites a document that the row does not hold: 9"),
        ("golden_empty", "is empty"),
    ],
)
def test_a_golden_file_that_cannot_measure_is_refused(tmp_path: Path, file: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        checked(tmp_path, golden_file=file)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("training_question_in_tuning", r"row train-0005: its question is among the tuning rows too.*row tuning-0001"),
        ("tuning_row_is_golden", "row tuning-gold: its question is in the golden set too"),
        ("tuning_answer_is_prose", r"tuning\.jsonl:1: row train-0005: the reference answer is not JSON"),
    ],
)
def test_tuning_rows_are_neither_trained_on_nor_judged_by(tmp_path: Path, file: str, said: str) -> None:
    train = file if (FILES / file / "train.jsonl").exists() else "good"
    with pytest.raises(DataError, match=said):
        checked(tmp_path, train_file=train, tuning_file=file)


def test_a_share_of_the_training_rows_is_kept_apart_without_leakage(tmp_path: Path) -> None:
    """Both parts together are the file; the data gate finds nothing between them; the share is the label's too."""
    loaded = reading.load(small_config(tmp_path, data={"tuning_share": 0.1}, training={"eval_steps": 5}))

    judged = pipeline.check_data(inputs.load(loaded, quiet), quiet)

    assert judged.train is not None
    assert judged.tuning is not None
    whole = dataset.load(ROOT / "data" / "elements" / "train.jsonl")
    apart = [*judged.train.canonical.splitlines(), *judged.tuning.canonical.splitlines()]
    assert sorted(apart) == sorted(whole.canonical.splitlines())
    assert 58 <= len(judged.tuning.rows) <= 64
    unanswerable = [
        sum(row.answerable is False for row in rows) / len(rows) for rows in (whole.rows, judged.tuning.rows)
    ]
    assert abs(unanswerable[0] - unanswerable[1]) < 0.03
    assert judged.rows.keys() == {"train", "tuning", "golden"}


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("eval_refusal_recall", r"1 tuning row whose answers are generated it counts none: .*Raise"),
        ("eval_provenance_completeness", "the contract declares no provenance"),
    ],
)
def test_a_measure_that_counts_nothing_is_refused_before_training(tmp_path: Path, metric: str, said: str) -> None:
    """The first row whose answer is generated is an answerable one."""
    training = {"eval_steps": 5, "eval_generate": 1, "load_best_model_at_end": True, "metric_for_best_model": metric}
    found = inputs.load(reading.load(small_config(tmp_path, data={"tuning_share": 0.1}, training=training)), quiet)

    with pytest.raises(DataError, match=said):
        pipeline.check_data(found, quiet)


def of_families(folder: Path, families: int, named: int = 24) -> Config:
    """24 training rows, of which so many name one of so many families that the policy's clusters are."""
    lines = [json.loads(line) for line in (ROOT / "data" / "elements" / "train.jsonl").read_text("utf-8").splitlines()]
    rows = [{**row, "meta": {**row.get("meta", {}), "family": f"f{number % families}"}}
            for number, row in enumerate(lines[:24])]  # fmt: skip
    for row in rows[named:]:
        del row["meta"]["family"]
    (folder / "families.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    data = {"train_file": str(folder / "families.jsonl"), "tuning_share": 0.25}
    gated = {"cluster_key": "family", "json_parse": {"mode": "zero_failures", "min_n": 1}}
    return reading.load(small_config(folder, data=data, training={"eval_steps": 5}, gates=gated))


def test_rows_of_one_cluster_are_not_split_between_training_and_tuning(tmp_path: Path) -> None:
    rows = inputs.there(inputs.load(of_families(tmp_path, 8), quiet).rows)

    assert rows.train is not None
    assert rows.tuning is not None
    trained, tuned = ({row.meta["family"] for row in one.rows} for one in (rows.train, rows.tuning))
    assert tuned
    assert not trained & tuned


def test_a_training_row_that_names_no_cluster_is_one_by_itself(tmp_path: Path) -> None:
    rows = inputs.there(inputs.load(of_families(tmp_path, 1, named=0), quiet).rows)

    assert rows.tuning is not None
    assert 1 <= len(rows.tuning.rows) <= 10


def test_one_cluster_of_all_rows_leaves_none_to_evaluate_by(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"or nearly, and those of one meta\.family, stay together"):
        inputs.there(inputs.load(of_families(tmp_path, 1), quiet).rows)


def test_a_share_that_leaves_no_rows_is_refused(tmp_path: Path) -> None:
    """Ten rows, and a hundredth of them."""
    train = str(FILES / "good" / "train.jsonl")
    data = {"train_file": train, "tuning_share": 0.01}
    found = inputs.load(reading.load(small_config(tmp_path, data=data, training={"eval_steps": 5})), quiet)

    with pytest.raises(DataError, match=r"10 rows, and data.tuning_share 0.01 of them leaves none to evaluate by"):
        pipeline.check_data(found, quiet)


def test_every_violation_is_listed_at_once(tmp_path: Path) -> None:
    """Two faults in two rows: both are named."""
    lines = (FILES / "answer_is_prose" / "train.jsonl").read_text("utf-8").splitlines()
    repeated = (FILES / "repeated_id" / "train.jsonl").read_text("utf-8").splitlines()
    both = tmp_path / "both.jsonl"
    both.write_text("\n".join([*lines, repeated[0]]) + "\n", "utf-8")

    found = inputs.load(reading.load(small_config(tmp_path, data={"train_file": str(both)})), quiet)
    with pytest.raises(DataError) as raised:
        pipeline.check_data(found, quiet)

    assert "row train-0005" in str(raised.value)
    assert "row train-0001: its id stands twice" in str(raised.value)


def seen(rows: dataset.Dataset, tokens: chats.Chat | None) -> dataset.Dataset:
    """The same rows as token ids too, where there is a tokenizer."""
    return dataset.measured(rows, tokens, quiet) if tokens else rows


def examined(train: str, options: gate.Options | None = None, tokens: chats.Chat | None = None) -> checks.Report:
    """The report on a folder of tests/data/dataset beside the default golden set."""
    loaded = reading.load(ROOT / "release.yaml")
    contract = gates.load_contract(loaded.contract, ROOT)
    rows, golden = dataset.load(FILES / train / "train.jsonl"), sources.load(loaded, quiet)[1]
    return gate.examine(seen(rows, tokens), seen(golden, tokens), contract, options)


@pytest.fixture(scope="module")
def tokens(base: bases.Base) -> chats.Chat:
    return chats.read(base.folder)


@pytest.mark.parametrize(
    ("file", "check", "row", "level"),
    [
        ("answer_is_a_stub", "placeholders", "train-0005", "error"),
        ("document_is_a_template", "placeholders", "train-0005", "error"),
        ("control_character", "control_characters", "train-0005", "error"),
        ("label_disagrees_with_answer", "labels", "train-0005", "error"),
        ("cites_a_document_it_does_not_hold", "citations", "train-0004", "error"),
        ("golden_row_reworded", "near_duplicates", "near", "error"),
        ("golden_question_respelled_over_other_documents", "leakage", "upper", "error"),
        ("repeated_question", "questions", "again", "warning"),
        ("other_script", "script", "train-0005", "warning"),
        ("secret", "secrets", "train-0005", "warning"),
        ("email_address", "personal_data", "train-0005", "warning"),
        ("special_tokens_in_question", "special_tokens", "train-0005", "error"),
        ("nothing_unanswerable", "balance", "", "warning"),
    ],
)
def test_each_fault_is_found_in_its_row_and_no_other(file: str, check: str, row: str, level: str) -> None:
    found = [one for one in examined(file).findings if one.check == check and one.split == "train"]

    assert [(one.row, one.level) for one in found] == [(row, level)]


def test_refusal_fields_that_disagree_are_found_in_their_row() -> None:
    folder = FILES / "refusal_fields_disagree"
    contract = gates.load_contract(json.loads((folder / "contract.json").read_bytes()), folder)
    report = gate.examine(dataset.load(folder / "train.jsonl"), None, contract)

    assert [one.row for one in report.findings if one.check == "refusal"] == ["train-0005"]


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("template_hides_the_prompt", "writes a prompt otherwise before an answer than with it"),
        ("template_never_ends_an_answer", "ends an answer without the end-of-sequence token"),
    ],
)
def test_a_template_that_trains_on_something_else_than_is_asked_is_found_in_every_row_of_both_files(
    base: bases.Base, tmp_path: Path, folder: str, said: str
) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base.folder / name, tmp_path / name)
    shutil.copyfile(FILES / folder / "chat_template.jinja", tmp_path / "chat_template.jinja")
    options = gate.Options(limits=Limits(max_length=256))
    found = [one for one in examined("good", options, chats.read(tmp_path)).findings if one.check == "template"]

    assert Counter(one.split for one in found) == {"train": 10, "golden": 100}
    assert {one.level for one in found} == {"error"}
    assert [one for one in found if said not in one.says or chats.BRING not in one.says] == []


def test_every_check_has_a_folder_named_for_its_fault() -> None:
    assert FAULTS.keys() == checks.CHECKS.keys() | {"rows", "measurable"}
    assert [folder for folder in FAULTS.values() if not list((FILES / folder).iterdir())] == []


def test_what_is_found_is_marked_in_the_row() -> None:
    report = examined("answer_is_a_stub")
    (finding,) = [one for one in report.findings if one.check == "placeholders"]
    row = report.splits[0].dataset.rows[finding.line - 1]

    assert [(row.gold or "")[mark.start : mark.end] for mark in finding.marks] == [
        "[This answer would state the value and cite its source.]"
    ]


def test_a_check_is_an_error_or_a_warning_as_the_configuration_says() -> None:
    lowered = examined("answer_is_a_stub", gate.Options(levels={"placeholders": "warning"}))
    raised = examined("email_address", gate.Options(levels={"personal_data": "error"}))

    assert "placeholders" not in {one.check for one in lowered.errors}
    assert "personal_data" in {one.check for one in raised.errors}


def test_a_row_longer_than_allowed_is_named_with_its_tokens(tokens: chats.Chat) -> None:
    options = gate.Options(limits=Limits(max_length=256, max_new_tokens=64))
    found = [one for one in examined("too_long", options, tokens).findings if one.check in ("length", "end_token")]

    assert {(one.check, one.row) for one in found} == {("length", "train-0005"), ("end_token", "train-0005")}
    assert "data.max_length is 256" in found[0].says


def test_a_golden_answer_longer_than_any_answer_may_be_is_named(tokens: chats.Chat) -> None:
    options = gate.Options(limits=Limits(max_length=256, max_new_tokens=20))
    said = examined("good", options, tokens).findings
    found = [one for one in said if (one.check, one.split) == ("length", "golden")]

    assert len(found) == 100
    assert "generation.max_new_tokens is 20" in found[0].says


def test_what_was_not_checked_is_said() -> None:
    assert examined("good").unchecked.keys() == {"length", "end_token", "template"}


def test_a_policy_that_a_golden_set_cannot_prove_is_an_error() -> None:
    loaded = reading.load(ROOT / "release.yaml")
    contract, few = (
        gates.load_contract(loaded.contract, ROOT),
        dataset.load(FILES / "golden_too_small" / "golden.jsonl"),
    )
    report = gate.examine(few, few, contract, gate.Options(policy=gates.load_policy(gates.DEFAULT_POLICY)))

    assert [one.says for one in report.errors if "so no adapter could pass it. Add" in one.says]


def test_rows_that_cannot_be_clustered_as_the_policy_says_are_an_error() -> None:
    rows = dataset.load(FILES / "good" / "train.jsonl")
    policy = gates.load_policy({"cluster_key": "topic", "json_parse": {"mode": "zero_failures", "min_n": 1}})

    (problem,) = gate.unprovable(rows, policy)
    assert problem.startswith("golden rows without a name in meta.topic, the policy's cluster_key: train-0001")


def test_a_check_that_could_not_be_made_is_an_error_whatever_its_level() -> None:
    (said,) = expectations.failures({"secrets": [None, None]}, 2, ["secrets"], (1, 2048))["secrets"]
    finding = gate._finding(examined("good").splits[0], "secrets", "warning", evidence.Shown(), said)

    assert finding.level == "error"


def test_levels_in_the_schema_are_the_checks_there_are() -> None:
    from release.config.messages import SETTINGS

    prefix = "data.checks."
    assert {key.removeprefix(prefix) for key in SETTINGS if key.startswith(prefix)} == checks.CHECKS.keys()


def in_answer_text(report: checks.Report, finding: checks.Finding) -> bool:
    """Whether a mark lies in what the answer says, not in what it quotes."""
    row = report.splits[0].dataset.rows[finding.line - 1]
    place = text_checks.locate(row.gold or "", "/answer/text")
    assert place is not None
    return any(m.message == len(row.prompt) and place[0] <= m.start < place[1] for m in finding.marks)


@pytest.mark.skipif(not KWANZAA.is_dir(), reason="the user's dataset is not part of this repository")
def test_every_problem_of_a_real_users_dataset_is_named(tokens: chats.Chat) -> None:
    """As its README lists them, within ten seconds of processor time after the imports."""
    import time

    import great_expectations  # noqa: F401  what follows is timed after the imports
    import jsonschema  # noqa: F401

    started = time.process_time()
    contract = gates.load_contract(KWANZAA_CONTRACT, KWANZAA)
    options = gate.Options(limits=Limits(max_length=2048))
    report = gate.examine(seen(dataset.load(KWANZAA / "train.jsonl"), tokens), None, contract, options)
    seconds = time.process_time() - started

    counts = Counter(one.check for one in report.findings)
    assert {name: counts[name] for name in ("schema", "questions", "length", "refusal")} == {
        "schema": 13,
        "questions": 22,
        "length": 10,
        "refusal": 2,
    }
    stubs = [one for one in report.findings if one.check == "placeholders"]
    assert sum(in_answer_text(report, one) for one in stubs) == 65
    assert sum(any(mark.message == 1 for mark in one.marks) for one in stubs) == 77
    rows = report.splits[0].dataset.rows
    kinds = ("[Content from ", "[Content that ", "[Generated content ", "[Simulated content ")
    # The README's 30 contexts are those of the first kind.
    assert [sum(kind in row.prompt[1]["content"] for row in rows) for kind in kinds] == [30, 20, 13, 14]
    assert seconds < 10
