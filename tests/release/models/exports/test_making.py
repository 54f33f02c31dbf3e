"""The stage: files by their names, a record last, taken up after a kill, and made anew where anything changed."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from release.models.exports import files, making
from release.running import environment
from release.values import layout
from release.values.artifacts import sha256_file
from release.values.errors import PreflightError
from tests.helpers import families, llama

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The PEFT config's `base_model_name_or_path` was renamed:UserWarning"),
]
SERVING: dict[str, dict[str, object]] = {
    "lora": {"engine": "llama.cpp", "file_type": "F32"},
    "lora_q8": {"engine": "llama.cpp", "file_type": "Q8_0"},
    "merged": {"engine": "llama.cpp", "merged": True, "file_type": "Q8_0"},
    "small": {"engine": "llama.cpp", "merged": True, "file_type": "Q4_K_M"},
    "folder": {"merged": True},
}
LIBRARIES = ("libggml-base.so", "libggml-cpu-x64.so", "libggml.v0.5.0.so")
QUANTIZER = """#!{python}
import ctypes, os, struct, sys
os.chdir({folder!r})
for name in {libraries!r}:
    ctypes.CDLL("./" + name, ctypes.RTLD_GLOBAL)
llama = ctypes.CDLL("./libllama.v0.5.0.so")
class Params(ctypes.Structure):
    _fields_ = [("raw", ctypes.c_ubyte * 512)]
llama.llama_model_quantize_default_params.restype = Params
said = llama.llama_model_quantize_default_params()
struct.pack_into("ii", said.raw, 0, int(sys.argv[4]), 15)  # LLAMA_FTYPE_MOSTLY_Q4_K_M
sys.exit(llama.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(said)))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run and its base; what was exported stays for the next test."""
    return llama.run_of(families.LLAMA_32, tmp_path_factory.mktemp("made"), SERVING)


def record(run: Path, form: str) -> dict[str, dict[str, Any]]:
    told: dict[str, dict[str, Any]] = json.loads((run / "exports" / f"{form}.json").read_bytes())
    return told


def test_a_lora_and_its_base_are_there_and_found_whole_again(made: tuple[Path, Path]) -> None:
    run, base = made
    llama.exported(run, base, "lora")

    told = record(run, "lora")
    assert list(told["files"]) == [files.LORA]
    assert list(told["base"]) == ["base-unquantized-F32.gguf"]
    for name, one in {**told["files"], **told["base"]}.items():
        assert one["sha256"] == sha256_file(run / "exports" / name)
    assert {path.name for path in (run / "exports").iterdir()} == {
        files.LORA, "base-unquantized-F32.gguf", "lora.json", "Modelfile-adapter-base-unquantized-F32",
    }  # fmt: skip
    near, ollama = told["parity"], told["ollama"]
    assert (near["rows"], near["same_first"]) == (llama.GOLDEN_ROWS, near["tokens"])
    assert near["mean_kl"] < 0.001
    assert ollama["sha256"] == sha256_file(run / "exports" / str(ollama["file"]))
    first = (run / "exports" / files.LORA).stat().st_mtime_ns
    assert llama.exported(run, base, "lora") == []
    assert (run / "exports" / files.LORA).stat().st_mtime_ns == first


def test_a_lora_is_the_same_bytes_over_every_file_of_its_base(made: tuple[Path, Path]) -> None:
    run, base = made
    llama.exported(run, base, "lora")
    first = sha256_file(run / "exports" / files.LORA)

    llama.exported(run, base, "lora_q8")

    assert sha256_file(run / "exports" / files.LORA) == first
    assert len([*(run.parent / making.KEPT).glob("*.gguf")]) == 2


def test_what_was_damaged_half_made_or_of_another_adapter_is_made_anew(made: tuple[Path, Path]) -> None:
    run, base = made
    llama.exported(run, base, "merged")
    merged, digest = run / "exports" / "merged-Q8_0.gguf", record(run, "merged")["files"]["merged-Q8_0.gguf"]["sha256"]

    merged.write_bytes(merged.read_bytes()[:-1])
    (run / "exports" / "merged-Q8_0.gguf.partial").write_bytes(b"half")
    llama.exported(run, base, "merged")
    assert sha256_file(merged) == digest

    settings = run / "adapter" / "adapter_config.json"
    said = settings.read_text("utf-8")
    settings.write_text(said.replace('"lora_alpha": 24', '"lora_alpha": 8'), "utf-8")
    llama.exported(run, base, "merged")
    settings.write_text(said, "utf-8")
    assert sha256_file(merged) != digest


def test_the_merged_folder_is_a_model_that_transformers_loads_by_itself(made: tuple[Path, Path]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from release.models.engines.transformers import with_adapter

    run, base = made
    llama.exported(run, base, "folder")

    whole = AutoModelForCausalLM.from_pretrained(run / "exports" / layout.MERGED).eval()
    over = with_adapter(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), run / "adapter")
    ids = torch.tensor([[1, 5, 9, 40]])
    with torch.inference_mode():
        assert torch.allclose(whole(ids).logits, over(ids).logits, atol=1e-4)
    assert whole.dtype == torch.float32
    assert whole.generation_config.eos_token_id == [1, 4, 5]
    tokenizer = AutoTokenizer.from_pretrained(run / "exports" / layout.MERGED)
    assert tokenizer.chat_template == (run / "adapter" / "chat_template.jinja").read_text("utf-8")
    assert all(name.startswith("merged/") for name in record(run, "folder")["files"])


def test_without_its_quantizer_a_file_of_fewer_bits_is_refused_before_anything_is_made(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, base = made
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(PreflightError, match="no llama-quantize on the PATH"):
        llama.exported(run, base, "small")


def test_llama_cpp_s_own_quantizer_makes_the_smaller_file(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its function out of a real build of llama.cpp, as a program of that name."""
    npm = shutil.which("npm")
    pack = [npm or "", "pack", "--silent", "@node-llama-cpp/linux-x64@3.22.1"]
    if npm is None or subprocess.run(pack, cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("npm, or its registry, is not here")
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    folder = str(tmp_path / "package" / "bins" / "linux-x64")
    program = tmp_path / "llama-quantize"
    program.write_text(QUANTIZER.format(python=sys.executable, folder=folder, libraries=LIBRARIES), "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    run, base = made

    llama.exported(run, base, "small")

    from gguf import GGUFReader

    reader = GGUFReader(str(run / "exports" / "merged-Q4_K_M.gguf"))
    field = reader.get_field("general.file_type")
    assert field is not None
    assert field.contents() == 15


def test_the_stage_says_its_progress_and_prints_nothing_else(made: tuple[Path, Path]) -> None:
    run, base = made
    (run / "exports" / "lora.json").unlink(missing_ok=True)
    kept = run.parent / making.KEPT
    kept.mkdir(exist_ok=True)

    done = subprocess.run(
        [sys.executable, "-P", "-m", making.STAGE, *map(str, (run, base, kept, "lora", llama.wheel()))],
        env={**os.environ, "PYTHONPATH": str(environment.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["done"] for line in done.stdout.splitlines()] == [0, 1, 2, 3]
