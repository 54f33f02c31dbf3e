"""A verdict on a model that somebody serves → the folder of a dataset repository, with its card."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from gates.canonical import canonical_json
from gates.report import cell
from release.publishing.package import listed
from release.values import layout
from release.values.artifacts import Attested, Manifest, write_atomically
from release.values.as_json import tree
from release.values.attestation import Attestation, problems
from release.values.record import digest

TAGS = ("adapter-release", "attestation")


def build(record: Attestation, files: Mapping[str, bytes], table: str, folder: Path) -> Attested:
    """Replace ``folder`` by ``files`` under their names, the card, and the record last."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in {**files, layout.CARD: render(record, table)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, content)
    whole = tree(sealed(replace(record, files=listed(folder))))
    if wrong := problems(whole):
        raise ValueError("the attestation does not fit its own schema: " + "; ".join(wrong))
    write_atomically(folder / layout.ATTESTATION, canonical_json(whole))
    return Attested(folder=folder, manifest=Manifest.of_folder(folder), passed=record.passed)


def sealed(record: Attestation) -> Attestation:
    """The record with the digest of its own content."""
    return replace(record, record_sha256=digest(tree(record)))


def render(record: Attestation, table: str) -> bytes:
    """README.md of the repository; ``table`` is what verdict and attempts say, derived from the answers."""
    published = record.published
    metadata = {
        "license": published.license,
        "language": list(published.language),
        "pretty_name": record.name,
        "tags": [*TAGS, *published.tags],
        "configs": [{"config_name": "answers", "data_files": layout.ANSWERS}],
    }
    head = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n{_body(record, table)}".encode()


def _body(record: Attestation, table: str) -> str:
    model, asked, golden, published = record.model, record.asked, record.golden, record.published
    decoding = cell(canonical_json(tree(asked.decoding)).decode())
    made_by = f"adapter-release {record.program.version}"
    return f"""
# {cell(record.name)}: what an address answered

**No bytes were judged.** An address answered the golden set, and the answers passed every required gate. What is behind
it nobody here has seen: it can be another model tomorrow, and the names below are its own word. Nobody can load, hash
or run again what was judged. The answers are here, and the verdict follows from them.

| | |
|---|---|
| model, as it was asked for | {cell(model.asked_for)} |
| model, as every answer named it | {cell(model.served_model)} |
| system fingerprint | {cell(model.system_fingerprint or "none given")} |
| address | {cell(model.url)} |
| server | {cell(" ".join(one for one in (model.server, model.server_version) if one) or "not told")} |
| asked | from {cell(asked.began)} to {cell(asked.ended)} |
| golden set | {golden.rows} rows, sha256 `{golden.sha256}` |
| decoding | {decoding} |
| seed | {asked.seed} |
| judged by | {cell(made_by)}, commit {cell(str(record.source.commit))} |

## Gates

{table}
This is attempt number {record.attempt} on this golden set, at least. It was compared with no base model and with no
earlier attestation.

## Check it

```
adapter-release verify datasets/{published.repo_id}@{published.tag}
```

`{layout.ATTESTATION}` holds the sha256 of every file; `gates/` holds answers, policy and answer format, so that the
verdict can be derived again.

## Limits

The gates say what they measured: {golden.rows} questions of one kind, on that day. They say nothing about other
questions, and nothing about what the address answers today.
"""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
