"""The cases of tests/release/test_families.py, and the second table of docs/models.md that is made of them.

python -m tests.helpers.families_table          writes it
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.helpers import families
from tests.helpers.families import ATTENTION, Family
from tests.helpers.line import ROOT

DOCS = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- whole-line: python -m tests.helpers.families_table -->", "<!-- end of whole-line -->"
TARGETS = "adapter.lora.target_modules"
LORA: Mapping[str, Any] = {
    "adapter.method": "lora",
    "adapter.quantization.load_in_4bit": False,
}
BY_LETTER: Mapping[str, Any] = {"training.max_steps": 48, "generation.max_new_tokens": 64}
"""Where an answer has a token for each letter."""
PHI_TARGETS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
MOVE_SYSTEM = "Put the system text at the start of the first user message"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A family, what is particular about it, and what comes of it."""

    name: str
    repo: str
    family: Family
    shows: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By dotted key, over README's example made small."""
    system: bool = False
    """Whether the rows have a system message."""
    refused: str = ""
    """Part of why, before anything is fetched; empty where it is released."""
    remedy: str = ""
    """Part of what is told to do."""


CASES = (
    Case(
        name="Qwen3",
        repo="Qwen/Qwen3-0.6B",
        family=families.QWEN3,
        shows="hybrid thinking; README's example as printed",
    ),
    Case(
        name="Qwen2.5 base",
        repo="Qwen/Qwen2.5-0.5B",
        family=families.QWEN25_BASE,
        shows="an end that only the template knows; `bias: lora_only`",
        settings={**LORA, "adapter.lora.bias": "lora_only"},
        system=True,
    ),
    Case(
        name="Llama-3.2",
        repo="meta-llama/Llama-3.2-1B-Instruct",
        family=families.LLAMA_32,
        shows="today's date; three ends; tied",
        system=True,
    ),
    Case(
        name="Gemma-2",
        repo="google/gemma-2-2b-it",
        family=families.GEMMA_2,
        shows="no system role; a second end; sentencepiece",
        settings=LORA,
    ),
    Case(
        name="Gemma-3",
        repo="google/gemma-3-4b-it",
        family=families.GEMMA_3,
        shows="a vision tower, which carries no adapter; a second end",
        settings=LORA,
        system=True,
    ),
    Case(
        name="Mistral v0.3",
        repo="mistralai/Mistral-7B-Instruct-v0.3",
        family=families.MISTRAL,
        shows="sentencepiece as in Llama 2; untied",
        settings=BY_LETTER,
    ),
    Case(
        name="Phi-3.5",
        repo="microsoft/Phi-3.5-mini-instruct",
        family=families.PHI_35,
        shows="fused projections; two ends one after the other",
        settings={**LORA, **BY_LETTER, TARGETS: PHI_TARGETS},
        system=True,
    ),
    Case(
        name="Qwen3-30B-A3B",
        repo="Qwen/Qwen3-30B-A3B-Instruct-2507",
        family=families.QWEN3_MOE,
        shows="experts; adapter on attention",
        settings={**LORA, TARGETS: ATTENTION},
        system=True,
    ),
    Case(
        name="Command-R7B",
        repo="CohereLabs/c4ai-command-r7b-12-2024",
        family=families.COHERE2,
        shows="a token around every answer; several templates",
        settings={**LORA, "training.per_device_train_batch_size": 1},  # its template writes a thousand words
        system=True,
    ),
    Case(
        name="OLMo-2",
        repo="allenai/OLMo-2-1124-7B-Instruct",
        family=families.OLMO_2,
        shows="begins with its end; untied",
        settings=LORA,
        system=True,
    ),
    Case(
        name="GPT-NeoX",
        repo="someone/gpt-neox-with-a-template",
        family=families.GPT_NEOX,
        shows="`all-linear`; `bias: all`; ends named in special_tokens_map.json alone",
        settings={**LORA, TARGETS: "all-linear", "adapter.lora.bias": "all"},
        system=True,
    ),
    Case(
        name="gpt-oss, bfloat16",
        repo="someone/gpt-oss-20b-bf16",
        family=families.GPT_OSS,
        shows="experts; a channel before every answer; today's date; adapter on attention",
        settings={**LORA, TARGETS: ATTENTION},
        system=True,
    ),
    Case(
        name="SmolLM3",
        repo="HuggingFaceTB/SmolLM3-3B",
        family=families.SMOLLM3,
        shows="hybrid thinking and today's date",
        settings=LORA,
    ),
    Case(
        name="Granite-3.3",
        repo="ibm-granite/granite-3.3-2b-instruct",
        family=families.GRANITE,
        shows="today's date where rows have no system",
        settings=LORA,
    ),
    Case(
        name="Gemma-2, rows with a system message",
        repo="google/gemma-2-9b-it",
        family=families.GEMMA_2,
        shows="a template that refuses rows",
        settings=LORA,
        system=True,
        refused="System role not supported",
        remedy=MOVE_SYSTEM,
    ),
    Case(
        name="Mistral v0.3, rows with a system message",
        repo="mistralai/Mistral-7B-Instruct-v0.3-with-system",
        family=families.MISTRAL,
        shows="a template that would train another prompt than is asked",
        system=True,
        refused="writes a prompt otherwise before an answer than with it",
        remedy=MOVE_SYSTEM,
    ),
    Case(
        name="Qwen3-30B-A3B, adapter on experts",
        repo="Qwen/Qwen3-30B-A3B",
        family=families.QWEN3_MOE,
        shows="experts that are one parameter: `gate_proj` is no module",
        settings={TARGETS: (*ATTENTION, "gate_proj")},
        refused="gate_proj, which transformers and PEFT take for parts of one parameter that holds all experts",
        remedy="target_modules: [q_proj, k_proj, v_proj, o_proj]",
    ),
    Case(
        name="Phi-3.5, default targets",
        repo="microsoft/Phi-3-mini-4k-instruct",
        family=families.PHI_35,
        shows="fused projections under other names",
        settings=BY_LETTER,
        refused="which no module of the base model is called",
        remedy="target_modules: [o_proj, qkv_proj, gate_up_proj, down_proj]",
    ),
    Case(
        name="Qwen2.5-VL",
        repo="Qwen/Qwen2.5-VL-7B-Instruct",
        family=families.QWEN25_VL,
        shows="a wrapper that transformers loads as no language model",
        refused="does not load as a language model (AutoModelForCausalLM)",
        remedy="such as Qwen/Qwen2.5-7B-Instruct",
    ),
    Case(
        name="Qwen3, GPTQ",
        repo="Qwen/Qwen3-8B-GPTQ-Int4",
        family=families.GPTQ,
        shows="weights that are quantized already",
        refused="holds weights that are quantized already (gptq)",
        remedy="Use the repository that it was made of",
    ),
    Case(
        name="Qwen3, FP8",
        repo="Qwen/Qwen3-8B-FP8",
        family=families.FP8,
        shows="the same",
        refused="holds weights that are quantized already (fp8)",
        remedy="Use the repository that it was made of",
    ),
    Case(
        name="Llama-3.2, bnb-4bit",
        repo="unsloth/Llama-3.2-1B-Instruct-bnb-4bit",
        family=families.BNB_4BIT,
        shows="the same",
        refused="holds weights that are quantized already (bitsandbytes)",
        remedy="Write `model: {base_model_id: unsloth/Llama-3.2-1B-Instruct}`",
    ),
    Case(
        name="Pythia",
        repo="EleutherAI/pythia-1.4b",
        family=families.PYTHIA,
        shows="no chat template",
        settings={TARGETS: "all-linear"},
        refused="has no chat template",
        remedy="Use an instruction-tuned base",
    ),
)


def table() -> str:
    """The second table of docs/models.md."""
    head = "| family | what it tries | settings | through the whole line |\n|---|---|---|---|"
    return "\n".join([head, *map(_line, CASES)])


def _line(case: Case) -> str:
    came = "released, verified"
    if case.refused:
        came = f"refused with exit 4 before its weights are fetched: “{case.refused}”"
    return f"| {case.name} | {case.shows} | {', '.join(_settings(case)) or 'the default ones'} | {came} |"


def _settings(case: Case) -> Iterator[str]:
    """What of a case's settings is the family's, and not there to keep the stand-in quick."""
    for key, value in case.settings.items():
        if key.startswith("adapter.lora."):
            shown = value if isinstance(value, str) else f"[{', '.join(value)}]"
            yield f"`{key.removeprefix('adapter.lora.')}: {shown}`"
        elif key == "adapter.method":
            yield f"`method: {value}`"


def main() -> None:
    before, _, rest = DOCS.read_text("utf-8").partition(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    main()
