"""What a record says of the machine that made it, as far as another checkout of the program can tell."""

from collections.abc import Iterator
from pathlib import Path

from release import __version__
from release.config.settings import Config, Publishing
from release.hub import address
from release.judging import recording
from release.models import embedded
from release.running import distribution
from release.values.errors import shown
from release.values.record import Project, Record


def unpinned_problems(publishing: Publishing, *, pinned: bool) -> list[str]:
    """A line if something made outside the pinned image would go to a Hub that others read, without being asked for."""
    if pinned or publishing.allow_unpinned or not address.parse(publishing.endpoint, Path()).is_public:
        return []
    what = "is for others, but training and answering are not in the pinned container image"
    do = "Start a Docker engine (docs/container.md), or set publishing.allow_unpinned: true "
    do += "in the configuration; the card will say it."
    return [f"{publishing.hf_repo} on {publishing.endpoint} {what}: no digest names what it was made with. {do}"]


def problems(record: Record, config: Config) -> Iterator[str]:
    """A line for what is otherwise here: its name, the code that decides, the locks, the version, the base's origin."""
    here, model = recording.source(config), config.model
    hub = f"{model.base_model_id} at commit {model.revision} of the Hub"
    pairs = {
        "name": (record.name, config.run.name),
        "base.origin": (record.base.origin, embedded.ORIGIN if model.source == "embedded" else hub),
    }
    of_program = {
        "program.version": (record.program.version, __version__),
        "source.locks_sha256": (record.source.locks_sha256, here.locks_sha256),
        "source.code_sha256": (record.source.code_sha256, here.code_sha256),
    }
    for name, (theirs, ours) in pairs.items():
        if theirs != ours:
            yield f"{name}: the candidate has {shown(theirs)}, here it is {shown(ours)}"
    if other := [
        f"{name} {shown(theirs)}, here {shown(ours)}" for name, (theirs, ours) in of_program.items() if theirs != ours
    ]:
        yield (
            f"it says that another program made it: {'; '.join(other)}. Publish it with the one that made it "
            f"(adapter-release {record.program.version}, commit {record.source.commit}), or make it again with this one"
        )


def unchecked(record: Record, config: Config) -> Iterator[str]:
    """A line for what this checkout cannot tell of the source."""
    theirs, here = record.source, recording.source(config)
    if theirs.commit != here.commit:
        at = f"this one is at {here.commit}" if here.commit else "which commit this program is of is not known here"
        yield f"not checked: it says that it was made at commit {theirs.commit}; {at}. The code is the same"
    elif theirs.dirty != here.dirty:
        yield (
            f"not checked: it says that its checkout had {'' if theirs.dirty else 'no '}uncommitted changes, "
            "which is not so here. The code is the same"
        )
    if theirs.project != here.project:
        yield f"not checked: {_at(theirs.project)} was it made; {_at(here.project)} is this. The rules are this one's"
    if record.program.distribution_sha256 != (installed := distribution.installed()):
        yield (
            f"not checked: it says that it was made by {_installation(record.program.distribution_sha256)}; "
            f"this is {_installation(installed)}. The code is the same"
        )


def _at(project: Project | None) -> str:
    if project is None:
        return "in no repository of yours"
    return f"at commit {project.commit} of your repository{' with changes' if project.dirty else ''}"


def _installation(sha256: str | None) -> str:
    return f"the distribution with the sha256 {sha256}" if sha256 else "a checkout"
