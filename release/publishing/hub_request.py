"""One request to a Hub, answered in a process of its own: ``python -m release.publishing.hub_request REQUEST.json``.

huggingface_hub reads its endpoint and token from the environment while it is imported, so whoever speaks to another
Hub is another process. The answer (for a publication: its receipt) is written last, to the request's ``answer`` path.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gates.canonical import canonical_json
from release.hub import client, history
from release.publishing import package as packages
from release.publishing import publish
from release.running import child
from release.values.artifacts import write_atomically
from release.values.errors import ConfigError, Stop
from release.values.events import Line, Say


def _published(package: Mapping[str, Any], endpoint_label: str | None = None, **how: Any) -> dict[str, Any]:
    done = asdict(publish.publish(packages.from_json(package), **how))
    return done | {"endpoint": endpoint_label or done["endpoint"]}


def _base_fetched(**what: Any) -> dict[str, Any]:
    client.download_base(**what)
    return {}


REQUESTS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "publish": _published,
    "check_rights": lambda **what: {"problems": publish.check_rights(**what)},
    "fetch": lambda **what: {"commit": publish.fetch(**what)},
    "outline_base": client.outline_base,
    "fetch_base": _base_fetched,
    "fetch_dataset_file": lambda **what: {"sha256": client.download_dataset_file(**what)},
    "history": lambda **what: {"tags": history.tags(**what)},
    "propose": lambda **what: {"url": client.propose(**what)},
}


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a request asks (``do``; the rest are its arguments)."""
    if request["do"] not in REQUESTS:
        raise ConfigError([f"Unknown request {request['do']!r}: it is one of {', '.join(REQUESTS)}."])
    arguments = {key: value for key, value in request.items() if key not in ("do", "answer")}
    arguments |= {key: Path(arguments[key]) for key in ("destination", "folder") if key in arguments}
    return REQUESTS[request["do"]](**arguments)


def run(request: Path, say: Say) -> None:
    """Answer the request in a file. What is said, and why it stopped, names neither tokens nor signatures."""
    publish.log.addHandler(_Saying(say))
    publish.log.setLevel(logging.INFO)
    asked = json.loads(request.read_text("utf-8"))
    try:
        write_atomically(Path(asked["answer"]), canonical_json(answer(asked)))
    except ConfigError as stop:
        raise ConfigError([client.redact(problem) for problem in stop.problems]) from None
    except Stop as stop:
        raise type(stop)(client.redact(str(stop))) from None


class _Saying(logging.Handler):
    """Passes what is logged on as events."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        self.say(Line(text=f"  {client.redact(record.getMessage())}"))


if __name__ == "__main__":
    child.main(lambda arguments, say: run(Path(arguments[0]), say))
