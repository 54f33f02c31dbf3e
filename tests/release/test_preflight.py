"""What would fail later is found first: each fault with what to do, all of them at once, in seconds."""

import json
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import schemas
from release import inputs, pilot, pipeline, preflight
from release.config import reading
from release.config.settings import Config
from release.data import chat as chats
from release.data import chat_faults, sources
from release.data.dataset import measured
from release.hub import address
from release.models import base as bases
from release.planning import disk
from release.planning.item import Item
from release.running import container, environment, machine
from release.values import licences
from release.values.errors import PreflightError
from release.values.events import Event
from tests.helpers.cards import ADA_LINE, TURING_LINE, machine_with
from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import ROOT, small_config
from tests.release.models.test_base import CARD, put, weights
from tests.release.models.test_base import REPO as TINY

DATASETS = ROOT / "tests" / "data" / "dataset"
LOOKED_AT = {"driver", "signature", "engines", "forms", "budget", "gates", "disk", "base model", "LoRA targets",
             "chat template", "generation markers", "licence", "memory"}  # fmt: skip


def quiet(_: Event) -> None:
    """Say nothing."""


def loaded(folder: Path, **overrides: str) -> Config:
    """The default configuration with its output in ``folder``."""
    values = {key.replace("__", "."): value for key, value in overrides.items()}
    return reading.load(small_config(folder), {"run.output_dir": str(folder / "runs"), **values})


def given(config: Config) -> inputs.Inputs:
    return inputs.load(config, quiet)


def test_a_disk_that_is_too_small_is_said_with_what_goes_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LOGS", 1 << 60)
    (item,) = (one for one in preflight.look(given(loaded(tmp_path)), quiet) if one.name == "disk")
    assert item.state == "problem"
    for part in (
        "GiB free",
        "In GiB: logs 1073741824.00, adapter 0.0",
        "checkpoints 0.",
        "its download, to be checked",
    ):
        assert part in item.says


def chat_of(folder: Path, config: Config) -> chats.Chat | inputs.Unread:
    """The chat in a folder, asked as the configuration says."""
    try:
        return chats.read(folder, inputs.wanted_chat(config))
    except PreflightError as why:
        return inputs.Unread(why=why)


def problems(items: list[Item]) -> str:
    return "\n".join(item.says for item in items if item.state == "problem")


def template_problems(folder: Path, overrides: dict[str, str] | None = None) -> str:
    """What is wrong with the chat template in a folder, where no rows can be read."""
    mine = reading.load(ROOT / "release.yaml", overrides or {})
    return problems(preflight._chat_items(chat_of(folder, mine), None))


@pytest.fixture
def base_copy(base: bases.Base, tmp_path: Path) -> Path:
    """The base model's small files, to break, and the headers of its weights."""
    folder = tmp_path / "base"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(base.folder / name, folder / name)
    return folder


@pytest.mark.usefixtures("base")
def test_the_default_has_no_problem_and_takes_seconds(tmp_path: Path) -> None:
    started = time.process_time()
    items = preflight.look(given(loaded(tmp_path)), quiet)

    assert {item.name for item in items} == LOOKED_AT
    assert [item for item in items if item.state != "ok" and item.name != "memory"] == []  # a small machine may lack it
    assert time.process_time() - started < 10


