"""What is asked, learned and judged: every chat template that trl ships, over stand-ins of its family's tokenizer."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gates.canonical import canonical_json
from release.data import chat as chats
from release.data import turns
from release.values.errors import PreflightError
from tests.helpers import models_table
from tests.helpers.line import ROOT
from tests.helpers.models_table import (
    ANSWERS,
    ASKED,
    DAY,
    FAMILIES,
    PROMPTS,
    SYSTEM,
    THOUGHT,
    Case,
    Family,
    cases,
    shipped,
)
from tests.helpers.stand_in_tokenizer import Tokens, put, tokenizer, write

CASES = cases()
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_TOKENS = Tokens(eos="<|im_end|>", pad="<|endoftext|>", special=("<|im_start|>",), ends=("<|im_end|>",))
YES = [{"role": "user", "content": "Is it?"}]


def by_transformers(folder: Path, chat: chats.Chat) -> Any:
    """The tokenizer as transformers loads it, with the template as it is published."""
    from transformers import PreTrainedTokenizerFast

    loaded = PreTrainedTokenizerFast.from_pretrained(folder)
    loaded.chat_template = chat.template
    return loaded


def rendered(loaded: Any, chat: chats.Chat, messages: Sequence[Mapping[str, Any]], *, generating: bool) -> list[int]:
    ids = loaded.apply_chat_template(
        list(messages), add_generation_prompt=generating, return_dict=False, **chat.arguments
    )
    return list(ids)


def assert_learned_as_asked(loaded: Any, chat: chats.Chat, family: Family, prompt: Any, answer: str) -> None:
    """The three rules, by transformers and the tokenizer alone."""
    example = chat.example(prompt, answer)
    whole = rendered(loaded, chat, [*prompt, {"role": "assistant", "content": answer}], generating=False)
    *text, end = example.learned

    assert example.fault == ""
    assert rendered(loaded, chat, prompt, generating=True) == list(example.asked) == list(chat.ask(prompt))
    assert whole[: len(example.asked)] == list(example.asked)
    assert whole[len(example.asked) :][: len(example.learned)] == list(example.learned)
    assert loaded.decode(text, skip_special_tokens=False, clean_up_tokenization_spaces=False) in (
        family.before + answer,
        family.before.removeprefix(" ") + answer,  # the old sentencepiece's decoder takes the first space off
    )
    assert loaded.convert_ids_to_tokens(end) == family.end
    assert not set(text) & set(chat.ends)
    assert example.total == len(example.asked) + len(example.learned)
    assert chat.judged([*example.learned, end, *text]) == (chat.decoded(text), True)


def assert_works(folder: Path, chat: chats.Chat, family: Family, prompts: Sequence[str]) -> None:
    loaded = by_transformers(folder, chat)
    for name in prompts:
        for answer in ANSWERS.values():
            assert_learned_as_asked(loaded, chat, family, PROMPTS[name], answer)


def test_every_template_of_trl_has_a_family() -> None:
    """A new trl with another template: add its family to tests/helpers/models_table.py."""
    assert sorted(shipped().keys() - {one.stem for one in CASES}) == []
    assert len(shipped()) >= 72


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_template_works_by_the_three_rules_or_is_refused_with_a_remedy_that_works(case: Case, tmp_path: Path) -> None:
    family, chat = case.family, case.chat(tmp_path)
    with_system = [name for name in PROMPTS if "system" in name]
    without = [name for name in PROMPTS if "system" not in name]

    assert dict(chat.arguments) == dict(family.arguments)
    assert [sentence.startswith(start) for sentence, start in zip(chat.changed, family.changes, strict=True)] == [
        True for _ in family.changes
    ]
    if not case.works_as_it_is:
        assert_refused(chat, family.fault, list(PROMPTS), moving_helps=False)
        own = tmp_path / "own.jinja"
        own.write_text(case.mended, "utf-8")
        assert_works(tmp_path, case.chat(tmp_path, own), family, list(PROMPTS))
    elif family.system_fault:
        assert_refused(chat, family.system_fault, with_system, moving_helps=True)
        assert_works(tmp_path, chat, family, without)
        loaded = by_transformers(tmp_path, chat)
        for name in with_system:
            moved = turns.system_to_user(PROMPTS[name])
            assert moved is not None
            assert_learned_as_asked(loaded, chat, family, moved, ANSWERS["JSON"])
    else:
        assert_works(tmp_path, chat, family, list(PROMPTS))


def assert_refused(chat: chats.Chat, fault: str, prompts: Sequence[str], *, moving_helps: bool) -> None:
    """Every row, with this fault; moving the system text is said where it helps, and nowhere else."""
    said = models_table.faults(chat, prompts)
    assert len(said) == len(prompts) * len(ANSWERS)
    assert [one for one in said if fault not in one or chats.BRING not in one] == []
    assert [one for one in said if (chats.MOVE in one) != moving_helps] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_an_answer_that_begins_with_a_thought_is_learned_whole_or_its_row_is_at_fault(
    case: Case, tmp_path: Path
) -> None:
    write(tmp_path, case.family.tokens, case.mended if case.family.mend and not case.works_as_it_is else case.source)
    chat = chats.read(tmp_path)
    example = chat.example([ASKED], THOUGHT)

    if example.fault:
        assert "turn this answer into another one" in example.fault or "writes a prompt otherwise" in example.fault
        assert chats.BRING in example.fault
        assert chat.example([ASKED], "Yes.").fault == ""
    else:
        assert chat.decoded(example.learned[:-1]).strip() == THOUGHT
    if "training" not in case.stem:
        assert (not example.fault) == case.family.thought_kept


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_settled_template_read_again_stays_as_it_is_and_asks_the_same_months_later(
    case: Case, tmp_path: Path
) -> None:
    chat = case.chat(tmp_path / "base")
    run = tmp_path / "run.jinja"
    run.write_bytes(chat.template.encode())
    later = DAY + timedelta(days=200)
    by_itself = chats.read(tmp_path / "base", chats.Wanted(template=run, day=later))
    published = write(tmp_path / "published", case.family.tokens, chat.template)
    (published / "generation_config.json").unlink()
    again = chats.read(published, chats.Wanted(arguments=chat.arguments, day=later), base=tmp_path / "base")

    for one in (by_itself, again):
        assert (one.template, dict(one.arguments), one.ends) == (chat.template, dict(chat.arguments), chat.ends)
    if case.works_as_it_is:
        assert again.ask(PROMPTS["user only"]) == chat.ask(PROMPTS["user only"])
    assert (case.source == chat.template) == (not case.family.changes or chats.NO_THINKING[0] == chat.arguments)


def dated() -> list[Case]:
    return [one for one in CASES if models_table.DATED in one.family.changes]


@pytest.mark.parametrize("case", dated(), ids=lambda case: case.stem)
def test_a_template_with_todays_date_writes_the_day_it_was_given(case: Case, tmp_path: Path) -> None:
    chat = case.chat(tmp_path)
    text = chat.text(PROMPTS["user only"], generation_prompt=True)
    other = chats.read(tmp_path, chats.Wanted(day=date(2027, 5, 6))).text(PROMPTS["user only"], generation_prompt=True)

    assert sum(one in text for one in ("2026-01-02", "02 Jan 2026", "January 02, 2026")) == 1
    assert sum(one in other for one in ("2027-05-06", "06 May 2027", "May 06, 2027")) == 1
    assert text != other


TOMORROW = """
import json, sys
from datetime import date
from transformers import PreTrainedTokenizerFast
said = {"today": date.today().isoformat()}
for folder in json.loads(sys.argv[1]):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    asked = [{"role": "user", "content": "Is it?"}]
    said[folder] = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
