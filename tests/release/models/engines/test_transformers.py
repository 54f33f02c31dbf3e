"""The saved adapter answers, whole and for certain, and never the base in its name; tiny models stand in."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from release.config.settings import Generation
from release.models.engines.engine import Prompt
from release.models.engines.transformers import batches, with_adapter
from release.values.errors import VerificationError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
    ),  # peft asks transformers
]


def model(layers: int = 2) -> "PreTrainedModel":
    """The same random weights each time."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "vocab_size": 32, "num_hidden_layers": layers}
    return LlamaForCausalLM(LlamaConfig(num_attention_heads=2, num_key_value_heads=2, **sizes)).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter as training saves it, whose tensors are all random."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("saved") / "adapter"
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(model(), lora).save_pretrained(str(folder))
    return folder


def logits(of: "PreTrainedModel") -> list[list[float]]:
    import torch

    with torch.inference_mode():
        return [[float(number) for number in row] for row in of(torch.tensor([[1, 2, 3]])).logits[0]]


def rewritten(change: Callable[[str], str]) -> Callable[[Path], None]:
    """The tensors under other names; an empty name leaves one out."""

    def rewrite(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = str(folder / "adapter_model.safetensors")
        save_file({change(name): tensor for name, tensor in load_file(path).items() if change(name)}, path)

    return rewrite


def zeroed(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = str(folder / "adapter_model.safetensors")
    save_file({name: tensor * ("lora_B" not in name) for name, tensor in load_file(path).items()}, path)


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "tensors under names that PEFT does not know": (
        rewritten(lambda name: name.replace("q_proj", "query")),
        "4 tensors missing, 4 unexpected",
    ),
    "one tensor less": (rewritten(lambda name: name if "layers.1" not in name else ""), "2 tensors missing"),
    "every lora_B zero": (zeroed, "the adapter does nothing"),
}


def test_the_files_answer_and_not_the_base(saved: Path) -> None:
    adapted = with_adapter(model(), saved)
    assert logits(adapted) != logits(model())
    assert logits(adapted) == logits(with_adapter(model(), saved))


@pytest.mark.parametrize("fault", FAULTS)
def test_an_adapter_that_would_not_be_applied_whole_is_refused(fault: str, saved: Path, tmp_path: Path) -> None:
    """PEFT warns and answers with the base: lm-evaluation-harness 2432, vllm 10798, inspect_ai 3648."""
    folder = tmp_path / "adapter"
    shutil.copytree(saved, folder)
    break_it, says = FAULTS[fault]
    break_it(folder)

    with pytest.raises(VerificationError, match=says):
        with_adapter(model(), folder)


def prompt(name: str, length: int) -> Prompt:
    return Prompt(id=name, messages=(), text="", ids=tuple(range(length)))


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_prompts_of_one_length_are_asked_together_in_the_same_batches_each_time(size: int) -> None:
    asked = [prompt("a", 3), prompt("b", 9), prompt("c", 3), prompt("d", 5), prompt("e", 9)]

    said = Generation(batch_size=size)
    told = batches(asked, said)

    assert [one.id for batch in told for one in batch] == ["b", "e", "d", "a", "c"]
    assert [len(batch) for batch in told[:-1]] == [size] * (len(told) - 1)
    assert batches(asked, said) == told
    assert batches([], said) == []


def test_prompts_are_asked_in_the_files_order_where_that_is_said() -> None:
    asked = [prompt("a", 3), prompt("b", 9), prompt("c", 3)]

    assert batches(asked, Generation(batch_size=2, batches="in_order")) == [asked[:2], asked[2:]]


def test_an_adapter_of_another_base_is_refused(saved: Path) -> None:
    with pytest.raises(VerificationError, match="does not fit the base model: 2 tensors missing"):
        with_adapter(model(layers=3), saved)


def test_an_adapter_that_is_not_there_is_an_error_and_not_the_base(tmp_path: Path) -> None:
    """puffin evaluates the base where the adapter's path is missing."""
    with pytest.raises(FileNotFoundError):
        with_adapter(model(), tmp_path / "adapter")
