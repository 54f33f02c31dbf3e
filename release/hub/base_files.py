"""Which files of a base model's repository are taken: a rule that fetching, counting and comparing share."""

from collections.abc import Iterable

ENDINGS = (".safetensors", ".json", ".txt", ".model", ".jinja")
"""How they end: pickles run code when they are read, and other formats are not read here."""


def wanted(names: Iterable[str], *, code: bool) -> list[str]:
    """What transformers loads of a repository's top folder, and a licence; ``code``: Python files too.

    Not in a folder of its own (`original/`, `onnx/`), no pickle, no GGUF, and no `consolidated.safetensors`, which
    holds the same weights once more in Mistral's own layout.
    """
    endings = (*ENDINGS, *((".py",) if code else ()))
    return [
        name
        for name in names
        if "/" not in name
        and (name.endswith(endings) or name.startswith("LICENSE"))
        and not (name.startswith("consolidated") and name.endswith((".safetensors", ".safetensors.index.json")))
    ]
