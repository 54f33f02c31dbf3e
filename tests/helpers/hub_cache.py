"""A release as the Hugging Face client's cache keeps it: a snapshot of links into blobs."""

import os
import shutil
from pathlib import Path

from release.values.artifacts import sha256_file


def as_snapshot(folder: Path, *, shared: bool = False) -> Path:
    """The snapshot that ``folder`` has become, in ``cache`` beside it; with ``shared``, repositories share their blobs.

    ``folder`` is a link to it: what a person names may be one.
    """
    cache = folder.parent / "cache"
    repo = cache / "models--local--elements"
    snapshot = repo / "snapshots" / ("c" * 40)
    (repo / "blobs").mkdir(parents=True)
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        link, blob = snapshot / path.relative_to(folder), repo / "blobs" / sha256_file(path)
        there = cache / "blobs" / blob.name[:2] / blob.name if shared else blob
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, there)
        if shared and not blob.is_symlink():
            blob.symlink_to(os.path.relpath(there, blob.parent))
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    shutil.rmtree(folder)
    folder.symlink_to(snapshot, target_is_directory=True)
    return snapshot
