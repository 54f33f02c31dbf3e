"""A whole release made in a second: the line's own record, card and package around an adapter of four small tensors."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import gates
from gates.canonical import canonical_json, digest
from release import begin, inputs, pipeline
from release.config import forms, reading
from release.config.settings import Config, Form, Precision
from release.data import sources
from release.data.chat import Messages
from release.data.dataset import Dataset
from release.importing import declared
from release.inputs import there
from release.judging import previous, recording
from release.judging.released import Released
from release.models import base as bases
from release.models import embedded, generate, loading
from release.models.exports import files, modelfile
from release.publishing import attestations, sign
from release.running import environment
from release.values import layout, record, training_metrics
from release.values.artifacts import Adapter, Candidate, Manifest, Package, sha256_file
from release.values.as_json import part
from release.values.record import Evaluated, Origin, Training, Tries
from release.values.training_metrics import Evaluation, Kept
from tests.helpers.line import ROOT, small_config

GOLDEN_ROWS = 60
GGUF = b"GGUF of a test"
THREADS = 2
STEPS = 20
HARDWARE = {"machine": "x86_64", "cpu": "a processor", "cpu_capability": "AVX2", "threads": THREADS, "gpu": None}
LIBRARIES = ("python", "torch", "transformers", "peft", "trl", "bitsandbytes")
VERSIONS = dict.fromkeys(LIBRARIES, "1.0.0")
ARITHMETIC = {
    "deterministic_algorithms": False,
    "float32_matmul_precision": "highest",
    "onednn": True,
    "cudnn_benchmark": False,
    "cudnn_deterministic": False,
    "environment": dict(environment.FIXED),
}
TEMPLATE = "{{ messages[0].content }}"
ASKED: dict[str, dict[str, Any]] = {
    "chat": {
        "chat_template_sha256": hashlib.sha256(TEMPLATE.encode()).hexdigest(),
        "chat_template_kwargs": {},
        "ends": [{"id": 2, "token": "<|im_end|>"}],
        "changed": [],
    },
    "loaded": {
        "dtype": "float32",
        "quantization": {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": "float32",
        },
        "dequantized": True,
        "device": "cpu",
    },
}
"""How a release of the default on a CPU says that it was asked and loaded."""
VLLM: Mapping[str, object] = {
    "dtype": "bfloat16",
    "seed": 7,
    "trust_remote_code": False,
    "enforce_eager": True,
    "enable_prefix_caching": False,
    "max_num_seqs": 20,
    "max_model_len": -1,
    "generation_config": "vllm",
    "enable_lora": True,
    "max_loras": 1,
    "max_lora_rank": 16,
    "quantization": "bitsandbytes",
    "merged": False,
    "batch_invariant": True,
}
"""What vLLM says of how it loaded."""
PARITY = {"rows": 8, "tokens": 64, "mean_kl": 0.0012, "max_kl": 0.02, "same_first": 63}
SURROUNDINGS = {
    "gpu_peak_memory_bytes": None,
    "hardware": HARDWARE,
    "versions": VERSIONS,
    "packages": {"torch": "1.0.0", "rich": "1.0.0"},
    "arithmetic": ARITHMETIC,
}


def tensors() -> dict[str, Any]:
    """Two layers, with an A and a B each."""
    numbers = np.random.default_rng(7)
    return {
        f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_{side}.weight": numbers.random((4, 3), np.float32)
        for layer in range(2)
        for side in "AB"
    }


def training(**changes: Any) -> Training:
    """What training reports."""
    told = {
        "lora_init_sha256": "1" * 64,
        "steps": STEPS,
        "losses": [[10, 1.5], [20, 0.5]],
        "curves": {"learning_rate": [[10, 0.0002], [20, 0.0001]], "grad_norm": [[10, 2.5], [20, 1.25]]},
        "tokens": 4000,
        "trainable_parameters": 48,
        "resumed_from_step": None,
        "seconds": 10.5,
        "peak_memory_bytes": 3_000_000,
        "image_digest": environment.image_digest(),
        **SURROUNDINGS,
    }
    return part(Training, told | changes)


def origin(**changes: Any) -> Origin:
    """What an import says of an adapter."""
    told = {
        "form": "peft",
        "source": None,
        "weights_sha256": "2" * 64,
        "tool": "Axolotl",
        "tool_version": "0.12.2",
        "base": "someone/tiny",
        "revision": None,
        "told": {"learning_rate": "0.0002"},
        "files": {layout.WEIGHTS: "2" * 64, "README.md": "3" * 64},
        "chat_template": "base",
        "unknown": ["the rows that it was trained on"],
    }
    return part(Origin, told | changes)


def small_release(folder: Path, *, licence: bool = True, **settings: Mapping[str, Any]) -> Package:
    """A release in ``folder / 'package'``, with everything a release from a passing run has."""
    return small_release_of(small_settings(folder, licence=licence, **settings))


def small_release_of(loaded: Config) -> Package:
    """The same of a configuration, in the folder ``package`` beside it."""
    candidate, run = small_candidate(loaded)
    packed = sign.sign(pipeline.pack(loaded, candidate, run), loaded.publishing, run)
    folder = loaded.path.parent / "package"
    shutil.move(packed.folder, folder)
    return Package(folder=folder, manifest=packed.manifest, candidate=candidate)


def small_settings(folder: Path, *, licence: bool = True, **settings: Mapping[str, Any]) -> Config:
    """A configuration in ``folder`` over the first golden rows."""
    folder.mkdir(parents=True, exist_ok=True)
    golden = folder / "golden.jsonl"
    rows = (ROOT / "data" / "elements" / "golden.jsonl").read_text("utf-8").splitlines()[:GOLDEN_ROWS]
    golden.write_text("\n".join(rows) + "\n", "utf-8")
    data = {"golden_file": str(golden), **settings.get("data", {})}
    imported = settings.get("adapter", {}).get("method") == "imported"
    steps = {} if imported else {"training": {"max_steps": STEPS, **settings.get("training", {})}}
    path = small_config(folder, **{"run": {"output_dir": "runs"}, **settings, **steps, "data": data})
    if not licence:
        path.write_text(path.read_text("utf-8").replace("license: CC0-1.0", "source: Ask the test."), "utf-8")
    return reading.load(path)


def small_candidate(
    loaded: Config,
    before: tuple[previous.Release, ...] = (),
    wrong: tuple[int, ...] = (),
    wrong_as: Mapping[str, tuple[int, ...]] | None = None,
    tried: tuple[Tries, Dataset] | None = None,
) -> tuple[Candidate, Path]:
    """An adapter that gives the reference answers, but no JSON to the rows ``wrong``, judged; and its run folder.

    It answers so in every form, but with no JSON to the rows ``wrong_as`` of a form. ``tried``: what was tried before,
    on these rows.
    """
    train, judged_by = sources.load(loaded, lambda _: None)
    contract = gates.load_contract(loaded.contract, loaded.path.parent)
    judged = begin.Judged(
        train=train,
        golden=judged_by,
        contract=contract,
        policy=there(inputs.read_policy(loaded, contract.declares)),
        before=before,
        tuning=tried[1] if tried else sources.tuning(loaded, lambda _: None),
        tries=tried[0] if tried else None,
    )
    base = small_base(loaded.path.parent / "base", loaded)
    digests = {name: rows.sha256 for name, rows in judged.rows.items()}
    run = begin.run_folder(loaded, recording.inputs(loaded, base, digests))
    started = begin.start(run, loaded, judged)
    outputs = _spoilt(gates.gold_outputs(judged.golden.rows), wrong)
    for name in loaded.serving:
        prompts = [row.prompt for row in judged.golden.rows]
        _answer_as(run, name, loaded, prompts, _spoilt(outputs, (wrong_as or {}).get(name, ())))
    return _candidate(run, loaded, base, (judged, started, outputs)), run


def _spoilt(outputs: Sequence[gates.Output], wrong: tuple[int, ...]) -> list[gates.Output]:
    return [replace(one, output="no JSON") if number in wrong else one for number, one in enumerate(outputs)]


def _answer_as(
    run: Path, name: str, loaded: Config, prompts: Sequence[Messages], outputs: Sequence[gates.Output]
) -> None:
    """The answers in a form, and a file that was made for it if llama.cpp loads one, as `generate` leaves them."""
    folder, form = generate.folder_of(run, name), loaded.serving[name]
    folder.mkdir(parents=True, exist_ok=True)
    write_answers(folder / "answers.jsonl", [asdict(output) for output in outputs])
    named = {f"{name}.gguf": hashlib.sha256(GGUF).hexdigest()}
    says: dict[str, Any] = {"llama.cpp": {"files": named}, "vllm": VLLM}
    said = loading.loaded_on(loaded.adapter, _precision(loaded, form), cuda=False)
    loaded_as = {"loaded": says.get(form.engine, asdict(said))}
    there = {
        "adapter_sha256": _adapter(run, loaded).files.digest,
        "answers_sha256": sha256_file(folder / "answers.jsonl"),
        "decoding": decoding(loaded, None if form.constraint == "none" else form.constraint),
        **ASKED,
        **loaded_as,
        "prompts_sha256": _prompts_sha256(prompts),
        "seconds": 5.0,
        "tokens": 900,
        "image_digest": environment.image_digest(),
        **SURROUNDINGS,
        "form": asdict(form),
    }
    (folder / "generation.json").write_bytes(canonical_json(there))
    if form.engine == "llama.cpp":
        exports = run / layout.EXPORTS
        exports.mkdir(exist_ok=True)
        (exports / f"{name}.gguf").write_bytes(GGUF)
        made = {
            "files": {f"{name}.gguf": {"sha256": sha256_file(exports / f"{name}.gguf"), "size": 14}},
            "parity": PARITY,
            "ollama": _modelfile(exports, f"{name}.gguf") if form.constraint == "none" else None,
        }
        (exports / f"{name}.json").write_bytes(canonical_json(made))


def _precision(loaded: Config, form: Form) -> Precision:
    return "unquantized" if form.merged else forms.precision(form, loaded.adapter)


def decoding(loaded: Config, constraint: str | None = None) -> dict[str, Any]:
    """How a record says that it was answered, as the configuration says."""
    settings = loaded.generation
    told = {"max_new_tokens": settings.max_new_tokens, "batch_size": settings.batch_size}
    return {"do_sample": False, **told, "constraint": constraint}


def _prompts_sha256(prompts: Sequence[Messages]) -> str:
    return digest(["".join(each["content"] for each in one) for one in prompts])


def _modelfile(exports: Path, model: str) -> dict[str, Any]:
    """Ollama's file for a template that writes the contents of messages and nothing else, and the record of it."""
    says = modelfile.Says(model=model, adapter=None, context=2304, max_new_tokens=64, ends=["<|im_end|>"])
    path = exports / files.modelfile(files.Loads(model=model, lora=None))
    path.write_text(modelfile.written(says, "{{ range .Messages }}{{ .Content }}{{ end }}"), "utf-8")
    return {"file": path.name, "sha256": sha256_file(path), "context": says.context, "adds": "", "why_not": None}


