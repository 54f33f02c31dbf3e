"""A candidate waits for people, and goes on with their word: the same bytes in one job as in two."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gates import human_review
from release import pipeline, two_jobs
from release.checking import completed, explain, opening, verify, view
from release.config import reading
from release.judging import attempts, ledger, previous
from release.judging.released import Released
from release.publishing import candidate_folder, rules
from release.reviewing import answers, opened
from release.values import layout
from release.values.artifacts import Manifest
from release.values.errors import ConfigError, GatesFailed, ReviewNeeded, VerificationError
from tests.helpers.line import adapter_release
from tests.helpers.pages import redraw
from tests.helpers.reviews import ASKS, quiet, read_by_people, waiting
from tests.helpers.small_release import edit, reseal, small_candidate, small_settings

HERE = {**ASKS, "publishing": {"endpoint": "file:hub"}}


def failed(folder: Path) -> list[str]:
    """What verification finds wrong."""
    return [line for step in verify.check(opening.Opened(release=Released(folder=folder))) for line in step.problems]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that people read, with its run and its waiting candidate beside it: folder ``package``, ``dist``."""
    folder = tmp_path_factory.mktemp("made")
    loaded, candidate, run = waiting(folder, **HERE)
    two_jobs.hand_over(pipeline.lay(loaded, candidate, run, run / "waits"), candidate.record, run, folder / "dist")
    read_by_people(run, wrong=(1,))
    again, run = small_candidate(loaded)
    shutil.copytree(pipeline.accept(loaded, again, run, quiet).folder, folder / "package")
    shutil.copy(run / "review.json", folder)
    return folder


@pytest.fixture
def release(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "package", tmp_path / "package"))


@pytest.fixture
def dist(made: Path, tmp_path: Path) -> Path:
    shutil.copy(made / "release.yaml", tmp_path)
    return Path(shutil.copytree(made / "dist", tmp_path / "dist"))


def test_a_candidate_waits_for_people_with_one_line_of_what_to_do_and_loses_nothing(tmp_path: Path) -> None:
    loaded, candidate, run = waiting(tmp_path)

    assert not candidate.passed
    with pytest.raises(ReviewNeeded, match=r"no one has reviewed it yet.*`adapter-release review ") as stopped:
        pipeline.accept(loaded, candidate, run, quiet)
    assert stopped.value.exit_code == 9
    assert len(str(stopped.value).splitlines()) == 1
    assert "human_review: no one has reviewed it yet" in (run / "report.html").read_text("utf-8")
    adapter = Manifest.of_folder(run / "adapter")

    read_by_people(run)
    again, same = small_candidate(loaded)
    assert (same, again.passed, again.record.attempt) == (run, True, candidate.record.attempt)
    assert Manifest.of_folder(run / "adapter") == adapter
    packed = pipeline.accept(loaded, again, run, quiet)
    assert failed(packed.folder) == []
    assert "Read by people, **PASS**" in (packed.folder / layout.CARD).read_text("utf-8")
    assert "people call 0 of 20 rows wrong that the gates call right" in (packed.folder / layout.PAGE).read_text()


def test_what_people_said_is_explained_and_shown_before_and_after(tmp_path: Path) -> None:
    loaded, _, run = waiting(tmp_path)
    told: list[str] = []

    def explained(*, to_add: bool = False) -> str:
        told.clear()
        with explain.found(str(run), Path(), "file:hub", quiet, None) as judged:
            explain.explain("human_review", judged, lambda one: told.append(str(one)), to_add=to_add)
            assert view.of_run(judged, quiet) == run / "report.html"
        return "\n".join(told)

    assert "no one has reviewed it yet" in explained()
    assert "no one has reviewed it yet" in explained(to_add=True)
    read_by_people(run, wrong=(3,), says="cannot tell")
    small_candidate(loaded)
    found = explained()

    assert "19/20" in found
    assert "Ada: cannot tell" in found
    assert "question" in found
    kinds = explained(to_add=True)
    assert "rows to add, from 1 wrong row of 20 that are counted (cannot tell 1)" in kinds
    assert "training rows" in kinds
    assert "question" not in kinds


