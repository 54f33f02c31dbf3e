"""One request to a Hub, answered in a process of its own.

``python -m release.publishing.hub_request NAME REQUEST.json ANSWER.json``: NAME is a class of `release.hub.requests`.
The answer (for a publication: its receipt) is written last.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import assert_never, get_args

from release.hub import client, fetching, history, requests, session
from release.hub.requests import AnyRequest
from release.publishing import publish
from release.running import child
from release.values.artifacts import write_atomically
from release.values.errors import ConfigError, Stop
from release.values.events import Line, Say

REQUESTS: Mapping[str, type[AnyRequest]] = {kind.__name__: kind for kind in get_args(AnyRequest)}


def answer(request: AnyRequest) -> object:  # noqa: C901, PLR0911  one case a request
    """Do what is asked; the answer, which is of the type that the request names."""
    match request:
        case requests.Publish(package=package, repo_id=repo_id, tag=tag, private=private):
            return publish.publish(package, repo_id=repo_id, tag=tag, private=private)
        case requests.CheckRights(repo_id=repo_id, tag=tag, private=private, manifest_digests=digests):
            return tuple(publish.check_rights(repo_id, tag=tag, private=private, manifest_digests=digests))
        case requests.Fetch(repo_id=repo_id, revision=revision, destination=folder):
            return publish.fetch(repo_id, revision, folder)
        case requests.Resolve(repo_id=repo_id, revision=revision):
            return client.resolve(repo_id, revision)
        case requests.OutlineBase(repo_id=repo_id, revision=revision, destination=folder):
            return fetching.outline_base(repo_id, folder, revision=revision)
        case requests.FetchBase(repo_id=repo_id, revision=revision, code=code, destination=folder):
            fetching.download_base(repo_id, folder, revision=revision, code=code)
            return None
        case requests.FetchAdapter(repo_id=repo_id, commit=commit, names=names, destination=folder):
            fetching.download_adapter(repo_id, folder, commit=commit, names=names)
            return None
        case requests.FetchDatasetFile(repo_id=repo_id, commit=commit, path=path, destination=file):
            return fetching.download_dataset_file(repo_id, file, commit=commit, path=path)
        case requests.History(repo_id=repo_id, before=before, folder=folder):
            return history.tags(repo_id, before=before, folder=folder)
        case requests.Propose(repo_id=repo_id, files=files, title=title, description=description):
            return client.propose(repo_id, files, title=title, description=description)
        case _:
            assert_never(request)


def run(name: str, request: Path, answered: Path, say: Say) -> None:
    """Answer the request in a file. What is said, and why it stopped, names neither tokens nor signatures."""
    publish.log.addHandler(_Saying(say))
    publish.log.setLevel(logging.INFO)
    if name not in REQUESTS:
        raise ConfigError([f"Unknown request {name!r}: it is one of {', '.join(REQUESTS)}."])
    try:
        asked = requests.from_json(REQUESTS[name], request.read_bytes())
        write_atomically(answered, requests.to_json(asked.answer, answer(asked)))
    except ConfigError as stop:
        raise ConfigError([session.redact(problem) for problem in stop.problems]) from None
    except Stop as stop:
        raise type(stop)(session.redact(str(stop))) from None


class _Saying(logging.Handler):
    """Passes what is logged on as events."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        self.say(Line(text=f"  {session.redact(record.getMessage())}"))


if __name__ == "__main__":
    child.main(lambda arguments, say: run(arguments[0], Path(arguments[1]), Path(arguments[2]), say))
