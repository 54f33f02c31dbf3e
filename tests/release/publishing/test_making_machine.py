"""What a candidate says of the program and the base that made it is what the publishing checkout knows of them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release import two_jobs
from release.config import reading
from release.judging.released import Released
from release.publishing import making_machine, rules
from release.values.errors import VerificationError
from release.values.events import Event, Line
from release.values.record import Project
from tests.helpers.small_release import reseal
from tests.release.publishing.test_rules import given
from tests.release.test_two_jobs import REPO, handed_over, mend_the_card, rules_of, sums_anew

ELSEWHERE = "0" * 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handed_over(tmp_path_factory.mktemp("made"), licence=True)


@pytest.fixture
def checkout(made: Path, tmp_path: Path) -> Path:
    """A configuration, and a candidate to change."""
    shutil.copy(made.parent / "release.yaml", tmp_path)
    shutil.copytree(made, tmp_path / "dist")
    return tmp_path


def said(part: str, **changes: Any) -> Callable[[Any], None]:
    return lambda record: record[part].update(changes)


def rename(record: Any) -> None:
    record.update(name="best-of-all")


LIES: dict[str, tuple[Callable[[Any], None], str]] = {
    "name": (rename, 'name: the candidate has "best-of-all", here it is'),
    "origin of the base": (said("base", origin="trained by me"), 'base.origin: the candidate has "trained by me"'),
    "code": (said("source", code_sha256="0" * 64), "another program made it: source.code_sha256"),
    "locks": (said("source", locks_sha256="0" * 64), "another program made it: source.locks_sha256"),
    "version": (said("program", version="99.0.0"), 'another program made it: program.version "99.0.0"'),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_was_made_by_another_program_or_of_another_base_is_refused(lie: str, checkout: Path) -> None:
    change, says = LIES[lie]
    reseal(checkout / "dist" / "package", change)
    candidate = Released(folder=checkout / "dist" / "package")

    with pytest.raises(VerificationError) as stopped:
        rules.check(candidate, rules_of(checkout))

    assert says in str(stopped.value)
    rules.check(candidate, rules.of_options(given(checkout / "dist" / "package")))  # these say nothing of a program


def test_the_way_that_works_is_named_for_an_honest_candidate_of_another_version(checkout: Path) -> None:
    reseal(checkout / "dist" / "package", said("source", code_sha256="0" * 64, commit=ELSEWHERE))

    with pytest.raises(VerificationError, match=rf"one that made it \(adapter-release .*, commit {ELSEWHERE}\), or"):
        rules.check(Released(folder=checkout / "dist" / "package"), rules_of(checkout))


@pytest.mark.parametrize("commit", [ELSEWHERE, None])
def test_another_commit_with_the_same_code_is_published_and_told_of(commit: str | None, checkout: Path) -> None:
    reseal(checkout / "dist" / "package", said("source", commit=commit))
    mend_the_card(checkout / "dist")
    sums_anew(checkout / "dist")
    told: list[Event] = []

    two_jobs.publish(checkout / "dist", checkout / "receipts", rules_of(checkout), told.append)

    lines = [one.text for one in told if isinstance(one, Line)]
    assert [one for one in lines if f"not checked: it says that it was made at commit {commit}" in one]
    assert (checkout / "hub" / "models" / f"{REPO}.git").is_dir()


def test_of_the_same_commit_nothing_is_left_unchecked(checkout: Path) -> None:
    found = Released(folder=checkout / "dist" / "package")

    rules.check(found, rules_of(checkout))

    assert rules.unchecked(found, rules_of(checkout)) == []


def test_uncommitted_changes_that_are_not_here_are_told_of(checkout: Path) -> None:
    found = Released(folder=checkout / "dist" / "package")
    source, config = found.record.source, reading.load(checkout / "release.yaml")

    (line,) = making_machine.unchecked(replace(found.record, source=replace(source, dirty=not source.dirty)), config)

    assert "uncommitted changes" in line


def test_another_commit_of_the_user_and_another_installation_are_told_of(checkout: Path) -> None:
    record, config = Released(folder=checkout / "dist" / "package").record, reading.load(checkout / "release.yaml")
    theirs = replace(record.source, project=Project(commit=ELSEWHERE, dirty=True))
    program = replace(record.program, distribution_sha256="7" * 64)

    project, installed = making_machine.unchecked(replace(record, source=theirs, program=program), config)

    assert f"at commit {ELSEWHERE} of your repository with changes was it made; in no repository" in project
    assert f"the distribution with the sha256 {'7' * 64}; this is a checkout" in installed


@pytest.mark.parametrize(("hub", "refused"), [("http://192.0.2.1:9", True), ("http://127.0.0.1:9", False)])
def test_what_no_image_made_goes_to_a_hub_of_others_only_where_the_rules_say_so(
    hub: str, refused: bool, checkout: Path
) -> None:
    """Whatever Hub the candidate was made for."""
    candidate, asked = Released(folder=checkout / "dist" / "package"), rules_of(checkout, hub=hub)
    assert candidate.record.image_digest is None

    if refused:
        with pytest.raises(VerificationError, match="not in the pinned container image"):
            rules.check(candidate, asked)
        allowed = replace(asked.publishing, allow_unpinned=True)
        asked = replace(asked, publishing=allowed)
    rules.check(candidate, asked)
