"""A release beside those before it: fetched from a real Hub, compared on the same rows, and derived again by verify."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gates
from gates.canonical import canonical_json
from release import begin, pipeline, preflight
from release.checking import opening, verify
from release.config import reading
from release.config.settings import Config
from release.data import sources
from release.hub import address
from release.inputs import Inputs, Rows, Unread
from release.judging import previous, terms
from release.judging.released import Released
from release.values import bounds, layout, record
from release.values.artifacts import Candidate, sha256_file
from release.values.errors import ConfigError, HubError, PreflightError, VerificationError
from release.values.events import Event, Line
from tests.helpers.line import ROOT, adapter_release
from tests.helpers.small_release import GOLDEN_ROWS, edit, read_record, reseal, small_candidate, small_settings

REPO = "local/elements"
KEPT = ROOT / "tests" / "data" / "releases" / "v1"
LOOSE = {"json_parse": {"mode": "point", "target": 0.5}}
EARLIER = "not worse than previous releases, and requires less only with a reason"


def quiet(_: Event) -> None:
    """Say nothing."""


def settings(folder: Path, tag: str, policy: Mapping[str, Any] = LOOSE, **more: Mapping[str, Any]) -> Config:
    sections = {**more, "gates": policy, "publishing": {"tag": tag}}
    return small_settings(folder, licence=True, **sections)


def before(loaded: Config) -> tuple[previous.Release, ...]:
    with address.parse(loaded.publishing.endpoint, loaded.path.parent).opened() as hub:
        return previous.fetch(loaded.publishing, loaded.run.output_dir / layout.PREVIOUS, hub, quiet)


def judged(loaded: Config, *wrong: int) -> tuple[Candidate, Path]:
    return small_candidate(loaded, before(loaded), wrong)


def packed_of(loaded: Config, candidate: Candidate, run: Path) -> Path:
    return pipeline.pack(loaded, candidate, run).folder


def publish(loaded: Config, candidate: Candidate, run: Path) -> Path:
    """Pack it and put it on the Hub; the folder that was packed."""
    packed = pipeline.pack(loaded, candidate, run)
    with address.parse(loaded.publishing.endpoint, loaded.path.parent).opened() as hub:
        pipeline.publish(loaded.publishing, packed, run, hub, quiet)
    return packed.folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Hub that holds v0.1.0, right everywhere."""
    folder = tmp_path_factory.mktemp("line")
    loaded = settings(folder, "v0.1.0")
    publish(loaded, *judged(loaded))
    return folder


@pytest.fixture
def line(published: Path, tmp_path: Path) -> Path:
    """A copy of it, as another machine with the same Hub has it: no run is there."""
    shutil.copytree(published / "hub", tmp_path / "hub")
    return tmp_path


def steps(folder: Path) -> dict[str, tuple[str, ...]]:
    found = verify.check(opening.Opened(release=Released(name="release", folder=folder)))
    return {step.name: step.problems for step in found if step.problems}


def test_a_first_release_says_that_there_was_none_before_it(published: Path) -> None:
    (packed,) = (published / "runs").glob("*/package")
    found = read_record(packed)["earlier"]

    assert found == {"releases": [], "weaker": [], "comparisons": {}}
    assert "There was no earlier release to compare with" in (packed / "README.md").read_text("utf-8")
    assert not (packed / "gates" / "earlier").exists()


def test_a_second_release_carries_the_first_ones_answers_and_is_verified_without_a_network(line: Path) -> None:
    loaded = settings(line, "v0.2.0")
    candidate, run = judged(loaded, 0, 1)
    packed = packed_of(loaded, candidate, run)

    (one,) = read_record(packed)["earlier"]["releases"]
    assert (one["tag"], one["kept"], one["rows"], one["not_compared"]) == ("v0.1.0", True, GOLDEN_ROWS, None)
    assert steps(packed) == {}
    stored = json.loads((packed / "gates" / "comparison_last.json").read_bytes())
    assert (stored["passed"], len(stored["regressed"])) == (True, 2)
    card = (packed / "README.md").read_text("utf-8")
    assert "compared on 60 rows" in card
    assert "not worse than the last release" in card


