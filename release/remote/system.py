"""What a system is that lends a machine: how to speak to what is over there, and to start it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from release.values import extras

AT_WORK, GONE = "at work", "gone"
NEEDED = (
    *("dulwich", "re2", "great_expectations", "huggingface_hub", "jinja2", "jsonschema", "jsonschema_rs", "numpy"),
    *("pydantic", "yaml", "rich", "safetensors", "starlette", "tokenizers", "transformers", "uvicorn"),
    *extras.TRAIN,
)
"""The modules that a candidate is made with."""


class System(Protocol):
    """A machine of somebody else's."""

    @property
    def name(self) -> str:
        """As it was typed."""

    @property
    def python(self) -> str:
        """The Python over there."""

    @property
    def scheduled(self) -> bool:
        """Whether a scheduler chooses its machine, which nobody sees before, and starts it again where it took that."""

    @property
    def client(self) -> Mapping[str, str]:
        """What the client here keeps of this environment."""

    def check(self, *, starts: bool) -> None:
        """``PreflightError`` where its client cannot be used, or what ``starts`` a job; asks nobody over there."""

    def of_account(self, account: str) -> "System":
        """The same, of this account where it is asked as one and none was named."""

    def folder(self, job: str) -> str:
        """Where over there all of a job lies."""

    def speak(self, words: Sequence[str]) -> list[str]:
        """The command that runs the program over there with these words, and passes on what it is given and says."""

    def silent(self, code: int, said: str) -> str:
        """Why that command ended before the program said a word."""

    def start(self, job: str) -> bool:
        """Start the job that was sent; False where the program over there is to do that itself."""

    def state(self, job: str) -> str:
        """Of a job that the program over there does not see: ``AT_WORK``, ``GONE``, or what it waits for."""

    def cancel(self, job: str) -> None:
        """What has to be taken away besides the process itself."""


@dataclass(frozen=True, kw_only=True)
class Here:
    """What of this machine and its configuration a system may need."""

    runs: Path
    """The output folder."""
    token: str
    image: str | None
    """Of the container that is configured."""
