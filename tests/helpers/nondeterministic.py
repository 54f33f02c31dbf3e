"""Stages for the tests of determinism: as on a GPU, with torch only warning, and as it is on a processor."""

import json
from pathlib import Path
from typing import Any

from release.models import arithmetic
from release.running import child
from release.values.events import Say


def stage(arguments: list[str], _: Say) -> None:
    what, path = arguments
    seen = on_a_gpu() if what == "gpu" else on_a_processor()
    Path(path).write_text(json.dumps(seen), "utf-8")


def on_a_processor() -> dict[str, Any]:
    arithmetic.make_deterministic(1, 1)
    return arithmetic.settings()


def on_a_gpu() -> dict[str, Any]:
    """What ``make_deterministic`` sets there, and then operations without a fixed result, and attention."""
    import torch

    strict: list[bool] = []

    class Look(torch.autograd.Function):
        """Notes whether torch is strict when the backward pass comes by."""

        @staticmethod
        def forward(_: Any, tensor: torch.Tensor) -> torch.Tensor:
            return tensor

        @staticmethod
        def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
            note()
            return gradient

    def note() -> None:
        strict.append(not torch.is_deterministic_algorithms_warn_only_enabled())

    look: Any = Look.apply
    plain = torch.nn.functional.scaled_dot_product_attention

    def watched(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        note()
        return torch.as_tensor(look(plain(look(query), key, value, *rest, **more)))

    def gradients(attention: Any) -> list[torch.Tensor]:
        torch.manual_seed(0)
        tensors = [torch.randn(1, 2, 5, 8, requires_grad=True) for _ in range(3)]
        look(attention(*(look(one * 1) for one in tensors), is_causal=True)).sum().backward()
        return [one.grad for one in tensors if one.grad is not None]

    expected = gradients(plain)
    strict.clear()
    torch.nn.functional.scaled_dot_product_attention = watched
    torch.use_deterministic_algorithms(True, warn_only=True)
    before = arithmetic.settings()["nondeterministic"]
    arithmetic.note_nondeterminism()
    arithmetic.keep_attention_deterministic()
    ours: Any = torch.nn.functional.scaled_dot_product_attention

    found = gradients(ours)
    with torch.no_grad():
        ours(*(torch.ones(1, 1, 2, 2) for _ in range(3)))
    after_attention = not torch.is_deterministic_algorithms_warn_only_enabled()
    for _ in range(3):
        torch.zeros(4).put_(torch.tensor([1]), torch.tensor([1.0]))
    torch.zeros(4).put_(torch.tensor([1]), torch.tensor([1.0]))  # another line: Python's own filter would tell it again
    torch.nn.functional.max_unpool1d(torch.ones(1, 1, 2), torch.tensor([[[0, 2]]]), [2])
    return {
        "equal": all(torch.equal(one, other) for one, other in zip(expected, found, strict=True)),
        "strict": strict,
        "after_attention": after_attention,
        "before": before,
        "arithmetic": arithmetic.settings(),
    }


if __name__ == "__main__":
    child.main(stage)
