"""A LoRA in llama.cpp is the LoRA that was judged, in the rows' order that llama.cpp has, or is refused by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from release.models.engines import llama_cpp
from release.models.engines.llama_cpp import Connected
from release.models.exports import gguf_lora, parity
from release.values.errors import PreflightError
from tests.helpers import families, llama
from tests.helpers.families import Family

Matrix = npt.NDArray[np.floating[npt.NBitBase]]
FIRST: npt.NDArray[np.float32] = np.arange(24, dtype=np.float32).reshape(6, 4)
ORDER = [4, 0, 2, 5, 1, 3]
PREFIXES = (1, 5, 20)
NEAR = 0.03  # of a log-probability; llama.cpp's cache is in 16 bits

peft = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_order_of_rows_is_read_off_the_weights_also_where_they_are_rounded(dtype: type) -> None:
    other = FIRST / 7 + 100
    there: dict[str, Matrix] = {"blk.0.a.weight": FIRST[ORDER].astype(dtype), "blk.1.a.weight": other.astype(dtype)}

    one, two = gguf_lora.place({"l.0.q": FIRST, "l.1.q": other}, there)

    assert (one.tensor, list(one.rows)) == ("blk.0.a.weight", ORDER)
    assert (two.tensor, list(two.rows)) == ("blk.1.a.weight", [0, 1, 2, 3, 4, 5])


def test_equal_rows_are_in_the_order_of_a_layer_that_tells_it() -> None:
    doubtful = FIRST.copy()
    doubtful[4] = doubtful[0]
    there = {"blk.0.a.weight": FIRST[ORDER], "blk.1.a.weight": doubtful[ORDER]}

    _, two = gguf_lora.place({"l.0.q": FIRST, "l.1.q": doubtful}, there)

    assert list(two.rows) == ORDER


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"a.weight": FIRST[:, ::-1]}, "holds no matrix with the rows of l.0.q"),
        ({"a.weight": FIRST * 2}, "holds no matrix with the rows of l.0.q"),
        ({"a.weight": np.concatenate([FIRST, FIRST])}, "holds no matrix with the rows of l.0.q"),
        ({"a.weight": FIRST, "b.weight": FIRST}, "holds more than once (a.weight, b.weight) the matrix of l.0.q"),
    ],
)
def test_a_module_that_is_turned_changed_fused_or_twice_there_is_refused_by_name(
    there: dict[str, Matrix], said: str
) -> None:
    with pytest.raises(PreflightError) as refused:
        gguf_lora.place({"l.0.q": FIRST}, there)

    assert said in str(refused.value)
    assert "merged: true" in str(refused.value)


def test_equal_rows_whose_order_nothing_tells_are_refused() -> None:
    doubtful = FIRST.copy()
    doubtful[4] = doubtful[0]

    with pytest.raises(PreflightError, match=r"Rows of l\.0\.q are equal in the base"):
        gguf_lora.place({"l.0.q": doubtful}, {"a.weight": doubtful[ORDER]})


@contextmanager
def served(model: Path, lora: Path | None) -> Iterator[Connected]:
    server = llama_cpp._started(model, lora, context=256, threads=1, key="key")
    yield Connected(server, "key")
    del server


def told(files: llama.Files, model: Path, lora: Path | None) -> list[dict[int, float]]:
    """What llama.cpp finds probable after a few beginnings of a text."""
    ids = files.chat.ids("The quick brown fox jumps over 12 lazy dogs.")
    with served(model, lora) as server:
        return [parity.probable(server, ids[:size], parity.plain(files.chat), {}) for size in PREFIXES]


def apart(some: list[dict[int, float]], others: list[dict[int, float]]) -> float:
    """The largest difference of a log-probability that both tell."""
    pairs = zip(some, others, strict=True)
    return max(abs(one[token] - other[token]) for one, other in pairs for token in one.keys() & other.keys())


FAMILIES = {
    "Llama 3.2": families.LLAMA_32,
    "Qwen3": families.QWEN3,
    "Qwen2.5": families.QWEN25_BASE,
    "Gemma 2": families.GEMMA_2,
    "Mistral": families.MISTRAL,
    "GPT-NeoX": families.GPT_NEOX,
    "Granite": families.GRANITE,
    "SmolLM3": families.SMOLLM3,
    "OLMo 2": families.OLMO_2,
}


@pytest.mark.slow
@peft
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_lora_over_its_base_is_the_merged_model_in_llama_cpp_and_in_transformers(
    family: Family, tmp_path: Path
) -> None:
    """Scaled as PEFT scales it, with rank-stabilized LoRA, which llama.cpp does not know."""
    import torch

    files = llama.made(family, tmp_path)
    over, merged = told(files, files.base, files.lora), told(files, files.merged, None)
    ids = files.chat.ids("The quick brown fox jumps over 12 lazy dogs.")
    with torch.inference_mode():
        rows = torch.log_softmax(files.model(input_ids=torch.tensor([ids])).logits[0].double(), dim=-1)
    ours = [{token: float(rows[size - 1, token]) for token in one} for size, one in zip(PREFIXES, merged, strict=True)]

    assert apart(over, merged) < NEAR
    assert apart(merged, ours) < NEAR
    assert apart(over, told(files, files.base, None)) > NEAR  # so the LoRA does something, and is seen


@pytest.mark.slow
@peft
def test_a_lora_whose_q_and_k_are_not_permuted_loads_and_is_another_model(tmp_path: Path) -> None:
    files = llama.made(families.LLAMA_32, tmp_path)

    def unpermuted(name: str, tensor: Matrix) -> Matrix:
        if not name.endswith(("attn_q.weight.lora_b", "attn_k.weight.lora_b")):
            return tensor
        heads = {"q": 4, "k": 2}[name.partition("attn_")[2][0]]
        rank = tensor.shape[1]
        return np.ascontiguousarray(tensor.reshape(heads, -1, 2, rank).swapaxes(1, 2).reshape(-1, rank))

    wrong = llama.rewritten(files.lora, tmp_path / "wrong.gguf", unpermuted)

    right = told(files, files.merged, None)
    assert apart(told(files, files.base, files.lora), right) < NEAR
    assert apart(told(files, files.base, wrong), right) > NEAR


@pytest.mark.slow
@peft
def test_what_was_trained_whole_is_refused_by_name(tmp_path: Path) -> None:
    import transformers
    from peft import LoraConfig, get_peft_model

    families.make(families.MISTRAL, tmp_path / "base")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"]))

    with pytest.raises(PreflightError, match="lm_head was trained whole"):
        gguf_lora.write(wrapped, tmp_path / "none.gguf", tmp_path / "lora.gguf")
