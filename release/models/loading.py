"""A base model and a tokenizer as transformers loads them here: how precise, on which device, asked by which words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from release.config.settings import Adapter, Attention, DeviceMap, Model, Precision, Quantization
from release.data.chat import Chat, Messages
from release.models import attention as attentions
from release.models import spread
from release.models.architecture import no_four_bits
from release.running import fence, launched
from release.values.errors import PreflightError
from release.values.events import Line, Say

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

Dtype = Literal["bfloat16", "float16", "float32"]


def apart_from_others(model: Model, say: Say) -> None:
    """Where the base brings code of its own: this process can read no other from now on, so no secret of one."""
    if model.trust_remote_code and (told := fence.apart()):
        say(Line(text=told))


def load_tokenizer(folder: Path, chat: Chat) -> "PreTrainedTokenizerBase":
    """The tokenizer in a folder as transformers loads it, asking by this chat's template."""
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokenizer.chat_template = chat.template  # one, where the base has several
    if tokenizer.eos_token is None:
        tokenizer.eos_token = chat.token(chat.ends[0])
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def asks_otherwise(
    tokenizer: "PreTrainedTokenizerBase", chat: Chat, asked: Iterable[tuple[Messages, Sequence[int]]]
) -> str:
    """How transformers' tokenizer would ask one of these prompts with other tokens than these; empty if it would not.

    Whoever loads a published tokenizer must ask what was judged.
    """
    for number, (prompt, ids) in enumerate(asked, 1):
        with chat.in_time():
            theirs = tokenizer.apply_chat_template(
                list(prompt), add_generation_prompt=True, return_dict=False, **chat.arguments
            )
        if list(theirs) != list(ids):
            at = next((n for n, (a, b) in enumerate(zip(theirs, ids, strict=False)) if a != b), len(ids))
            return (
                f"Row {number} would be asked otherwise by those who load this adapter's tokenizer: transformers' "
                f"{type(tokenizer).__name__} gives other tokens from token {at} on. The base's tokenizer_config.json "
                "asks for what its tokenizer.json does not do. Use a base where the two agree."
            )
    return ""


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How ``load_model`` loads a base here, in transformers' names: what is judged is the adapter over that."""

    dtype: Dtype
    quantization: Quantization | None
    dequantized: bool
    """Whether what was quantized is computed with as ordinary numbers of that dtype."""
    device: Literal["cpu", "cuda"]
    attn_implementation: Attention | None = None
    """What is asked for; None leaves it to transformers."""
    device_map: DeviceMap | None = None
    """How its layers are put on all cards of the process; None: one card or the processor has all of it."""

    @property
    def told(self) -> dict[str, object]:
        """As a record has it: what is not asked for is not said."""
        unsaid = ("attn_implementation", "device_map")
        return {name: value for name, value in asdict(self).items() if name not in unsaid or value is not None}


def loaded_as(
    adapter: Adapter,
    precision: Precision,
    attention: Attention | None = None,
    *,
    to_merge: bool = False,
    device_map: DeviceMap | None = None,
) -> Loading:
    """How the base of this adapter is loaded on this machine; ``to_merge`` adds to its weights, so no four bits.

    ``PreflightError`` where the attention that is asked for cannot compute here.
    """
    import torch

    cuda = torch.cuda.is_available()
    if why := attentions.problem(attention, adapter, cuda=cuda):
        raise PreflightError(f"{why} Nothing was loaded.")
    return loaded_on(adapter, precision, attention, cuda=cuda, to_merge=to_merge, device_map=device_map)


def loaded_on(
    adapter: Adapter,
    precision: Precision,
    attention: Attention | None = None,
    *,
    cuda: bool,
    to_merge: bool = False,
    device_map: DeviceMap | None = None,
) -> Loading:
    """The same on any machine: with a card that torch computes on, or with none."""
    configured = adapter.quantization.bnb_4bit_compute_dtype
    dtype: Dtype = ("bfloat16" if configured == "auto" else configured) if cuda else "float32"
    quantized = precision == "nf4"
    settings = replace(adapter.quantization, load_in_4bit=True, bnb_4bit_compute_dtype=dtype)
    return Loading(
        dtype=dtype,
        quantization=settings if quantized else None,
        dequantized=quantized and (to_merge or not cuda),
        device="cuda" if cuda else "cpu",
        attn_implementation=attention,
        device_map=device_map if cuda else None,
    )


def load_model(
    folder: Path,
    said: Loading,
    *,
    trust_remote_code: bool,
    to_share: bool = False,
    on: Mapping[str, int | str] | None = None,
) -> "PreTrainedModel":
    """The base model ready to carry an adapter; ``to_share`` leaves it in the host's memory for processes to share out.

    ``on`` says where each part of it goes; without it that is as ``said``.

    On a CPU the NF4 weights are de-quantized once: the numbers are the same, bitsandbytes would compute them anew at
    every use. Computes in float32 on a CPU, so that any processor gives the same kind of result; bfloat16 on a GPU.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype: torch.dtype = getattr(torch, said.dtype)
    # four bits are shared out as numbers of the kind that they are computed with; as bytes each process keeps them all
    more = {"bnb_4bit_quant_storage": said.dtype} if to_share else {}
    quantization = BitsAndBytesConfig(**asdict(said.quantization), **more) if said.quantization else None
    if on is None:
        on = _places(folder, said, quantization, trust_remote_code=trust_remote_code, to_share=to_share)
    attention = said.attn_implementation
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            quantization_config=quantization,
            device_map=on,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            **({} if attention is None else {"attn_implementation": attention}),
        )
    except (ImportError, ValueError) as error:
        if attention is None or " attention" not in str(error).lower():
            raise
        raise PreflightError(attentions.not_of_this_base(attention, str(error))) from None
    if attention is not None and (taken := model.config._attn_implementation) != attention:  # noqa: SLF001
        raise PreflightError(attentions.not_of_this_base(attention, f"{type(model).__name__} takes {taken} for it"))
    if quantization is not None and not _quantized(model):
        raise PreflightError(no_four_bits(f"{type(model).__name__} in {folder.name}"))
    if said.dequantized:
        model = model.dequantize(dtype)
        model.is_loaded_in_4bit = False  # else TRL takes it for a 4-bit model and halves the adapter's precision
    return model


def _places(
    folder: Path, said: Loading, quantization: "BitsAndBytesConfig | None", *, trust_remote_code: bool, to_share: bool
) -> Mapping[str, int | str] | None:
    """Where each part of the base goes: on several cards by a device map, or on one; None where no card is used."""
    import torch

    if said.device_map is not None:
        return spread.placed(
            folder,
            said.device_map,
            spread.room(),
            dtype=getattr(torch, said.dtype),
            quantization=None if said.dequantized else quantization,  # else they are of that dtype in the end
            trust_remote_code=trust_remote_code,
        )
    if said.device == "cuda":
        return {"": "cpu" if to_share else launched.cards(torch.cuda.device_count())[0]}
    return None


def _quantized(model: "PreTrainedModel") -> bool:
    """Whether any layer is in four bits; transformers' ``dequantize`` crashes where none is (Falcon's)."""
    import bitsandbytes

    return any(isinstance(module, bitsandbytes.nn.Linear4bit) for module in model.modules())
