"""A chat template that does not end is ended, and named; one that a row does not fit is refused for that row alone."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from release.data import chat as chats
from release.data import rendering
from release.models import loading
from release.values import clock, reasons
from release.values.errors import DataError, PreflightError
from tests.helpers.line import ROOT
from tests.helpers.stand_in_tokenizer import Tokens, write

pytestmark = pytest.mark.apart

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENS = Tokens(eos="<|im_end|>", pad="<|endoftext|>", special=("<|im_start|>",), ends=("<|im_end|>",))
MANY = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}x"
ENDLESS = {
    "loops in loops": MANY,
    "loops that write": "{% for a in range(99999) %}{% for b in range(99999) %}{{ '' }}{% endfor %}{% endfor %}x",
    "a macro that calls itself": (
        "{% macro again(n) %}{% if n %}{{ again(n - 1) }}{{ again(n - 1) }}{% endif %}{% endmacro %}{{ again(90) }}"
    ),
    "a number of a billion digits": "{{ 9 ** (9 ** 9) % 7 }}",
    "the same, of a number that is not constant": "{% set n = messages|length + 8 %}{{ n ** (n ** n) % 7 }}",
    "a list sorted again and again": "{% for a in range(99999) %}{% set b = range(99999)|sort %}{% endfor %}",
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the clock may ring in a finaliser
@pytest.mark.parametrize("case", ENDLESS)
def test_a_template_that_does_not_end_is_ended(case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 0.3)
    write(tmp_path, TOKENS, ENDLESS[case])
    started = time.process_time()

    with pytest.raises(DataError, match=r"does not end: .* took \d+ seconds of a processor") as refused:
        chats.read(tmp_path)

    assert repr(ENDLESS[case][:40])[1:-1] in str(refused.value)
    assert "model.chat_template" in str(refused.value)
    assert time.process_time() - started < 30


def many(chat: chats.Chat, prompt: chats.Messages) -> None:
    for _ in range(1000):
        chat.example(prompt, "Yes.")


def test_all_conversations_have_one_time_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that takes a while for each of a thousand prompts, and none that is too long by itself."""
    monkeypatch.setattr(rendering, "SECONDS", 1.0)
    monkeypatch.setattr(rendering, "SECONDS_EACH", 0.001)
    loops = "{% for a in range(99) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    slow = f"{{% if messages|length == 2 %}}{loops}{{% endif %}}"
    write(tmp_path, TOKENS, slow + CHATML)
    chat, prompt = chats.read(tmp_path), [{"role": role, "content": "Is it?"} for role in ("system", "user")]
    started = time.process_time()

    with pytest.raises(DataError, match=r"does not end: [0-9,]+ conversations"):
        many(chat, prompt)

    assert time.process_time() - started < 10


def test_conversations_in_turn_have_the_same_time_and_each_is_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four that are written at once, and one that never is, whose clock was wound up before it."""
    monkeypatch.setattr(rendering, "SECONDS", 0.5)
    monkeypatch.setattr(rendering, "SECONDS_EACH", 0.0)
    monkeypatch.setattr(rendering, "AFRESH", 60.0)
    write(tmp_path, TOKENS, f"{{% if messages[0].role == 'system' %}}{MANY}{{% endif %}}" + CHATML)
    chat, prompt = chats.read(tmp_path), [{"role": role, "content": "Is it?"} for role in ("system", "user")]
    done = chat.allowance.done

    def in_turn() -> None:
        with chat.in_turn():
            for asked in (*[chats.PROBE] * 4, prompt):
                assert chat.ask(asked)

    with pytest.raises(DataError, match=r"does not end: [0-9]+ conversations took"):
        in_turn()

    assert chat.allowance.done == done + 4 * 2 + 1  # a prompt is written, and then read
    assert chat.allowance.again is None
    assert signal.getitimer(signal.ITIMER_PROF)[0] == signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0


def test_the_clock_of_conversations_in_turn_is_wound_up_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each takes some time, and all of them more than one alone may take."""
    monkeypatch.setattr(rendering, "AFRESH", 0.1)
    write(tmp_path, TOKENS, "{% for a in range(9) %}{% for b in range(9999) %}{% endfor %}{% endfor %}" + CHATML)
    chat = replace(chats.read(tmp_path), allowance=clock.Allowance(seconds=0.3, each=0.5))
    started = time.process_time()

    with chat.in_turn():
        while time.process_time() - started < 1.5:
            chat.example(chats.PROBE, "Yes.")

    assert chat.allowance.used > 1