print(json.dumps(said))
"""


def test_whoever_renders_the_published_template_in_another_year_gets_the_same_tokens(tmp_path: Path) -> None:
    if not shutil.which("faketime"):
        if os.environ.get("CI"):
            pytest.fail("faketime is not installed: apt-get install faketime")
        pytest.skip("no faketime here: apt-get install faketime")
    read = {one.stem: one.chat(tmp_path / one.stem) for one in dated()}
    for stem, chat in read.items():
        (tmp_path / f"{stem}-published").mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(tmp_path / stem / name, tmp_path / f"{stem}-published" / name)
        (tmp_path / f"{stem}-published" / "chat_template.jinja").write_text(chat.template, "utf-8")
    folders = sorted(str(one) for one in tmp_path.iterdir())
    done = subprocess.run(
        ["faketime", "2031-07-08 12:00:00", sys.executable, "-c", TOMORROW, json.dumps(folders)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout)

    assert said["today"] == "2031-07-08"
    for stem, chat in read.items():
        published = tmp_path / f"{stem}-published"
        assert tuple(said[str(published)]) == chat.ask(YES)
        assert said[str(tmp_path / stem)] != said[str(published)], "the base's own template is another one by then"


@pytest.mark.parametrize(
    "written",
    [
        "{% set form = '%d' + ' %b' %}{{ strftime_now(form) }}",
        "{{ strftime_now(format='%d %b') }}",
        "{{ strftime_now() }}",
        "{% set clock = strftime_now %}{{ clock('%d %b') }}",
    ],
)
def test_a_date_in_a_format_that_cannot_be_read_is_refused(tmp_path: Path, written: str) -> None:
    write(tmp_path, CHATML_TOKENS, written + CHATML)

    with pytest.raises(
        PreflightError, match=r"writes today's date in a way that it computes.* set model\.chat_template"
    ):
        chats.read(tmp_path)


@pytest.mark.parametrize(
    "written",
    [
        "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}26 Jul 2024{% endif %}",
        "{% if strftime_now is not defined %}26 Jul 2024{% else %}{{ strftime_now('%d %b %Y') }}{% endif %}",
        "{% if not date %}{% set date = strftime_now('%d %b %Y') %}{% endif %}{{ date }}",
        "{% macro head() %}{{ strftime_now('%d %b %Y') }}{% endmacro %}{{ head() }}",
    ],
)
def test_a_date_that_can_be_read_is_the_given_day_wherever_it_stands(tmp_path: Path, written: str) -> None:
    chat = chats.read(write(tmp_path, CHATML_TOKENS, written + CHATML), chats.Wanted(day=DAY))

    assert chat.text(YES, generation_prompt=True).startswith("02 Jan 2026<|im_start|>user")
    assert chat.changed == ("The template writes today's date; here it is always 2026-01-02.",)


def test_without_a_day_the_date_is_todays(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    before = datetime.now(UTC).date()
    chat = chats.read(write(tmp_path, CHATML_TOKENS, "{{ strftime_now('%Y-%m-%d') }}" + CHATML))

    days = {before.isoformat(), datetime.now(UTC).date().isoformat()}
    assert chat.text(YES, generation_prompt=True)[: len("2026-01-02")] in days


@pytest.mark.parametrize("case", [one for one in CASES if one.family.arguments == {}], ids=lambda case: case.stem)
def test_arguments_that_a_user_sets_are_given_to_the_template_and_no_others(case: Case, tmp_path: Path) -> None:
    write(tmp_path, case.family.tokens, case.source)

    assert dict(chats.read(tmp_path, chats.Wanted(arguments={"mine": 1})).arguments) == {"mine": 1}


def test_a_user_may_keep_a_hybrid_models_thinking_prompt_and_is_told_why_it_is_refused(tmp_path: Path) -> None:
    """With a prompt that opens a thought the answer would have to be one."""
    write(tmp_path, models_table.NEMOTRON, next(one for one in CASES if one.stem == "nemotron_3_nano").source)
    chat = chats.read(tmp_path, chats.Wanted(arguments={"enable_thinking": True}))

    assert dict(chat.arguments) == {"enable_thinking": True}
    assert "writes a prompt otherwise" in chat.example(YES, "Yes.").fault


def with_ends(folder: Path, **files: Any) -> tuple[str, ...]:
    """The ends of a ChatML base with these files; its <|im_end|> is written by the template itself."""
    tokens = replace(CHATML_TOKENS, special=("<|im_start|>", "<|eot|>", "<|eom|>"), ends=None)
    write(folder, tokens, CHATML)
    for name, value in files.items():
        put(folder / f"{name}.json", value)
    chat = chats.read(folder)
    return tuple(chat.token(one) for one in chat.ends)


EOT, EOM = 3, 4
"""Their ids in ``with_ends``, after <|im_end|>, <|endoftext|> and <|im_start|>."""


@pytest.mark.parametrize(
    ("files", "more"),
    [
        ({"generation_config": {"eos_token_id": EOT}}, ["<|eot|>"]),
        ({"generation_config": {"eos_token_id": [EOT, EOM]}}, ["<|eot|>", "<|eom|>"]),
        ({"generation_config": {"eos_token_id": EOT}, "config": {"eos_token_id": EOM}}, ["<|eot|>"]),
        ({"generation_config": {}, "config": {"eos_token_id": EOM}}, []),
        ({"config": {"eos_token_id": [EOM]}}, ["<|eom|>"]),
        ({"config": {"text_config": {"eos_token_id": EOT}}}, ["<|eot|>"]),
        ({"config": {"eos_token_id": EOM, "text_config": {"eos_token_id": EOT}}}, ["<|eom|>"]),
        ({"generation_config": {"eos_token_id": None}}, []),
        ({"generation_config": {"eos_token_id": -1}}, []),
        ({"generation_config": {"eos_token_id": [True, "3", 99_999, EOT]}}, ["<|eot|>"]),
    ],
)
def test_everything_that_the_base_declares_ends_an_answer(tmp_path: Path, files: Any, more: list[str]) -> None:
    assert with_ends(tmp_path, **files) == ("<|im_end|>", *more)


@pytest.mark.parametrize("named", ["<|endoftext|>", {"content": "<|endoftext|>", "lstrip": False}])
def test_a_base_whose_tokenizer_names_another_end_than_its_template_writes_has_both(tmp_path: Path, named: Any) -> None:
    """Qwen2.5's base model: eos is <|endoftext|>, and its template ends an answer with <|im_end|>."""
    tokens = Tokens(eos="<|endoftext|>", special=("<|im_start|>", "<|im_end|>"), ends=("<|endoftext|>",))
    write(tmp_path, tokens, CHATML, eos_token=named)
    chat = chats.read(tmp_path)

    assert [chat.token(one) for one in chat.ends] == ["<|endoftext|>", "<|im_end|>"]
    assert chat.token(chat.example(YES, "Yes.").learned[-1]) == "<|im_end|>"