def small_base(folder: Path, loaded: Config) -> bases.Base:
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    model = loaded.model
    return bases.Base(
        folder=folder,
        base_model_id=model.base_model_id,
        revision=model.revision,
        origin=embedded.ORIGIN
        if model.source == "embedded"
        else f"{model.base_model_id} at commit {model.revision} of the Hub",
        files=Manifest.of_folder(folder),
    )


def lora_settings(loaded: Config) -> dict[str, Any]:
    """What PEFT writes of an adapter of this configuration, as far as it is no default."""
    lora = loaded.adapter.lora
    return {
        "base_model_name_or_path": loaded.model.base_model_id,
        "revision": loaded.model.revision,
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": lora.r,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "bias": lora.bias,
        "target_modules": sorted(lora.target_modules),
    }


def _adapter(run: Path, loaded: Config) -> Adapter:
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = run / "adapter"
    folder.mkdir(exist_ok=True)
    save_file(tensors(), folder / layout.WEIGHTS)
    settings = lora_settings(loaded)
    (folder / "adapter_config.json").write_bytes(canonical_json(settings))
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "The": 1, "symbol": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE, "utf-8")
    files = Manifest.of_folder(folder)
    elsewhere = loaded.adapter.method == "imported"
    return Adapter(
        folder=folder,
        files=files,
        training=None if elsewhere else training(over=list(forms.trained_over(loaded))),
        origin=replace(origin(), reproduce_with=declared.of(loaded)) if elsewhere else None,
    )


