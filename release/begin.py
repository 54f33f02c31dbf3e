"""What each training run begins with, a release or one of several tries: its folder, its base and its place."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gates
from gates.canonical import canonical_json
from release import inputs
from release.config.reading import effective
from release.config.settings import Config
from release.data import chat as chats
from release.data.dataset import Dataset
from release.importing import taking
from release.importing.bring import Brought
from release.judging import attempts, ledger, outlook, previous, recording, terms
from release.judging.recording import Started
from release.judging.terms import Terms
from release.models import base as bases
from release.models.built_trainer import NO_LIMITS
from release.models.exports import trying
from release.models.train import train
from release.running import place as places
from release.values import layout
from release.values import record as records
from release.values.artifacts import Adapter, write_atomically
from release.values.as_json import part, to_json
from release.values.events import Say, Stage, tell


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Data, contract and policy, checked against each other before anything is trained."""

    train: Dataset | None
    """None: an imported adapter's, which are not here."""
    golden: Dataset
    contract: gates.Contract
    policy: gates.Policy
    before: tuple[previous.Release, ...] = ()
    """The releases that the repository holds already, oldest first."""
    brought: Brought | None = None
    """An adapter that was trained elsewhere; None where one is trained."""
    tuning: Dataset | None = None
    """Rows to evaluate by while it trains, and to choose a try by."""
    tries: records.Tries | None = None
    """What was tried before on the tuning rows, which chose this training; None where one was asked for."""

    @property
    def rows(self) -> Mapping[str, Dataset]:
        """The files of rows, as far as they are here."""
        found = {"train": self.train, "tuning": self.tuning, "golden": self.golden}
        return {name: rows for name, rows in found.items() if rows is not None}


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A run whose folder holds all that its stages read."""

    config: Config
    run: Path
    base: bases.Base
    place: places.Place
    started: Started


def begin(config: Config, judged: Judged, say: Say) -> Begun:
    """Base, place and run folder of a configuration, before anything is trained."""
    say(Stage(name="base", note=config.model.base_model_id))
    base = bases.resolve(config.model, say)
    say(Stage(name="container", note=config.container.use))
    place = places.find(config.container, say)
    digests = {name: rows.sha256 for name, rows in judged.rows.items()}
    digests |= {"adapter": judged.brought.sha256} if judged.brought else {}
    run = run_folder(config, recording.inputs(config, base, digests, place.source))
    started = start(run, config, judged)
    settle_chat(
        run, chats.read(base.folder, inputs.wanted_chat(config, judged.brought))
    )  # of the files that were checked just now
    trying.tried(run, base, place, say)
    return Begun(config=config, run=run, base=base, place=place, started=started)


def adapter(begun: Begun, judged: Judged, say: Say, limits: Mapping[int, float] = NO_LIMITS) -> Adapter:
    """The adapter to judge: trained here, or the imported one's own bytes. ``limits`` are those of `train`."""
    if judged.brought is None:
        say(Stage(name="train", note=str(begun.run)))
        made = train(begun.run, begun.base, begun.place, say, limits)
        policy = _next(begun.config, judged, made).policy
        tell(say, outlook.lines(made.trained, begun.run, policy, len(judged.golden.rows)))
        return made
    say(Stage(name="import", note="trained elsewhere: its bytes are taken as they are"))
    return taking.take(begun.run, begun.base, judged.brought, begun.config)


def terms_of(config: Config, judged: Judged) -> Terms:
    """What its candidate is judged by."""
    return terms.agreed(judged.golden, judged.contract, config, judged.policy)


def _next(config: Config, judged: Judged, made: Adapter) -> Terms:
    """The same in the attempt that this adapter is, as far as it is known before it has answered."""
    now = terms_of(config, judged)
    known = attempts.together(ledger.read(config), previous.tried(judged.before))
    own = (one.attempt for one in known if one.adapter_sha256 == made.files.digest and now.golden_set.had(one))
    return now.after(attempts.before(known, next(own, ""), now.golden_set))


def run_folder(config: Config, made_from: dict[str, Any]) -> Path:
    """The folder of this run: its name is the digest of all that the adapter depends on.

    The same inputs come back to the same folder and continue there; other inputs never touch a previous adapter.
    """
    run = config.run.output_dir / hashlib.sha256(canonical_json(made_from)).hexdigest()[:12]
    run.mkdir(parents=True, exist_ok=True)
    write_atomically(run / layout.INPUTS, canonical_json(made_from))
    return run


def start(run: Path, config: Config, judged: Judged) -> Started:
    """Copy what the run needs into its folder, and write down policy and source before training."""
    (run / "data").mkdir(exist_ok=True)
    for name, data in judged.rows.items():
        write_atomically(run / "data" / f"{name}.jsonl", data.canonical)
    # JSON, which is YAML too: a text such as "1e5" stays a text for every reader
    write_atomically(run / "config.yaml", canonical_json(effective(config)))
    for name, content in terms_of(config, judged).files.items():
        write_atomically(run / layout.in_run(name), content)
    started = run / "started.json"
    if not started.exists():
        facts: dict[str, object] = {
            "source": to_json(recording.source(config)),
            "policy_sha256": judged.policy.digest,
            "data": {name: {"sha256": data.sha256, "rows": len(data.rows)} for name, data in judged.rows.items()},
        }
        write_atomically(started, canonical_json(facts))
    return part(Started, json.loads(started.read_bytes()))


def settle_chat(run: Path, chat: chats.Chat) -> None:
    """Write down the chat template that this run trains, answers and publishes with; once, for its date stays.

    A template that writes today's date would otherwise ask another question each day.
    """
    if not (run / chats.SETTLED).exists():
        write_atomically(run / layout.CHAT_TEMPLATE, chat.template.encode())
        write_atomically(run / chats.SETTLED, canonical_json({"changed": list(chat.changed)}))
