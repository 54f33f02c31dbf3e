"""A schema as people have it in a file: bare, or in what OpenAI and Anthropic are sent around it."""

from collections.abc import Mapping

from gates.canonical import Json

LATEST = "https://json-schema.org/draft/2020-12/schema"
INSIDE = (
    *("schema", "json_schema", "input_schema", "parameters", "function"),
    *("format", "text", "response_format", "output_format", "output_config"),
)
"""Keys that hold the schema, or what is around it."""
BESIDE = frozenset({"name", "strict", "description", "type", "cache_control", "title", "verbosity"})
"""What may stand beside them."""
TYPES = frozenset({"json_schema", "function", "custom"})
"""What ``type`` says around a schema; in a schema it says something else."""
DEPTH = 4


def unwrapped(value: Mapping[str, Json]) -> tuple[Mapping[str, Json], tuple[str, ...]]:
    """The schema itself, with the draft that it is read by, and a note for each thing that was done.

    What names its draft is a schema and stays as it is.
    """
    notes: list[str] = []
    around: list[str] = []
    for _ in range(DEPTH):
        if "$schema" in value or (key := _holder(value)) is None:
            break
        inner = value[key]
        assert isinstance(inner, dict)
        around.append(key)
        value = inner
    if around:
        notes.append(f"the schema under {'.'.join(around)} is taken, and what is around it left out")
    if "$schema" not in value:
        notes.append('it names no draft and is read as 2020-12; "$schema" says another one')
        value = {"$schema": LATEST, **value}
    return value, tuple(notes)


def _holder(value: Mapping[str, Json]) -> str | None:
    """The key of the schema in what is around one; None where this is a schema."""
    held = [key for key in INSIDE if isinstance(value.get(key), dict)]
    if len(held) != 1 or not set(value) <= {*BESIDE, *held}:
        return None
    return held[0] if value.get("type", "function") in TYPES else None
