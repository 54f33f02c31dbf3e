"""Pictures of pages that tests opened, to be looked at: in the folder that ``PICTURES`` names, if it does."""

import os
from pathlib import Path
from typing import Any


def keep(page: Any, name: str) -> None:
    """Write the whole of a browser's page as ``name.png``."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