def test_the_command_that_publishes_ends_with_nine(dist: Path) -> None:
    ended = adapter_release("publish", "dist", cwd=dist.parent)

    assert ended.returncode == 9
    assert "waits for people: no one has reviewed it yet" in ended.stderr


def test_people_who_call_too_much_wrong_refuse_it(tmp_path: Path) -> None:
    loaded, _, run = waiting(tmp_path)
    read_by_people(run, wrong=range(9))
    candidate, run = small_candidate(loaded)

    with pytest.raises(GatesFailed):
        pipeline.accept(loaded, candidate, run, quiet)
    assert "human_review: FAIL, 11 of 20 are right" in (run / "report.html").read_text("utf-8")


def test_the_next_attempt_says_what_people_refused_and_counts_it_once(tmp_path: Path) -> None:
    loaded, _, run = waiting(tmp_path)
    read_by_people(run, wrong=range(9))
    small_candidate(loaded)
    small_candidate(loaded)

    lines = ledger.read(loaded)
    assert [(one.form, one.passed) for one in lines] == [("trained", True), ("people", False)]
    assert attempts.number(lines) == 2
    assert "people, policy" in attempts.markdown(lines)
    assert "11 of 20" in attempts.markdown(lines)


def test_people_are_not_asked_while_a_gate_says_no(tmp_path: Path) -> None:
    loaded = small_settings(tmp_path, **ASKS)
    candidate, run = small_candidate(loaded, wrong=tuple(range(9)))

    assert candidate.waits == ()
    with pytest.raises(GatesFailed):
        pipeline.accept(loaded, candidate, run, quiet)


def test_a_review_of_another_adapters_answers_does_not_count(tmp_path: Path) -> None:
    _, _, other = waiting(tmp_path / "other", gates={"human_review": {"target": 0.9, "floor": 0.5}})
    loaded, _, run = waiting(tmp_path / "this")
    shutil.copy(read_by_people(other), run / "review.json")
    candidate, run = small_candidate(loaded)

    with pytest.raises(ReviewNeeded, match="another adapter, policy"):
        pipeline.accept(loaded, candidate, run, quiet)


def test_two_jobs_make_the_bytes_that_one_makes(made: Path, dist: Path, tmp_path: Path) -> None:
    found = Released(name="dist", folder=dist / "package")
    assert completed.waits(found)
    completed.complete(found, (made / "review.json").read_bytes(), tmp_path / "whole")

    assert Manifest.of_folder(made / "package").differences(Manifest.of_folder(tmp_path / "whole")) == []


def published(dist: Path, *reviews: Path, apart: bool = False) -> Any:
    config = reading.load(dist.parent / "release.yaml")
    asked = rules.of_config(config, rules.Given(digests={}), quiet)
    return two_jobs.publish(
        dist, dist.parent / "runs" / "published", asked, quiet, two_jobs.People(files=reviews, apart=apart)
    )


def test_a_waiting_candidate_is_published_with_what_people_say_of_its_folder(dist: Path) -> None:
    with pytest.raises(ReviewNeeded, match="no one has reviewed it yet"):
        published(dist)
    review = read_by_people(dist)
    assert review == dist / "review.json"

    (dist / ".review.json.123.tmp").write_text("{", "utf-8")  # as a kill leaves it
    assert published(dist).done == ("created repo", "committed", "verified", "tagged")
    assert published(dist).done == ("found tag", "verified")


def test_what_others_said_at_theirs_is_taken_in_and_their_disagreement_is_seen(dist: Path, tmp_path: Path) -> None:
    read_by_people(dist, name="Ada")
    bo = completed.said([read_by_people(dist, name="Bo", wrong=(0,), to=tmp_path / "bo.json")])

    with opened.opened(str(dist), Path(), "file:hub", quiet) as to_read:
        found = answers.take(to_read, bo)
        assert human_review.disagreed(found) == to_read.asked.rows[:1]
        assert answers.read(to_read) == found
        with pytest.raises(ConfigError, match="two files say different things for Bo"):
            answers.take(to_read, [replace(one, reviewers=(replace(one.reviewers[0], rows=()),)) for one in bo])
        assert answers.read(to_read) == found