def test_the_tokenizers_end_is_one_even_if_neither_the_base_nor_its_template_writes_it(tmp_path: Path) -> None:
    tokens = Tokens(eos="</s>", special=("<|im_start|>", "<|im_end|>", "<|eot|>"), ends=("<|eot|>",))
    chat = chats.read(write(tmp_path, tokens, CHATML))

    assert [chat.token(one) for one in chat.ends] == ["</s>", "<|im_end|>", "<|eot|>"]


ALWAYS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}Answer: {% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("end", ["", "\n", "{{ '' }}", "{{ '' }}\n"])
def test_what_a_template_writes_before_every_answer_is_asked_and_not_learned(tmp_path: Path, end: str) -> None:
    """However the file ends: Jinja leaves out one line end at the end of a file."""
    chat = chats.read(write(tmp_path, CHATML_TOKENS, ALWAYS + end))
    example = chat.example(YES, "Yes.")

    assert chat.changed == ("The template writes 'Answer: ' before every answer; here the prompt ends with it.",)
    assert example.fault == ""
    assert chat.judged(example.learned) == ("Yes.", True)
    assert chat.decoded(example.asked) == "<|im_start|>user\nIs it?<|im_end|>\n<|im_start|>assistant\nAnswer: "


def test_a_template_that_cannot_be_given_its_header_in_the_prompt_is_left_and_its_rows_are_at_fault(
    tmp_path: Path,
) -> None:
    template = "{% set add_generation_prompt = false %}" + ALWAYS
    chat = chats.read(write(tmp_path, CHATML_TOKENS, template))

    assert (chat.template, chat.changed) == (template, ())
    assert "turn this answer into another one: from character 0" in chat.example(YES, "Yes.").fault


@pytest.mark.parametrize("named", ["</s>", {"content": "</s>", "lstrip": False, "rstrip": False}])
def test_special_tokens_of_older_repositories_are_read_from_their_own_file(tmp_path: Path, named: Any) -> None:
    tokens = Tokens(eos="</s>", bos="<s>", words="old pieces")
    template = (
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    write(tmp_path, tokens, template)
    put(tmp_path / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    put(tmp_path / "special_tokens_map.json", {"eos_token": named, "bos_token": "<s>"})
    chat = chats.read(tmp_path)

    assert [chat.token(one) for one in chat.ends] == ["</s>"]
    assert chat.text(YES, generation_prompt=True) == "<s>[user]Is it?</s>[assistant]"
    assert rendered(by_transformers(tmp_path, chat), chat, YES, generating=True) == list(chat.ask(YES))


def test_a_base_without_any_end_is_refused(tmp_path: Path) -> None:
    write(tmp_path, CHATML_TOKENS, "{% for m in messages %}{{ m.content }}\n{% endfor %}", eos_token=None)
    (tmp_path / "generation_config.json").unlink()

    with pytest.raises(PreflightError, match=r"has no end-of-sequence token\. Bring a template"):
        chats.read(tmp_path)


def test_what_a_template_writes_after_an_answer_is_no_end_if_it_is_but_space(tmp_path: Path) -> None:
    """Some vocabularies hold runs of spaces as added tokens: every answer would be cut at its first."""
    tokens = Tokens(eos="<|endoftext|>", plain=("    ",), ends=("<|endoftext|>",))
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}    <|endoftext|>{% endfor %}"
    chat = chats.read(write(tmp_path, tokens, template))

    assert [chat.token(one) for one in chat.ends] == ["<|endoftext|>"]


def listed(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "template": CHATML if name == "default" else "{{ nothing }}"} for name in names]


def test_of_several_templates_the_default_one_is_used(tmp_path: Path) -> None:
    write(tmp_path, CHATML_TOKENS, chat_template=listed("tool_use", "default", "rag"))

    assert chats.read(tmp_path).template == CHATML


def test_the_template_file_comes_before_the_one_in_the_settings_and_more_beside_it_are_left(tmp_path: Path) -> None:
    write(tmp_path, CHATML_TOKENS, CHATML, chat_template="{{ nothing }}")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("{{ nothing }}", "utf-8")

    assert chats.read(tmp_path).template == CHATML


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, r"has no chat template\. Use an instruction-tuned base\. Bring a template"),
        ("", r"has no chat template"),
        (listed("tool_use", "rag"), r"has templates for rag, tool_use, and no default one\. Bring a template"),
        ([], r"has no chat template"),
    ],
)
def test_a_base_without_a_template_is_refused_and_works_with_one_that_is_brought(
    tmp_path: Path, template: Any, said: str
) -> None:
    write(tmp_path / "base", CHATML_TOKENS, chat_template=template)
    own = tmp_path / "own.jinja"
    own.write_text(CHATML, "utf-8")

    with pytest.raises(PreflightError, match=f"{said}.*model.chat_template"):
        chats.read(tmp_path / "base")
    chat = chats.read(tmp_path / "base", chats.Wanted(template=own))
    assert chat.example(YES, "Yes.").fault == ""
    assert chat.changed == ()


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (b"{% for m in messages %}", r"cannot be read: line 1: Unexpected end of template.* in model\.chat_template"),
        (b"\n{{ messages | nothing }}", r"cannot be read: line 2: No filter named 'nothing'"),
        (b"\xff\xfe", r"model\.chat_template: .*own\.jinja cannot be read: .* Name a Jinja file in UTF-8"),
        (None, r"model\.chat_template: .*own\.jinja cannot be read: .*No such file"),
    ],
)
def test_a_brought_template_that_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, own: bytes | None, said: str
) -> None:
    write(tmp_path, CHATML_TOKENS, CHATML)
    if own is not None:
        (tmp_path / "own.jinja").write_bytes(own)

    with pytest.raises(PreflightError, match=said):
        chats.read(tmp_path, chats.Wanted(template=tmp_path / "own.jinja"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", b"{", r"has no tokenizer that can be read: .* Use a base model with a tokenizer\.json"),
        ("tokenizer_config.json", b"[]", r"has no tokenizer that can be read: tokenizer_config\.json holds no object"),
        ("tokenizer_config.json", None, r"has no tokenizer that can be read: .*No such file"),
        ("special_tokens_map.json", b"[]", r"special_tokens_map\.json cannot be read: .* another revision"),
        ("generation_config.json", b"{", r"generation_config\.json cannot be read: .* another revision"),
        ("chat_template.jinja", b"\xff", r"chat_template\.jinja cannot be read: .* Name a Jinja file in UTF-8"),
    ],
)
def test_a_file_of_the_base_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    write(tmp_path, CHATML_TOKENS, CHATML)
    (tmp_path / name).unlink(missing_ok=True)
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(PreflightError, match=said):
        chats.read(tmp_path)


def test_a_tokenizer_file_that_says_how_long_a_text_may_be_cuts_and_fills_nothing(tmp_path: Path) -> None:
    """As transformers reads it: many repositories' files hold what their makers last encoded with."""
    write(tmp_path, CHATML_TOKENS, CHATML)
    made = tokenizer(CHATML_TOKENS)
    made.enable_truncation(8)
    made.enable_padding(length=500)
    made.save(str(tmp_path / "tokenizer.json"))
    chat = chats.read(tmp_path)

    assert rendered(by_transformers(tmp_path, chat), chat, PROMPTS["user only"], generating=True) == list(
        chat.ask(PROMPTS["user only"])
    )
    assert chat.example(YES, "Yes. " * 20 + "Yes.").fault == ""


@pytest.mark.parametrize("given", ["TokenizersBackend", "PreTrainedTokenizerFast", "LlamaTokenizer"])
def test_a_release_holds_a_tokenizer_class_that_reads_its_words_as_they_are(tmp_path: Path, given: str) -> None:
    own: dict[str, Any] = {"chat_template": CHATML, "is_local": True, "local_files_only": True}
    write(tmp_path, CHATML_TOKENS, None, tokenizer_class=given, model_max_length=512, **own)

    assert chats.tokenizer_settings(tmp_path) == {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"],
        "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "model_max_length": 512,
    }  # fmt: skip


def test_what_a_base_asks_of_a_reader_beside_its_tokens_is_in_no_release(tmp_path: Path) -> None:
    code = {"auto_map": {"AutoTokenizer": ["own--tok.Tok", None]}, "trust_remote_code": True, "tokenizer_file": "/a"}
    write(tmp_path, CHATML_TOKENS, CHATML, **code, padding_side="left", image_token="<image>")

    assert chats.special_tokens(tmp_path) is None
    put(tmp_path / "special_tokens_map.json", {"eos_token": "<|im_end|>"})
    own = (tmp_path / "special_tokens_map.json").read_bytes()
    assert chats.special_tokens(tmp_path) == own
    put(tmp_path / "special_tokens_map.json", {"eos_token": "<|im_end|>", **code})
    assert chats.special_tokens(tmp_path) == canonical_json({"eos_token": "<|im_end|>"})
    assert chats.tokenizer_settings(tmp_path) == {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"],
        "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "padding_side": "left", "image_token": "<image>",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"answer": "<|im_end|>"}', "turn this answer into another one: from character 12 '' where the row says"),
        ("<|im_end|>", "turn this answer into another one: from character 0"),
        ("Yes.<|endoftext|>", "turn this answer into another one: from character 4"),
        ('{"answer": "<im_end>, im_end, |im_end|"}', ""),
        ('{"answer": "<|im_end|\\u003e"}', ""),
    ],
)
def test_a_token_that_ends_an_answer_inside_one_is_a_fault_and_what_only_looks_like_one_is_not(
    tmp_path: Path, answer: str, said: str
) -> None:
    tokens = replace(CHATML_TOKENS, ends=("<|im_end|>", "<|endoftext|>"))
    fault = chats.read(write(tmp_path, tokens, CHATML)).example(YES, answer).fault

    assert said in fault
    assert ("Take special tokens of the base, and thoughts, out of the row's text" in fault) == bool(said)
    assert bool(fault) == bool(said)


