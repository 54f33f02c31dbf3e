"""Where a stage runs: one call, whether that is a process on this machine or a container of an image.

A further place (several processes under a launcher, a job on another machine) is a frozen value with the same call.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from release.config.settings import Container
from release.running import child, container, environment, kept, launched, machine
from release.values.events import Say


class Place(Protocol):
    """Where stages run."""

    @property
    def source(self) -> str | None:
        """What decides the software there, as a digest; None where the versions here do."""

    @property
    def image_digest(self) -> str | None:
        """Of the container image that stages find themselves in; None outside of any."""

    def of(self, processes: int, cards: int) -> "Place":
        """The same for a stage in so many processes, which share so many cards."""

    def call(
        self,
        stage: str,
        arguments: Sequence[str | Path],
        *,
        reads: Iterable[Path] = (),
        writes: Iterable[Path] = (),
        say: Say,
        log: Path,
    ) -> None:
        """Run ``python -m stage arguments`` to its end, passing its events to ``say``.

        The stage may read the folders ``reads`` and change the folders ``writes`` (the log's is one), under their own
        names; it sees no token and no Hub, and no further card. Raises the stage's ``Stop``; ``PreflightError`` where
        the place or its card cannot be used; ``RuntimeError`` with the end of the log when it crashed.
        """


@dataclass(frozen=True, kw_only=True)
class Here:
    """A process on this machine."""

    python: str = sys.executable
    """Whose libraries run this checkout's code."""
    source: str | None = None
    secrets: tuple[str, ...] = ()
    """Names of the environment that open something, which stages here are given all the same."""
    processes: int = 1
    cards: int = 1

    @property
    def image_digest(self) -> str | None:
        return environment.image_digest()

    def of(self, processes: int, cards: int) -> "Here":
        return replace(self, processes=processes, cards=cards)

    def call(
        self,
        stage: str,
        arguments: Sequence[str | Path],
        *,
        reads: Iterable[Path] = (),  # noqa: ARG002  a process here can reach every folder
        writes: Iterable[Path] = (),  # noqa: ARG002
        say: Say,
        log: Path,
    ) -> None:
        code = {} if self.python == sys.executable else {"PYTHONPATH": str(environment.ROOT)}
        given = {name: os.environ[name] for name in self.secrets if os.environ.get(name)}
        given |= kept.to_reach_a_hub() if self.secrets else {}
        env = {**child.STAGE, **machine.cards(self.cards), **code, **given}
        stage, *words = launched.command(self.processes, stage, *map(str, arguments))
        child.call(stage, *words, say=say, log=log, env=env, python=self.python)


def find(wanted: Container, say: Say) -> Place:
    """Where to train and answer: an image, fetched or built if it is not here, or this machine itself.

    Once an engine has answered, whatever goes wrong is a ``Stop``: nothing falls back to the machine silently.
    """
    return container.find(wanted, say) or Here()