def test_the_digests_beside_the_receipt_are_those_of_what_was_published(dist: Path, tmp_path: Path) -> None:
    read_by_people(dist)
    published(dist)

    lines = (tmp_path / "runs" / "published" / "SHA256SUMS").read_text("utf-8").splitlines()
    told = {name: sha256 for sha256, name in (line.split("  ") for line in lines)}
    with opening.opened("local/elements@v0.1.0", f"file:{tmp_path / 'hub'}", quiet, opening.Known()) as found:
        assert {name: found.release.sha256(name) for name in found.release.names} == {
            name.removeprefix("package/"): sha256 for name, sha256 in told.items() if name.startswith("package/")
        }


def test_a_publisher_who_asks_people_himself_takes_no_word_that_came_with_the_candidate(
    dist: Path, made: Path, tmp_path: Path
) -> None:
    theirs = read_by_people(dist)
    with pytest.raises(ReviewNeeded, match="no one has reviewed it yet"):
        published(dist, apart=True)

    mine = read_by_people(dist, to=tmp_path / "mine.json")
    assert published(dist, mine, apart=True).tag
    theirs.unlink()

    shutil.rmtree(dist / "package")
    shutil.copytree(made / "package", dist / "package")
    (dist / "SHA256SUMS").unlink()
    candidate_folder.summed(dist)
    with pytest.raises(VerificationError, match="holds people's word already"):
        published(dist, apart=True)


def test_what_several_people_say_comes_in_files_of_their_own(dist: Path, tmp_path: Path) -> None:
    ada, bo = (read_by_people(dist, name=name, to=tmp_path / f"{name}.json") for name in ("Ada", "Bo"))

    assert published(dist, ada, bo).tag


@pytest.mark.parametrize(
    ("harm", "says", "kind"),
    [
        (lambda value: value["bound"].update(answers_sha256="0" * 64), "other answers", ReviewNeeded),
        (lambda value: value["reviewers"][0]["rows"].pop(), "answered 19 of 20", ReviewNeeded),
        (lambda value: value["rows"].reverse(), "its seed draws", ReviewNeeded),
        (
            lambda value: [one["this"].update(says="wrong") for one in value["reviewers"][0]["rows"]],
            "0/20",
            GatesFailed,
        ),
        (lambda value: value.update(more=1), "is not a review", ConfigError),
    ],
)
def test_a_review_that_does_not_count_publishes_nothing(
    dist: Path, harm: Callable[[Any], object], says: str, kind: type[Exception]
) -> None:
    edit(read_by_people(dist), harm)

    with pytest.raises(kind, match=says):
        published(dist)
    assert not (dist.parent / "hub").exists() or not list((dist.parent / "hub").rglob("*.safetensors"))


def test_a_candidate_that_waits_for_nobody_takes_no_review(made: Path, tmp_path: Path) -> None:
    loaded = small_settings(tmp_path, publishing={"endpoint": "file:hub"})
    candidate, run = small_candidate(loaded)
    two_jobs.hand_over(pipeline.pack(loaded, candidate, run).folder, candidate.record, run, tmp_path / "dist")

    with pytest.raises(ConfigError, match="waits for no review"):
        published(tmp_path / "dist", made / "review.json")


def test_making_a_candidate_anew_keeps_what_people_said_of_its_folder(dist: Path) -> None:
    before = read_by_people(dist).read_bytes()
    candidate_folder.lay_out(dist, {"report.md": dist.parent / "release.yaml"}, sums=True)

    assert (dist / "review.json").read_bytes() == before