@pytest.mark.usefixtures("base")
def test_ligers_kernels_are_refused_without_a_card_before_anything_is_loaded(tmp_path: Path) -> None:
    items = preflight.look(given(loaded(tmp_path, training__use_liger_kernel="true")), quiet)

    (item,) = (one for one in items if one.name == "liger")
    assert item.state == "problem"
    assert "run on a card alone" in item.says


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(("asked", "told"), [("sdpa", ""), ("flash_attention_2", "runs on a card alone")])
def test_attention_that_cannot_work_here_is_refused_before_anything_is_loaded(
    asked: str, told: str, tmp_path: Path
) -> None:
    items = preflight.look(given(loaded(tmp_path, model__attn_implementation=asked)), quiet)

    (item,) = (one for one in items if one.name == "attention")
    assert item.state == ("problem" if told else "ok")
    assert told in item.says


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("there", "state", "told"),
    [
        ((), "ok", "no card is used"),
        ((ADA_LINE, ADA_LINE.replace("1111", "1112", 1)), "ok", "auto, over 2 cards"),
        ((ADA_LINE, TURING_LINE.replace("7.5", "8.6")), "problem", "here are NVIDIA GeForce RTX 4090, Tesla T4"),
    ],
)
def test_the_cards_that_layers_are_put_on_are_of_one_kind(
    there: tuple[str, ...], state: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        machine_with(tmp_path, monkeypatch, *there)
    items = preflight.look(given(loaded(tmp_path, generation__device_map="auto")), quiet)

    (item,) = (one for one in items if one.name == "device map")
    assert item.state == state
    assert told in item.says


@pytest.mark.parametrize(
    ("image", "inside", "told"),
    [
        (None, "", "the container image does not have that"),
        ("registry.example/image@sha256:" + "0" * 64, "", "asked as it runs"),
        (None, "sha256:" + "0" * 64, "is not installed"),
    ],
)
def test_kernels_of_a_card_are_looked_for_where_the_stages_will_run(
    image: str | None, inside: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the image of this checkout there are none; in one of the user's own nobody knows; inside one they are here."""
    monkeypatch.setenv(environment.IMAGE, inside)
    monkeypatch.setattr(container, "absent", lambda: "")
    both = {"model__attn_implementation": "flash_attention_2", "training__use_liger_kernel": "true"}
    config = loaded(tmp_path, **both, **({"container__image": image} if image else {}))

    items = preflight._speed_items(config, cuda=True)

    assert [one.name for one in items] == ["attention", "liger"]
    assert all(told.removesuffix(" that") in one.says for one in items)
    assert {one.state for one in items} == {"not checked" if image else "problem"}


@pytest.mark.usefixtures("base")
def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    faulty = loaded(
        tmp_path,
        adapter__lora__target_modules="[q_proj, wi_0]",
        publishing__license="free-for-all",
        data__golden_file=str(DATASETS / "golden_too_small" / "golden.jsonl"),
        budget__limit="1",
        budget__price_per_hour="1",
    )
    faulty.run.output_dir.mkdir(parents=True)
    spent = {"run": "r", "attempt": "1", "seconds": 7200, "price_per_hour": 1, "currency": "USD"}
    (faulty.run.output_dir / "spent.jsonl").write_text(json.dumps(spent) + "\n", "utf-8")
    said = problems(preflight.look(given(faulty), quiet))

    assert "target_modules names wi_0, which no module of the base model is called" in said
    assert "`target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]`" in said
    assert "publishing.license is 'free-for-all'" in said.lower()
    assert "so no adapter could pass it. Add" in said
    assert "The budget is spent: 2.00 of 1.00 USD" in said


@pytest.mark.parametrize(
    ("budget", "card", "state", "says"),
    [
        ({"limit": "25"}, "", "problem", "budget.limit is 25 USD, but nobody named what an hour of this machine costs"),
        ({"alerts": "[5 USD]"}, "", "problem", "budget.alerts names 5 USD, which would never be told"),
        ({"limit": "25", "price_per_hour": "2"}, "", "ok", "an hour of this machine is 2 USD (budget.price_per_hour)"),
        ({"limit": "25"}, ADA_LINE, "ok", "is 0.34 USD (the list price of RTX 4090 in prices.json)"),
        ({"hours": "3"}, "", "ok", "3 hours of training in all"),
        ({}, "", "ok", "no limit"),
    ],
)
def test_a_budget_of_money_needs_a_price_before_anything_is_fetched(
    budget: dict[str, str], card: str, state: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if card:
        machine_with(tmp_path, monkeypatch, card)

    (item,) = preflight._budget_items(loaded(tmp_path, **{f"budget__{name}": one for name, one in budget.items()}))

    assert (item.name, item.state) == ("budget", state)
    assert says in item.says
    assert state == "ok" or "Set budget.price_per_hour" in item.says


def test_where_nothing_is_trained_a_budget_needs_no_price(tmp_path: Path) -> None:
    config = loaded(tmp_path, budget__limit="25")
    (item,) = preflight._budget_items(replace(config, adapter=replace(config.adapter, method="imported")))

    assert (item.state, item.says) == ("ok", "25.00 USD are not spent yet")


def test_a_base_on_the_hub_is_judged_before_its_weights_are_fetched(
    base: bases.Base, away: EmbeddedHub, tmp_path: Path
) -> None:
    """Another licence, other modules, no chat template: told at once, from its small files and its headers."""
    files = {"tokenizer.json": (base.folder / "tokenizer.json").read_bytes(), "config.json": b'{"model_type": "gpt2"}'}
    files |= {"tokenizer_config.json": b'{"eos_token": "<|im_end|>"}', "README.md": CARD}
    commit = put(away, tmp_path / "files", **files, **{"model.safetensors": weights("h.0.attn.c_attn.weight")})
    hub_base = {"model.source": "hub", "model.base_model_id": TINY, "model.revision": commit}
    said = problems(preflight.look(given(reading.load(small_config(tmp_path), hub_base)), quiet))

    assert "names q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj" in said
    assert "`target_modules: [c_attn, c_proj, c_fc]`" in said
    assert "has no chat template" in said
    assert "the base model's licence is 'llama3.1', publishing.license is 'apache-2.0'" in said
    assert not (bases.folder_of(reading.load(small_config(tmp_path), hub_base).model)).exists()


def test_a_base_that_is_nowhere_is_one_problem_beside_the_others(away: EmbeddedHub, tmp_path: Path) -> None:
    nowhere = {"model.source": "hub", "model.base_model_id": "nobody/nothing", "model.revision": "0" * 40}
    few = {
        "publishing.license": "free-for-all",
        "data.golden_file": str(DATASETS / "golden_too_small" / "golden.jsonl"),
    }
    items = preflight.look(given(reading.load(small_config(tmp_path), nowhere | few)), quiet)

    assert "repository or revision does not exist" in problems(items)
    assert away.endpoint in problems(items)
    assert "publishing.license is 'free-for-all', not one of the Hub's licence names" in problems(items)
    assert "so no adapter could pass it. Add" in problems(items)
    assert [item.name for item in items if item.state == "not checked"] == [
        "LoRA target names, chat template, the base model's licence, memory"
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("{{ m.content }}<|im_end|>", "none, and none are needed"),
        ("{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}", "they mark 'Yes.<|im_end|>', as is learned"),
        ("{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>", "'Yes.', but 'Yes.<|im_end|>' is learned"),
    ],
)
def test_generation_markers_are_told_beside_what_is_learned(base_copy: Path, answer: str, said: str) -> None:
    template = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% else %}ANSWER{% endif %}{% endfor %}"
    (base_copy / "chat_template.jinja").write_text(template.replace("ANSWER", answer), "utf-8")

    assert said in chat_faults.markers(chats.read(base_copy))
    assert template_problems(base_copy) == ""


@pytest.mark.usefixtures("base")
def test_doctor_tells_everything_it_looked_at_and_the_data_gates_verdict(tmp_path: Path) -> None:
    said: list[str] = []
    faulty = loaded(tmp_path, data__train_file=str(DATASETS / "answer_is_a_stub" / "train.jsonl"))
    with (
        address.parse(faulty.publishing.endpoint, tmp_path).opened() as hub,
        pytest.raises(PreflightError, match=r"The data gate found \d errors"),
    ):
        preflight.doctor(given(faulty), hub, lambda event: said.append(str(event)))

    assert "local/elements may be written to, v0.1.0 is free" in "\n".join(said)
    assert "chat template: asks as it was trained" in "\n".join(said)
    assert not [line for line in said if "not checked" in line]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ messages[0].content }}", "without the end-of-sequence token"),
        (
            "{{ add_generation_prompt }}{% for m in messages %}{{ m.content }}{% endfor %}<|im_end|>",
            "otherwise before an answer",
        ),
        (
            "<|im_start|><|im_start|>{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}",
            "doubled beginning-of-sequence",
        ),
        ("{{ raise_exception('only one turn') }}", "refuses a row: 'only one turn'. Bring a template"),
        ("{% for m in messages %}", "cannot be read: line 1: Unexpected end of template"),
    ],
)
def test_a_chat_template_that_teaches_something_else_is_refused(base_copy: Path, template: str, said: str) -> None:
    (base_copy / "chat_template.jinja").write_text(template, "utf-8")

    assert said in template_problems(base_copy)


