"""What belongs to the code and is not code: locks, prices, the Dockerfile, the default example, the commit of a wheel.

In a wheel it lies in `release/assets` (pyproject.toml says what), in a checkout at the top.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""Where the packages lie: a checkout, or the site-packages that a wheel was installed in."""
PACKED = Path(__file__).parents[1] / "assets"


def asset(name: str) -> Path:
    """The file or folder that has this name at the top of a checkout, wherever it is here."""
    packed = PACKED / name
    return packed if packed.exists() else ROOT / name


def commit() -> str | None:
    """The commit that this wheel was built from; None in a checkout, and where the build was not from a clean one."""
    packed = PACKED / "commit"
    return packed.read_text("utf-8").strip() if packed.exists() else None