DROPS = {
    "the system message": "{% for m in messages if m.role != 'system' %}",
    "every turn but the last two": "{% for m in messages[-2:] %}",
}


@pytest.mark.parametrize(
    ("loop", "prompt", "said"),
    [
        ("the system message", "with a system message", "drops the system message 'Be brief.\\nAnswer in JSON.'"),
        ("the system message", "user only", ""),
        ("every turn but the last two", "two turns with a system message", "drops the system message"),
        ("every turn but the last two", "user only", ""),
    ],
)
def test_a_message_that_the_template_drops_is_a_fault(tmp_path: Path, loop: str, prompt: str, said: str) -> None:
    template = CHATML.replace("{% for m in messages %}", DROPS[loop])
    fault = chats.read(write(tmp_path, CHATML_TOKENS, template)).example(PROMPTS[prompt], "Yes.").fault

    assert said in fault
    assert bool(fault) == bool(said)
    assert (chats.MOVE in fault) == (loop == "the system message" and bool(said))


def test_moving_the_system_text_is_advised_only_where_it_helps(tmp_path: Path) -> None:
    refuse = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    short = "{% if messages[-1].content | length < 3 %}{{ raise_exception('short') }}{% endif %}"
    chat = chats.read(write(tmp_path, CHATML_TOKENS, refuse + short + CHATML))

    assert chats.MOVE in chat.example([SYSTEM, ASKED], "Yes.").fault
    assert chats.MOVE not in chat.example([SYSTEM, ASKED], "No").fault
    assert "refuses a row: 'short'" in chat.example([ASKED], "No").fault


