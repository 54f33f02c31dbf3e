"""What another trainer's configuration says of a new repository: base, rows, Hub repository, and settings."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from release.config import foreign, messages
from release.config import tree as trees
from release.config.foreign import Converted, Set
from release.data.turns import How
from release.values.errors import shown

OF_INIT = {
    "run.name": "the repository on the Hub names it",
    "run.output_dir": "run folders are in runs/, which git ignores here",
    "model.base_model_id": "",
    "model.revision": "",
    "model.source": "",
    "data.train_file": "",
    "data.golden_file": "",
    "data.format": "",
    "data.fields": "",
    "publishing.endpoint": "the Hub of the base",
    "publishing.hf_repo": "",
    "publishing.tag": "a first release is v0.1.0",
    "contract": "proposed from the rows",
    "gates": "the default policy, as far as the rows can be measured",
}
"""Settings that `init` writes itself, and why not as the file says it; empty where it asks, or reads rows, by them."""
DEFAULTS = {
    "run.seed": Set(value=42, by=""),
    "adapter.method": Set(value="qlora", by="or lora, over an unquantized base"),
    "adapter.lora.r": Set(value=16, by=""),
    "adapter.lora.alpha": Set(value=32, by=""),
    "adapter.lora.dropout": Set(value=0.05, by=""),
    "publishing.license": Set(
        value="other",
        by="not asked: the adapter's licence, as the Hub names it, such as apache-2.0; the base's allows it or not",
    ),
    "publishing.language": Set(value="en", by="guessed"),
}
"""Of a configuration that no file speaks for."""
BEGUN = ("run", "model", "adapter", "data", "publishing")
"""Sections of which `init` writes the first lines."""
NOT_ASKED = (
    "# Not asked: training and generation have the tool's defaults (docs/plan.md). `adapter-release plan` says what "
    "they take."
)


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """A configuration of another trainer, as far as it answers what `init` asks."""

    path: Path
    made: Converted

    @property
    def answers(self) -> dict[str, str]:
        """By the name of an option of `init`, what the file says; nothing where it says nothing."""
        said = {name: self._said(key) for name, key in _ASKED.items()}
        commit = self._said("model.revision")
        said["base"] += f"@{commit}" if said["base"] and commit else ""
        for name in ("data", "golden"):
            said[name] = str(self._found(said[name])) if said[name] else ""
        return {name: text for name, text in said.items() if text}

    @property
    def how(self) -> How:
        """How its trainer reads the rows."""
        fields = {
            key.removeprefix("data.fields."): str(one.value)
            for key, one in self.made.settings.items()
            if key.startswith("data.fields.")
        }
        return How(form=self._said("data.format") or "auto", fields=fields)

    def why_not(self, name: str) -> str:
        """Why the file does not answer a question: what was left out of it for want of a counterpart."""
        told = [one for one in self.made.without if _KEYS[name] & set(one.partition(": ")[0].split("."))]
        return f"{self.path}: {told[0]}" if told else ""

    @property
    def told(self) -> Iterator[str]:
        """What was taken of it, and what was not."""
        kept = [key for key in self.made.settings if not _of_init(key)]
        yield f"{self.path} is of {self.made.trainer}: {len(kept)} settings taken"
        for key, why in OF_INIT.items():
            if why and key in self.made.settings:
                yield f"{key}: {shown(str(self.made.settings[key].value))} - not taken: {why}"
        if (golden := self.answers.get("golden")) and not Path(golden).is_file():
            yield f"data.golden_file: {shown(golden)} is not a file here"
        if self.made.without:
            yield f"without a counterpart: {len(self.made.without)}, each a comment with the reason in release.yaml"

    def _said(self, key: str) -> str:
        one = self.made.settings.get(key)
        return str(one.value) if one and one.value else ""

    def _found(self, name: str) -> Path:
        """A file that it names: beside it, or where its trainer was started, which may be here."""
        beside = self.path.parent / name
        return beside if beside.is_file() or not Path(name).is_file() else Path(name)


_ASKED = {
    "base": "model.base_model_id",
    "data": "data.train_file",
    "golden": "data.golden_file",
    "repo": "publishing.hf_repo",
}
_KEYS = {
    "base": {"model", "base_model", "model_name", "model_name_or_path"},
    "data": {"data", "dataset", "datasets", "dataset_name", "dataset_mixer", "dataset_mixture"},
    "repo": {"hub_model_id", "hub_path", "hf_repo"},
}
"""Trainers' names for what is asked, of which one may have been left out with a reason."""


def read(path: Path) -> Elsewhere:
    """The file; ``ConfigError`` where it is not one of a trainer that is known."""
    return Elsewhere(path=path, made=foreign.convert(trees.read(path)))


def sections(found: Elsewhere | None) -> dict[str, str]:
    """The settings as lines of the new release.yaml, those of a section that `init` begins below its own."""
    settings = dict(DEFAULTS)
    if found:
        said = {key: one for key, one in found.made.settings.items() if not _of_init(key)}
        settings = {key: one for key, one in settings.items() if not key.startswith("adapter.lora.")} | said
    blocks = {name: foreign.block(settings, name, []) for name in messages.SCHEMA["properties"]}
    begun = {f"more_{name}": "".join(f"\n{line}" for line in blocks.pop(name)[1:]) for name in BEGUN}
    rest = "\n\n".join("\n".join(lines) for lines in blocks.values() if lines)
    without = "".join(f"\n{line}" for line in foreign.comments(found.made.without)) if found else ""
    return begun | {"rest": rest or NOT_ASKED, "without": without and f"\n{without}"}


def said(found: Elsewhere | None, key: str) -> bool:
    """Whether the file says a setting."""
    return found is not None and key in found.made.settings


def _of_init(key: str) -> bool:
    return key in OF_INIT or key.startswith("data.fields.")
