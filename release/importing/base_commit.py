"""The commit of an imported adapter's base, where release.yaml names none: its own, else the Hub's main, once."""

import json
import re
from dataclasses import replace

from gates.canonical import canonical_json
from release.config.settings import Config
from release.hub import address, requests
from release.importing.bring import trained_on
from release.importing.sources import Source
from release.values.artifacts import write_atomically
from release.values.errors import ConfigError, HubError, Stop
from release.values.events import Line, Say

KEPT = "base_commit.json"
"""Among the runs: which commit was found, so that the next command takes the same."""
_COMMIT = re.compile("[0-9a-f]{40}")


def is_looked_up(config: Config) -> bool:
    """Whether the configuration leaves the commit of its base to be found."""
    model = config.model
    return config.adapter.method == "imported" and model.source != "embedded" and model.revision is None


def settled(config: Config, adapter: Source | None, say: Say) -> Config:
    """The configuration with a commit for the base; ``ConfigError`` with the key to set where none can be found.

    ``adapter`` is the imported one, where its files could be opened.
    """
    model = config.model
    if not is_looked_up(config):
        return config
    commit = _kept(config) or _of_adapter(config, adapter) or _of_main(config, say)
    say(Line(text=f'note: model.revision is not set: "{commit}" of {model.base_model_id} is taken and recorded.'))
    return replace(config, model=replace(model, revision=commit))


def _kept(config: Config) -> str | None:
    try:
        said = json.loads((config.run.output_dir / KEPT).read_bytes())
        commit = said["commit"] if said["base_model_id"] == config.model.base_model_id else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else None


def _of_adapter(config: Config, adapter: Source | None) -> str | None:
    """The commit that the adapter's own settings name, of this base; what is wrong with it is said by its import."""
    try:
        base, commit = trained_on(adapter) if adapter else (None, None)
    except (Stop, OSError):
        return None
    return commit if base == config.model.base_model_id else None


def _of_main(config: Config, say: Say) -> str:
    """The commit that main is at the Hub now, kept for the next command."""
    base, folder = config.model.base_model_id, config.run.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    request = requests.Resolve(repo_id=base, revision="main")
    try:
        commit = requests.ask(request, address.impatient(address.of_environment()), say, folder / "base_commit.log")
    except HubError as error:
        says = f"model.revision is missing, the adapter does not say which commit of {base} it was trained on, and"
        todo = 'Write `revision: "COMMIT"` under model: the 40 hex digits of the commit it was trained on.'
        raise ConfigError([f"{says} the Hub could not be asked for it: {error}", todo]) from None
    write_atomically(folder / KEPT, canonical_json({"base_model_id": base, "commit": commit}))
    return commit
