"""What a release record must be: its schema, and the digest of its own content."""

import hashlib
from collections.abc import Mapping
from typing import Any

import schemas
from gates.canonical import canonical_json

VERSION = 2
"""1 had no statements beside it, and less of what was installed and spent."""
_ITSELF = ("record_sha256", "files")


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
