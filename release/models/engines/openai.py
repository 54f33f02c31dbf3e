"""Answers over HTTP from whatever speaks OpenAI's API at an address: a model that somebody serves, no bytes of ours.

It is asked by messages, so that what is judged is the served chat template and ends too. An answer that is not whole,
or that another model gave in the middle, is an error and never an answer.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gates import Output
from release.config.settings import Config, Form
from release.hub.address import LOOPBACK
from release.models.engines import completion
from release.models.engines.engine import Asked, Opened, Prompt
from release.running import child, environment
from release.values.errors import PreflightError, shown

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

NO_LIST = (400, 404, 405, 501)  # no list of models there, which many addresses do not have
NOT_JUDGED = "none were judged: an address answered"
ASKED_BY = "messages: the chat template and what ends an answer are the server's"
NO_KEY = "none"  # the client does not start without one; a server that wants no key reads none


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long an address may take, in seconds."""

    attempt: float = 600
    """One try at an answer: a busy server keeps a question waiting while it answers those before."""
    answer: float = 1200
    """All tries at it, with the waits between that the server asks for (the client follows up to two minutes)."""
    whole: float = 6 * 3600
    """All answers."""
    retries: int = 5
    """After 408, 409, 429, 5xx and broken connections, with waits of half a second to eight seconds."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where is asked, with what opens it."""

    url: str
    key: str = field(repr=False)
    """Empty where the environment has none."""
    is_here: bool
    """Whether it is this machine itself."""
    patience: Patience


@dataclass(frozen=True, kw_only=True)
class Asking:
    """One model at an address, and what goes with every question to it."""

    address: Address
    model: str
    more: Mapping[str, object]
    at_a_time: int
    told: dict[str, object]
    """Gets what the first answer says of the model; those that follow must say the same."""

    @property
    def where(self) -> str:
        return f"{self.address.url}, model {self.model},"


@contextmanager
def opened(asked: Asked, patience: Patience = Patience()) -> Iterator[Opened]:
    """The address, once it was seen to serve the models that the form names."""
    form = asked.form
    served = ready(form, asked.settings, asked.chat.arguments, asked.schema, patience)
    yield Opened(
        loaded=served.told,  # the first answer adds what it says of itself
        alone=partial(answers, replace(served, model=form.base_model, told={})) if form.base_model else None,
        adapted=lambda: partial(answers, served),
        ran_on=_ran_on,
    )


def ready(
    form: Form, settings: Config, arguments: Mapping[str, object], schema: Path, patience: Patience = Patience()
) -> Asking:
    """What goes with every question to the address of a form, once it was seen to serve the models that it names."""
    assert form.url  # with this engine `reading` asks for both
    assert form.model
    address = address_of(form.url, patience)
    loaded: dict[str, object] = {"url": address.url, "model": form.model, "bytes": NOT_JUDGED, "asked_by": ASKED_BY}
    loaded |= asyncio.run(_look(address, [name for name in (form.model, form.base_model) if name]))
    return Asking(
        address=address,
        model=form.model,
        more=_more(form, settings, arguments, schema),
        at_a_time=settings.generation.batch_size,
        told=loaded,
    )


