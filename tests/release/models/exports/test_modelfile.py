"""Ollama's template writes each golden prompt as it was judged, or there is no Modelfile."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import gates
from gates.canonical import digest
from release.data.chat import Chat, Messages, read
from release.models.exports import modelfile
from release.models.exports.go_template import rendered
from release.values.errors import PreflightError
from tests.helpers import ollama
from tests.helpers.line import ROOT
from tests.helpers.stand_in_tokenizer import Tokens, write

RELEASED = ROOT / "tests" / "data" / "releases" / "v2"
ASKED: Messages = ({"role": "user", "content": "Is it?"},)
TOKENS = Tokens(bos="<s>", eos="</s>", special=("<|im_start|>", "<|im_end|>"), ends=("</s>", "<|im_end|>"))
CHATML = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITHOUT_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML
ENDS_TURNS_OTHERWISE = CHATML.replace(
    "<|im_end|>\n{% endfor %}", "<|im_end|>{% if not loop.last %}!{% endif %}{% endfor %}"
)
SAYS_HOW_MANY = CHATML.replace("{{ bos_token }}", "{{ bos_token }}{{ messages[0].content | length }}:")
LAST_SYSTEM = CHATML.replace("{{ m.content }}", "{{ m.content | trim }}")


def chat_of(template: str, folder: Path) -> Chat:
    return read(write(folder, TOKENS, template))


def asks(chat: Chat, prompts: Sequence[Messages], adds: str = "") -> modelfile.Asks:
    return modelfile.Asks(says=says(chat), chat=chat, prompts=prompts, adds=adds)


def says(chat: Chat) -> modelfile.Says:
    ends = [chat.token(one) for one in chat.ends]
    return modelfile.Says(model="merged-Q8_0.gguf", adapter=None, context=512, max_new_tokens=64, ends=ends)


def problem(content: str, chat: Chat, prompts: Sequence[Messages], adds: str = "") -> str:
    judged = digest([chat.text(one, generation_prompt=True) for one in prompts])
    return modelfile.problem(content, says(chat), adds, prompts, judged)


def test_every_golden_prompt_of_the_default_is_written_to_the_byte() -> None:
    chat = read(RELEASED)
    prompts = [row.prompt for row in gates.read_golden(ROOT / "data" / "elements" / "golden.jsonl")]

    told = modelfile.text(asks(chat, prompts))

    template = told.partition('TEMPLATE """')[2].partition('"""')[0]
    assert {rendered(template, one) == chat.text(one, generation_prompt=True) for one in prompts} == {True}
    assert told.startswith("FROM ./merged-Q8_0.gguf\n")
    assert told.splitlines()[-6:] == [
        "PARAMETER num_ctx 512",
        "PARAMETER num_predict 64",
        "PARAMETER temperature 0",
        "PARAMETER top_k 1",
        "PARAMETER repeat_penalty 1",
        'PARAMETER stop "<|im_end|>"',
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        ASKED,
        ({"role": "system", "content": "Be brief."}, *ASKED),
        (*ASKED, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And now?"}),
        ({"role": "system", "content": "S"}, *ASKED, {"role": "assistant", "content": "Y"}, *ASKED),
    ],
)
@pytest.mark.parametrize("template", [CHATML, LAST_SYSTEM], ids=["chatml", "trimmed"])
@pytest.mark.parametrize("adds", ["", "<s>"])
def test_conversations_are_written_with_and_without_what_llama_cpp_adds(
    adds: str, template: str, prompt: Messages, tmp_path: Path
) -> None:
    chat = chat_of(template, tmp_path)

    told = adds + rendered(modelfile.go_template(chat, adds), prompt)

    assert told == chat.text(prompt, generation_prompt=True)
    assert problem(modelfile.text(asks(chat, [prompt], adds)), chat, [prompt], adds) == ""


@pytest.mark.parametrize(
    ("model", "pre", "said", "begins"),
    [
        ("gpt2", "llama-bpe", None, True),
        ("gpt2", "llama-bpe", False, False),
        ("gpt2", "smollm", None, False),
        ("gpt2", "smollm", True, True),
        ("llama", None, None, True),
    ],
)
def test_what_llama_cpp_puts_before_a_text_follows_from_the_gguf(
    model: str, pre: str | None, said: bool | None, begins: bool, tmp_path: Path
) -> None:
    from gguf import GGUFWriter

    chat = chat_of(CHATML, tmp_path)
    writer = GGUFWriter(str(tmp_path / "it.gguf"), "llama")
    writer.add_tokenizer_model(model)
    writer.add_bos_token_id(0)
    if pre:
        writer.add_tokenizer_pre(pre)
    if said is not None:
        writer.add_add_bos_token(said)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    assert modelfile.adds(tmp_path / "it.gguf", chat) == (chat.token(0) if begins else "")


def test_a_template_that_differs_by_a_newline_is_found_out(tmp_path: Path) -> None:
    chat = chat_of(CHATML, tmp_path)
    whole = modelfile.go_template(chat)
    judged = chat.text(ASKED, generation_prompt=True)

    assert rendered(whole, ASKED) == judged
    for cut in (whole.removesuffix("\n"), whole + "\n", whole.replace("<|im_end|>\n", "<|im_end|>")):
        assert rendered(cut, ASKED) != judged


CHANGES = {
    "a newline less": lambda it: it.replace("<|im_end|>\n{{", "<|im_end|>{{"),
    "another role": lambda it: it.replace('eq .Role "user"', 'eq .Role "assistant"', 1),
    "an action that nobody reads": lambda it: it.replace("{{ .Content }}", "{{ .Thinking }}", 1),
    "another file": lambda it: it.replace("merged-Q8_0", "merged-Q4_0"),
    "another stop": lambda it: it.replace('stop "<|im_end|>"', 'stop "."'),
    "a system text of its own": lambda it: it + 'SYSTEM """Say yes."""\n',
    "warmer": lambda it: it.replace("temperature 0", "temperature 1"),
    "words behind an else": lambda it: it.replace(
        '"""\nPARAMETER', '{{ if not .System }}{{ else }}{{ end }}Say yes."""\nPARAMETER'
    ),
    "words behind an end": lambda it: it.replace('"""\nPARAMETER', '{{ end }}Say yes."""\nPARAMETER'),
    "a character that Ollama drops": lambda it: it.replace("<|im_end|>\n{{", "<|im_end|>\u200d\n{{"),
    "no template": lambda it: it.replace("TEMPLATE", "LICENSE"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_says_anything_else_than_what_was_judged_is_found_out(
    change: Callable[[str], str], tmp_path: Path
) -> None:
    chat = chat_of(CHATML, tmp_path)
    whole = modelfile.text(asks(chat, [ASKED]))

    assert problem(whole, chat, [ASKED]) == ""
    assert change(whole) != whole
    assert problem(change(whole), chat, [ASKED])


@pytest.mark.parametrize(
    ("template", "prompt", "said"),
    [
        (
            SAYS_HOW_MANY,
            ({"role": "user", "content": "Longer than that?"},),
            "golden prompt 1 otherwise than was judged",
        ),
        (WITHOUT_SYSTEM, (*ASKED, *ASKED), "golden prompt 1 otherwise"),  # Ollama makes one message of two
        (LAST_SYSTEM, ({"role": "user", "content": " Is it? "},), "from character"),
        (CHATML.replace("<|im_start|>", "{{ '{{' }}"), ASKED, "'{{'"),
    ],
)
def test_what_cannot_be_said_in_its_template_is_refused_with_the_place(
    template: str, prompt: Messages, said: str, tmp_path: Path
) -> None:
    chat = chat_of(template, tmp_path)

    with pytest.raises(PreflightError) as refused:
        modelfile.text(asks(chat, [prompt]))

    assert "No Modelfile for Ollama" in str(refused.value)
    assert said in str(refused.value)


def test_a_template_without_a_system_message_and_one_with_odd_turns_ask_single_questions(tmp_path: Path) -> None:
    for number, template in enumerate((WITHOUT_SYSTEM, ENDS_TURNS_OTHERWISE)):
        modelfile.text(asks(chat_of(template, tmp_path / str(number)), [ASKED]))


def test_an_end_that_it_cannot_write_is_refused(tmp_path: Path) -> None:
    tokens = replace(TOKENS, ends=('<"end">',), special=(*TOKENS.special, '<"end">'))

    with pytest.raises(PreflightError, match="no way to write"):
        modelfile.text(asks(read(write(tmp_path, tokens, CHATML)), [ASKED]))


@pytest.mark.parametrize("word", ['<|im_end|>"', "a\nFROM other", "a\r", "a\x00", "a\x7f"])
@pytest.mark.parametrize(
    "put",
    [
        lambda said, word: replace(said, ends=[word]),
        lambda said, word: replace(said, model=word),
        lambda said, word: replace(said, adapter=word),
    ],
)
def test_no_word_of_a_modelfile_is_more_than_a_word(
    put: Callable[[modelfile.Says, str], modelfile.Says], word: str, tmp_path: Path
) -> None:
    said = put(says(chat_of(CHATML, tmp_path)), word)

    with pytest.raises(PreflightError, match="no way to write"):
        modelfile.written(said, "{{ .Content }}")
    assert "no way to write" in modelfile.problem("FROM x", said, "", [ASKED], "0" * 64)


def test_ollamas_own_parser_and_templates_write_what_was_judged(tmp_path: Path) -> None:
    """As recorded: its packages run over each Modelfile that is written for the default and for six families."""
    said, count = ollama.said(), 0
    for case, judged in ollama.of_chats(tmp_path):
        found = said[ollama.asked(case)]
        assert found["wrote"] == [judged]
        assert found["commands"] == [
            ["model", "./model.gguf"],
            ["template", case.template],
            ["num_ctx", "512"],
            ["num_predict", "64"],
            ["temperature", "0"],
            ["top_k", "1"],
            ["repeat_penalty", "1"],
            *(["stop", end] for end in case.ends),
        ]
        count += 1
    assert count > 25


def test_ollamas_own_parser_reads_each_template_and_end_as_it_was_written() -> None:
    said = ollama.said()
    for case in ollama.plain():
        commands = said[ollama.asked(case)]["commands"]
        assert [text for name, text in commands if name == "template"] == [case.template]
        assert [text for name, text in commands if name == "stop"] == [*case.ends]


@pytest.mark.parametrize("letter", ["\u00a0", "\u00ad", "\u200d", "\u2028", "\ufeff", "\ue000", "\x00", "\x0b", "\x85"])
def test_what_ollama_drops_as_it_reads_a_file_is_refused(letter: str, tmp_path: Path) -> None:
    """Its reader keeps what can be printed, and spaces, tabs and line ends: no template or end has anything else."""
    said = says(chat_of(CHATML, tmp_path))

    for one, template in ((said, f"a{letter}b"), (replace(said, ends=[f"<e>{letter}"]), "a")):
        with pytest.raises(PreflightError, match="no way to write"):
            modelfile.written(one, template)


@pytest.mark.parametrize("template", ['"a', 'a"', '""', "a\r\n\tb", 'a""'])
def test_quotes_and_line_ends_within_a_template_are_read_again(template: str, tmp_path: Path) -> None:
    chat = chat_of(
        "{{ '" + template.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t") + "' }}" + CHATML, tmp_path
    )

    assert problem(modelfile.text(asks(chat, [ASKED])), chat, [ASKED]) == ""
