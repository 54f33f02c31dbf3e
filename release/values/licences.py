"""Which licence an adapter may carry over its base model's: the Hub's licence names, and what each asks.

A help against slips, not legal advice: where a licence has terms of its own, only the same name passes.
"""

import schemas

KINDS = {name: kind["title"] for kind in schemas.load("licence")["oneOf"] for name in kind["enum"]}
"""Each of the Hub's licence names, and what it asks of what is made of the work."""


def problem(base: str | None, adapter: str) -> str:
    """Why an adapter over a base under ``base`` may not be published under ``adapter``; empty if it may."""
    if adapter not in KINDS:
        return f"publishing.license is '{adapter}', not one of the Hub's licence names. Write one, such as apache-2.0."
    kind = "permissive" if base is None else KINDS.get(base, "its own terms")
    said = f"the base model's licence is '{base}', publishing.license is '{adapter}'"
    if kind == "permissive" or (kind == "non-commercial" and KINDS[adapter] == kind):
        return ""
    if kind == "no derivatives":
        return f"{said}: the base allows no derivatives, so no adapter over it may be published. Take another base."
    if adapter == base:
        return ""
    if kind == "non-commercial":
        return f"{said}: the base is for non-commercial use only, and so is what is made of it. Write '{base}'."
    return f"{said}: the base's terms go with what is made of it. Write '{base}', or take another base."