def test_of_conversations_in_turn_the_one_that_asks_for_too_much_room_is_refused_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rendering, "MEMORY", 1 << 28)
    write(tmp_path, TOKENS, "{% if messages[0].content == 'Long' %}{{ 'a' * 40000000000 }}{% endif %}" + CHATML)
    chat, before = chats.read(tmp_path), resource.getrlimit(resource.RLIMIT_AS)
    asked = ["Is it?", "Long", "Is it?"]

    with chat.in_turn():
        faults = [chat.example([{"role": "user", "content": one}], "Yes.").fault for one in asked]

    assert [bool(fault) for fault in faults] == [False, True, False]
    assert "memory" in faults[1]
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_what_transformers_renders_has_the_same_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 0.3)
    write(tmp_path, TOKENS, CHATML)
    chat = chats.read(tmp_path)
    told = loading.load_tokenizer(tmp_path, chat)
    told.chat_template = MANY

    with pytest.raises(DataError, match="does not end"):
        loading.asks_otherwise(told, chat, [(chats.PROBE, chat.ask(chats.PROBE))])


def test_an_honest_template_has_time_for_many_conversations(tmp_path: Path) -> None:
    write(tmp_path, TOKENS, CHATML)
    chat = chats.read(tmp_path)

    for _ in range(200):
        assert not chat.example(chats.PROBE, "Yes.").fault

    assert chat.allowance.used < 0.05 * rendering.SECONDS
    assert chat.allowance.done >= 200


def test_a_template_that_refuses_a_row_is_not_one_that_does_not_end() -> None:
    with pytest.raises(PreflightError, match=re.escape("refuses a row: 'no'")):
        rendering.render("{{ raise_exception('no') }}", chats.PROBE, {}, generation_prompt=True)


def test_a_text_in_a_message_is_short() -> None:
    assert rendering.shortened("a" * 1000) == repr("a" * 77 + "...")
    assert rendering.shortened("a\n") == "'a\\n'"


TOO_MUCH = {
    "a text of many gigabytes, constant": "{{ 'a' * 40000000000 }}",
    "the same, computed": "{{ 'a' * (messages|length * 20000000000) }}",
    "a text that is doubled": (
        "{% set one = namespace(x='abcd') %}{% for a in range(40) %}{% set one.x = one.x ~ one.x %}{% endfor %}"
    ),
    "a list that is doubled": (
        "{% set one = namespace(x=[1]) %}{% for a in range(40) %}{% set one.x = one.x + one.x %}{% endfor %}"
    ),
    "many long pieces": "{% for a in range(9999) %}{{ 'a' * (messages|length * 9000000) }}{% endfor %}",
    "a text longer than any conversation": "{{ 'a' * (messages|length * 20000000) }}",
}


@pytest.mark.parametrize("case", TOO_MUCH)
def test_a_template_that_writes_without_measure_is_refused(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "MEMORY", 1 << 28)
    write(tmp_path, TOKENS, TOO_MUCH[case] + CHATML)
    before, size = resource.getrlimit(resource.RLIMIT_AS), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(PreflightError, match=r"memory|Memory|characters"):
        chats.read(tmp_path).text(chats.PROBE, generation_prompt=True)

    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < size + (2 << 20)  # KiB


def test_a_long_conversation_is_written_whole(tmp_path: Path) -> None:
    write(tmp_path, TOKENS, CHATML)
    long = "word " * 500_000

    assert long in chats.read(tmp_path).text([{"role": "user", "content": long}], generation_prompt=True)


MANIFOLD = """
import json, resource, sys
from pathlib import Path
from release.data import chat as chats
folder = Path(sys.argv[1])
path = folder / "tokenizer.json"
replaced = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
rules = {"type": "Sequence", "normalizers": [replaced] * int(sys.argv[2])}
path.write_text(json.dumps({**json.loads(path.read_bytes()), "normalizer": rules}), "utf-8")
print(len(chats.read(folder).ids("a")))
"""


@pytest.mark.parametrize(("rules", "said"), [(3, "1000"), (9, "")])
def test_a_tokenizer_that_writes_a_text_many_times_over_has_no_room_for_it(
    tmp_path: Path, rules: int, said: str
) -> None:
    """In a process of its own, as stages are: the library ends it where it is given no memory."""
    write(tmp_path, TOKENS, CHATML)
    done = subprocess.run(
        [sys.executable, "-c", MANIFOLD, str(tmp_path), str(rules)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "RUST_BACKTRACE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.strip() == said
    assert (done.returncode == 0) == bool(said)
    assert bool(reasons.speaks_of_memory(done.stderr)) == (not said)
