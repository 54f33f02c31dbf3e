"""Answers are kept as they come: a killed stage goes on, and several processes give the bytes of one."""

import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from gates import Output
from gates.canonical import canonical_json
from release.config import reading
from release.config.settings import Form, Generation
from release.models import base as bases
from release.models import built_trainer, generate, parts
from release.models.engines import transformers
from release.models.engines.engine import Answerer, Opened, Prompt, of_run
from release.running import launched, machine
from release.running.place import Here
from release.values import layout
from release.values.artifacts import Adapter, Manifest, sha256_file
from release.values.errors import PreflightError, VerificationError
from release.values.events import Event, Line, Progress, Say
from tests.helpers.line import ROOT, small_config
from tests.helpers.served_model import Body, completion, served_model
from tests.helpers.small_release import training, write_answers
from tests.helpers.tiny_base import SHAPE

PROMPTS = [Prompt(id=str(number), messages=(), text=str(number), ids=(1,) * (number % 5)) for number in range(11)]
BY_LENGTH = partial(transformers.batches, said=Generation(batch_size=3))


def echo(prompts: Sequence[Prompt]) -> Iterator[Output]:
    return (Output(id=one.id, output=f"{one.text}\u2028é") for one in prompts)


def nobody(_: Sequence[Prompt]) -> Iterator[Output]:
    raise AssertionError("nothing is left to answer")


def stops_after(count: int, prompts: Sequence[Prompt]) -> Iterator[Output]:
    for number, output in enumerate(echo(prompts)):
        if number == count:
            raise KeyboardInterrupt
        yield output


def quiet(_: object) -> None:
    """Say nothing."""


def answered(folder: Path, key: dict[str, object], answerer: Any, done: Any = quiet) -> list[tuple[str, str]]:
    found = parts.answered(parts.begun(folder, key, PROMPTS, BY_LENGTH), answerer, done)
    assert found
    return [(one.id, one.output) for one in found.outputs]


