"""A card's programs say what was judged, whichever engine; each is run by the slow tests where its engine is here."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from gates import read_golden, read_outputs
from release.publishing import programs, snippet
from release.values.as_json import tree
from release.values.record import Form, Record
from tests.helpers.card_snippet import answers, programs_of
from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import ROOT, adapter_release
from tests.helpers.small_release import VLLM, small_candidate, small_settings

ASKED = 2


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    serving = {
        "merged": {"merged": True},
        "gguf": {"engine": "llama.cpp", "merged": True},
        "vllm": {"engine": "vllm"},
        "api": {"engine": "openai", "url": "http://127.0.0.1:1/v1", "model": "m"},
    }
    return small_candidate(small_settings(tmp_path_factory.mktemp("release"), serving=serving))[0].record


def form(record: Record, name: str, **settings: object) -> Form:
    """A form of the record with other settings."""
    assert record.forms is not None
    found = record.forms[name]
    files = {"merged/model.safetensors": "0" * 64} if settings.get("merged") or name == "merged" else found.files
    return replace(found, settings={**found.settings, **settings}, files=files)


def program(record: Record, one: Form) -> str:
    text = programs.of_form(record, one, "team/name", "v1")
    code = text.partition("```python\n")[2].partition("\n```")[0]
    compile(code, "card", "exec")
    return code


def called(code: str, name: str) -> dict[str, object]:
    """The named arguments of the one call of this name, where they are plain values."""
    calls = [one for one in ast.walk(ast.parse(code)) if isinstance(one, ast.Call) and ast.unparse(one.func) == name]
    (call,) = calls
    values = {one.arg: one.value for one in call.keywords if one.arg}
    return {name: ast.literal_eval(one) for name, one in values.items() if isinstance(one, ast.Constant | ast.UnaryOp)}


@pytest.mark.parametrize(("device_map", "where"), [(None, {"": 0}), ("auto", "auto"), ("sequential", "sequential")])
def test_a_base_that_was_put_on_several_cards_is_loaded_so(
    device_map: str | None, where: object, record: Record
) -> None:
    loaded = record.generation.loaded
    assert loaded is not None
    on_cards = replace(loaded, device="cuda", device_map=device_map)
    asked = replace(snippet.as_trained(record), loaded=on_cards)

    code = snippet.python(record, asked, "team/name")

    (call,) = (one for one in ast.walk(ast.parse(code)) if isinstance(one, ast.keyword) and one.arg == "device_map")
    assert ast.literal_eval(call.value) == where


def test_vllm_is_loaded_as_it_was_judged_but_for_how_many_are_asked_at_once(record: Record) -> None:
    code = program(record, form(record, "vllm"))

    said = called(code, "LLM")
    assert said.pop("max_num_seqs") == 1
    assert {name: one for name, one in VLLM.items() if name in said} == said
    assert VLLM.keys() - said.keys() == {"max_num_seqs", "merged", "batch_invariant"}
    assert 'VLLM_BATCH_INVARIANT="1"' in code
    assert 'LoRARequest("adapter", 1, release)' in code
    assert "ends = [2]" in code
    assert "stop_token_ids=ends, temperature=0" in code


def test_a_merged_model_in_vllm_loads_no_adapter(record: Record) -> None:
    code = program(record, form(record, "vllm", merged=True))

    assert 'release + "/exports/merged"' in code
    assert "LoRARequest" not in code
    assert "lora_request" not in code


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("merged", "Held(LogitsProcessor)"),
        ("gguf", 'decoding["json_schema"]'),
        ("vllm", "StructuredOutputsParams(json=schema)"),
    ],
)
def test_what_was_held_to_the_answer_schema_is_held_to_it_and_nothing_else_is(
    name: str, held: str, record: Record
) -> None:
    free = program(record, form(record, name))
    constrained = program(record, form(record, name, constraint="json_schema"))

    assert held in constrained
    assert "gates/answer.schema.json" in constrained
    assert held not in free
    assert "schema" not in free


def test_of_an_address_there_is_no_program(record: Record) -> None:
    assert programs.of_form(record, form(record, "api"), "team/name", "v1") == ""


HOSTILE = ('7); __import__("os").system("id")', '"\nimport os', "</code>\n```\n# x", "\u202e\u2066\x9b\x7f", '\\"')


def tokens(code: str) -> str:
    """What a program does, whatever its texts say."""
    return re.sub(r"Constant\(value='[^']*'\)|Constant\(value=\"[^\"]*\"\)", "Constant", ast.dump(ast.parse(code)))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["vllm", "gguf", "merged"])
def test_no_text_of_a_record_is_more_than_a_text_in_a_program(name: str, text: str, record: Record) -> None:
    """Each end's token, and the names and values of what an engine loaded."""
    one = form(record, name)
    told = replace(one.answering.chat, ends=[replace(end, token=text) for end in one.answering.chat.ends])
    code = program(record, replace(one, answering=replace(one.answering, chat=told)))
    assert tokens(code) == tokens(program(record, one))
    assert all(character.isprintable() or character == "\n" for character in code)

    named: list[dict[str, object]] = []
    if name == "vllm":
        named = [{**VLLM, text: 1}, {**VLLM, "dtype": text}, {**VLLM, "seed": text}, {**VLLM, "model": "x"}]
        named += [{**VLLM, "trust_remote_code": True}, {**VLLM, "load_format": "dummy"}]
    elif name == "gguf":
        named = [{"files": {f"{text}.gguf": "0" * 64}}]
    for loaded in named:
        with pytest.raises(ValueError, match=r"that is made here|not those of the configuration|is not the name"):
            programs.of_form(record, replace(one, answering=replace(one.answering, loaded=loaded)), "a/b", "v1")


