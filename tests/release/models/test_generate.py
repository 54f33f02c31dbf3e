"""Answers are kept and used only as they were written, and each is the answer to its own question."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from gates import Output
from gates.canonical import canonical_json
from release.config import forms, reading
from release.config.settings import Form
from release.data import chat as chats
from release.models import base as bases
from release.models import generate, parts
from release.models.engines.engine import Asked, Prompt
from release.running.container import InImage
from release.running.place import Here
from release.values.artifacts import Adapter, Manifest, sha256_file
from release.values.errors import ConfigError, VerificationError
from tests.helpers.line import small_config
from tests.helpers.small_release import training, write_answers

PROMPTS = [Prompt(id=name, messages=(), text=name, ids=(1,)) for name in "abc"]


def echo(prompts: Sequence[Prompt]) -> Iterator[Output]:
    """Each prompt's own text, the last first."""
    return (Output(id=one.id, output=one.text) for one in reversed(prompts))


def test_answers_stand_in_the_order_of_the_questions_in_whichever_they_come() -> None:
    seen: list[int] = []

    outputs = generate.answer_all(echo, PROMPTS, seen.append)

    assert [(one.id, one.output) for one in outputs] == [("a", "a"), ("b", "b"), ("c", "c")]
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("answered", "why"),
    [
        ("ab", "other rows than it was asked, see row c"),
        ("abcd", "other rows than it was asked, see row d"),
        ("abcb", "answered row b twice"),
    ],
)
def test_an_engine_that_leaves_out_adds_or_repeats_an_answer_is_found_out(answered: str, why: str) -> None:
    with pytest.raises(RuntimeError, match=why):
        generate.answer_all(lambda _: (Output(id=one, output="") for one in answered), PROMPTS, lambda _: None)


def test_an_address_and_vllm_are_asked_from_here_and_every_other_form_where_the_adapter_was_trained(
    tmp_path: Path,
) -> None:
    endpoint = {"engine": "openai", "url": "http://127.0.0.1:1/v1", "model": "m"}
    serving = {"endpoint": endpoint, "plain": {"base": "unquantized"}, "vllm": {"engine": "vllm"}}
    served = forms.all_of(reading.load(small_config(tmp_path, serving=serving)))
    image = InImage(reference="a", image_digest="sha256:0", source="sha256:1", gpu=None, memory_bytes=None)

    assert generate._place(image, served["endpoint"]) == Here(secrets=("OPENAI_API_KEY",))
    other = Here(python="other")
    assert generate._place(other, served["endpoint"]) == Here(python="other", secrets=("OPENAI_API_KEY",))
    assert generate._place(image, served["vllm"]) == Here()
    assert generate._place(image, served["plain"]) is image
    assert generate._place(image, served["trained"]) is image


@pytest.mark.parametrize("name", ["answers.jsonl", "base_answers.jsonl"])
def test_answers_that_somebody_changed_are_not_judged_but_made_again(name: str, tmp_path: Path) -> None:
    """Here that ends at once, for there is no configuration any more to make them by."""
    settings = reading.effective(reading.load(small_config(tmp_path)))
    (tmp_path / "config.yaml").write_bytes(canonical_json(settings))
    write_answers(tmp_path / "answers.jsonl", [{"id": "1", "output": "right"}])
    write_answers(tmp_path / "base_answers.jsonl", [{"id": "1", "output": "right, too"}])
    made = {f"{one}_sha256": sha256_file(tmp_path / f"{one}.jsonl") for one in ("answers", "base_answers")}
    adapter = Adapter(folder=tmp_path, files=Manifest(files=()), training=training())
    record = canonical_json({"adapter_sha256": adapter.files.digest, "loaded": {"device": "cpu"}, **made})
    (tmp_path / "generation.json").write_bytes(record)
    base = bases.Base(folder=tmp_path, base_model_id="a/b", revision=None, origin="", files=adapter.files)
    assert generate.generate(tmp_path, base, adapter, Here(), lambda _: None) == tmp_path

    write_answers(tmp_path / name, [{"id": "1", "output": "no JSON"}])
    (tmp_path / "config.yaml").unlink()

    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
        generate.generate(tmp_path, base, adapter, Here(), lambda _: None)


def test_forms_that_were_answered_before_vllm_had_several_cards_are_the_same_today(tmp_path: Path) -> None:
    before = {**asdict(Form(engine="vllm")), "tensor_parallel_size": None}
    del before["tensor_parallel_size"]

    assert generate._deciding(Form(engine="vllm"), tmp_path) == before
    over_two = generate._deciding(Form(engine="vllm", tensor_parallel_size=2), tmp_path)
    assert over_two == {**before, "tensor_parallel_size": 2}


@pytest.mark.parametrize("fault", ["record missing", "record damaged", "answers missing", "answers changed", "key"])
def test_kept_answers_of_the_base_are_used_only_as_they_were_written(fault: str, tmp_path: Path) -> None:
    record, answers, key = tmp_path / "a.json", tmp_path / "a.jsonl", {"base": "b"}
    answers.write_bytes(b"{}\n")
    record.write_bytes(canonical_json({**key, "answers_sha256": sha256_file(answers)}))
    assert generate._kept_answers(record, answers, key) == b"{}\n"

    match fault:
        case "record missing":
            record.unlink()
        case "record damaged":
            record.write_bytes(b"{")
        case "answers missing":
            answers.unlink()
        case "answers changed":
            answers.write_bytes(b"{ }\n")
        case _:
            key = {"base": "c"}

    assert generate._kept_answers(record, answers, key) is None


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("changed", [False, True])
def test_answers_of_an_adapter_that_changed_meanwhile_prove_nothing(
    changed: bool, tmp_path: Path, base: bases.Base
) -> None:
    """Of golden rows and of tuning rows: whose answers they are is looked at before and after."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "a.safetensors").write_bytes(b"a")
    before, settings = Manifest.of_folder(adapter), reading.load(small_config(tmp_path))
    asked = Asked(
        base=base.folder,
        adapter=adapter,
        chat=chats.read(base.folder, chats.Wanted()),
        settings=settings,
        form=Form(),
        schema=tmp_path,
        exports=tmp_path,
    )
    found = parts.Answered(outputs=[Output(id="a", output="Iron.")], seconds=1.0)
    if changed:
        (adapter / "a.safetensors").write_bytes(b"b")
        with pytest.raises(VerificationError, match="changed while it was answering"):
            generate.keep(tmp_path, found, asked, before)
        return

    facts = generate.keep(tmp_path, found, asked, before)
    record = tmp_path / "generation.json"
    record.write_bytes(canonical_json(facts))
    mine = Adapter(folder=adapter, files=before, training=training())

    assert generate.made_by(mine, record) == facts
    assert facts["answers_sha256"] == sha256_file(tmp_path / "answers.jsonl")
    (adapter / "a.safetensors").write_bytes(b"b")
    with pytest.raises(VerificationError, match="changed between training and generation"):
        generate.made_by(replace(mine, files=Manifest.of_folder(adapter)), record)