@pytest.mark.parametrize(("wrong", "passes"), [(3, True), (4, False)])
def test_more_than_a_twentieth_of_the_rows_lost_is_a_regression(line: Path, wrong: int, passes: bool) -> None:
    candidate, run = judged(settings(line, "v0.2.0"), *range(wrong))

    assert candidate.passed is passes
    assert ("more than 5% of 60 are lost" in (run / "report.md").read_text("utf-8").replace("&#37;", "%")) is not passes


def test_a_policy_says_how_much_may_be_lost(line: Path) -> None:
    strict = {**LOOSE, "max_net_loss": 0.0}

    candidate, _ = judged(settings(line, "v0.2.0", strict), 0)

    assert not candidate.passed


@pytest.fixture(scope="module")
def chain(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Hub that holds three releases, each a little worse than the one before, and their runs."""
    folder = tmp_path_factory.mktemp("chain")
    shutil.copytree(published / "hub", folder / "hub")
    for number, wrong in ((2, 1), (3, 3)):
        loaded = later(folder, number)
        publish(loaded, *judged(loaded, *range(wrong)))
    return folder


def later(folder: Path, number: int) -> Config:
    return settings(folder, f"v0.{number}.0", training={"learning_rate": number * 1e-4})


def test_small_losses_do_not_add_up_over_releases(chain: Path) -> None:
    """Two rows lost to v0.3.0 would be few; five lost to v0.1.0 are not."""
    candidate, run = judged(later(chain, 4), *range(5))

    assert not candidate.passed
    last, best = (json.loads((run / f"comparison_{name}.json").read_bytes()) for name in ("last", "best"))
    assert last["passed"]
    assert not best["passed"]
    assert {one["earlier"] for one in best["pairings"]} == {"v0.1.0"}


def test_a_release_that_changes_no_comparison_does_not_travel(chain: Path) -> None:
    """The last release and the best one are kept, not the one between them."""
    loaded = later(chain, 4)

    packed = packed_of(loaded, *judged(loaded))

    kept = {one["tag"]: one["kept"] for one in read_record(packed)["earlier"]["releases"]}
    assert kept == {"v0.1.0": True, "v0.2.0": False, "v0.3.0": True}
    assert len(list((packed / "gates" / "earlier").iterdir())) == 2
    assert steps(packed) == {}
    told = verify.check(opening.Opened(release=Released(name="release", folder=packed)), [EARLIER])[0].unchecked
    assert [line.split(" (")[0] for line in told] == ["v0.2.0"]
    assert "compared on 60 rows: by its record alone" in told[0]


def test_a_page_draws_every_release_before_it_those_that_did_not_travel_too(chain: Path) -> None:
    loaded = later(chain, 4)
    packed = packed_of(loaded, *judged(loaded))

    said = read_record(packed)["earlier"]["releases"]
    page = (packed / layout.PAGE).read_text("utf-8")

    assert [one["gates"]["json_parse"] for one in said] == [[60, 60], [59, 60], [57, 60]]
    history = page[page.index("Over the releases") :]
    for line in ("v0.1.0: 60/60", "v0.2.0: 59/60", "v0.3.0: 57/60", "this one: 60/60"):
        assert f"<bdi>{line}</bdi>" in history


@pytest.mark.parametrize(
    ("tag", "told"),
    [("v0.3.0", 'the record says {"json_parse": [58, 60]}'), ("v0.2.0", "v0.2.0: json_parse is 61 of 60")],
)
def test_a_record_that_lies_about_what_earlier_gates_counted_fails(
    tag: str, told: str, chain: Path, tmp_path: Path
) -> None:
    loaded = later(chain, 4)
    shutil.copytree(packed_of(loaded, *judged(loaded)), tmp_path / "lie")

    def lie(record: Any) -> None:
        (one,) = (one for one in record["earlier"]["releases"] if one["tag"] == tag)
        one["gates"] = {"json_parse": [58, 60] if tag == "v0.3.0" else [61, 60]}

    reseal(tmp_path / "lie", lie)
    found = "\n".join(steps(tmp_path / "lie")[EARLIER])

    assert told in found


def test_a_release_run_again_after_a_later_one_has_the_same_bytes(chain: Path) -> None:
    loaded = later(chain, 2)
    (first_time,) = (
        path.parent
        for path in (chain / "runs").glob("*/package/release.json")
        if json.loads(path.read_bytes())["config"]["publishing"]["tag"] == "v0.2.0"
    )
    digest = sha256_file(first_time / "release.json")

    again = publish(loaded, *judged(loaded, 0))

    assert sha256_file(again / "release.json") == digest


def doctor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return adapter_release("doctor", "release.yaml", *arguments, cwd=folder)


def test_a_weaker_policy_stops_before_training_unless_a_reason_is_given(line: Path) -> None:
    loaded = settings(line, "v0.2.0", {"json_parse": {"mode": "point", "target": 0.4}})

    refused = doctor(line)
    assert refused.returncode == PreflightError.exit_code, refused.stderr
    assert "requires less than v0.1.0 did:\n  json_parse: target 0.4, was 0.5" in refused.stderr

    agreed = doctor(line, "--weaker-because", "Half of the rows [were](x) ambiguous.")
    assert agreed.returncode == 0, agreed.stderr
    assert "previous release v0.1.0: compared on 60 of its 60 golden rows" in agreed.stderr

    loaded = replace(loaded, weaker_because="Half of the rows [were](x) ambiguous.")
    packed = packed_of(loaded, *judged(loaded))
    card = (packed / "README.md").read_text("utf-8")
    assert "This release asks for less than the last one did:" in card
    assert "The reason given: Half of the rows &#91;were&#93;(x) ambiguous" in card
    assert steps(packed) == {}


def test_a_reason_that_nothing_needs_is_refused_for_it_would_excuse_the_next_release(line: Path) -> None:
    loaded = replace(settings(line, "v0.2.0"), weaker_because="because")

    assert "nothing is weaker than v0.1.0" in preflight.weaker_problem(given(loaded), before(loaded), quiet)
    assert "there is no previous release" in preflight.weaker_problem(given(loaded), (), quiet)


@pytest.mark.parametrize("reason", ["", " \n"])
def test_an_empty_reason_is_none(tmp_path: Path, reason: str) -> None:
    loaded = settings(tmp_path, "v0.2.0")

    with pytest.raises(ConfigError, match=r"gates\.weaker_because is .* expected a sentence"):
        reading.load(loaded.path, {"gates.weaker_because": reason})


def test_a_reason_is_no_other_adapter(line: Path) -> None:
    """Written after training, it must not cost another training."""
    one = settings(line, "v0.2.0")

    assert judged(one)[1] == judged(replace(one, weaker_because="because"))[1]


def test_another_contract_needs_a_reason(line: Path) -> None:
    loaded = settings(line, "v0.2.0", contract={"rules": ["answer_has_citations"]})

    problem = preflight.weaker_problem(given(loaded), before(loaded), quiet)

    assert "contract: another one" in problem


def given(loaded: Config) -> Inputs:
    """What the configuration names, but the base, which no comparison needs."""
    train, golden = sources.load(loaded, quiet)
    not_here = Unread(why=PreflightError("not fetched"))
    contract = gates.load_contract(loaded.contract, loaded.path.parent)
    return Inputs(
        config=loaded,
        contract=contract,
        policy=gates.load_policy(loaded.gates or gates.default_policy(contract.declares)),
        rows=Rows(train=train, golden=golden),
        base=not_here,
        chat=not_here,
    )


def golden_file(loaded: Config) -> Path:
    assert isinstance(loaded.data.golden_file, Path)
    return loaded.data.golden_file


def golden_of(loaded: Config) -> list[dict[str, Any]]:
    return [json.loads(line) for line in golden_file(loaded).read_text("utf-8").splitlines()]


def write_golden(loaded: Config, rows: list[dict[str, Any]]) -> None:
    golden_file(loaded).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def test_rows_that_changed_since_are_left_out_and_that_is_said(line: Path) -> None:
    loaded = settings(line, "v0.2.0")
    rows = golden_of(loaded)
    rows[0]["meta"] = {"note": "asked otherwise now"}
    write_golden(loaded, rows)
    said: list[str] = []

    problem = preflight.weaker_problem(
        given(loaded), before(loaded), lambda event: said.append(event.text) if isinstance(event, Line) else None
    )
    packed = packed_of(loaded, *judged(loaded))

    assert problem == ""
    assert said == ["  previous release v0.1.0: compared on 59 of its 60 golden rows, 60 are asked now"]
    assert "compared on 59 rows" in (packed / "README.md").read_text("utf-8")
    assert steps(packed) == {}


OLDER_DEFAULT: Mapping[str, Mapping[str, Any]] = {
    "json_parse": {"mode": "zero_failures"},
    "schema_compliance": {"mode": "zero_failures"},
    "contract_rules": {"mode": "zero_failures"},
    "citation_coverage": {"target": 0.90, "floor": 0.80},
    "refusal_precision": {"target": 0.85, "floor": 0.75},
    "refusal_recall": {"target": 0.80, "floor": 0.70},
    "answer_rate": {"target": 0.90, "floor": 0.80},
}
"""The default policy before it had a version."""
SINCE = ("version", "correctness", "refusal_text")
"""What the default's contract has had since."""


def default(folder: Path, tag: str) -> Config:
    """The embedded default over the first golden rows: no policy is named."""
    return small_settings(folder, publishing={"tag": tag})


@pytest.fixture(scope="module")
def older_hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hub that holds the default as it was released before its policy and contract had a version."""
    folder = tmp_path_factory.mktemp("older")
    loaded = default(folder, "v0.1.0")
    loaded = replace(loaded, contract=as_before(loaded.contract), gates=OLDER_DEFAULT)
    publish(loaded, *judged(loaded))
    return folder / "hub"


@pytest.fixture
def older(older_hub: Path, tmp_path: Path) -> Path:
    """A folder with a copy of it."""
    shutil.copytree(older_hub, tmp_path / "hub")
    return tmp_path


def as_before(contract: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in contract.items() if key not in SINCE}


def problem_of(loaded: Config) -> str:
    return preflight.weaker_problem(given(loaded), before(loaded), quiet)


def test_the_default_over_an_older_default_needs_no_reason_nor_does_it_again_but_the_way_back_does(older: Path) -> None:
    """What it asks beside is not less; the one after it asks the same."""
    loaded = default(older, "v0.2.0")
    assert problem_of(loaded) == ""
    candidate, run = judged(loaded)
    assert candidate.passed
    packed = publish(loaded, candidate, run)
    assert read_record(packed)["earlier"]["weaker"] == []
    assert steps(packed) == {}

    third = default(older, "v0.3.0")
    assert problem_of(third) == ""
    assert problem_of(replace(third, contract=as_before(third.contract))).splitlines()[1:6] == [
        "  answer_correctness: gone, was required",
        "  refusal_agreement: gone, was required",
        '  contract.refusal_text: none, was {"languages": ["en"], "phrases": []}',
        "  contract.version: 1, was 2",
        "  contract.correctness: /answer is not compared, was compared by normalized",
    ]
    assert "version: 1, was 3" in problem_of(replace(third, gates=OLDER_DEFAULT))


def test_another_schema_of_answers_needs_a_reason_from_who_judges_by_version_2_too(older: Path) -> None:
    loaded = default(older, "v0.2.0")
    schema = json.loads((ROOT / "data" / "elements" / "answer.schema.json").read_bytes())
    (older / "looser.json").write_bytes(canonical_json({**schema, "additionalProperties": True}))
    loaded = replace(loaded, contract={**loaded.contract, "schema": "looser.json"})

    problem = preflight.weaker_problem(given(loaded), before(loaded), quiet)

    assert "did:\n  answer schema: another one, and it may let through what the last one did not\nGive" in problem


def test_rows_with_labels_beside_are_compared_and_need_no_reason(older: Path) -> None:
    loaded = default(older, "v0.2.0")
    write_golden(loaded, [{**row, "tags": ["all"]} for row in golden_of(loaded)])

    assert preflight.weaker_problem(given(loaded), before(loaded), quiet) == ""
    candidate, run = judged(loaded)
    (one,) = candidate.record.earlier.releases if candidate.record.earlier else []
    assert (one.rows, one.not_compared) == (GOLDEN_ROWS, None)
    assert steps(packed_of(loaded, candidate, run)) == {}


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_todays_default_asks_for_no_less_than_the_releases_that_were_kept(version: str) -> None:
    kept = previous.read("v0.1.0", "1" * 40, KEPT.with_name(version))
    assert kept.released is not None
    then = kept.released.terms
    loaded = reading.load(ROOT / "release.yaml")
    contract = gates.load_contract(loaded.contract, ROOT)
    policy = gates.load_policy(gates.default_policy(contract.declares))

    now = terms.agreed(then.golden, contract, loaded, policy)

    assert previous.weaker([kept], now) == ()
    assert previous.weaker([kept], replace(now, policy=gates.load_policy(OLDER_DEFAULT))) == (
        "contract: another one, and it may let through what the last one did not",
    )


def test_a_golden_set_of_other_rows_escapes_the_comparison_and_so_needs_a_reason(line: Path) -> None:
    loaded = settings(line, "v0.2.0")
    write_golden(loaded, [{**row, "meta": {"note": "another"}} for row in golden_of(loaded)])

    problem = preflight.weaker_problem(given(loaded), before(loaded), quiet)
    assert "golden set: only 0 of 60 golden rows are the ones it answered" in problem

    loaded = replace(loaded, weaker_because="The old rows had leaked.")
    assert preflight.weaker_problem(given(loaded), before(loaded), quiet) == ""
    packed = packed_of(loaded, *judged(loaded, *range(20)))
    assert "not compared with, only 0 of 60" in (packed / "README.md").read_text("utf-8")
    assert steps(packed) == {}


def test_rows_without_a_licence_are_compared_by_their_digests(tmp_path: Path) -> None:
    def unlicensed(tag: str) -> Config:
        return small_settings(tmp_path, licence=False, gates=LOOSE, publishing={"tag": tag})

    first = unlicensed("v0.1.0")
    packed = publish(first, *judged(first))
    assert not (packed / "data").exists()
    second = unlicensed("v0.2.0")
    write_golden(second, golden_of(second)[1:])

    candidate, _ = judged(second, 5)

    assert candidate.record.earlier is not None
    (one,) = candidate.record.earlier.releases
    assert (one.rows, one.not_compared) == (GOLDEN_ROWS - 1, None)
    assert candidate.passed


def git(store: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", *who, "-C", str(store), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_tag_that_is_no_release_is_told_and_not_compared_with(line: Path) -> None:
    store = line / "hub" / "models" / f"{REPO}.git"
    git(store, "update-ref", "refs/tags/draft", git(store, "rev-list", "--max-parents=0", "main"))
    loaded = settings(line, "v0.2.0")

    packed = packed_of(loaded, *judged(loaded))

    releases = read_record(packed)["earlier"]["releases"]
    assert [(one["tag"], one["not_compared"]) for one in releases] == [
        ("draft", "it holds no release of this program"),
        ("v0.1.0", None),
    ]
    assert steps(packed) == {}


def test_an_earlier_release_that_is_not_what_its_record_says_is_a_hub_error_before_training(line: Path) -> None:
    store, clone = line / "hub" / "models" / f"{REPO}.git", line / "clone"
    git(line, "clone", "-q", str(store), str(clone))
    answers = clone / "gates" / "answers.jsonl"
    answers.write_text(answers.read_text("utf-8").replace("answer", "anwser", 1), "utf-8")
    git(clone, "commit", "-aqm", "better answers")
    git(clone, "push", "-q", "origin", "HEAD:main", "HEAD:refs/tags/v0.1.1")
    loaded = settings(line, "v0.2.0")

    with pytest.raises(HubError, match=r"v0\.1\.1 of local/elements .* is not what its record says") as refused:
        before(loaded)
    assert "gates/answers.jsonl is not the file that its record names" in str(refused.value)


def test_a_release_that_came_in_between_stops_the_publication_until_it_is_compared_with(line: Path) -> None:
    loaded = settings(line, "v0.3.0")
    candidate, run = judged(loaded)
    meanwhile = settings(line, "v0.2.0", training={"learning_rate": 1e-4})
    publish(meanwhile, *judged(meanwhile))

    with pytest.raises(HubError, match=r"v0\.2\.0 \(commit .* was published after this adapter was evaluated"):
        publish(loaded, candidate, run)

    again = judged(loaded)[0].record.earlier
    assert again is not None
    assert [one.tag for one in again.releases] == ["v0.1.0", "v0.2.0"]


def test_an_adapter_whose_answers_are_the_bases_is_refused(line: Path) -> None:
    loaded = settings(line, "v0.2.0")
    candidate, run = judged(loaded)
    assert candidate.passed
    shutil.copyfile(run / "answers.jsonl", run / "base_answers.jsonl")
    same = begin.Judged(
        train=sources.load(loaded, quiet)[0],
        golden=sources.load(loaded, quiet)[1],
        contract=gates.load_contract(loaded.contract, line),
        policy=gates.load_policy(LOOSE),
    )

    alone, *_ = pipeline.judge(run, loaded, same, candidate.adapter.files.digest, quiet)

    assert alone.verdict.passed
    assert not alone.passed
    assert "the adapter has no effect" in (run / "report.md").read_text("utf-8")


def test_a_release_of_0_1_0_can_be_compared_with() -> None:
    """It has no golden_rows.json: its rows are those that it published."""
    kept = previous.read("v1", "1" * 40, KEPT)
    assert kept.released is not None
    now = kept.released.terms
    golden = now.golden

    assert previous.faults(kept) == []
    assert previous.weaker([kept], now) == ()
    assert previous.not_compared(kept, now) == ""
    fewer = replace(now, golden=replace(golden, rows=golden.rows[1:], sha256="0" * 64))
    assert previous.shared(kept, fewer) == len(golden.rows) - 1


@pytest.fixture(scope="module")
def second(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second release, weaker for a reason, with one row lost."""
    folder = tmp_path_factory.mktemp("second")
    shutil.copytree(published / "hub", folder / "hub")
    loaded = settings(folder, "v0.2.0", {"json_parse": {"mode": "point", "target": 0.4}})
    loaded = replace(loaded, weaker_because="because")
    return packed_of(loaded, *judged(loaded, 3))


def earlier_answers(folder: Path) -> None:
    (path,) = (folder / "gates" / "earlier").glob("*/gates/answers.jsonl")
    path.write_text(path.read_text("utf-8").replace("{", "", 1), "utf-8")
    reseal(folder)


def earlier_record(folder: Path) -> None:
    (path,) = (folder / "gates" / "earlier").glob("*/release.json")
    edit(path, lambda value: value.update(attempt=9))
    reseal(folder)


def worse_earlier_release(folder: Path) -> None:
    """Answers of the earlier release spoilt, with a record of its own that was made to fit them."""
    (path,) = (folder / "gates" / "earlier").iterdir()
    (path / "gates" / "answers.jsonl").write_text("", "utf-8")
    answers = sha256_file(path / "gates" / "answers.jsonl")
    edit(path / "release.json", lambda value: value["generation"].update(answers_sha256=answers))
    edit(path / "release.json", lambda value: value.update(record_sha256=record.digest(value)))
    reseal(folder)


def lost_earlier_release(folder: Path) -> None:
    shutil.rmtree(folder / "gates" / "earlier")
    reseal(folder)


def better_comparison(folder: Path) -> None:
    path = folder / "gates" / "comparison_best.json"
    edit(path, lambda value: value.update(regressed=[]))
    digest = sha256_file(path)
    reseal(folder, lambda value: value["earlier"]["comparisons"].update({"comparison_best.json": digest}))


def no_comparison(folder: Path) -> None:
    (folder / "gates" / "comparison_last.json").unlink()
    reseal(folder, lambda value: value["earlier"]["comparisons"].pop("comparison_last.json"))


def no_reason(folder: Path) -> None:
    reseal(folder, lambda value: value["config"]["gates"].pop("weaker_because"))


def nothing_weaker(folder: Path) -> None:
    reseal(folder, lambda value: value["earlier"].update(weaker=[]))


def nobody_before(folder: Path) -> None:
    reseal(folder, lambda value: value["earlier"].update(releases=[]))


def said_of_the_first(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: reseal(folder, lambda value: value["earlier"]["releases"][0].update(changes))


def named_too(at: int, **changes: Any) -> Callable[[Path], None]:
    """A release that nobody made, in front of the others or after them."""
    one = {"tag": "v0.0.9-of-the-market-leader", "commit": "9" * 40, "record_sha256": "9" * 64, "kept": False}
    more = {**one, "rows": 60, "not_compared": None, **changes}
    return lambda folder: reseal(folder, lambda value: value["earlier"]["releases"].insert(at, more))


def another_digest_of_a_comparison(folder: Path) -> None:
    reseal(folder, lambda value: value["earlier"]["comparisons"].update({"comparison_last.json": "0" * 64}))


LIES = [
    *(said_of_the_first(**one) for one in ({"rows": 100000}, {"rows": 59}, {"not_compared": "it was bad"})),
    said_of_the_first(tag="v0.0.1-of-the-market-leader"),
    said_of_the_first(kept=False),  # nothing would be compared with the last release
    named_too(0, rows=100000),
    named_too(0, record_sha256=None),
    named_too(0, not_compared=previous.NO_RELEASE),
    named_too(0, record_sha256=None, rows=0, not_compared="it was bad"),
    named_too(0, tag="v0.1.0"),
    named_too(1),  # the last release would be one that nobody sees
    another_digest_of_a_comparison,
    earlier_answers,
    earlier_record,
    worse_earlier_release,
    lost_earlier_release,
    better_comparison,
    no_comparison,
    no_reason,
    nothing_weaker,
    nobody_before,
]


def test_a_second_release_untouched_is_verified(second: Path) -> None:
    assert steps(second) == {}


def test_a_tag_that_holds_no_release_is_told_of_honestly(second: Path, tmp_path: Path) -> None:
    release = Path(shutil.copytree(second, tmp_path / "release"))

    named_too(0, record_sha256=None, rows=0, not_compared=previous.NO_RELEASE)(release)

    assert EARLIER not in steps(release)


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_earlier_releases_is_named(lie: Any, second: Path, tmp_path: Path) -> None:
    release = Path(shutil.copytree(second, tmp_path / "release"))

    lie(release)

    assert EARLIER in steps(release)


@pytest.mark.parametrize("nonsense", [b"", b"[]", b"null", b"[" * 100_000, b"\xff", b'{"record": 2}'])
@pytest.mark.parametrize("name", ["release.json", "gates/answers.jsonl", "gates/policy.json", "gates/golden_rows.json"])
def test_nonsense_in_an_earlier_release_is_a_fault_and_does_not_crash(
    name: str, nonsense: bytes, second: Path, tmp_path: Path
) -> None:
    """Its record was made to fit, as far as a record can."""
    (kept,) = (second / "gates" / "earlier").iterdir()
    folder = Path(shutil.copytree(kept, tmp_path / "kept"))
    (folder / name).write_bytes(nonsense)
    if name != "release.json":
        edit(folder / "release.json", lambda value: value["files"].update({name: sha256_file(folder / name)}))

    assert previous.faults(previous.read("v0.1.0", kept.name, folder))


def test_a_request_for_history_that_is_repeated_fetches_nothing_anew(line: Path) -> None:
    loaded = settings(line, "v0.2.0")
    (one,) = before(loaded)
    assert one.released is not None
    (one.released.folder / "gates" / "answers.jsonl").write_bytes(canonical_json({}))

    with pytest.raises(HubError, match=r"Remove .* and run again"):
        before(loaded)


def test_an_earlier_release_that_takes_for_ever_to_read_is_named(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SECONDS", 0)
    monkeypatch.setattr(bounds, "PER_MEGABYTE", dict.fromkeys(bounds.PER_MEGABYTE, 0.001))

    with pytest.raises(HubError, match=r"v0\.1\.0 of .*\n  its files took more than the 0 seconds of a processor"):
        before(settings(line, "v0.2.0"))


@pytest.mark.parametrize("content", [b"nonsense", b'{"id": "a"}\n', b""], ids=["no JSON", "no row", "empty"])
def test_rows_of_a_previous_release_that_cannot_be_read_are_its_fault(content: bytes, tmp_path: Path) -> None:
    """One without golden_rows.json, as those of 0.1.0, whose list of files was made to fit."""
    folder = Path(shutil.copytree(KEPT, tmp_path / "kept"))
    name = "data/golden.jsonl"
    (folder / name).write_bytes(content)
    edit(folder / "release.json", lambda value: value["files"].update({name: sha256_file(folder / name)}))

    found = previous.faults(previous.read("v1", "1" * 40, folder))

    assert bool(found) == bool(content)  # an empty file holds no row, and nothing is compared


def test_a_previous_release_that_changed_since_it_was_compared_with_is_not_packed(line: Path) -> None:
    loaded = settings(line, "v0.2.0")
    candidate, run = judged(loaded)
    (kept,) = loaded.run.output_dir.glob("earlier/*/gates/answers.jsonl")
    kept.write_bytes(kept.read_bytes().replace(b"answer", b"anwser", 1))

    with pytest.raises(VerificationError, match=r"changed since .*\n.*answers\.jsonl is not the file"):
        pipeline.pack(loaded, candidate, run)


NEWEST: Mapping[str, Any] = {"version": 3, "json_parse": {"mode": "point", "target": 0.5}}


def newest(folder: Path, tag: str, *, licence: bool = True) -> Config:
    return small_settings(folder, licence=licence, gates=NEWEST, publishing={"tag": tag})


@pytest.fixture(scope="module", params=[True, False], ids=["rows published", "digests alone"])
def newest_hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """A Hub that holds v0.1.0, judged by a policy of version 3."""
    folder = tmp_path_factory.mktemp("newest")
    loaded = newest(folder, "v0.1.0", licence=request.param)
    publish(loaded, *judged(loaded))
    return folder / "hub", request.param


Table = list[dict[str, Any]]


def a_row_gone(rows: Table) -> Table:
    return rows[1:]


def a_row_asked_otherwise(rows: Table) -> Table:
    first = rows[0]["messages"]
    return [{**rows[0], "messages": [{**first[0], "content": first[0]["content"] + " Now?"}, *first[1:]]}, *rows[1:]]


def no_longer_counted(rows: Table) -> Table:
    return [{**row, "citation_required": False} if number < 2 else row for number, row in enumerate(rows)]


def other_ids(rows: Table) -> Table:
    return [{**row, "id": f"another {number}", "tags": ["x"], "meta": {"note": 1}} for number, row in enumerate(rows)]


def more_rows(rows: Table) -> Table:
    first = rows[0]["messages"]
    more = [{**first[0], "content": f"{first[0]['content']} Or not?"}, *first[1:]]
    return [*rows, {**rows[0], "id": "more", "messages": more}]


def few_left(rows: Table) -> Table:
    return rows[:18]


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        (a_row_gone, ["golden set: 1 of its rows are gone, or ask something else now: "]),
        (a_row_asked_otherwise, ["golden set: 1 of its rows are gone, or ask something else now: "]),
        (no_longer_counted, ["golden set: 2 of its rows are labelled otherwise now: ", "(citation_required)"]),
        (
            few_left,
            ["golden set: 42 of its rows are gone", " and 32 more", "json_parse counts 18 rows that both answered"],
        ),
        (other_ids, []),
        (more_rows, []),
        (list, []),
    ],
)
def test_a_row_that_drops_out_needs_a_reason_however_many_are_left(
    change: Callable[[Table], Table], asked: list[str], newest_hub: tuple[Path, bool], tmp_path: Path
) -> None:
    hub, licence = newest_hub
    shutil.copytree(hub, tmp_path / "hub")
    loaded = newest(tmp_path, "v0.2.0", licence=licence)
    write_golden(loaded, change(golden_of(loaded)))

    problem = preflight.weaker_problem(given(loaded), before(loaded), quiet)

    assert bool(problem) is bool(asked)
    assert all(line in problem for line in asked)


def test_a_reason_for_rows_that_dropped_out_is_on_the_card_and_verified(
    newest_hub: tuple[Path, bool], tmp_path: Path
) -> None:
    hub, licence = newest_hub
    shutil.copytree(hub, tmp_path / "hub")
    loaded = replace(newest(tmp_path, "v0.2.0", licence=licence), weaker_because="One had leaked.")
    write_golden(loaded, other_ids(golden_of(loaded)[1:]))

    packed = packed_of(loaded, *judged(loaded, 1, 2))

    card = (packed / "README.md").read_text("utf-8")
    assert "golden set&#58; 1 of its rows are gone" in card
    assert "The reason given: One had leaked" in card
    assert "on 59 rows a drop of 10% passes" in card
    (one,) = read_record(packed)["earlier"]["releases"]
    assert one["rows"] == GOLDEN_ROWS - 1
    if licence:
        assert steps(packed) == {}