def test_a_base_without_a_chat_template_is_refused_and_works_with_one_that_is_brought(base_copy: Path) -> None:
    own = base_copy.parent / "mine.jinja"
    (base_copy / "chat_template.jinja").rename(own)

    problem = template_problems(base_copy)
    assert "has no chat template. Use an instruction-tuned base" in problem
    assert "set model.chat_template to a file" in problem
    assert template_problems(base_copy, {"model.chat_template": str(own)}) == ""


def test_the_template_of_the_default_base_is_sound(base: bases.Base) -> None:
    assert template_problems(base.folder) == ""


def test_a_template_is_judged_by_the_users_own_rows_and_each_kind_of_fault_is_told_once(base_copy: Path) -> None:
    """One that takes no system message; the default dataset has one in every row."""
    refuse = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    template = (base_copy / "chat_template.jinja").read_text("utf-8")
    (base_copy / "chat_template.jinja").write_text(refuse + template, "utf-8")
    mine = loaded(base_copy.parent)
    chat = inputs.there(chat_of(base_copy, mine))
    train, golden = (measured(one, chat, quiet) for one in sources.load(mine, quiet) if one)
    said = problems(preflight._chat_items(chat, inputs.Rows(train=train, golden=golden)))

    assert said.startswith(f"row {train.rows[0].id} and 739 more: The base model's chat template refuses a row")
    assert len(said.splitlines()) == 1
    assert "--system-to-user" in said
    assert template_problems(base_copy) == ""


