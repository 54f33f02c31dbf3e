"""Hugging Face Jobs as a system that lends a machine: the job's one line is a private bucket, through the Hub.

The token is used here. The job is given none: its bucket is mounted for it by the service.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import ClassVar

from release.remote.system import AT_WORK, GONE
from release.running import kept
from release.running.image_source import base_image
from release.running.tied import inherited as locks
from release.running.tied import tied
from release.values.errors import PreflightError

NAMED = re.compile(
    r"(?:([A-Za-z0-9][A-Za-z0-9._-]{0,95})/)?([a-z0-9][a-z0-9-]{0,40})(?:@([1-9][0-9]{0,4})([mhd]))?", re.ASCII
)
UNITS = {"m": 60, "h": 3600, "d": 86_400}
DAY = 86_400
"""Seconds after which the service ends a job that was given no time: its own default is half an hour."""
LINE = "release.remote.hub_there"
PATIENCE = 300  # seconds in which the Hub says at which stage a job is


@dataclass(frozen=True, kw_only=True)
class Lent:
    """A machine of Hugging Face Jobs, for at most so many seconds: what a job's line is told before all else."""

    flavor: str
    namespace: str
    """Empty for the account of the token."""
    seconds: int
    image: str
    python: str

    def speak(self, words: Sequence[str]) -> list[str]:
        """The command of a line to a job on this machine, with these words; ``told`` reads it."""
        return [sys.executable, "-P", "-m", LINE, *map(str, astuple(self)), *words]


def told(given: Sequence[str]) -> tuple[Lent, list[str]]:
    """The machine and the words of which a line was told."""
    flavor, namespace, seconds, image, python, *words = given
    return Lent(flavor=flavor, namespace=namespace, seconds=int(seconds), image=image, python=python), words


@dataclass(frozen=True, kw_only=True)
class HfJobs:
    """Hugging Face Jobs, asked for such a machine with this token."""

    name: str
    lent: Lent
    token: str = field(repr=False)
    nameless: str = ""
    """The image that is configured, where no registry is named that has it."""
    scheduled: ClassVar[bool] = False

    @property
    def python(self) -> str:
        return self.lent.python

    @property
    def client(self) -> Mapping[str, str]:
        """What every process here is given, the proxies, and the token: it speaks to the Hub."""
        return {
            **kept.kept(),
            **kept.to_reach_a_hub(),
            "HF_TOKEN": self.token,
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def check(self, *, starts: bool) -> None:
        if starts and self.nameless:
            raise PreflightError(
                f"container.image is {self.nameless}: an image of one engine's, which Hugging Face Jobs cannot fetch. "
                "Nothing was sent. Name it where it was pushed to, name@sha256:..., or use the Python that images are "
                "built on: --set container.image=null"
            )
        if not self.token:
            raise PreflightError(
                "HF_TOKEN is not set, and Hugging Face Jobs is asked with it. Nothing was sent. Set it to a token that "
                "may write and start jobs: it is used here, and the job is given none."
            )

    def of_account(self, account: str) -> "HfJobs":
        return replace(self, lent=replace(self.lent, namespace=self.lent.namespace or account))

    def folder(self, job: str) -> str:
        return f"/tmp/adapter-release/{job}"  # noqa: S108  of a container that has one job

    def speak(self, words: Sequence[str]) -> list[str]:
        return self.lent.speak(words)

    def silent(self, code: int, said: str) -> str:
        return f"{self.name} cannot be used: {said or f'its client ended with exit status {code}'}."

    def start(self, job: str) -> bool:  # noqa: ARG002
        return False

    def state(self, job: str) -> str:
        command = tied(self.speak(["stage", self.folder(job)]))
        try:
            done = subprocess.run(
                command,
                env=dict(self.client),
                input=b"0\n",
                capture_output=True,
                timeout=PATIENCE,
                check=True,
                **locks(),
            )
            stage = str(json.loads(done.stdout.splitlines()[-1])["stage"])
        except (subprocess.SubprocessError, ValueError, LookupError, TypeError):
            return "the Hub does not say at which stage it is"
        return {"": GONE, "RUNNING": AT_WORK}.get(stage, stage.lower())

    def cancel(self, job: str) -> None:
        """Does nothing: the wish for the end, at its line (`hub_there.end`), cancels a job that goes on."""


def of(name: str, found: re.Match[str], python: str, *, token: str, image: str | None) -> HfJobs:
    """A machine as it is named, with the image that is configured by its digest, or the Python that one is built on."""
    namespace, flavor, number, unit = found.groups()
    lent = Lent(
        flavor=flavor,
        namespace=namespace or "",
        seconds=int(number) * UNITS[unit] if number else DAY,
        image=image if image and "@" in image else base_image(),
        python=python,
    )
    nameless = image if image and "@" not in image else ""
    return HfJobs(name=f"hf-jobs:{name}", lent=lent, token=token, nameless=nameless)
