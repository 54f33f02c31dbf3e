"""What was asked and what is published to ask with are one: a record that says otherwise of itself is found out."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from release.checking import opening, verify
from release.data.chat import NO_THINKING
from release.judging.released import Released
from release.values.artifacts import sha256_file
from tests.helpers.small_release import read_record, reseal, small_release

STEP = "the record agrees with itself on threads, seed and versions"
FORMS = {"gguf": {"engine": "llama.cpp", "merged": True}, "held": {"base": "unquantized"}}
WANTED: dict[str, Any] = {"reasoning_effort": "low"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_release(tmp_path_factory.mktemp("kept"), serving=FORMS).folder


@pytest.fixture
def release(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "release"))


def problems(folder: Path) -> str:
    (step,) = verify.check(opening.Opened(release=Released(name="release", folder=folder)), [STEP])
    return "\n".join(step.problems)


def everywhere(record: Any, **chat: Any) -> None:
    """The same lie of every form."""
    for asked in (record["generation"], *(form["answering"] for form in record["forms"].values())):
        asked["chat"].update(chat)


def arguments(record: Any, said: dict[str, Any], asked: dict[str, Any]) -> None:
    record["config"]["model"]["chat_template_kwargs"] = said
    everywhere(record, chat_template_kwargs=asked)


def of_form(name: str, **changes: Any) -> Callable[[Any], None]:
    return lambda record: record["forms"][name]["answering"].update(changes)


def chat_of_form(**changes: Any) -> Callable[[Any], None]:
    return lambda record: record["forms"]["gguf"]["answering"]["chat"].update(changes)


def decoding(**changes: Any) -> Callable[[Any], None]:
    return lambda record: record["generation"]["decoding"].update(changes)


LIES: dict[str, tuple[Callable[[Any], object], str]] = {
    "a digest of no template": (
        lambda it: everywhere(it, chat_template_sha256="0" * 64),
        "chat template of sha256 000",
    ),
    "a template as argument": (lambda it: arguments(it, {}, {"chat_template": "x"}), 'kwargs {"chat_template": "x"}'),
    "an argument more": (lambda it: arguments(it, {}, WANTED), "its configuration says {}"),
    "an argument less": (lambda it: arguments(it, WANTED, {}), "kwargs {}, its configuration says"),
    "another value": (lambda it: arguments(it, WANTED, {"reasoning_effort": "high"}), "its configuration says"),
    "one for true": (lambda it: arguments(it, {"enable_thinking": True}, {"enable_thinking": 1}), "kwargs"),
    "thinking against the configuration": (
        lambda it: arguments(it, {"enable_thinking": True}, {"enable_thinking": False}),
        "kwargs",
    ),
    "two ways to leave out thinking": (lambda it: arguments(it, {}, {**NO_THINKING[0], **NO_THINKING[1]}), "kwargs"),
    "other prompts of a form": (of_form("gguf", prompts_sha256="0" * 64), "gguf: its prompts have sha256 000"),
    "another template of a form": (chat_of_form(chat_template_sha256="0" * 64), "gguf: it was asked as"),
    "other arguments of a form": (chat_of_form(chat_template_kwargs={"tools": []}), "gguf: it was asked as"),
    "other ends of a form": (chat_of_form(ends=[{"id": 0, "token": "x"}]), "gguf: it was asked as"),
    "longer answers": (decoding(max_new_tokens=4096), "max_new_tokens was 4096, its configuration says 64"),
    "longer answers of a form": (
        lambda it: it["forms"]["held"]["answering"]["decoding"].update(max_new_tokens=65),
        "held: max_new_tokens was 65",
    ),
    "other batches": (decoding(batch_size=1), "batch_size was 1, its configuration says 20"),
    "sampled": (decoding(do_sample=True), "do_sample: False was expected"),
    "held to a grammar": (decoding(constraint="json_schema"), "constraint: 'json_schema' is not"),
    "held in a form": (
        lambda it: it["forms"]["held"]["answering"]["decoding"].update(constraint="json_schema"),
        "held: constraint was",
    ),
    "another name": (lambda it: it.update(name="best-of-all"), "two names: the record best-of-all"),
    "an image that neither stage ran in": (lambda it: it.update(image_digest=f"sha256:{'0' * 64}"), "container images"),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_was_asked_otherwise_than_is_published_is_named(lie: str, release: Path) -> None:
    change, says = LIES[lie]

    reseal(release, change)

    assert says in problems(release)


def honest_arguments() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Configured and asked."""
    known: list[dict[str, Any]] = [{}, WANTED, {"enable_thinking": True}, {"enable_thinking": False}]
    without: list[dict[str, Any]] = [{**one} for one in NO_THINKING]
    return [*((one, one) for one in known), *(({}, one) for one in without), (WANTED, {**WANTED, **without[0]})]


@pytest.mark.parametrize(("said", "asked"), honest_arguments())
def test_the_arguments_of_the_configuration_and_one_that_leaves_out_thinking_are_honest(
    said: dict[str, Any], asked: dict[str, Any], release: Path
) -> None:
    reseal(release, lambda it: arguments(it, said, asked))

    assert problems(release) == ""


def test_a_template_changed_with_the_adapter_it_was_judged_with_is_not_the_one_that_asked(release: Path) -> None:
    path = release / "chat_template.jinja"
    path.write_text("{{ 'Always refuse.' }}", "utf-8")
    reseal(release, lambda it: it["adapter"]["files"].update({path.name: sha256_file(path)}))

    assert f"chat_template.jinja has {sha256_file(path)}" in problems(release)


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json"])
def test_a_merged_model_has_the_adapters_own_tokenizer_and_template(name: str, release: Path) -> None:
    folder = release / "exports" / "merged"
    folder.mkdir()
    shutil.copy(release / name, folder)
    assert problems(release) == ""

    (folder / name).write_text(f"{(folder / name).read_text('utf-8')}\n\n", "utf-8")

    assert f"exports/merged/{name} is not the adapter's own" in problems(release)


def test_a_record_that_says_nothing_of_the_template_is_not_asked_for_it(release: Path) -> None:
    """As versions 1 and 2; what they do say is compared."""
    reseal(release, lambda it: (it["generation"].pop("chat"), it.pop("forms"), it.update(record=2)))
    assert read_record(release)["record"] == 2

    assert problems(release) == ""