def test_the_modules_of_a_base_are_read_from_its_headers(base: bases.Base) -> None:
    assert "model.layers.29.mlp.down_proj" in bases.weight_modules(base.folder)


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("named", "driver", "memory"),
    [
        (None, ("ok", "NVIDIA GeForce RTX 4090, driver 580.65.06: only card 0 of the 2 is used"), "23.5 GiB free"),
        ("1", ("problem", "Tesla T4 has compute capability 7.5"), "Tesla T4 has 14.7 GiB free"),
        ("MIG-9a8b", ("ok", "MIG-9a8b, a part of a card"), "nvidia-smi does not say how much MIG-9a8b has free"),
        ("", ("ok", "hides every card, so a CPU run"), "GiB of memory are available"),
        ("2", ("problem", "'2' is no card of this machine"), "GiB of memory are available"),
    ],
)
def test_preflight_measures_the_card_that_is_used_and_refuses_one_without_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, driver: tuple[str, str], memory: str
) -> None:
    machine_with(tmp_path, monkeypatch, ADA_LINE, TURING_LINE)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    if named is not None:
        monkeypatch.setenv(machine.VISIBLE, named)

    items = {item.name: item for item in preflight.look(given(loaded(tmp_path)), quiet)}

    assert items["driver"].state == driver[0]
    assert driver[1] in items["driver"].says
    assert memory in items["memory"].says
    assert (items["memory"].state == "not checked") == (named == "MIG-9a8b")


@pytest.mark.parametrize(
    ("base_licence", "adapter", "said"),
    [
        ("apache-2.0", "mit", ""),
        ("apache-2.0", "gpl-3.0", ""),
        (None, "apache-2.0", ""),
        ("llama3.1", "llama3.1", ""),
        ("llama3.1", "apache-2.0", "Write 'llama3.1'"),
        ("gemma", "mit", "terms go with"),
        ("gpl-3.0", "mit", "terms go with"),
        ("cc-by-nc-4.0", "apache-2.0", "non-commercial use only"),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", ""),
        ("cc-by-nd-4.0", "cc-by-nd-4.0", "no derivatives"),
        ("somebodys-own", "mit", "terms go with"),
        ("mit", "Apache 2.0", "not one of the Hub's licence names"),
    ],
)
def test_a_licence_goes_with_what_is_made_of_the_base(base_licence: str | None, adapter: str, said: str) -> None:
    problem = licences.problem(base_licence, adapter)

    assert said in problem
    assert bool(problem) == bool(said)


def test_no_licence_is_of_two_kinds() -> None:
    names = [name for kind in schemas.load("licence")["oneOf"] for name in kind["enum"]]

    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert len(names) > 60


def test_a_pilot_is_ten_rows_of_both_kinds_into_a_hub_of_its_own(tmp_path: Path) -> None:
    small = pilot.prepare(given(loaded(tmp_path)))
    judged = pipeline.check_data(given(small), quiet)

    assert [len(one.rows) for one in judged.rows.values()] == [10, 10]
    assert {row.answerable for row in judged.golden.rows} == {True, False}
    assert (small.training.num_train_epochs, small.run.name) == (1, "pilot")
    assert small.publishing.endpoint.startswith("file:")
    assert "pilot" in small.publishing.endpoint
