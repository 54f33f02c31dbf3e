"""llama.cpp answers what was asked, to the token; what it cannot load is an error and never the base in its name."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from release.config.reading import load
from release.config.settings import Form, Generation
from release.data import chat as chats
from release.models.engines import llama_cpp, transformers
from release.models.engines.engine import Asked, Prompt
from release.values.errors import VerificationError
from tests.helpers import families, llama
from tests.helpers.line import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The PEFT config's `base_model_name_or_path` was renamed:UserWarning"),
]
LORA, MERGED = Form(engine="llama.cpp", file_type="F32"), Form(engine="llama.cpp", merged=True, file_type="F32")
SERVING: dict[str, dict[str, object]] = {
    "lora": {"engine": "llama.cpp", "file_type": "F32"},
    "merged": {"engine": "llama.cpp", "merged": True, "file_type": "F32"},
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """A tiny Llama with a random adapter, exported."""
    run, base = llama.run_of(families.LLAMA_32, tmp_path_factory.mktemp("asked"), SERVING)
    for name in SERVING:
        llama.exported(run, base, name)
    config = load(run / "config.yaml")
    return Asked(
        base=base,
        adapter=run / "adapter",
        chat=chats.read(run / "adapter", base=base),
        settings=config,
        form=LORA,
        schema=run / "answer.schema.json",
        exports=run / "exports",
    )


def prompts(asked: Asked, *questions: str) -> list[Prompt]:
    made = []
    for number, one in enumerate(questions):
        messages = [{"role": "user", "content": one}]
        text = asked.chat.text(messages, generation_prompt=True)
        made.append(Prompt(id=f"row-{number}", messages=messages, text=text, ids=asked.chat.ids(text)))
    return made


def told(asked: Asked, asking: Sequence[Prompt]) -> list[tuple[str, str]]:
    with llama_cpp.opened(asked) as opened:
        return [(one.output, one.finish_reason) for one in opened.adapted()(asking)]


def test_it_answers_as_transformers_does_over_the_same_weights(asked: Asked) -> None:
    """A few tokens: nothing was learned, so that sooner or later two are as good as equally probable."""
    asked = replace(asked, settings=replace(asked.settings, generation=Generation(max_new_tokens=3)))
    asking = prompts(asked, "What is gold?", "And 12 of iron, please?", "Is it {so}?")
    with transformers.opened(replace(asked, form=Form())) as opened:
        of_rows = {one.id: (one.output, one.finish_reason) for one in opened.adapted()(asking)}
    ours = [of_rows[one.id] for one in asking]  # the longest prompt is answered first
    with llama_cpp.opened(asked) as opened:
        assert opened.alone is not None
        base = [one.output for one in opened.alone(asking)]

    assert told(asked, asking) == ours
    assert told(replace(asked, form=MERGED), asking) == ours
    assert base != [text for text, _ in ours]


def test_an_answer_ends_at_the_first_end_also_at_one_that_llama_cpp_does_not_know(asked: Asked) -> None:
    asking = prompts(asked, "What is gold?")
    ((text, reason),) = told(asked, asking)
    assert reason == "length"
    # what a model of random weights writes hangs on the processor; a letter may be the end of a longer token too
    letters = [one for one in dict.fromkeys(text) if one.isascii() and one.isprintable() and one.strip()]
    ends = {one: ids for one in letters if len(ids := tuple(asked.chat.ids(one))) == 1}

    ended = {one: told(replace(asked, chat=replace(asked.chat, ends=end)), asking) for one, end in ends.items()}

    stopped = {one: said for one, said in ended.items() if said != [(text, "length")]}
    assert stopped
    assert stopped == {one: [(text.partition(one)[0], "stop")] for one in stopped}


def test_what_is_loaded_is_told_with_its_bytes(asked: Asked) -> None:
    with llama_cpp.opened(asked) as opened:
        loaded, versions = opened.loaded, opened.ran_on()["versions"]

    assert loaded["base"] == "unquantized"
    assert isinstance(loaded["files"], dict)
    assert list(loaded["files"]) == ["base-unquantized-F32.gguf", "adapter-F32.gguf"]
    assert isinstance(versions, dict)
    assert versions["xllamacpp"]
    with llama_cpp.opened(replace(asked, form=MERGED)) as opened:
        assert opened.alone is None


def test_a_schema_leaves_nothing_else_to_write(asked: Asked) -> None:
    form = replace(LORA, constraint="json_schema")
    settings = replace(asked.settings, generation=Generation(max_new_tokens=4))

    ((free, _),) = told(replace(asked, settings=settings), prompts(asked, "What is gold?"))
    ((text, _),) = told(replace(asked, form=form, settings=settings), prompts(asked, "What is gold?"))

    with llama_cpp.opened(replace(asked, form=form)) as opened:
        assert opened.loaded["grammar_leaves_out"] == ['Unimplemented keys: ["uniqueItems"]']
    assert text.lstrip()[:1] in ("{", "")
    assert free.lstrip()[:1] not in ("{", "")


@pytest.mark.parametrize(
    ("tokens", "stop", "ended"),
    [
        ("{}<|im_end|>", "eos", True),
        ("{}<|endoftext|>", "eos", True),  # the vocabulary's own, with which a grammar ends
        ("{}", "word", True),
        ("{}", "limit", False),
    ],
)
def test_an_end_that_only_llama_cpp_knows_ends_an_answer_and_is_no_part_of_it(
    tokens: str, stop: str, ended: bool
) -> None:
    chat = replace(chats.read(ROOT / "tests" / "data" / "releases" / "v3"), ends=(2,))

    assert llama_cpp.read(chat, {"tokens": list(chat.ids(tokens)), "stop_type": stop}) == ("{}", ended)


@pytest.mark.parametrize("broken", ["adapter-F32.gguf", "base-unquantized-F32.gguf"])
@pytest.mark.parametrize("content", [b"", b"GGUF", b"another format"])
def test_a_file_that_it_does_not_load_is_an_error(broken: str, content: bytes, asked: Asked, tmp_path: Path) -> None:
    for path in asked.exports.glob("*.gguf"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / broken).unlink()
    (tmp_path / broken).write_bytes(content)

    with pytest.raises(VerificationError, match=f"llama.cpp does not load {broken}"):
        told(replace(asked, exports=tmp_path), prompts(asked, "What is gold?"))


def test_an_adapter_of_another_model_is_an_error(asked: Asked, tmp_path: Path) -> None:
    for path in asked.exports.glob("*.gguf"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "adapter-F32.gguf").unlink()
    llama.rewritten(
        asked.exports / "adapter-F32.gguf", tmp_path / "adapter-F32.gguf", lambda _, one: one[:, :-1].copy()
    )

    with pytest.raises(VerificationError, match=r"llama\.cpp does not load adapter-F32\.gguf"):
        told(replace(asked, exports=tmp_path), prompts(asked, "What is gold?"))


def test_a_file_that_was_not_made_is_named(asked: Asked, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"has no base-unquantized-F32\.gguf"):
        told(replace(asked, exports=tmp_path), prompts(asked, "What is gold?"))


def test_a_prompt_that_is_longer_than_the_model_s_context_is_refused(asked: Asked) -> None:
    with pytest.raises(VerificationError, match="has room for 4,096"):
        told(asked, prompts(asked, "word " * 1000))


def test_a_prompt_that_it_reads_as_other_tokens_is_refused(asked: Asked) -> None:
    (one,) = prompts(asked, "What is gold?")

    with pytest.raises(VerificationError, match="reads the prompt of row row-0 as other tokens"):
        told(asked, [replace(one, ids=(*one.ids, 7))])
