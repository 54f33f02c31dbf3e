"""Which attention a base computes with, in transformers' names, and what keeps one from working on a machine."""

import importlib.util

from release.config.settings import Adapter, Attention
from release.values.errors import shown
from release.values.kernels import FLASH, MODULES


def package(asked: Attention | None) -> str | None:
    """The package that has the kernel, which runs on a card alone; None for what PyTorch has.

    Without it transformers would take one from the Hub, by a name and no commit.
    """
    return FLASH.get(asked or "")


def problem(asked: Attention | None, adapter: Adapter, *, cuda: bool, here: bool = True) -> str:
    """Why it cannot compute, and what to do; empty where it can. ``here`` unless the stages run in an image."""
    kernels = package(asked)
    if kernels is None:
        return ""
    named = f"model.attn_implementation is {asked}"
    otherwise = "Or take it out: attention is PyTorch's own then."
    if not cuda:
        return f"{named}, which runs on a card alone, and none is used here. Use a machine with one. {otherwise}"
    if (said := adapter.quantization.bnb_4bit_compute_dtype) == "float32":
        return (
            f"{named}, which computes in 16 bits alone, and adapter.quantization.bnb_4bit_compute_dtype is "
            f"{shown(said)}. Take that out, or write bfloat16. {otherwise}"
        )
    if not here:
        return (
            f"{named}, which is in {kernels}, and the container image does not have that. Say `container: never` where "
            f"it is installed. {otherwise}"
        )
    if importlib.util.find_spec(MODULES[kernels]) is None:
        return (
            f"{named}, and {kernels} is not installed, which it is in. Install it in this environment, built for this "
            f"torch and card. {otherwise}"
        )
    return ""


def not_of_this_base(asked: Attention, why: str) -> str:
    """What to say of a base whose class computes no such attention."""
    return (
        f"model.attn_implementation is {asked}, but this base does not compute so: {shown(why)}. Nothing was loaded. "
        "Take it out: transformers takes what the base's class has."
    )
