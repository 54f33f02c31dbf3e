"""How a Hub is asked: with which token, within which bounds, and in which words a failure leaves: as a HubError.

huggingface_hub reads HF_ENDPOINT while it is imported: a stage that needs another endpoint is another process.
"""

import errno
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus

import httpx2
from huggingface_hub import HfApi, constants, get_token, set_client_factory
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, OIDCError
from huggingface_hub.utils._http import default_client_factory

from release.hub import advice, wire
from release.hub.wire import TIMEOUT, Question
from release.values.errors import HubError

ADVICE_BY_KIND: tuple[tuple[type[Exception], str], ...] = (
    (OfflineModeIsEnabled, "HF_HUB_OFFLINE forbids every request. Unset it and run again."),
    (httpx2.TimeoutException, f"No byte for {TIMEOUT:g} s. Run again, or set ADAPTER_RELEASE_HUB_TIMEOUT to more."),
    (httpx2.TransportError, advice.UNREACHABLE),
    (ConnectionError, advice.UNREACHABLE),
    (ValueError, "The Hub and this client disagree on a value. The message above names it: correct it and run again."),
)

FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, OSError, RuntimeError, ValueError, OIDCError)
"""All that huggingface_hub and the libraries under it raise for a Hub that refuses, fails or cannot be reached."""
SHAPES = (LookupError, TypeError, AttributeError, RecursionError)
"""What they raise for an answer of another shape: they look into it without looking at it."""
WANTS_A_TOKEN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
"""How a Hub answers who may not see something."""
SHORT = 8
"""Characters of a part of a secret that is left out of messages by itself."""
_open_only: ContextVar[bool] = ContextVar("_open_only", default=False)


class Refused(HubError):
    """A Hub's answer that is a refusal."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def endpoint() -> str:
    """The Hub that this process speaks to."""
    return str(constants.ENDPOINT)


def keyless() -> bool:
    """Whether this process asks the Hub for its own token (HF_OIDC_RESOURCE): it writes to one existing repository."""
    return bool(os.environ.get("HF_OIDC_RESOURCE"))


def redact(text: str) -> str:
    """``text`` without tokens and without the signatures of upload addresses."""
    for name in ("HF_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "HF_OIDC_ID_TOKEN"):
        secret = os.environ.get(name, "")
        parts = [part for part in secret.split() if len(part) >= SHORT]  # libraries quote a line end in it as \\n
        for one in filter(None, [secret, *parts]):
            text = text.replace(one, "hf_REDACTED")
    # a token of the Hub, those of a keyless exchange (hf_jwt_...) among them; a bare JWT, as CI providers sign them
    text = re.sub(r"hf_\w{20,}(\.[\w-]+)*|\beyJ[\w-]{8,}(\.[\w-]+)+", "hf_REDACTED", text)
    return re.sub(r"([?&](?:sig|X-Amz-[\w-]+)=)[^&\s\"']+", r"\1REDACTED", text)


def redact_record(record: logging.LogRecord) -> bool:
    """A logging filter that lets every record through, redacted."""
    record.msg, record.args = redact(record.getMessage()), ()
    return True


def api(*, must_write: bool = False) -> HfApi:
    """A client with the token of the environment, never that of a file; keyless CI makes its own (HF_OIDC_RESOURCE)."""
    token = usable_token()
    if must_write and not token:
        raise HubError(advice.ANONYMOUS.format(endpoint=endpoint()))
    return HfApi(token=token or False)


def has_token() -> bool:
    """Whether there is a token to read with."""
    return keyless() or bool(os.environ.get("HF_TOKEN"))


def usable_token() -> str | None:
    if _open_only.get():
        return None
    return _keyless_token() if keyless() else os.environ.get("HF_TOKEN")


@contextmanager
def without_token() -> Iterator[None]:
    """Ask as anybody: the token stays here while the block lasts."""
    before = _open_only.set(True)
    try:
        yield
    finally:
        _open_only.reset(before)


def _keyless_token() -> str:
    """A token that the Hub gives this CI job for one repository; requested again when it is about to end."""
    try:
        return get_token() or ""
    except (*FAILURES, KeyError, TypeError) as error:
        resource = redact(os.environ["HF_OIDC_RESOURCE"])
        raise HubError(
            f"No keyless token for {resource} could be had from {endpoint()}: {redact(_said(error))}\n"
            f"{advice.KEYLESS_ADVICE}"
        ) from None


@contextmanager
def asking(what: str, *, files: int = 0, number: int = 0, listing: int = 0) -> Iterator[None]:
    """Turn whatever goes wrong meanwhile into a ``HubError``.

    ``files``: bytes of the files that may come or go, and their ``number``; ``listing``: bytes of a long answer.
    """
    most = wire.LARGEST + listing + 2 * files  # a file comes again where a connection ends and a Hub sends no parts
    requests = wire.REQUESTS + 10 * number
    with _failing(Question(what=what, endpoint=endpoint(), bytes=most, files=files, requests=requests)):
        yield


@contextmanager
def listening(what: str, most: int) -> Iterator[None]:
    """The same for an answer of at most so many bytes that lasts as long as what it tells of."""
    with _failing(Question(what=what, endpoint=endpoint(), bytes=most, requests=most, lasting=True)):
        yield


@contextmanager
def _failing(question: Question) -> Iterator[None]:
    what = question.what
    try:
        with wire.asking(question):
            yield
    except SHAPES as error:
        raise HubError(redact(f"{what} failed at {endpoint()}: {_said(error)}\n{advice.NOT_A_HUB}")) from None
    except FAILURES as error:
        says = redact(f"{what} failed at {endpoint()}: {_said(error)}\n{_advice(error)}")
        status = next((one.response.status_code for one in _chain(error) if isinstance(one, HfHubHTTPError)), None)
        raise (HubError(says) if status is None else Refused(says, status)) from None


def _said(error: BaseException) -> str:
    """The error's own words on one line, with its kind, and without the advice that huggingface_hub adds."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "For more" not in line]
    return f"{type(error).__name__}: {' '.join(lines[:4])}"


def _advice(error: BaseException) -> str:
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, GatedRepoError):
            return advice.GATED.format(endpoint=endpoint())
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            other = advice.SERVER_FAULT if status >= HTTPStatus.INTERNAL_SERVER_ERROR else advice.REFUSED
            return advice.ADVICE.get(status, other).format(endpoint=endpoint())
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return "This machine's disk is full. Free space (or point TMPDIR elsewhere) and run again."
    known = (says for kind, says in ADVICE_BY_KIND for cause in causes if isinstance(cause, kind))
    return next(known, advice.SERVER_FAULT)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _client() -> httpx2.Client:
    return wire.bounded(default_client_factory(), endpoint())


set_client_factory(_client)
logging.getLogger("httpx2").addFilter(redact_record)
for _handler in logging.getLogger("huggingface_hub").handlers:
    _handler.addFilter(redact_record)
