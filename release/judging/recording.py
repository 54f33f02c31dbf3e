"""The release record: everything needed to make the adapter again, and to see that it is the same."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from release import __version__
from release.config.reading import Budget, Config, effective
from release.models.base import Base
from release.planning import estimates
from release.running import environment, spending
from release.values import layout, tensors
from release.values import record as records
from release.values.artifacts import Adapter, sha256_file


def inputs(config: Config, base: Base, data: Mapping[str, str], image: str | None = None) -> dict[str, Any]:
    """What an adapter's bytes depend on; two runs with equal inputs share a run folder.

    Where it is published, what it may cost and why it may ask for less is left out: none changes the adapter. ``image``
    is what decides the content of the container image; where there is none, the versions here count. So an adapter that
    was trained before an update is not answered for after it, which `verify` would refuse once it is published.
    """
    left_out = ("publishing", "budget", "container")
    known = effective(replace(config, weaker_because=None))
    made_from = {name: value for name, value in known.items() if name not in left_out}
    template = config.model.chat_template
    if template:
        made_from["model"] = {**made_from["model"], "chat_template": sha256_file(template)}
    return ({"image": image} if image else {"versions": environment.versions()}) | {
        "config": made_from,
        "base": base.to_json(),
        "data_sha256": dict(data),
        "code_sha256": environment.code_sha256(),
        "threads": environment.threads(config.run.threads),
    }


def build(
    config: Config,
    base: Base,
    started: Mapping[str, Any],
    adapter: Adapter,
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of one adapter; the package adds the sha256 of every file published beside it.

    ``measured``: generation, verdict digest, whether it passed, which attempt, and how it stands beside earlier ones.
    """
    training = {name: value for name, value in adapter.training.items() if name != "files"}
    record = {
        "record": records.VERSION,
        "program": {"name": "adapter-release", "version": __version__},
        "name": config.run.name,
        "config": as_published(config),
        "base": base.to_json(),
        **started,
        "data": _data(config, started["data"]),
        "adapter": {
            "sha256": adapter.files.digest,
            "files": {file.path: file.sha256 for file in adapter.files.files},
            "tensors": tensors.digests(adapter.folder / layout.WEIGHTS),
        },
        "training": training,
        **measured,
        "determinism": environment.determinism(config.run.seed, training["hardware"]),
        "image_digest": _image_digest(training, measured["generation"]),
        "spent": _spent(training, measured["generation"], config.budget),
    }
    whole = {**record, "record_sha256": records.digest(record)}
    if wrong := records.problems(whole):
        raise ValueError("the record does not fit its own schema: " + "; ".join(wrong))
    return whole


def as_published(config: Config) -> dict[str, Any]:
    """The configuration with the paths that its files have in the release: no folder of this machine is named."""
    tree = effective(config)
    del tree["run"]["output_dir"]
    for name in ("signing_key", "keyless"):
        tree["publishing"].pop(name, None)
    # The published rows are canonical chat rows, whatever form and names the files had that they were read from.
    tree["data"] |= {
        "train_file": layout.DATA["train"],
        "golden_file": layout.DATA["golden"],
        "format": "auto",
        "fields": {},
    }
    tree["contract"] = {**tree["contract"], "schema": layout.ANSWER_SCHEMA}
    tree["model"]["chat_template"] = (
        layout.CHAT_TEMPLATE
    )  # beside the adapter: with its date and header as they were asked
    if tree["publishing"]["endpoint"].startswith("file:"):
        tree["publishing"]["endpoint"] = "file:hub"
    return tree


def _data(config: Config, datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Digest and rows of each dataset, and where to get it: in the release, or what the configuration says of it."""
    published = config.data.license is not None
    return {
        **{name: {**facts, "file": layout.DATA[name] if published else None} for name, facts in datasets.items()},
        "license": config.data.license,
        "source": config.data.source,
    }


def _image_digest(training: Mapping[str, Any], generation: Mapping[str, Any]) -> str | None:
    """The image in which both were made; None where one was made outside or in another."""
    here = environment.image_digest()
    made_in = {stage.get("image_digest", here) for stage in (training, generation)}
    return made_in.pop() if len(made_in) == 1 else None


def _spent(training: Mapping[str, Any], generation: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """What training and answering took, the base's answers included; energy and cost are estimates that say how."""
    seconds = round(training["seconds"] + generation["seconds"] + generation["base_seconds"], 1)
    return {
        **spending.estimate(seconds, training["hardware"], estimates.read_prices(), budget),
        "seconds": seconds,
        "tokens": training["tokens"] + generation["tokens"],
        "peak_memory_bytes": max(training["peak_memory_bytes"], generation["peak_memory_bytes"]),
    }
