"""Whether what lies in a release asks whoever loads it for code, a template or files that are not the judged ones.

The weights' own settings are held to their rule by `release.values.lora_settings`.
"""

import re
from collections.abc import Iterator, Mapping

from release.judging.released import Released
from release.values import layout, tokenizer_settings
from release.values.errors import shown

CODE = ("auto_map", "custom_pipelines", "custom_generate", "auto_mapping", "trust_remote_code")
"""Settings, at any depth, by which transformers takes Python from a repository."""
_KERNEL = re.compile("_?(attn|experts)_implementation(_internal)?")
"""Settings whose value may name a repository of compiled code, by a slash."""
_GENERATION = (
    "eos_token_id",
    "pad_token_id",
    "bos_token_id",
    "do_sample",
    "transformers_version",
    "_from_model_config",
)
"""What a merged model's generation_config.json says: which tokens end an answer, and that none is drawn."""
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,40}")


def problems(release: Released) -> Iterator[str]:
    """A line for each setting that this program never writes, in the adapter's files and in those under exports/."""
    template = release.read(layout.CHAT_TEMPLATE).decode() if layout.CHAT_TEMPLATE in release.names else None
    for name in release.names:
        match name.rpartition("/")[2] if "/" not in name or name.startswith(f"{layout.EXPORTS}/") else "":
            case tokenizer_settings.SETTINGS:
                found = tokenizer_settings.problems(release.json(name), template)
            case tokenizer_settings.SPECIAL:
                found = tokenizer_settings.special_problems(release.json(name))
            case "config.json":
                found = _asks("", release.json(name), _bases(release))
            case "generation_config.json":
                found = _generation(release.json(name))
            case _:
                continue
        yield from (f"{name}: {line}" for line in found)


def _bases(release: Released) -> tuple[str, ...] | None:
    """How a class of the base's own code may begin; None where the record asks for no code of it."""
    record = release.record
    return ("", f"{record.base.base_model_id}--") if record.setting("model", "trust_remote_code") is True else None


def _asks(name: str, value: object, bases: tuple[str, ...] | None) -> Iterator[str]:
    """What is asked for at this place or below, as deep as JSON is read."""
    if wrong := _code(name, value, bases):
        yield wrong
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _asks(key, one, bases)
    elif isinstance(value, list):
        for one in value:
            yield from _asks("", one, bases)


def _code(name: str, value: object, bases: tuple[str, ...] | None) -> str:
    """Whose code one setting asks for; empty where for none, or for the base's own that the record tells of."""
    if name == "auto_map" and bases is not None:
        wrong = [one for one in _texts(value) if not _is_class(one, bases)]
        return f"auto_map names {shown(wrong[0])}, which is not code of the base that the record names" if wrong else ""
    if name in CODE and value not in (None, False, {}, []):
        return f"{name} is {shown(value)}: code that the record does not ask for"
    if _KERNEL.fullmatch(name) and any("/" in one for one in _texts(value)):
        return f"{name} is {shown(value)}: code of another repository"
    return ""


def _is_class(text: str, bases: tuple[str, ...]) -> bool:
    return any(re.fullmatch(rf"{re.escape(base)}\w{{1,100}}(\.\w{{1,100}}){{1,9}}", text) for base in bases)


def _texts(value: object) -> list[str]:
    """Every text in it."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []


def _generation(settings: Mapping[str, object]) -> Iterator[str]:
    for name, value in settings.items():
        plain = value if isinstance(value, list) else [value]
        version = name == "transformers_version" and isinstance(value, str) and bool(_VERSION.fullmatch(value))
        if name not in _GENERATION or not (version or all(one is None or isinstance(one, int) for one in plain)):
            yield f"{shown(name)} is {shown(value)}, which is never written here"
        elif name == "do_sample" and value is not False:
            yield f"do_sample is {shown(value)}, and answers are judged without drawing"