@pytest.mark.parametrize(
    ("name", "settings"),
    [("vllm", {}), ("merged", {"constraint": "json_schema"}), ("gguf", {"constraint": "json_schema"})],
)
def test_the_cards_of_early_records_had_no_program_for_these_and_have_none(
    name: str, settings: dict[str, object], record: Record
) -> None:
    """Else `verify` would write another card than the one that was published then."""
    said = {key: value for key, value in tree(record.config["generation"]).items() if key != "batches"}
    early = replace(record, config={**record.config, "generation": said})

    assert programs.of_form(record, form(record, name, **settings), "team/name", "v1")
    assert programs.of_form(early, form(early, name, **settings), "team/name", "v1") == ""
    assert programs.of_form(early, form(early, "gguf"), "team/name", "v1")


@pytest.mark.slow
@pytest.mark.usefixtures("base")
def test_the_programs_of_both_base_precisions_give_each_its_judged_answers(
    embedded_hub: EmbeddedHub, tmp_path: Path
) -> None:
    """The kept release passed over NF4 and over the unquantized base, and has a program for each on its card."""
    hub, kept = embedded_hub, ROOT / "tests" / "data" / "releases" / "v3"
    hub.api.create_repo("local/elements")
    hub.api.upload_folder(repo_id="local/elements", folder_path=kept)
    hub.api.create_tag("local/elements", tag="v0.1.0")
    unpacked = adapter_release("base", snippet.EMBEDDED, cwd=tmp_path)
    assert unpacked.returncode == 0, unpacked.stderr
    judged = {"trained": kept / "gates", "unquantized": kept / "gates" / "forms" / "unquantized"}
    texts = {name: {one.id: one.output for one in read_outputs(at / "answers.jsonl")} for name, at in judged.items()}
    rows = [
        row for row in read_golden(kept / "data" / "golden.jsonl") if len({it[row.id] for it in texts.values()}) > 1
    ]
    assert rows  # that precision decides

    programs_there = programs_of((kept / "README.md").read_text("utf-8"))
    env = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    for name, code in programs_there.items():
        asked = [list(row.prompt) for row in rows[:ASKED]]
        assert answers(code, asked, tmp_path, env) == [texts[name][row.id] for row in rows[:ASKED]]
    assert programs_there.keys() == judged.keys()
