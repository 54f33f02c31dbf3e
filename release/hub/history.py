"""The releases that a repository holds already: its tags in order, and of each the files that judged it."""

from pathlib import Path

from release.hub import client
from release.hub.requests import Tag
from release.values import layout
from release.values.errors import VerificationError

ROWS = layout.DATA["golden"]
"""Fetched where a release has no ``gates/golden_rows.json``: those of 0.1.0."""


def tags(repo_id: str, *, before: str, folder: Path) -> tuple[Tag, ...]:
    """Every tag older than the tag ``before``, oldest first, with its commit and whether it holds a release.

    The files of a release lie in ``folder`` under its commit afterwards; what lies there already stays.
    """
    if client.repo(repo_id) is None:
        return ()
    found = []
    for tag, commit in ordered(repo_id, before):
        listing = client.listing(repo_id, commit)
        if layout.RECORD in listing and not (folder / commit).exists():
            wanted = [name for name in layout.COMPARED if name in listing]
            wanted += [ROWS] if ROWS in listing and layout.GOLDEN_ROWS not in listing else []
            if wrong := client.download(repo_id, commit, [listing[name] for name in wanted], folder / commit):
                raise VerificationError(client.not_as_listed(repo_id, commit, wrong))
        found.append(Tag(tag=tag, commit=commit, release=layout.RECORD in listing))
    return tuple(found)


def ordered(repo_id: str, before: str) -> list[tuple[str, str]]:
    """(tag, commit), oldest first, of the tags older than ``before``: those beside main, then those on it.

    A tag that is not there yet is younger than all others; another name for its commit is no other release.
    """
    on_main = [commit for commit, _ in reversed(client.commits(repo_id))]
    age = {commit: number for number, commit in enumerate(on_main)}
    there = client.tags(repo_id)
    own = age.get(there.get(before, ""), len(age))
    every = sorted(there.items(), key=lambda item: (age.get(item[1], -1), item[0]))
    return [(tag, commit) for tag, commit in every if tag != before and age.get(commit, -1) < own]