@pytest.mark.parametrize(
    ("words", "header", "answer", "said"),
    [
        ("bytes", "assistant\n", "\nYes.", "Take spaces and line ends off the start of the answer"),
        ("bytes", "assistant\n", "Yes.", ""),
        ("bytes", "assistant\n\n", "Yes.", ""),
        ("old bytes", "assistant\n", "Yes.", ""),
        ("old bytes", "assistant\n\n", "Yes.", "Bring a template"),
        ("old bytes", "assistant", "Yes.", ""),
        ("bytes", 'assistant{"a', "b", "Bring a template"),
    ],
)
def test_a_prompt_whose_end_the_tokenizer_joins_with_the_answer_is_a_fault(
    tmp_path: Path, words: Any, header: str, answer: str, said: str
) -> None:
    template = CHATML.replace("{{ m.role }}\n", f"{{{{ m.role if m.role != 'assistant' else {json.dumps(header)} }}}}")
    template = template.replace("assistant\n{% endif %}", f"{{{{ {json.dumps(header)} }}}}{{% endif %}}")
    tokens = replace(CHATML_TOKENS, words=words)
    fault = chats.read(write(tmp_path, tokens, template)).example(YES, answer).fault

    assert said in fault
    assert ("joins the end of the prompt with" in fault) == bool(said)
    assert bool(fault) == bool(said)


