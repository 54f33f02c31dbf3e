"""Which families' chat templates work, tried with stand-ins of their tokenizers: the first table of docs/models.md.

    python -m tests.helpers.models_table          writes it

A template of trl's that no family here names fails tests/release/data/test_chat.py: its family is to be added.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from release.data import chat as chats
from tests.helpers.line import ROOT
from tests.helpers.stand_in_tokenizer import Tokens, write

OWN = ROOT / "tests" / "data" / "chat"
DOCS = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- templates: python -m tests.helpers.models_table -->", "<!-- end of templates -->"
DAY = date(2026, 1, 2)

SYSTEM = {"role": "system", "content": "Be brief.\nAnswer in JSON."}
ASKED = {"role": "user", "content": "Is it so? „Ünïcode“ 日本\n\n[1] It's 3 < 4 & {{ x }}."}
ANSWERED = {"role": "assistant", "content": '{"answer": "No."}'}
PROMPTS = {
    "user only": [ASKED],
    "with a system message": [SYSTEM, ASKED],
    "two turns": [ASKED, ANSWERED, ASKED],
    "two turns with a system message": [SYSTEM, ASKED, ANSWERED, ASKED],
}
ANSWERS = {
    "one word": "Yes.",
    "JSON": '{"answer": "Zeile eins\\n\\t„zwei“ 日本 🙂", "citations": [1, 2], "template": "{{ x }} {% if y %}"}',
    "JSON on several lines": '{\n  "answer": "a",\n\n  "b": ["c  d", {"e": null}]\n}',
    "text": "First line.\n\n  second: it's 3 < 4 & done",
    "words like thoughts": '{"answer": "<thinking> I think </thinking> so", "thought": "<thought>"}',
}
THOUGHT = "<think>\nHm.\n</think>\n\nYes."
"""An answer with a model's thought before it."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """Models that share a template and tokens, and what is expected of them."""

    name: str
    templates: tuple[str, ...]
    """Of trl/chat_templates, by stem; else of tests/data/chat."""
    tokens: Tokens
    end: str
    """What the template writes after an answer, and so is learned."""
    before: str = ""
    """Spaces and line ends between the prompt and an answer, which are learned with it."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    """How what was changed in the template begins to be told."""
    fault: str = ""
    """Part of what is said of every row; empty where they work."""
    system_fault: str = ""
    """Part of what is said of rows with a system message."""
    thought_kept: bool = True
    """Whether an answer may begin with a thought."""
    mend: tuple[tuple[str, str], ...] = ()
    """What to replace in a copy of the template that then works."""
    mend_says: str = ""


THINK = ("<think>", "</think>")
TOOLS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
DATED = "The template writes today's date"
HEADED = "The template writes "
ASKED_SO = "It is asked with chat_template_kwargs"
NO_THINKING = {"enable_thinking": False}
OTHERWISE = "writes a prompt otherwise before an answer than with it"
ASKING = "{%- if add_generation_prompt -%}"
PARTS_OF = "{% for content in message['content'] | selectattr('type', 'equalto', "
BY_LINE = (
    ("message['content'][0]['type']", "'text'"),
    (
        (
            "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
            "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
        ),
        "{{ message['content'] }}",
    ),
)
PARTS = "a copy that writes `message['content']` as it is: the base's own expects a list of texts and images"

QWEN = Tokens(
    eos="<|im_end|>",
    pad="<|endoftext|>",
    special=("<|im_start|>", *VISION),
    plain=(*THINK, *TOOLS),
    ends=("<|im_end|>", "<|endoftext|>"),
)
LLAMA = Tokens(
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    special=("<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|end_of_text|>", "<|python_tag|>"),
    ends=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
)
GEMMA = Tokens(
    bos="<bos>",
    eos="<eos>",
    pad="<pad>",
    special=("<start_of_turn>", "<end_of_turn>", "<start_of_image>"),
    ends=("<eos>", "<end_of_turn>"),
    words="pieces",
)
GEMMA_4 = Tokens(
    bos="<bos>",
    eos="<eos>",
    pad="<pad>",
    special=("<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>", "<|tool_response>", "<tool_response|>"),
    ends=("<eos>", "<turn|>", "<|tool_response>"),
    words="pieces",
)
DEEPSEEK = Tokens(
    bos="<｜begin▁of▁sentence｜>",
    eos="<｜end▁of▁sentence｜>",
    plain=("<｜User｜>", "<｜Assistant｜>", *THINK),
    ends=("<｜end▁of▁sentence｜>",),
)
COHERE = Tokens(
    bos="<BOS_TOKEN>",
    eos="<|END_OF_TURN_TOKEN|>",
    pad="<PAD>",
    special=("<EOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>",
             "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ends=("<|END_OF_TURN_TOKEN|>",),
    words="old bytes",
)  # fmt: skip
GLM = Tokens(
    eos="<|endoftext|>",
    pad="<|endoftext|>",
    special=("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
    plain=("/nothink", *THINK, *TOOLS),
    ends=("<|endoftext|>", "<|user|>", "<|observation|>"),
)
PHI = Tokens(
    bos="<s>",
    eos="<|endoftext|>",
    pad="<|endoftext|>",
    special=("<|assistant|>", "<|system|>", "<|user|>", "<|end|>"),
    ends=("<|endoftext|>", "<|assistant|>", "<|end|>"),
    words="old pieces",
    swallow=("<|assistant|>", "<|system|>", "<|user|>", "<|end|>"),
)
LFM = Tokens(
    bos="<|startoftext|>",
    eos="<|im_end|>",
    pad="<|pad|>",
    special=("<|im_start|>", "<|tool_list_start|>", "<|tool_list_end|>", "<|tool_call_start|>", "<|tool_call_end|>"),
    plain=THINK,
    ends=("<|im_end|>",),
)
NEMOTRON = Tokens(
    bos="<s>", eos="<|im_end|>", pad="<|im_end|>", special=("</s>", "<|im_start|>"), plain=(*THINK, *TOOLS),
    ends=("</s>", "<|im_end|>"),
)  # fmt: skip
MISTRAL = Tokens(bos="<s>", eos="</s>", special=("[INST]", "[/INST]"), ends=("</s>",), words="old pieces")

FAMILIES = (
    Family(name="Qwen2.5, Qwen2.5-VL", templates=("qwen2_5", "qwen2_5_vl"), tokens=QWEN, end="<|im_end|>"),
    Family(
        name="Qwen3, hybrid",
        templates=("qwen3",),
        tokens=QWEN,
        end="<|im_end|>",
        arguments=NO_THINKING,
        changes=(ASKED_SO,),
        thought_kept=False,
    ),
    Family(
        name="Qwen3-2507 Instruct, Qwen3-VL Instruct",
        templates=("qwen3_instruct_2507", "qwen3_vl"),
        tokens=QWEN,
        end="<|im_end|>",
    ),
    Family(
        name="Qwen3.5 and 3.6, which think",
        templates=("qwen3_5_think", "qwen3_6"),
        tokens=QWEN,
        end="<|im_end|>",
        arguments=NO_THINKING,
        changes=(ASKED_SO,),
        thought_kept=False,
    ),
    Family(
        name="Qwen3.8",
        templates=("qwen3_8",),
        tokens=QWEN,
        end="<|im_end|>",
        arguments=NO_THINKING,
        changes=(ASKED_SO,),
    ),
    Family(
        name="Qwen3.5, small, which does not think",
        templates=("qwen3_5_nothink",),
        tokens=QWEN,
        end="<|im_end|>",
        thought_kept=False,
    ),
    Family(name="Llama 3, 3.1", templates=("llama3", "llama3_1"), tokens=LLAMA, end="<|eot_id|>"),
    Family(name="Llama 3.2", templates=("llama3_2",), tokens=LLAMA, end="<|eot_id|>", changes=(DATED,)),
    Family(
        name="Gemma, Gemma 2",
        templates=("gemma",),
        tokens=GEMMA,
        end="<end_of_turn>",
        system_fault="refuses a row: 'System role not supported'",
    ),
    Family(name="Gemma 3", templates=("gemma3",), tokens=GEMMA, end="<end_of_turn>"),
    Family(
        name="Gemma 4, DiffusionGemma",
        templates=("gemma4", "gemma4_v2", "gemma4_v3", "gemma4_v4", "gemma4_v5", "diffusion_gemma"),
        tokens=GEMMA_4,
        end="<turn|>",
    ),
    Family(
        name="Mistral 7B v0.3, Nemo",
        templates=("mistral_v0_3",),
        tokens=MISTRAL,
        end="</s>",
        before=" ",
        system_fault=OTHERWISE,
    ),
    Family(
        name="Mistral 7B v0.1 and v0.2, Mixtral",
        templates=("mixtral",),
        tokens=Tokens(bos="<s>", eos="</s>", ends=("</s>",), words="old pieces"),
        end="</s>",
        system_fault="refuses a row: 'Conversation roles must alternate",
    ),
    Family(name="Phi-3, Phi-3.5", templates=("phi3", "phi3_5"), tokens=PHI, end="<|end|>"),
    Family(
        name="gpt-oss",
        templates=("gptoss",),
        tokens=Tokens(
            bos="<|startoftext|>",
            eos="<|return|>",
            pad="<|endoftext|>",
            special=("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>"),
            ends=("<|return|>", "<|endoftext|>", "<|call|>"),
        ),
        end="<|return|>",
        changes=(DATED, HEADED),
    ),
    Family(
        name="DeepSeek-R1, its distillations, V3 as trl has it",
        templates=("deepseek_r1_distill", "deepseekv3"),
        tokens=DEEPSEEK,
        end="<｜end▁of▁sentence｜>",
        fault=OTHERWISE,
        mend=(("<｜Assistant｜><think>\\n", "<｜Assistant｜>"),),
        mend_says="a copy whose last line writes `<｜Assistant｜>` without `<think>`, so that it answers at once",
        thought_kept=False,
    ),
    Family(name="Aya Expanse, Command R", templates=("cohere",), tokens=COHERE, end="<|END_OF_TURN_TOKEN|>"),
    Family(name="Command R7B, Tiny Aya", templates=("cohere2",), tokens=COHERE, end="<|END_RESPONSE|>"),
    Family(
        name="GLM-4.5",
        templates=("glm4moe",),
        tokens=GLM,
        end="<|user|>",
        before="\n",
        arguments=NO_THINKING,
        changes=(ASKED_SO,),
        fault="ends an answer without the end-of-sequence token",
        mend=((ASKING, f"{{%- if not add_generation_prompt -%}}<|user|>{{%- endif -%}}\n{ASKING}"),),
        mend_says="trl's `glm4moe_training`, or a copy with `<|user|>` at its end if not `add_generation_prompt`",
        thought_kept=False,
    ),
    Family(name="LFM2", templates=("lfm2", "lfm2_v2"), tokens=LFM, end="<|im_end|>"),
    Family(
        name="LFM2.5, LFM2.5-VL",
        templates=("lfm2_2_5", "lfm2_2_5_v2", "lfm2_2_5_vl"),
        tokens=LFM,
        end="<|im_end|>",
    ),
    Family(
        name="Nemotron 3",
        templates=("nemotron_3_nano", "nemotron_3_super", "nemotron_3_ultra", "nemotron_3_5_lightning"),
        tokens=NEMOTRON,
        end="<|im_end|>",
        arguments=NO_THINKING,
        changes=(ASKED_SO,),
        thought_kept=False,
    ),
    Family(
        name="Muse Glimmer",
        templates=("muse_glimmer",),
        tokens=Tokens(
            bos="<|begin_of_text|>",
            eos="<|eot|>",
            special=("<|start|>", "<|message|>", "<|eom|>"),
            ends=("<|eot|>",),
        ),
        end="<|eot|>",
        changes=(DATED, HEADED),
    ),
    Family(
        name="Idefics3",
        templates=("idefics3",),
        tokens=Tokens(
            bos="<|begin_of_text|>",
            eos="<|end_of_text|>",
            special=("<end_of_utterance>", "<image>"),
            ends=("<|end_of_text|>",),
        ),
        end="<end_of_utterance>",
        before=" ",
        fault="drops the ",
        mend=BY_LINE,
        mend_says=PARTS,
    ),
    Family(
        name="SmolVLM",
        templates=("smolvlm",),
        tokens=Tokens(
            bos="<|im_start|>",
            eos="<end_of_utterance>",
            pad="<|im_end|>",
            special=("<image>",),
            ends=("<end_of_utterance>",),
            words="old bytes",
        ),
        end="<end_of_utterance>",
        before=" ",
        fault="drops the ",
        mend=BY_LINE,
        mend_says=PARTS,
    ),
    Family(
        name="LLaVA-NeXT",
        templates=("llava_next",),
        tokens=Tokens(bos="<s>", eos="</s>", special=("<image>",), ends=("</s>",), words="old pieces"),
        end="</s>",
        fault="refuses a row",
        mend=(
            (PARTS_OF + "'image') %}{{ '<image>\n' }}{% endfor %}", ""),
            (PARTS_OF + "'text') %}{{ content['text'] }}{% endfor %}", "{{ message['content'] }}"),
            ("message['content'][0]['text']", "message['content']"),
        ),
        mend_says=PARTS,
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One template of a family."""

    stem: str
    family: Family

    @property
    def source(self) -> str:
        path = shipped().get(self.stem, OWN / f"{self.stem}.jinja")
        return path.read_text("utf-8")

    @property
    def mended(self) -> str:
        """The template as its family's remedy says."""
        text = self.source
        for old, new in self.family.mend:
            if old not in text:
                raise ValueError(f"{self.stem} holds no {old!r}")
            text = text.replace(old, new)
        return text

    @property
    def works_as_it_is(self) -> bool:
        """``glm4moe_training`` writes what the original lacks."""
        return not self.family.fault or self.stem == "glm4moe_training"

    def chat(self, folder: Path, own: Path | None = None) -> chats.Chat:
        """The base's small files in ``folder``, read as a release reads them."""
        write(folder, self.family.tokens, self.source)
        return chats.read(folder, chats.Wanted(template=own, day=DAY))