def lie(change: Callable[[Any], object]) -> Callable[[Path], None]:
    """A change of the review, with a record that names the changed file."""

    def harm(folder: Path) -> None:
        edit(folder / layout.REVIEW, change)
        sha256 = hashlib.sha256((folder / layout.REVIEW).read_bytes()).hexdigest()
        reseal(folder, lambda value: value["review"].update(sha256=sha256))

    return harm


def word(value: Any, says: str) -> None:
    """Everybody says so of every answer."""
    for one in value["reviewers"][0]["rows"]:
        one["this"]["says"] = says


def gone(folder: Path) -> None:
    (folder / layout.REVIEW).unlink()
    reseal(folder)


LIES: dict[str, tuple[Callable[[Path], None], str]] = {
    "more are right than people said": (
        lambda folder: reseal(folder, lambda value: value["review"].update(k=20)),
        "counted again, gates/review.json is",
    ),
    "a word was changed": (lie(lambda value: word(value, "right")), "counted again, gates/review.json is"),
    "a row is missing": (lie(lambda value: value["reviewers"][0]["rows"].pop()), "answered 19 of 20 rows"),
    "a row stands twice": (
        lie(lambda value: value["reviewers"][0]["rows"].append(value["reviewers"][0]["rows"][0])),
        "stand twice",
    ),
    "another seed": (lie(lambda value: value["bound"].update(seed="0" * 64)), "another adapter, policy"),
    "easier rows": (lie(lambda value: value["rows"].sort()), "its rows are not those that its seed draws"),
    "answers of another": (lie(lambda value: value["bound"].update(answers_sha256="0" * 64)), "other answers"),
    "the file is gone": (
        gone,
        "its policy asks people: no one has reviewed it yet",
    ),
    "nobody is in the record": (
        lambda folder: reseal(folder, lambda value: value.pop("review")),
        "counted again, gates/review.json is",
    ),
}


@pytest.mark.parametrize("fault", LIES)
def test_a_release_that_lies_about_people_is_found_out(release: Path, fault: str) -> None:
    assert failed(release) == []
    harm, says = LIES[fault]
    harm(release)

    assert says in "\n".join(failed(release))


def test_a_careful_liar_who_draws_the_page_anew_is_found_out_all_the_same(release: Path) -> None:
    lie(lambda value: value["reviewers"][0]["rows"][0].update(notes="a good one"))(release)
    redraw(release)
    found = failed(release)

    assert found == []  # a note decides nothing: only a signature or a receipt shows that it was changed


def test_a_release_without_the_gate_holds_no_review(tmp_path: Path, made: Path) -> None:
    loaded = small_settings(tmp_path)
    folder = pipeline.pack(loaded, *small_candidate(loaded)).folder
    assert failed(folder) == []
    shutil.copy(made / "review.json", folder / layout.REVIEW)
    reseal(folder)

    assert "the policy asks nobody" in "\n".join(failed(folder))


def test_the_last_release_stands_beside_where_it_answered_every_row(made: Path, tmp_path: Path) -> None:
    before = (previous.read("v0.0.9", "9" * 40, made / "package"),)
    _, _, run = waiting(tmp_path, before)
    (run.parent / "earlier").mkdir()
    (run.parent / "earlier" / ("9" * 40)).symlink_to(made / "package")
    review = human_review.parse(json.loads(read_by_people(run).read_bytes()), "")

    assert review.bound.beside == "v0.0.9"


def test_an_older_release_is_still_compared(tmp_path: Path, made: Path) -> None:
    """Removing the gate is weaker, and needs a reason."""
    before = (previous.read("v0.0.9", "9" * 40, made / "package"),)
    candidate, _ = small_candidate(small_settings(tmp_path), before)

    assert candidate.record.earlier is not None
    assert "human_review: gone, was required" in candidate.record.earlier.weaker


def test_an_edited_package_that_waits_is_not_completed(dist: Path) -> None:
    read_by_people(dist)
    edit(dist / "package" / layout.VERDICT, lambda value: value.update(state="FAIL"))

    with pytest.raises(VerificationError, match="is not the candidate that was made"):
        published(dist)