def test_what_is_judged_ends_at_the_first_end_and_is_whole_without_one(tmp_path: Path) -> None:
    tokens = replace(CHATML_TOKENS, ends=("<|im_end|>", "<|endoftext|>"))
    chat = chats.read(write(tmp_path, tokens, CHATML))

    assert chat.judged(chat.ids("Yes.<|endoftext|>No.<|im_end|>")) == ("Yes.", True)
    assert chat.judged(chat.ids("Yes.<|im_start|> ")) == ("Yes.<|im_start|> ", False)
    assert chat.judged(chat.ids("<|im_end|>")) == ("", True)
    assert chat.judged([]) == ("", False)


LETTERS = st.characters(codec="utf-8")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(LETTERS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(LETTERS), inner, max_size=3),
    max_leaves=12,
)
MARK = "\u2581"  # in vocabularies of pieces it stands for a space, and a text that has it comes back with a space
PIECES = ("Gemma", "Llama 2's pieces")
STAND_INS = {"ChatML": "qwen2_5", "Llama 3": "llama3", "Gemma": "gemma3", "Llama 2's pieces": "mistral_v0_3"}


@cache
def stand_in(name: str, make: Callable[[str], Path]) -> tuple[Family, chats.Chat]:
    case = next(one for one in CASES if one.stem == STAND_INS[name])
    return case.family, case.chat(make(case.stem))


