"""The release record: everything needed to make the adapter again, and to see that it is the same."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import schemas
from release import __version__, environment, ledger, plan
from release import chat as chats
from release.artifacts import Adapter, canonical_json, sha256_file
from release.base import Base
from release.config import Budget, Config, effective

VERSION = 2
"""1 had no statements beside it, and less of what was installed and spent."""
WEIGHTS = "adapter_model.safetensors"
FILE = "release.json"
"""Where a release holds its record."""
DATA = {"train": "data/train.jsonl", "golden": "data/golden.jsonl"}
ANSWER_SCHEMA = "gates/answer.schema.json"
_ITSELF = ("record_sha256", "files")


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
        "record": VERSION,
        "program": {"name": "adapter-release", "version": __version__},
        "name": config.run.name,
        "config": as_published(config),
        "base": base.to_json(),
        **started,
        "data": _data(config, started["data"]),
        "adapter": {
            "sha256": adapter.files.digest,
            "files": {file.path: file.sha256 for file in adapter.files.files},
            "tensors": tensor_digests(adapter.folder / WEIGHTS),
        },
        "training": training,
        **measured,
        "determinism": environment.determinism(config.run.seed, training["hardware"]),
        "image_digest": _image_digest(training, measured["generation"]),
        "spent": _spent(training, measured["generation"], config.budget),
    }
    whole = {**record, "record_sha256": digest(record)}
    if wrong := problems(whole):
        raise ValueError("the record does not fit its own schema: " + "; ".join(wrong))
    return whole


def as_published(config: Config) -> dict[str, Any]:
    """The configuration with the paths that its files have in the release: no folder of this machine is named."""
    tree = effective(config)
    del tree["run"]["output_dir"]
    for name in ("signing_key", "keyless"):
        tree["publishing"].pop(name, None)
    # The published rows are canonical chat rows, whatever form and names the files had that they were read from.
    tree["data"] |= {"train_file": DATA["train"], "golden_file": DATA["golden"], "format": "auto", "fields": {}}
    tree["contract"] = {**tree["contract"], "schema": ANSWER_SCHEMA}
    tree["model"]["chat_template"] = chats.FILE  # beside the adapter: with its date and header as they were asked
    if tree["publishing"]["endpoint"].startswith("file:"):
        tree["publishing"]["endpoint"] = "file:hub"
    return tree


def _data(config: Config, datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Digest and rows of each dataset, and where to get it: in the release, or what the configuration says of it."""
    published = config.data.license is not None
    return {
        **{name: {**facts, "file": DATA[name] if published else None} for name, facts in datasets.items()},
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
        **ledger.estimate(seconds, training["hardware"], plan.read_prices(), budget),
        "seconds": seconds,
        "tokens": training["tokens"] + generation["tokens"],
        "peak_memory_bytes": max(training["peak_memory_bytes"], generation["peak_memory_bytes"]),
    }


def digest(record: Mapping[str, Any]) -> str:
    """sha256 of the record's own content; ``files`` stand outside, for each of them is checked against its file."""
    content = {name: value for name, value in record.items() if name not in _ITSELF}
    return hashlib.sha256(canonical_json(content)).hexdigest()


def problems(record: Mapping[str, Any]) -> list[str]:
    """Where a record is not what its schema says, or its own digest is another."""
    from jsonschema import Draft202012Validator

    version = record.get("record", VERSION)
    if isinstance(version, int) and version > VERSION:
        return [f"it is a record of version {version}, this program knows {VERSION}: use a newer adapter-release"]
    found = [
        f"{'.'.join(map(str, error.absolute_path)) or 'the record'}: {error.message[:200]}"
        for error in Draft202012Validator(schemas.load("record")).iter_errors(record)
    ]
    if not found and digest(record) != record["record_sha256"]:
        found.append(f"its content has sha256 {digest(record)}, it says {record['record_sha256']}")
    return found


def tensors(weights: Path) -> Iterator[tuple[str, str, list[int], bytes]]:
    """Name, type, shape and bytes of every tensor in a safetensors file, by name; ``ValueError`` if it is none."""
    import safetensors

    try:
        found = dict(safetensors.deserialize(weights.read_bytes()))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ValueError(f"{weights.name} is no safetensors file: {error}") from None
    for name, tensor in sorted(found.items()):
        yield name, str(tensor["dtype"]), list(tensor["shape"]), bytes(tensor["data"])


def tensor_digests(weights: Path) -> dict[str, Any]:
    """Type, shape and sha256 of every tensor by name: a difference is found in a layer, not only in a file."""
    return {
        name: {"dtype": dtype, "shape": shape, "sha256": hashlib.sha256(data).hexdigest()}
        for name, dtype, shape, data in tensors(weights)
    }