def address_of(url: str, patience: Patience) -> Address:
    """The address with the key of the environment; ``PreflightError`` where that would be readable on the way."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise PreflightError(f"{url} is not an address: {error}. Write it as http://127.0.0.1:8000/v1.") from None
    key, is_here = os.environ.get(child.SERVER_KEY, "").strip(), parts.hostname in LOOPBACK
    if not (key.isascii() and key.isprintable()):
        raise PreflightError(
            f"{child.SERVER_KEY} holds a character that no key has, such as a line break. Nothing was sent. Set "
            "it again."
        )
    if key and not is_here and parts.scheme == "http":
        raise PreflightError(
            f"{url} is not encrypted and not on this machine, and {child.SERVER_KEY} is set: the key would be readable "
            f"on the way. Nothing was sent. Use https://, or unset {child.SERVER_KEY} if no key is needed there."
        )
    return Address(url=url.rstrip("/"), key=key, is_here=is_here, patience=patience)


def _ran_on() -> Mapping[str, object]:
    """Of this machine: what the answers ran on, nobody can know."""
    versions = {**environment.versions(), "openai": metadata.version("openai")}
    return {"versions": versions, "packages": environment.packages()}


def answers(asking: Asking, prompts: Sequence[Prompt]) -> Iterator[Output]:
    """The answers of a served model, each as soon as it is there."""
    outputs = _outputs(asking, prompts)

    async def following() -> Output | None:
        return await anext(outputs, None)

    with asyncio.Runner() as runner:  # Ctrl-C ends what is in flight
        try:
            while (output := runner.run(following())) is not None:
                yield output
        finally:
            runner.run(outputs.aclose())


async def _outputs(asking: Asking, prompts: Sequence[Prompt]) -> AsyncGenerator[Output, None]:
    gate, limit = asyncio.Semaphore(asking.at_a_time), asking.address.patience.whole
    async with _client(asking.address) as client:
        tasks = [asyncio.create_task(_output(client, asking, prompt, gate)) for prompt in prompts]
        try:
            for task in asyncio.as_completed(tasks, timeout=limit):
                yield await task
        except TimeoutError:
            done = f"gave {sum(task.done() for task in tasks)} of {len(tasks)} answers in {limit:,g} s"
            raise completion.silence(asking.address.url, done) from None
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _said(response: "httpx2.Response") -> str:
    """Headers and texts as whoever reads them gets them, whatever way they are written."""
    try:
        body = json.dumps(json.loads(response.content), ensure_ascii=False)
    except ValueError:
        body = ""
    return "\n".join([body, *response.headers.values()])


async def _output(client: "AsyncOpenAI", asking: Asking, prompt: Prompt, gate: asyncio.Semaphore) -> Output:
    messages = [dict(message) for message in prompt.messages]
    async with gate:
        response = await _send(client, asking.address, {"model": asking.model, "messages": messages, **asking.more})
    said = completion.read(response.content, asking.where)
    completion.keep_to(asking.told, said, asking.where)
    asking.told.setdefault("server", response.headers.get("server"))
    return completion.output(prompt.id, said, asking.where)


def _more(form: Form, settings: Config, arguments: Mapping[str, object], schema: Path) -> dict[str, object]:
    """What is asked for with every question. Arguments and a constraint are left out where there are none.

    So an address that does not know them can be asked without. What ends an answer is not said: a server that stops
    elsewhere than the adapter was trained to is what is to be found out.
    """
    more: dict[str, object] = {
        "temperature": 0,
        "max_tokens": settings.generation.max_new_tokens,
        "seed": settings.run.seed,
    }
    if arguments:
        more["chat_template_kwargs"] = dict(arguments)
    if form.constraint == "json_schema":
        named = {"name": "answer", "strict": True, "schema": json.loads(schema.read_bytes())}
        more["response_format"] = {"type": "json_schema", "json_schema": named}
    return more


async def _look(address: Address, wanted: Sequence[str]) -> dict[str, object]:
    """What the address says of itself before it is asked anything; ``PreflightError`` where it lacks a model."""
    async with _client(address) as client:
        listed = completion.models((await _send(client, address, None)).content)
    if lacking := [name for name in wanted if listed is not None and name not in listed]:
        raise PreflightError(
            f"{address.url} does not serve {shown(lacking[0])}: it lists {', '.join(map(shown, listed or []))}. "
            "Nothing was asked. Write one of these as model (base_model: the base without the adapter), or load the "
            "adapter there under that name."
        )
    return {"server_version": await _version(address)}


async def _version(address: Address) -> str | None:
    """As vLLM tells it, beside /v1 and to anybody."""
    import httpx2

    async with _http(address) as http:
        try:
            answer = await http.get(f"{address.url.removesuffix('/v1')}/version", timeout=10)
        except httpx2.HTTPError:
            return None
    return completion.version(_kept(address, answer).content) if answer.is_success else None


def _http(address: Address) -> "httpx2.AsyncClient":
    """No redirect is followed: another address would answer. No proxy stands before this machine itself."""
    import httpx2

    return httpx2.AsyncClient(follow_redirects=False, trust_env=not address.is_here)


def _client(address: Address) -> "AsyncOpenAI":
    from openai import AsyncOpenAI

    return AsyncOpenAI(
        base_url=address.url,
        api_key=address.key or NO_KEY,
        timeout=address.patience.attempt,
        max_retries=address.patience.retries,
        http_client=_http(address),
    )


async def _send(client: "AsyncOpenAI", address: Address, body: dict[str, object] | None) -> "httpx2.Response":
    """What the address answers to a question, or to being asked for its models; a ``Stop`` that says why not."""
    import httpx2
    from openai import APIConnectionError, APIStatusError

    try:
        async with asyncio.timeout(address.patience.answer):
            if body is None:
                response = await client.get("/models", cast_to=httpx2.Response)
            else:
                response = await client.post("/chat/completions", cast_to=httpx2.Response, body=body)
    except APIStatusError as error:
        if body is None and error.status_code in NO_LIST:
            return _kept(address, error.response)
        said = completion.complaint(error.response.content).replace(address.key or NO_KEY, "***")
        raise completion.refusal(address.url, error.status_code, said) from None
    except TimeoutError:
        raise completion.silence(address.url, f"did not answer within {address.patience.answer:,g} s") from None
    except (APIConnectionError, httpx2.HTTPError) as error:
        raise completion.silence(address.url, f"gave no answer: {error} {error.__cause__ or ''}".rstrip()) from None
    return _kept(address, response)


def _kept(address: Address, response: "httpx2.Response") -> "httpx2.Response":
    """An answer that can be kept and shown: the key is not in it."""
    if address.key and (address.key in response.text or address.key in _said(response)):
        raise PreflightError(
            f"{address.url} sent back the key that it was given, so its answers cannot be kept. Replace the key, and "
            "look at what answers there."
        )
    return response