def _candidate(run: Path, loaded: Config, base: bases.Base, began: Any) -> Candidate:
    """Answers, verdict and record of the adapter, as ``pipeline.make`` leaves them."""
    judged, started, outputs = began
    adapter = _adapter(run, loaded)
    if loaded.training.eval_steps:
        adapter = replace(adapter, training=_evaluated(run, adapter.trained))
    write_answers(run / "answers.jsonl", [asdict(output) for output in outputs])
    babble = [{"id": output.id, "output": "The answer is JSON.", "finish_reason": "stop"} for output in outputs]
    write_answers(run / "base_answers.jsonl", babble)
    generation = {
        "adapter_sha256": adapter.files.digest,
        "answers_sha256": sha256_file(run / "answers.jsonl"),
        "base_answers_sha256": sha256_file(run / "base_answers.jsonl"),
        "prompts_sha256": _prompts_sha256([row.prompt for row in judged.golden.rows]),
        "decoding": decoding(loaded),
        **ASKED,
        "loaded": asdict(loading.loaded_on(loaded.adapter, _precision(loaded, Form()), cuda=False)),
        "seconds": 5.0,
        "base_seconds": 4.5,
        "tokens": 900,
        "peak_memory_bytes": 2_000_000,
        "image_digest": environment.image_digest(),
        **SURROUNDINGS,
    }
    (run / "generation.json").write_bytes(canonical_json(generation))
    made = pipeline.Made(base=base, started=started, adapter=adapter)
    return pipeline.conclude(run, loaded, judged, made, lambda _: None)


