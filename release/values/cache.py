"""The folder on this machine where what is fetched once is kept: base models, wheels, datasets."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """``ADAPTER_RELEASE_CACHE``, else ``.cache`` where the command runs."""
    return Path(os.environ.get("ADAPTER_RELEASE_CACHE", ".cache")).absolute()
