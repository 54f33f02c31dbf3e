"""One request to a Hub, answered in a process of its own: ``python -m release.hub_request REQUEST.json``.

huggingface_hub reads its endpoint and token from the environment while it is imported, so whoever speaks to another
Hub is another process. The answer (for a publication: its receipt) is written last, to the request's ``answer`` path.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from release import child, package, publish
from release.artifacts import canonical_json, write_atomically
from release.errors import ConfigError, Stop
from release.events import Line, Say
from release.hub import client, history


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a request asks (``do``; the rest are its arguments)."""
    arguments = {key: value for key, value in request.items() if key not in ("do", "answer", "endpoint_label")}
    match request["do"]:
        case "publish":
            packed = package.from_json(arguments.pop("package"))
            publication = asdict(publish.publish(packed, **arguments))
            return publication | {"endpoint": request.get("endpoint_label") or publication["endpoint"]}
        case "check_rights":
            return {"problems": publish.check_rights(**arguments)}
        case "fetch":
            destination = Path(arguments.pop("destination"))
            return {"commit": publish.fetch(destination=destination, **arguments)}
        case "outline_base":
            return client.outline_base(arguments.pop("repo_id"), Path(arguments.pop("destination")), **arguments)
        case "fetch_dataset_file":
            destination = Path(arguments.pop("destination"))
            return {"sha256": client.download_dataset_file(destination=destination, **arguments)}
        case "fetch_base":
            client.download_base(arguments.pop("repo_id"), Path(arguments.pop("destination")), **arguments)
            return {}
        case "history":
            folder = Path(arguments.pop("folder"))
            return {"tags": history.tags(arguments["repo_id"], before=arguments["before"], folder=folder)}
        case other:
            known = "publish, check_rights, fetch, fetch_base, outline_base, fetch_dataset_file, history"
            raise ConfigError([f"Unknown request {other!r}: it is one of {known}."])


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