@pytest.mark.parametrize("name", STAND_INS)
@given(
    value=st.dictionaries(st.text(LETTERS), VALUES, max_size=4), indent=st.sampled_from([None, 1]), plain=st.booleans()
)
@settings(deadline=None, max_examples=60)
def test_whatever_json_an_answer_is_it_is_learned_as_it_stands(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: dict[str, Any], indent: int | None, plain: bool
) -> None:
    family, chat = stand_in(name, tmp_path_factory.mktemp)
    answer = json.dumps(value, indent=indent, ensure_ascii=plain)
    assume(MARK not in answer or name not in PIECES)
    example = chat.example([ASKED], answer)

    assert example.fault == ""
    assert chat.judged(example.learned) == (family.before + answer, True)
    assert example.asked == chat.ask([ASKED])


@pytest.mark.parametrize("name", STAND_INS)
@pytest.mark.parametrize("text", [MARK, f"a{MARK}b", "a b"])
def test_a_character_that_the_tokenizer_turns_into_another_is_named_with_a_way_to_write_it(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str
) -> None:
    _, chat = stand_in(name, tmp_path_factory.mktemp)
    fault = chat.example([ASKED], json.dumps({"answer": text}, ensure_ascii=False)).fault

    assert bool(fault) == (MARK in text and name in PIECES)
    assert not fault or ("whatever the template" in fault and "\\uXXXX" in fault and MARK in fault)
    assert chat.example([ASKED], json.dumps({"answer": text})).fault == ""