@cache
def shipped() -> dict[str, Path]:
    """Every template that trl has, by stem, without importing it."""
    found = find_spec("trl")
    assert found is not None
    assert found.origin is not None
    return {path.stem: path for path in sorted((Path(found.origin).parent / "chat_templates").glob("*.jinja"))}


def cases() -> list[Case]:
    """Each family's templates, and those that trl trains with in their place."""
    both = [(stem, one) for one in FAMILIES for name in one.templates for stem in (name, f"{name}_training")]
    own = {path.stem for path in OWN.glob("*.jinja")}
    return [Case(stem=stem, family=one) for stem, one in both if stem in shipped() or stem in own]


def faults(chat: chats.Chat, prompts: Sequence[str]) -> list[str]:
    """What is wrong with the rows of these prompts."""
    rows = [chat.example(PROMPTS[name], answer) for name in prompts for answer in ANSWERS.values()]
    return [one.fault for one in rows if one.fault]


def table() -> str:
    """The first table of docs/models.md: what came of each family's templates."""
    head = "| family | trl's templates | works, or why it is refused | what to set | what ends an answer |"
    with tempfile.TemporaryDirectory() as folder:
        return "\n".join([head, "|---|---|---|---|---|", *_lines(Path(folder))])


def _lines(folder: Path) -> Iterator[str]:
    for family in FAMILIES:
        seen = {stem: Case(stem=stem, family=family) for stem in family.templates}
        read = [one.chat(folder / stem) for stem, one in seen.items()]
        said = {_line(family, chat, folder) for chat in read}
        if len(said) > 1:
            raise ValueError(f"the templates of {family.name} differ: make families of them")
        names = ", ".join(f"`{stem}`" for stem in family.templates if stem in shipped()) or "–"
        yield f"| {family.name} | {names} | {said.pop()} |"


