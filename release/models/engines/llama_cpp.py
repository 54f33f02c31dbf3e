"""Answers with llama.cpp's own server, in this process: greedily, one prompt's token ids at a time."""

import http.client
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gates import Output
from release.config import forms
from release.data.chat import Chat
from release.models import arithmetic, constrained
from release.models.engines.engine import Answerer, Asked, Opened, Prompt
from release.models.exports import files
from release.running import environment
from release.values import extras
from release.values.artifacts import sha256_file
from release.values.errors import PreflightError, VerificationError

if TYPE_CHECKING:
    from xllamacpp import Server

SLOTS = 1  # several prompts at once are computed by other kernels, and their answers differ in a few rows
HOST = "127.0.0.1"
PATIENCE, PER_TOKEN = 600, 5  # seconds: a processor that is shared was seen to take one and a half for a token
LENIENT = {"x-guidance": {"lenient": True}}  # llguidance otherwise refuses the keywords that it does not know


@contextmanager
def opened(asked: Asked) -> Iterator[Opened]:
    """The files of ``exports`` that this form loads; each answerer has a server of its own, of the size it needs."""
    extras.need("xllamacpp")
    loads = files.loads(asked.form, asked.settings.adapter)
    names = [loads.model, *([loads.lora] if loads.lora else [])]
    if missing := [name for name in names if not (asked.exports / name).exists()]:
        raise VerificationError(
            f"{asked.exports} has no {missing[0]}: it was not made, or was moved away. Run the same again, "
            "which makes it anew."
        )
    yield Opened(
        loaded={
            "base": forms.precision(asked.form, asked.settings.adapter),
            "file_type": asked.form.file_type,
            "merged": asked.form.merged,
            "cache": "F16",
            "files": {name: sha256_file(asked.exports / name) for name in names},
            **_left_out(asked),
        },
        alone=partial(answers, asked, 0.0) if loads.lora else None,
        adapted=partial(_adapted, asked),
        ran_on=ran_on,
    )


def _left_out(asked: Asked) -> Mapping[str, object]:
    """What of the answer schema a constrained form is not held to.

    Asked of llguidance, which this llama.cpp decodes by: of a schema that it cannot compile, the server says so in its
    log and answers without any constraint.
    """
    if asked.form.constraint == "none":
        return {}
    extras.need("llguidance")
    return {"grammar_leaves_out": constrained.grammar_of(asked.schema)[1]}


def _adapted(asked: Asked) -> Answerer:
    return partial(answers, asked, 1.0)


def ran_on() -> Mapping[str, object]:
    """What the other engines say, with llama.cpp's version."""
    from importlib.metadata import version

    surroundings = arithmetic.surroundings()
    return {**surroundings, "versions": {**environment.versions(), "xllamacpp": version("xllamacpp")}}


def answers(asked: Asked, scale: float, prompts: Sequence[Prompt]) -> Iterator[Output]:
    """An answer to each prompt in order, with the adapter at this scale."""
    wanted = asked.settings.generation.max_new_tokens
    with serving(asked, max(len(one.ids) for one in prompts) + wanted) as server:
        for one in prompts:
            if tuple(server.tokens(one.text)) != one.ids:
                raise VerificationError(_other_tokens(one))
            request = {**_request(asked, scale), "prompt": list(one.ids), "n_predict": wanted}
            told = server.ask("/completion", request)
            text, ended = read(asked.chat, told)
            yield Output(id=one.id, output=text, finish_reason="stop" if ended else "length")


def read(chat: Chat, told: Mapping[str, Any]) -> tuple[str, bool]:
    """The answer that somebody who asks llama.cpp is given, and whether it ended.

    It stops at ends that only llama.cpp knows, too, and gives out their text to nobody. With such a one it ends what a
    grammar held: it takes the vocabulary's first, whichever the answers were trained to end with.
    """
    tokens: list[int] = told["tokens"]
    text, ended = chat.judged(tokens)
    if not ended and told["stop_type"] == "eos":
        return chat.judged(tokens[:-1])[0], True
    return text, ended or told["stop_type"] != "limit"


def _other_tokens(prompt: Prompt) -> str:
    return (
        f"llama.cpp reads the prompt of row {prompt.id} as other tokens than those that were trained and judged: its "
        "tokenizer cuts or joins otherwise than the base's tokenizer.json, and whoever sends it the text asks "
        "something else. Take the forms of llama.cpp out of serving, or name another base model."
    )


