"""What an address answered over HTTP, read strictly: a whole chat completion of one model, or a reason why not."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from gates import Output
from release.running.child import SERVER_KEY
from release.values.errors import PreflightError, VerificationError, shown

AT_ONCE = 1  # the end itself, which some servers count and others do not


@dataclass(frozen=True, kw_only=True)
class _Message:
    content: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Choice:
    message: _Message
    finish_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Usage:
    completion_tokens: int = AT_ONCE + 1


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What OpenAI's API calls a chat completion, as far as it is judged."""

    model: str
    choices: Annotated[tuple[_Choice, ...], Field(min_length=1, max_length=1)]
    system_fingerprint: str | None = None
    usage: _Usage | None = None

    @property
    def ended_at_once(self) -> bool:
        return self.usage is not None and self.usage.completion_tokens <= AT_ONCE


@dataclass(frozen=True, kw_only=True)
class _Model:
    id: str


@dataclass(frozen=True, kw_only=True)
class _Models:
    data: tuple[_Model, ...]


@dataclass(frozen=True, kw_only=True)
class _Version:
    version: str


@dataclass(frozen=True, kw_only=True)
class _Said:
    message: str


@dataclass(frozen=True, kw_only=True)
class _Error:
    error: _Said


_COMPLETION, _MODELS, _VERSION = TypeAdapter(Completion), TypeAdapter(_Models), TypeAdapter(_Version)
_ERROR = TypeAdapter(_Error)


def read(body: bytes, where: str) -> Completion:
    """The completion in a body; ``PreflightError`` where that is cut, empty, without a choice, or something else."""
    try:
        return _COMPLETION.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise PreflightError(
            f"{where} answered with {shown(body.decode(errors='replace'))}, which is not a whole chat completion: "
            f"{place + ': ' if place else ''}{first['msg']}. It was not judged. See that the address speaks OpenAI's "
            "API (it ends with /v1 as a rule), and what the server's own log says."
        ) from None


def output(id_: str, said: Completion, where: str) -> Output:
    """The text as it came, and why it ended in the server's own word; ``null`` where it gave none."""
    (choice,) = said.choices
    text, reason = choice.message.content or "", choice.finish_reason or "null"
    if not text and reason in ("stop", "length") and not said.ended_at_once:
        raise PreflightError(
            f"{where} answered row {id_} with no text, and does not say that the model ended at once: what it wrote "
            "was taken out, as a server does with thoughts. That is not what the model wrote, so it was not judged. "
            "Switch off what parses answers there (of vLLM: --reasoning-parser and --tool-call-parser)."
        )
    return Output(id=id_, output=text, finish_reason=reason)


def keep_to(told: dict[str, object], said: Completion, where: str) -> None:
    """Note what the first answer says of the model; ``VerificationError`` where a later one says otherwise."""
    now = {"served_model": said.model, "system_fingerprint": said.system_fingerprint}
    first = {name: told.setdefault(name, value) for name, value in now.items()}
    if first != now:
        raise VerificationError(
            f"{where} changed while it answered: the first answer says {shown(first)}, a later one {shown(now)}. The "
            "answers are of more than one model, and prove nothing of either. Nothing was judged. Run again once the "
            "model there stays the same, or name an address with one server behind it."
        )


def models(body: bytes) -> list[str] | None:
    """The names that a list of models gives; None where it is not such a list, or an empty one."""
    try:
        return [one.id for one in _MODELS.validate_json(body).data] or None
    except ValidationError:
        return None


def version(body: bytes) -> str | None:
    """What vLLM says under /version; None for anything else."""
    try:
        return _VERSION.validate_json(body).version
    except ValidationError:
        return None


def complaint(body: bytes) -> str:
    """What an error says, as OpenAI's API wraps it, else the body itself."""
    try:
        return _ERROR.validate_json(body).error.message
    except ValidationError:
        return body.decode(errors="replace")


def refusal(where: str, status: int, said: str) -> PreflightError:
    """An address that answers with an error, and what to do about it.

    Never ``GatesFailed``: nothing is known of the adapter.
    """
    if 300 <= status < 400:
        do = "It sends on to another address, which nobody named. Name that one as url."
    elif status >= 500:
        do = "It fails, and was asked again in vain. See the server's own log, and run again once it answers."
    else:
        do = _DO.get(status, "See what the server's own log says.")
    return PreflightError(f"{where} answered {status}: {shown(said)}. {do} {UNDECIDED}")


def silence(where: str, what: str) -> PreflightError:
    """An address that did not answer, or not in time."""
    return PreflightError(
        f"{where} {what}. See that the server runs and can be reached from here; where it is slow, make "
        f"generation.batch_size smaller, which is how many questions it gets at a time. {UNDECIDED}"
    )


UNDECIDED = "Nothing is known of the adapter in this form, and nothing was published."
_KEY = f"It wants another key. Set {SERVER_KEY} in the environment to one that may ask this model."
_FORM = (
    "It does not take such a question. A server may not know what this form asks for: constraint: json_schema, "
    "model.chat_template_kwargs, or as many tokens as generation.max_new_tokens. Change that, or the server."
)
_DO = {
    400: _FORM,
    401: _KEY,
    403: _KEY,
    404: "There is no such model, or the address is not whole: it ends with /v1 as a rule.",
    422: _FORM,
    429: "It is asked too fast, or too much, and was asked again in vain. Make generation.batch_size smaller, or wait.",
}