EVALUATIONS = (
    Evaluation(step=10, loss=0.5, gates={"json_parse": (3, 4), "schema_compliance": (2, 4)}),
    Evaluation(step=20, loss=0.75, gates={"json_parse": (4, 4), "schema_compliance": (4, 4)}),
)


def _evaluated(run: Path, logged: Training) -> Training:
    """A training that was evaluated twice, of which the first was the better."""
    kept = Kept(metric="eval_loss", best_step=10, stopped_early=False)
    content = training_metrics.written(logged.losses, logged.curves or {}, EVALUATIONS, kept)
    (run / layout.TRAINING_METRICS).write_bytes(content)
    told = Evaluated(metrics_sha256=hashlib.sha256(content).hexdigest(), best_step=10, stopped_early=False)
    return replace(logged, evaluation=told)


def write_answers(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def read_record(folder: Path) -> Any:
    """The record of a release as JSON."""
    return json.loads((folder / layout.RECORD).read_bytes())


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file in place, in its canonical spelling."""
    value = json.loads(path.read_bytes())
    change(value)
    path.write_bytes(canonical_json(value))


def reseal(folder: Path, change: Callable[[Any], object] = lambda _: None) -> None:
    """Make record and statements of a release fit its changed files, as a careful liar would.

    ``change`` edits the record before.
    """
    path = folder / layout.RECORD
    value = json.loads(path.read_bytes())
    change(value)
    value["record_sha256"] = record.digest(value)
    value["files"] = _digests(folder)
    with contextlib.suppress(KeyError, ValueError):  # a lie that leaves no statement to make
        found = Released(folder=folder)
        names = [name for name in attestations.COMPARISONS if (folder / name).exists()]
        beside = {name: found.json(name)["passed"] is True for name in names}
        for name, statement in attestations.derive(record.known(value), found.counted, beside, value["files"]).items():
            (folder / name).write_bytes(statement)
    path.write_bytes(canonical_json({**value, "files": _digests(folder)}))


def _digests(folder: Path) -> dict[str, str]:
    """The sha256 of every file that a record lists."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: sha256_file(path) for name, path in paths.items() if name not in layout.UNLISTED}