def _request(asked: Asked, scale: float) -> dict[str, object]:
    """How each prompt is asked: nothing of the server's own defaults that could change a token."""
    held = asked.form.constraint == "json_schema"
    return {
        "temperature": 0,
        "top_k": 1,
        "samplers": ["top_k"],
        "seed": asked.settings.run.seed,
        "cache_prompt": False,
        "return_tokens": True,
        "stream": False,  # in a stream the parts of a character that is several tokens are left out
        **({} if asked.form.merged else {"lora": [{"id": 0, "scale": scale}]}),
        **({"json_schema": {**json.loads(asked.schema.read_bytes()), **LENIENT}} if held else {}),
    }


@contextmanager
def serving(asked: Asked, tokens: int) -> Iterator["Connected"]:
    """llama.cpp's server over the form's files with room for so many tokens, on loopback, with a key of its own."""
    loads, key = files.loads(asked.form, asked.settings.adapter), secrets.token_hex(16)
    model = asked.exports / loads.model
    if (most := context_length(model)) < tokens:
        raise VerificationError(
            f"The longest golden prompt and an answer take {tokens:,} tokens, and llama.cpp has room for {most:,} in "
            f"{model.name}. Lower generation.max_new_tokens, or shorten the prompt."
        )
    lora = asked.exports / loads.lora if loads.lora else None
    server = _started(
        model, lora, context=-(-tokens // files.ROUND) * files.ROUND, threads=asked.settings.run.threads, key=key
    )
    try:
        yield Connected(server, key)
    finally:
        del server  # which ends it, also where an error's traceback would hold it


def context_length(model: Path) -> int:
    """How many tokens the model in a GGUF was made for."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(str(model))
        architecture = reader.get_field("general.architecture")
        assert architecture is not None
        field = reader.get_field(f"{architecture.contents()}.context_length")
    except (ValueError, AssertionError, IndexError) as error:
        raise VerificationError(_not_loaded(model, str(error))) from None
    return int(field.contents()) if field else 1 << 30


def _started(model: Path, lora: Path | None, *, context: int, threads: int | None, key: str) -> "Server":
    import xllamacpp

    said = xllamacpp.CommonParams()
    said.model.path, said.n_ctx, said.n_parallel = str(model), context, SLOTS
    count = environment.threads(threads)
    said.cpuparams.n_threads = said.cpuparams_batch.n_threads = count
    said.hostnames, said.api_keys, said.ui = [HOST], [key], False
    said.cache_ram_mib, said.fit_params, said.warmup = 0, False, False
    if lora:
        said.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(lora), 1.0)]
    try:
        return xllamacpp.Server(said)
    except RuntimeError as error:  # for whatever it is; what it was is in its log, on standard error
        raise VerificationError(_not_loaded(lora or model, str(error))) from None


def _not_loaded(file: Path, why: str) -> str:
    return (
        f"llama.cpp does not load {file.name}: {why}. The end of the log of this stage has its own words. It was "
        "damaged, or this llama.cpp does not know its architecture. Delete the exports folder and run the same again; "
        "or take this form out of serving."
    )


class Connected:
    """A server that runs, spoken to as anybody speaks to llama.cpp's."""

    def __init__(self, server: "Server", key: str) -> None:
        address = urlsplit(server.listening_address)
        self.host, self.port = address.hostname or HOST, address.port
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(self, path: str, request: Mapping[str, object]) -> Mapping[str, Any]:
        """What it says; ``PreflightError`` in its own words where it refuses."""
        limit = PATIENCE + PER_TOKEN * int(str(request.get("n_predict", 0)))
        try:
            with closing(http.client.HTTPConnection(self.host, self.port, timeout=limit)) as connection:
                connection.request("POST", path, json.dumps(request), self.headers)
                with connection.getresponse() as response:
                    said = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise VerificationError(
                f"llama.cpp gave no answer within {limit:,} s, or broke off: {error}. The end of the log of this stage "
                "has its own words. Run the same again, on a machine that does nothing else."
            ) from None
        if response.status != http.HTTPStatus.OK:
            raise PreflightError(f"llama.cpp refuses a request to {path}: {_said(said)}.")
        told: Mapping[str, Any] = json.loads(said)
        return told

    def tokens(self, text: str) -> list[int]:
        """What llama.cpp makes of a text that somebody sends it, special tokens included."""
        told: list[int] = self.ask("/tokenize", {"content": text, "add_special": False, "parse_special": True})[
            "tokens"
        ]
        return told


def _said(body: bytes) -> str:
    """The message of an error."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