def test_an_argument_beside_the_users_own_leaves_the_thinking_out(tmp_path: Path) -> None:
    """What the user names stays as it is; a template that still opens a thought gets the argument that it has."""
    template = CHATML.replace(
        "<|im_start|>assistant\n{%",
        "<|im_start|>assistant\n{% if enable_thinking is false %}{% else %}<t>{% endif %}{%",
    ).replace("{% for m", "{{ note }}{% for m", 1)
    write(tmp_path, CHATML_TOKENS, template)

    told = chats.read(tmp_path, chats.Wanted(arguments={"note": "N"}))
    kept = chats.read(tmp_path, chats.Wanted(arguments={"enable_thinking": True}))

    assert told.arguments == {"note": "N", "enable_thinking": False}
    assert told.text(YES, generation_prompt=True).startswith("N")
    assert kept.arguments == {"enable_thinking": True}
    assert kept.example(YES, "Yes.").fault


def test_the_lines_of_a_template_end_as_in_its_file(tmp_path: Path) -> None:
    """Its digest is recorded, and must be that of the published file."""
    write(tmp_path, CHATML_TOKENS, CHATML)
    mine = tmp_path / "mine.jinja"
    mine.write_bytes(f"{{# mine #}}\r\n{CHATML}".encode())

    assert chats.read(tmp_path, chats.Wanted(template=mine)).template.encode() == mine.read_bytes()


@pytest.mark.parametrize(
    "template",
    [
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{{ '%*s' % (10 ** 12, 'a') }}",
        "{{ messages[7].content }}",
        "{{ 1 // 0 }}",
        "{{ strftime_now('\\ud800') }}",
    ],
)
def test_a_template_that_breaks_while_it_is_rendered_is_a_refusal(tmp_path: Path, template: str) -> None:
    write(tmp_path, CHATML_TOKENS, template)

    with pytest.raises(PreflightError):
        chats.read(tmp_path).text(YES, generation_prompt=True)


def test_an_end_that_no_tokenizer_can_have_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, CHATML_TOKENS, CHATML)
    put(tmp_path / "generation_config.json", {"eos_token_id": [99_999_999_999, None, -1, "2"]})

    (end,) = chats.read(tmp_path).ends
    assert chats.read(tmp_path).token(end) == "<|im_end|>"


def test_the_table_in_the_docs_is_what_the_templates_do() -> None:
    """`python -m tests.helpers.models_table` writes it."""
    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    between = text.partition(models_table.BEGIN)[2].partition(models_table.END)[0]

    assert between.strip("\n") == models_table.table()
    assert len(FAMILIES) == between.count("\n| ") - 1