def test_what_was_answered_before_a_kill_is_not_asked_again(tmp_path: Path) -> None:
    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        answered(tmp_path, {"a": 1}, partial(stops_after, 7))
    begun = parts.begun(tmp_path, {"a": 1}, PROMPTS, BY_LENGTH)
    assert (begun.there, begun.mine) == (6, (2, 3))  # whole batches are kept

    found = answered(tmp_path, {"a": 1}, echo, seen.append)

    assert found == [(one.id, f"{one.text}\u2028é") for one in PROMPTS]
    assert (seen[0], seen[-1]) == (6, 11)
    assert answered(tmp_path, {"a": 1}, nobody) == found
    parts.forget(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", ["key", "cut", "not JSON's shape", "another row's", "empty"])
def test_what_is_no_answer_to_these_questions_by_this_model_is_answered_anew(fault: str, tmp_path: Path) -> None:
    answered(tmp_path, {"a": 1}, echo)
    begun = parts.begun(tmp_path, {"a": 1}, PROMPTS, BY_LENGTH)
    kept = begun.path(1).read_bytes()
    changed = {
        "cut": kept[:-9],
        "not JSON's shape": b"[1]",
        "another row's": begun.path(0).read_bytes(),
        "empty": b"",
    }
    begun.path(1).write_bytes(changed.get(fault, kept))

    again = parts.begun(tmp_path, {"a": 2 if fault == "key" else 1}, PROMPTS, BY_LENGTH)

    assert again.mine == ((0, 1, 2, 3) if fault == "key" else (1,))
    assert again.there == sum(map(len, again.batches)) - sum(len(again.batches[number]) for number in again.mine)


@given(
    st.lists(st.integers(1, 9), max_size=30), st.integers(1, 8), st.sampled_from(["by_length", "in_order"]), st.data()
)
def test_any_of_the_batches_asked_in_their_order_are_the_same_batches(
    lengths: list[int], size: int, order: Any, data: st.DataObject
) -> None:
    """So whoever answers a batch, it is padded and computed alike."""
    said = Generation(batch_size=size, batches=order)
    prompts = [Prompt(id=str(n), messages=(), text="", ids=(1,) * length) for n, length in enumerate(lengths)]
    whole = transformers.batches(prompts, said)
    chosen = [one for one in whole if data.draw(st.booleans())]

    assert [[*one] for one in transformers.batches([one for batch in chosen for one in batch], said)] == chosen


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_batch_is_one_processes_and_only_the_first_gives_answers(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there are more processes than batches."""
    monkeypatch.setenv(launched.LAUNCHED_BY, "1")
    monkeypatch.setenv(launched.WORLD, str(count))
    shares, found = [], None
    for rank in reversed(range(count)):
        monkeypatch.setenv(launched.RANK, str(rank))
        begun = parts.begun(tmp_path, {}, PROMPTS, BY_LENGTH)
        shares += [number for number in begun.mine if number % count == rank]
        found = parts.answered(begun, echo, quiet)
        assert (found is None) == (rank > 0)

    assert found
    assert [one.id for one in found.outputs] == [one.id for one in PROMPTS]
    assert sorted(shares) == [0, 1, 2, 3]


def test_processes_that_compute_otherwise_are_refused() -> None:
    key = {"loaded": 1, "hardware": {"gpu": "A100"}}
    parts.agree(key)  # one alone
    parts.must_be_alike([key, key])

    with pytest.raises(PreflightError, match=r"hardware is .*A100.* of one and .*H100.* of another"):
        parts.must_be_alike([key, key, {**key, "hardware": {"gpu": "H100"}}])


def test_only_transformers_is_asked_by_several_processes() -> None:
    wanted = Generation(processes=3)

    assert generate.shared(wanted, Form())[0] == machine.at_most(3)
    assert generate.shared(wanted, Form(merged=True))[0] == machine.at_most(3)
    assert generate.shared(Generation(), Form())[0] == 1
    assert {generate.shared(wanted, Form(engine=one))[0] for one in ("llama.cpp", "vllm", "openai")} == {1}


ROWS, SIZE = 20, 2
BASE_WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, base: bases.Base) -> tuple[bases.Base, Path]:
    """A base of random weights in Llama's shape, and an adapter of it as training leaves one."""
    folder = tmp_path_factory.mktemp("tiny")
    adapter, run, unsealed = (folder / name for name in ("adapter", "run", "unsealed"))
    for made in (adapter, run, unsealed):
        made.mkdir()
    drawn, width, wide = np.random.default_rng(0), SHAPE["hidden_size"], SHAPE["intermediate_size"]
    assert isinstance(width, int)
    assert isinstance(wide, int)
    sizes = {
        **dict.fromkeys(("self_attn.q_proj", "self_attn.o_proj"), (width, width)),
        **dict.fromkeys(("self_attn.k_proj", "self_attn.v_proj"), (width // 2, width)),
        **dict.fromkeys(("mlp.gate_proj", "mlp.up_proj"), (wide, width)),
        "mlp.down_proj": (width, wide),
        **dict.fromkeys(("input_layernorm", "post_attention_layernorm"), (width,)),
    }
    layers = {f"model.layers.{number}.{name}.weight": size for number in range(2) for name, size in sizes.items()}
    layers |= {"model.embed_tokens.weight": (SHAPE["vocab_size"], width), "model.norm.weight": (width,)}
    save_file({name: drawn.normal(0, 0.2, size).astype("f4") for name, size in layers.items()}, unsealed / BASE_WEIGHTS)
    known = json.loads((base.folder / "config.json").read_bytes())
    (unsealed / "config.json").write_bytes(canonical_json(known | SHAPE | {"head_dim": width // 4}))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(base.folder / name, unsealed / name)
    bases.seal(unsealed, folder / "base")
    files = Manifest.of_folder(folder / "base")
    sealed = bases.Base(folder=folder / "base", base_model_id="a/tiny", revision="0" * 40, origin="", files=files)
    lora = {
        f"base_model.model.{name.removesuffix('.weight')}.lora_{half}.weight": drawn.normal(0, 0.5, size).astype("f4")
        for name, (out, *inside) in layers.items()
        if name.endswith("q_proj.weight")
        for half, size in (("A", (4, *inside)), ("B", (out, 4)))
    }
    save_file(lora, adapter / layout.WEIGHTS)
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    (adapter / layout.SETTINGS).write_bytes(canonical_json({**settings, "base_model_name_or_path": "a/tiny"}))
    shutil.copyfile(sealed.folder / layout.CHAT_TEMPLATE, run / layout.CHAT_TEMPLATE)
    built_trainer.write_tokenizer(sealed.folder, run, adapter)
    return sealed, adapter


def run_of(
    folder: Path, tiny: tuple[bases.Base, Path], *, processes: int | None, threads: int, **sections: Mapping[str, Any]
) -> tuple[Path, Adapter]:
    """A run folder whose training has ended."""
    run = folder / "run"
    (run / "data").mkdir(parents=True)
    shutil.copytree(tiny[1], run / "adapter")
    asked = {"max_new_tokens": 24, "batch_size": SIZE, **({"processes": processes} if processes else {})}
    lora = {"method": "lora", "quantization": {"load_in_4bit": False}}
    loaded = reading.load(small_config(folder, generation=asked, run={"threads": threads}, adapter=lora, **sections))
    (run / "config.yaml").write_bytes(canonical_json(reading.effective(loaded)))
    lines = (ROOT / "data" / "elements" / "golden.jsonl").read_text("utf-8").splitlines()[:ROWS]
    (run / "data" / "golden.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    schema = run / layout.in_run(layout.ANSWER_SCHEMA)
    schema.parent.mkdir(exist_ok=True)
    shutil.copyfile(ROOT / "data" / "elements" / "answer.schema.json", schema)
    adapter = Adapter(folder=run / "adapter", files=Manifest.of_folder(run / "adapter"), training=training())
    return run, adapter


class InThisProcess(Here):
    """For a form that needs no torch: its stage is a call."""

    def call(self, stage: str, arguments: Sequence[str | Path], *, say: Say, **_: object) -> None:
        assert stage == generate.__name__
        run, base, kept, form = arguments
        generate.run_generation(Path(run), Path(base), Path(kept), str(form), say)


def test_an_address_that_was_mended_is_asked_again(tmp_path: Path, tiny: tuple[bases.Base, Path]) -> None:
    """What it answered while the adapter was not loaded there is nothing to go on from, and what it is it says anew."""
    loaded_there: list[str] = []

    async def as_loaded(body: Body, _: int) -> Body:
        who = "adapter" if body["model"] in loaded_there else "base"
        return completion(f"the {who} says: {body['messages'][-1]['content']}", model=body["model"])

    with served_model(as_loaded) as server:
        form = {"engine": "openai", "url": server.url, "model": "m", "base_model": "base"}
        run, adapter = run_of(tmp_path, tiny, processes=None, threads=1, serving={"address": form})
        ids = [json.loads(line)["id"] for line in (run / "data" / "golden.jsonl").read_text("utf-8").splitlines()]
        for name in ("base_answers", "answers"):
            write_answers(run / f"{name}.jsonl", [{"id": one, "output": name} for one in ids])
        asked = partial(generate.generate, run, tiny[0], adapter, InThisProcess(), quiet, "address")
        with pytest.raises(VerificationError, match="the adapter is not loaded there"):
            asked()
        loaded_there.append("m")

        folder = asked()

    answers = [json.loads(line)["output"] for line in (folder / "answers.jsonl").read_text("utf-8").splitlines()]
    assert {one.partition(":")[0] for one in answers} == {"the adapter says"}
    told = json.loads((folder / "generation.json").read_bytes())
    assert told["loaded"]["server"] == "uvicorn"
    assert not (folder / parts.FOLDER).exists()


@pytest.mark.parametrize("constraint", ["json_schema", "none"])
def test_answers_that_the_schema_constrained_are_made_again_for_another_schema(
    constraint: str, tmp_path: Path, tiny: tuple[bases.Base, Path]
) -> None:
    """A run folder is not named by the schema, which its training does not depend on."""
    with served_model() as server:
        form = {"engine": "openai", "url": server.url, "model": "m", "constraint": constraint}
        run, adapter = run_of(tmp_path, tiny, processes=None, threads=1, serving={"address": form})
        for name in ("base_answers", "answers"):
            write_answers(run / f"{name}.jsonl", [])
        asked = partial(generate.generate, run, tiny[0], adapter, InThisProcess(), quiet, "address")
        asked()
        asked()
        assert len(server.asked) == ROWS  # what is whole is found

        (run / layout.in_run(layout.ANSWER_SCHEMA)).write_bytes(canonical_json({"type": "object", "maxProperties": 3}))
        asked()

    assert len(server.asked) == ROWS * (2 if constraint == "json_schema" else 1)


def test_no_answer_of_an_adapter_that_changed_as_it_was_loaded_is_kept(
    tmp_path: Path, tiny: tuple[bases.Base, Path]
) -> None:
    run, _ = run_of(tmp_path, tiny, processes=None, threads=1)
    config, before = reading.load(run / "config.yaml"), Manifest.of_folder(run / "adapter")
    asked = of_run(run, tiny[0].folder, config, Form())

    def loads_another() -> Answerer:
        (run / "adapter" / layout.WEIGHTS).write_bytes(b"another")
        return echo

    with_another = Opened(loaded={}, alone=None, adapted=loads_another, ran_on=dict)
    with pytest.raises(VerificationError, match="changed while it was answering"):
        generate.adapted(asked, with_another, before)


def test_parts_that_a_kill_left_beside_the_whole_go_with_the_next_start(
    tmp_path: Path, tiny: tuple[bases.Base, Path]
) -> None:
    run, _ = run_of(tmp_path, tiny, processes=None, threads=1)
    asked, kept = of_run(run, tiny[0].folder, reading.load(run / "config.yaml"), Form()), tmp_path / "kept"
    kept.mkdir()
    opened = Opened(loaded={}, alone=echo, adapted=lambda: echo, ran_on=dict, batches=BY_LENGTH)
    first = generate._begun_alone(kept, asked, opened, PROMPTS)
    facts = generate._base_answers(run, first, opened, quiet)
    parts.answered(parts.begun(kept, first.key, PROMPTS, BY_LENGTH), echo, quiet)

    again = generate._base_answers(run, generate._begun_alone(kept, asked, opened, PROMPTS), opened, quiet)

    assert again == {**facts, "base_seconds": 0.0, "base_answers_reused": True}
    assert not list((kept / parts.FOLDER).iterdir())


def kill_one(run: Path, heard: list[Event]) -> Say:
    """Kills the second of two processes once some of the adapter's answers are there."""
    killed: list[int] = []

    def say(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Progress) and event.name == generate.NAME and event.done >= 4 and not killed:
            found = [one for one in Path("/proc").glob("[0-9]*/environ") if f"{run}\0".encode() in read(one, "cmdline")]
            (second,) = [one for one in found if b"\0RANK=1\0" in read(one, "environ")]
            killed.append(int(second.parent.name))
            os.kill(killed[0], signal.SIGKILL)

    return say


def read(path: Path, name: str) -> bytes:
    try:
        return path.with_name(name).read_bytes()
    except OSError:  # it has ended
        return b""


@pytest.mark.slow
def test_two_processes_answer_as_one_does_and_go_on_after_a_kill(tmp_path: Path, tiny: tuple[bases.Base, Path]) -> None:
    base, _ = tiny
    one, adapter = run_of(tmp_path / "one", tiny, processes=None, threads=1)
    generate.generate(one, base, adapter, Here(), quiet)
    two, adapter = run_of(tmp_path / "two", tiny, processes=2, threads=2)
    heard: list[Event] = []
    with pytest.raises(PreflightError, match=r"generate was killed \(SIGKILL\)"):
        generate.generate(two, base, adapter, Here(), kill_one(two, heard))
    assert not (two / "generation.json").exists()
    assert heard[-1] != Progress(name=generate.NAME, done=ROWS, total=ROWS)
    again: list[Event] = []

    generate.generate(two, base, adapter, Here(), again.append)

    for name in ("answers.jsonl", "base_answers.jsonl"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert sha256_file(one / "answers.jsonl") != sha256_file(one / "base_answers.jsonl")
    told = json.loads((two / "generation.json").read_bytes())
    assert (told["processes"], told["hardware"]["threads"], told["base_answers_reused"]) == (2, 1, True)
    assert "processes" not in json.loads((one / "generation.json").read_bytes())
    assert Line(text="  the base's own answers are kept from an earlier attempt") in again
    counts = [event.done for event in again if isinstance(event, Progress) and event.name == generate.NAME]
    assert counts == sorted(counts)
    assert counts[0] >= 4
    assert counts[-1] == ROWS
    assert not (two / parts.FOLDER).exists()
    assert not list((two.parent / generate.BASE_ANSWERS / parts.FOLDER).iterdir())
