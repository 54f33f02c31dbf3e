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
    arguments |= {key: Path(arguments[key]) for key in ("destination", "folder") if key in arguments}
    done: dict[str, Any] = {}
    match request["do"]:
        case "publish":
            packed = package.from_json(arguments.pop("package"))
            done = asdict(publish.publish(packed, **arguments))
            done["endpoint"] = request.get("endpoint_label") or done["endpoint"]
        case "check_rights":
            done["problems"] = publish.check_rights(**arguments)
        case "fetch":
            done["commit"] = publish.fetch(**arguments)
        case "outline_base":
            done = client.outline_base(**arguments)
        case "propose":
            files = {name: text.encode() for name, text in arguments.pop("files").items()}
            done["url"] = client.propose(files=files, **arguments)
        case "fetch_base":
            client.download_base(**arguments)
        case "fetch_dataset_file":
            done["sha256"] = client.download_dataset_file(**arguments)
        case "history":
            done["tags"] = history.tags(**arguments)
        case other:
            known = "publish, check_rights, fetch, outline_base, fetch_base, fetch_dataset_file, history, propose"
            raise ConfigError([f"Unknown request {other!r}: it is one of {known}."])
    return done


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