def _line(family: Family, chat: chats.Chat, folder: Path) -> str:
    """What came of one template, in the words of the table."""
    plain, system = faults(chat, ["user only", "two turns"]), faults(chat, ["with a system message"])
    verdict, settings = "works", ["nothing" + (f": {' and '.join(_by_itself(chat))}" if chat.changed else "")]
    if plain:
        verdict, settings = f"refused: it {_first(plain)}", [f"`model.chat_template`: {family.mend_says}"]
        own = folder / "own.jinja"
        own.write_text(Case(stem=family.templates[0], family=family).mended, "utf-8")
        chat = Case(stem=family.templates[0], family=family).chat(folder / "mended", own)
    elif system:
        verdict = f"works without system messages; with one it {_first(system)}"
        settings = ["for rows with system messages: `data convert --system-to-user`"]
    learned = chat.token(chat.example(PROMPTS["user only"], ANSWERS["JSON"]).learned[-1])
    others = [f"`{chat.token(one)}`" for one in chat.ends if chat.token(one) != learned]
    stops = f"`{learned}`" + (f"; generation also stops at {', '.join(others)}" if others else "")
    return " | ".join(one.replace("|", "\\|") for one in (verdict, "; ".join(settings), stops))


def _by_itself(chat: chats.Chat) -> Iterator[str]:
    """What is set or changed without being asked for."""
    for change in chat.changed:
        if change.startswith(ASKED_SO):
            yield f"`chat_template_kwargs: {change.removeprefix(ASKED_SO).strip(' .')}` is used by itself"
        elif change.startswith(DATED):
            yield "its date stays that of the run"
        else:
            header = change.removeprefix("The template writes '").partition("' before every answer")[0]
            yield f"`{header}` is put at the end of the prompt"


def _first(said: Sequence[str]) -> str:
    """A fault's first sentence, without the row's text."""
    sentence = re.split(r"\. |: what is trained|: the model would", said[0])[0]
    return re.sub(r"^The (base model's )?chat template |(?<=message) [\"'].*", "", sentence).removesuffix(".")


def main() -> None:
    text = DOCS.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    main()
