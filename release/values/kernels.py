"""Packages of kernels that run on a card alone, which no lock of what runs has: what asks for each, and its module."""

FLASH = {"flash_attention_2": "flash-attn", "flash_attention_3": "flash-attn-3"}
"""By what ``model.attn_implementation`` names."""
LIGER = "liger-kernel"
"""For ``training.use_liger_kernel``."""
MODULES = {"flash-attn": "flash_attn", "flash-attn-3": "flash_attn_interface", LIGER: "liger_kernel"}
"""What is imported of each package; each decides bytes where it is asked for."""


def asked_by(key: str, value: object) -> str | None:
    """The package that a setting asks for; None where none."""
    if key == "training.use_liger_kernel":
        return LIGER if value is True else None
    return FLASH.get(str(value)) if key == "model.attn_implementation" else None
