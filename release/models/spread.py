"""A base over several cards, where one cannot hold it: which layer lies on which, as transformers places them.

A layer lies whole on one card, and what it gives goes on to the next: each is computed as on one card. Nothing is left
to the host's memory or to a disk, which would answer the same, many times slower.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gates.shown import counted
from release.config.settings import DeviceMap, Generation
from release.running import launched, machine
from release.values.bounds import GB
from release.values.errors import PreflightError

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig, PreTrainedModel

USED = 0.9
"""Of a card's free memory, for weights: the rest is for the texts at work. Under four bits transformers leaves it."""


def cards(wanted: Generation) -> int:
    """How many cards a stage has that loads a base: all that are visible where its layers are put on several."""
    return max(1, machine.visible()) if wanted.device_map else 1


def to_merge(wanted: Generation) -> int:
    """How many cards a stage has that makes files of a base in float32: with a device map all, otherwise none.

    Four bytes a weight are more than the one card has that trains and answers. The host's memory holds them.
    """
    return cards(wanted) if wanted.device_map else 0


def room() -> dict[int, int]:
    """The free bytes of each card of this process; ``PreflightError`` where they are of several kinds."""
    import torch

    mine = launched.cards(torch.cuda.device_count())
    names = list(dict.fromkeys(map(torch.cuda.get_device_name, mine)))
    if len(names) > 1:
        raise PreflightError(f"{machine.SPREAD.format(', '.join(names))} Nothing was loaded.")
    return {card: torch.cuda.mem_get_info(card)[0] for card in mine}


def placed(
    folder: Path,
    how: DeviceMap,
    free: Mapping[int, int],
    *,
    dtype: "torch.dtype",
    quantization: "BitsAndBytesConfig | None" = None,
    trust_remote_code: bool = False,
) -> dict[str, int]:
    """The card of each part of the base in ``folder``; ``PreflightError`` where they cannot hold all of it.

    Of its config.json alone, before a weight is read: left to itself transformers would load it, and use the disk.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.integrations.accelerate import get_balanced_memory, infer_auto_device_map
    from transformers.quantizers import AutoHfQuantizer

    code = {"trust_remote_code": trust_remote_code}
    config = AutoConfig.from_pretrained(folder, local_files_only=True, **code)
    quantizer = AutoHfQuantizer.from_config(quantization, pre_quantized=False) if quantization else None
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, **code)
        if quantizer:
            quantizer.preprocess_model(model, device_map=None)
    whole = model._no_split_modules  # noqa: SLF001  what from_pretrained reads
    used = {number: size if quantizer else size * USED for number, size in enumerate(free.values())}
    if how != "sequential":
        low = how == "balanced_low_0"
        used = get_balanced_memory(model, used, whole, quantizer, low_zero=low)
    if quantizer:
        used = quantizer.adjust_max_memory(used)
    more = {"no_placement_params": getattr(model, "_no_placement_params", None)}
    found = infer_auto_device_map(model, used, whole, hf_quantizer=quantizer, **more)
    mine = dict(enumerate(free))  # transformers balances over cards that are counted from 0
    if left := [name or "the whole model" for name, number in found.items() if number not in mine]:
        there = f"{counted(len(free), 'card')} with {sum(free.values()) / GB:.1f} GB free in all"
        raise PreflightError(
            f"generation.device_map is {how}, but {there} cannot hold the base: {counted(len(left), 'part')} of it, "
            f"such as {left[0]}, would be left to the disk, and each answer would wait for it. Nothing was loaded. Use "
            "more or larger cards, lower generation.processes, or judge over a base in four bits."
        )
    return {name: mine[number] for name, number in found.items()}


def cards_of(model: "PreTrainedModel") -> int:
    """On how many devices the parts of a loaded model lie."""
    return len({str(one.device) for one in model.parameters()})
