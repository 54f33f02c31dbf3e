"""An adapter of any trainer is told, checked against its base, and written as PEFT has it; or refused by name."""

import json
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from release.importing import fit, telling
from release.importing.bring import Brought, Known, bring
from release.values import layout, tensors
from release.values.errors import ConfigError, PreflightError, Stop
from release.values.tensors import Whole
from tests.helpers import trainers
from tests.helpers.line import ROOT

NORMS = [f"model.layers.{n}.{name}_layernorm" for n in (0, 1) for name in ("input", "post_attention")]
SECOND = ["model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.v_proj"]
WITH_EMBEDDINGS = ["embed_tokens", "lm_head", "q_proj"]
peft = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning", "ignore::UserWarning"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Known:
    return trainers.base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Known:
    return trainers.base(tmp_path_factory.mktemp("tied"), tie_word_embeddings=True)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path / "cache"))


def brought(folder: Path, base: Known | None) -> Brought:
    return bring(str(folder), base, lambda _: None)


@pytest.mark.parametrize("name", trainers.TRAINERS)
def test_the_folder_of_each_trainer_is_told_by_what_it_leaves(name: str, base: Known, tmp_path: Path) -> None:
    make, tool, version = trainers.TRAINERS[name]
    make(tmp_path / "out")

    found = brought(tmp_path / "out", base)

    assert (found.origin.tool, found.origin.tool_version) == (tool, version)
    assert found.settings["target_modules"] == ["q_proj"]  # the tensors', also where a regular expression was written
    assert {*found.origin.files} >= {layout.WEIGHTS, layout.SETTINGS}
    assert "the rows that it was trained on" in found.origin.unknown
    assert found.four_bits == (name in ("unsloth", "axolotl", "llama_factory"))
    assert not any("/" in value for value in found.origin.told.values())  # no path of a machine


def test_what_a_trainer_says_is_written_down_as_found(tmp_path: Path) -> None:
    trainers.axolotl(tmp_path / "out")

    told = brought(tmp_path / "out", None).origin.told

    assert told["learning_rate"] == "0.0002"
    assert told["epochs"] == "3"
    assert told["TRL version"] == "0.23.0"


@peft
@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}),
        ({"use_rslora": True}, {"use_rslora": True}),
        ({"use_dora": True}, {"use_dora": True}),
        ({"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"v_proj": 32}}, {"r": 4, "lora_alpha": 8}),
        ({"modules_to_save": ["lm_head"]}, {"modules_to_save": ["lm_head"]}),
        ({"modules_to_save": ["norm"]}, {"modules_to_save": sorted(["model.norm", *NORMS])}),
        ({"trainable_token_indices": [3, 5]}, {"trainable_token_indices": {"model.embed_tokens": [3, 5]}}),
        ({"layers_to_transform": [1]}, {"target_modules": SECOND}),
        ({"target_modules": r".*\.(q|v)_proj"}, {"target_modules": ["q_proj", "v_proj"]}),
        ({"target_modules": "all-linear", "init_lora_weights": "gaussian"}, {"r": 4}),
        ({"target_modules": WITH_EMBEDDINGS}, {"target_modules": WITH_EMBEDDINGS}),
    ],
)
def test_peft_loads_the_same_numbers_by_the_settings_that_are_written(
    settings: dict[str, Any], kept: dict[str, Any], base: Known, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = trainers.peft(tmp_path / "out", **settings)
    found = brought(folder, base)

    assert {name: found.settings[name] for name in kept} == kept
    assert (found.folder / layout.WEIGHTS).read_bytes() == (folder / layout.WEIGHTS).read_bytes()
    answers = []
    for one in (folder, found.folder):
        torch.manual_seed(0)
        config = LlamaConfig(**{name: value for name, value in trainers.SHAPE.items() if name != "architectures"})
        model = PeftModel.from_pretrained(LlamaForCausalLM(config), str(one)).eval()
        answers.append(model(torch.arange(16)[None]).logits)
    assert torch.equal(*answers)


def test_mlx_is_there_and_back_the_same_and_scaled_as_mlx_scales(base: Known, tmp_path: Path) -> None:
    from release.importing import mlx

    folder = trainers.mlx(tmp_path / "out")
    found = brought(folder, base)
    (tmp_path / "back").mkdir()
    mlx.to_mlx(found.folder, tmp_path / "back")

    assert (found.settings["r"], found.settings["lora_alpha"], found.origin.tool) == (4, 80, "MLX")
    assert found.settings["target_modules"] == SECOND
    there, back = (tensors.digests(one / "adapters.safetensors") for one in (folder, tmp_path / "back"))
    assert there == back
    said = json.loads((tmp_path / "back" / layout.SETTINGS).read_bytes())
    assert (said["lora_parameters"]["scale"], said["num_layers"]) == (20.0, -1)
    assert found.origin.told["dataset"] == "data"  # not the path on somebody's machine


@peft
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_what_mlx_itself_trained_answers_in_peft_as_it_did_in_mlx(kind: str, base: Known) -> None:
    """``tests/data/mlx`` was made by mlx-lm: ``make.py.txt`` there. The base's weights are drawn as they were there."""
    import torch
    from peft import PeftModel
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = ROOT / "tests" / "data" / "mlx" / kind
    found = brought(folder, base)
    config = LlamaConfig(**{name: value for name, value in trainers.SHAPE.items() if name != "architectures"})
    model, numbers = LlamaForCausalLM(config), np.random.default_rng(7)
    weights = model.state_dict()
    for name in sorted(weights):
        size = tuple(weights[name].shape)
        drawn = np.ones(size) if "norm" in name else numbers.standard_normal(size) * 0.05
        weights[name] = torch.from_numpy(drawn.astype("f4"))
    model.load_state_dict(weights)
    ids = torch.arange(16)[None]
    alone = model(ids).logits[0].detach().numpy()
    answered = PeftModel.from_pretrained(model, str(found.folder)).eval()(ids).logits[0].detach().numpy()

    there = np.load(folder / "logits.npy")
    assert found.origin.tool == "MLX"
    assert found.settings.get("use_dora", False) == (kind == "dora")
    assert np.abs(answered - there).max() < 1e-4
    assert np.abs(alone - there).max() > 0.1  # so that the adapter was looked at


@pytest.mark.parametrize(
    "said",
    [
        {"r": 8, "rank_pattern": {"q_proj": 4}},
        {"r": 8, "rank_pattern": {"^model.layers.0.self_attn.q_proj": 4, "self_attn.q_proj": 4}},
        {"r": 8, "rank_pattern": {r"model\.layers\.\d+\.self_attn\.q_proj": 4}},
        {"rank_pattern": {"v_proj": 8, "proj": 8}},
        {"rank_pattern": {}, "alpha_pattern": None},
    ],
)
def test_ranks_are_those_that_settings_and_matrices_both_say(said: dict[str, Any], base: Known, tmp_path: Path) -> None:
    found = brought(trainers.plain(tmp_path / "out", **said), base)

    assert (found.settings["r"], found.settings["lora_alpha"]) == (4, 8)
    assert "rank_pattern" not in found.settings


def test_a_rank_that_mlx_wrote_as_a_fraction_is_that_number(base: Known, tmp_path: Path) -> None:
    _mlx(rank=4.0)(tmp_path / "out")

    assert (brought(tmp_path / "out", base).settings["r"]) == 4


def test_an_import_that_is_imported_still_says_where_it_comes_from(base: Known, tmp_path: Path) -> None:
    trainers.axolotl(tmp_path / "out")
    first = brought(tmp_path / "out", base)

    again = brought(first.folder, base)

    assert again.origin == first.origin
    assert again.sha256 == first.sha256


@pytest.mark.parametrize(
    "change",
    [{"tool": "x" * 1000}, {"form": "pickle"}, {"told": {"a": ["b"]}}, {"files": {"../x": "0" * 64}}, {"more": 1}],
)
def test_what_somebody_else_wrote_as_an_import_is_not_taken_for_one(
    change: dict[str, Any], base: Known, tmp_path: Path
) -> None:
    first = brought(trainers.plain(tmp_path / "out"), base)
    copy = tmp_path / "copy"
    shutil.copytree(first.folder, copy)
    said = json.loads((copy / "import.json").read_bytes())
    (copy / "import.json").write_text(json.dumps({**said, "origin": {**said["origin"], **change}}), "utf-8")

    again = brought(copy, base)

    assert again.origin.tool is None
    assert again.origin.form == "peft"
    assert "import.json" not in again.origin.files


def test_its_own_chat_template_comes_with_it_where_the_base_has_another(base: Known, tmp_path: Path) -> None:
    folder = trainers.plain(tmp_path / "out")
    (folder / layout.CHAT_TEMPLATE).write_text("{{ messages[0] }}", "utf-8")

    other = brought(folder, base)
    (folder / layout.CHAT_TEMPLATE).write_text(trainers.TEMPLATE, "utf-8")
    same = brought(folder, base)

    assert other.template is not None
    assert (other.origin.chat_template, same.origin.chat_template, same.template) == ("adapter", "base", None)


def _weights(change: Callable[[dict[str, Whole]], dict[str, Whole]]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        trainers.plain(folder)
        tensors.write(change(trainers.lora()), folder / layout.WEIGHTS)

    return make


def _renamed(before: str, after: str) -> Callable[[Path], None]:
    return _weights(lambda found: {name.replace(before, after): one for name, one in found.items()})


def _settings(**said: object) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        trainers.plain(folder, **said)

    return make


def _numbers(data: Callable[[Whole], bytes], part: str = "lora_B") -> Callable[[Path], None]:
    return _weights(
        lambda found: {
            name: Whole(dtype=one.dtype, shape=one.shape, data=data(one)) if part in name else one
            for name, one in found.items()
        }
    )


def _mlx(**said: object) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        trainers.mlx(folder)
        there = json.loads((folder / layout.SETTINGS).read_bytes())["lora_parameters"]
        trainers.changed(folder, lora_parameters=there | said)

    return make


def _half_of_mlx(folder: Path) -> None:
    _mlx(rank="x")(folder)
    b = Whole(dtype="F32", shape=(4, 32), data=bytes(512))
    tensors.write({"model.layers.0.self_attn.q_proj.lora_b": b}, folder / "adapters.safetensors")


def _added(folder: Path) -> None:
    trainers.plain(folder)
    trainers.tokenizer(folder, ("<think>",))
    (folder / layout.CHAT_TEMPLATE).write_text("{{ '<think>' }}", "utf-8")


def _pickle(folder: Path) -> None:
    trainers.plain(folder)
    (folder / layout.WEIGHTS).rename(folder / "adapter_model.bin")


def _checkpoints(folder: Path) -> None:
    trainers.plain(folder / "checkpoint-100")


def _merged(folder: Path) -> None:
    folder.mkdir()
    (folder / "model.safetensors").touch()


def _link(folder: Path) -> None:
    trainers.plain(folder)
    (folder / layout.WEIGHTS).rename(folder.parent / "elsewhere")
    (folder / layout.WEIGHTS).symlink_to(folder.parent / "elsewhere")


FAULTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "zero_3": (_weights(lambda _: {}), "the adapter is empty", "stage3_gather_16bit_weights_on_model_save: true"),
    "zero_3_shapes": (
        _weights(lambda found: {name: Whole(dtype="F32", shape=(0,), data=b"") for name in found}),
        "all of them empty",
        "FULL_STATE_DICT",
    ),
    "nothing_learned": (_numbers(lambda one: bytes(len(one.data))), "Every lora_B", "Save it after training"),
    "minus_zero": (_numbers(lambda one: b"\0\0\0\x80" * (len(one.data) // 4)), "Every lora_B", "Save it after"),
    "diverged": (_numbers(lambda one: b"\0\0\xc0\x7f" * (len(one.data) // 4)), "NaN", "an earlier checkpoint"),
    "half": (
        _weights(lambda found: {name: one for name, one in found.items() if "lora_B" not in name or ".1." in name}),
        "lacks lora_B.weight",
        "model.save_pretrained(FOLDER)",
    ),
    "compiled": (_renamed("model.layers", "_orig_mod.model.layers"), "torch.compile", "Unwrap the model"),
    "fsdp": (_renamed("layers.0", "layers._fsdp_wrapped_module.0"), "FSDP", "Unwrap the model"),
    "state_dict": (_renamed("lora_A.weight", "lora_A.default.weight"), "state_dict", "model.save_pretrained(FOLDER)"),
    "other_names": (_renamed("base_model.model.", ""), "PEFT has no place for", "model.save_pretrained(FOLDER)"),
    "other_model": (_renamed("model.layers", "transformer.h"), "none fit the base", "name its own base"),
    "deeper": (_renamed("layers.1", "layers.27"), "It adapts layer 27, the base has 2", "name its own base"),
    "wider": (
        _weights(lambda _: trainers.lora(size=64)),
        "64 → 64 in the adapter and 32 → 32 in the base",
        "name its own base",
    ),
    "two_ranks": (
        _weights(lambda found: {**found, **{name: one for name, one in trainers.lora(rank=2).items() if "_A" in name}}),
        "the ranks 2 and 4",
        "Save the adapter again",
    ),
    "eight_bits": (
        _weights(lambda found: {n: Whole(dtype="I8", shape=(len(o.data),), data=o.data) for n, o in found.items()}),
        "type I8",
        "Save it in float32",
    ),
    "added_tokens": (_added, "tokens were added to the vocabulary", "Train without new tokens"),
    "ia3": (_settings(peft_type="IA3"), 'peft_type is "IA3"', "train a LoRA"),
    "classifier": (_settings(task_type="SEQ_CLS"), "SEQ_CLS", "Train with CAUSAL_LM"),
    "pissa": (_settings(init_lora_weights="pissa"), "changes the base's own weights", "path_initial_model_for"),
    "experts": (_settings(target_parameters=["mlp.experts"]), "target_parameters", "Train without it"),
    "alora": (_settings(alora_invocation_tokens=[1, 2]), "an activated LoRA", "train a plain LoRA"),
    "replicated": (_settings(layer_replication=[[0, 1]]), "it repeats layers", "train a plain LoRA"),
    "tomorrow": (_settings(wonder=7), "this program does not know what that makes", "train a plain LoRA"),
    "saved_not_there": (
        _settings(modules_to_save=["lm_head"]),
        "its weights are not there",
        "Save it again with model.save_pretrained(FOLDER)",
    ),
    "saved_not_named": (
        _weights(
            lambda found: (
                found | {"base_model.model.lm_head.weight": Whole(dtype="F32", shape=(64, 32), data=bytes(8192))}
            )
        ),
        "modules_to_save does not name it",
        "write lm_head under modules_to_save",
    ),
    "tokens_not_there": (_settings(trainable_token_indices=[1]), "trainable_token_indices", "Save it again with"),
    "dora_not_there": (_settings(use_dora=True), "lack their magnitudes", "Save it again with"),
    "another_rank": (_settings(r=8), "of rank 4, and r and rank_pattern say 8", "Name the folder of one"),
    "another_rank_of_a_module": (_settings(rank_pattern={"q_proj": 8}), "say 8", "Name the folder of one"),
    "another_rank_by_a_pattern": (_settings(r=8, rank_pattern={"(q|v)_proj": 2}), "say 8 or 2", "Name the folder of"),
    "ranks_a_list": (_settings(rank_pattern=[4]), "rank_pattern is [4]", "anew with the trainer's own"),
    "alphas_a_list": (_settings(alpha_pattern=[8]), 'alpha_pattern says "[8]"', "anew with the trainer's own"),
    "alphas_a_number": (_settings(alpha_pattern=8), 'alpha_pattern says "8"', "anew with the trainer's own"),
    "pattern": (_settings(alpha_pattern={"(a+)+$": 2}), "regular expression", "Write the names of the modules"),
    "no_rank": (_settings(r=True), "r is true", "write adapter_config.json anew"),
    "no_alpha": (_settings(lora_alpha=0), "lora_alpha says 0, expected a number above 0", "adapter_config.json anew"),
    "much_alpha": (_settings(lora_alpha=1e9), "at most 1,000,000", "write adapter_config.json anew"),
    "no_alpha_of_a_module": (_settings(alpha_pattern={"q_proj": "8"}), 'alpha_pattern says "8"', "adapter_config.json"),
    "biased": (_settings(bias="some"), "expected none, all or lora_only", "write adapter_config.json anew"),
    "no_tokens": (_settings(trainable_token_indices=["<x>"]), "expected ids of tokens", "adapter_config.json anew"),
    "mlx_rank": (_mlx(rank=8), "rank is 8, and the matrices have the ranks [4]", "Name the folder of one"),
    "mlx_rank_a_list": (_mlx(rank=[4]), "rank is [4]", "Name the folder of one"),
    "mlx_rank_a_text": (_mlx(rank="4"), 'rank is "4"', "Name the folder of one"),
    "mlx_scale": (_mlx(scale=0), "scale is 0, expected a number above 0", "write the one that it was trained with"),
    "mlx_much": (_mlx(scale=1e308), "at most 1,000,000", "write the one that it was trained with"),
    "mlx_half": (_half_of_mlx, "lacks lora_A.weight", "model.save_pretrained(FOLDER)"),
    "pickle": (_pickle, "reading one can run code", "safetensors.torch import save_file"),
    "checkpoints": (_checkpoints, "checkpoint-100", "Name one of these"),
    "merged": (_merged, "a whole model", "as it was before it was merged"),
    "a_link": (_link, "is a link", "cp -rL FROM TO"),
    "no_settings": (
        lambda folder: (trainers.plain(folder) / layout.SETTINGS).unlink(),
        "without adapter_config.json",
        "as the trainer saved it",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_carried_is_refused_with_its_cure(name: str, base: Known, tmp_path: Path) -> None:
    make, what, cure = FAULTS[name]
    make(tmp_path / "out")

    with pytest.raises(Stop) as refused:
        brought(tmp_path / "out", base)

    text = str(refused.value)
    assert what.lower() in text.lower()
    assert cure in text
    assert 2 <= refused.value.exit_code <= 5


@peft
@pytest.mark.parametrize(
    ("settings", "shape", "said"),
    [
        ({"modules_to_save": ["lm_head", "embed_tokens"]}, {"vocab_size": 70}, "70 tokens in the adapter and 64"),
        ({"target_modules": ["q_proj", "lm_head"]}, {"vocab_size": 70}, "70 tokens in the adapter and 64"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, {"vocab_size": 70}, "70 tokens in the adapter and 64"),
        ({}, {"num_key_value_heads": 4}, "32 → 32 in the adapter and 32 → 16 in the base"),
    ],
)
def test_another_vocabulary_or_another_size_is_another_base(
    settings: dict[str, Any], shape: dict[str, Any], said: str, base: Known, tmp_path: Path
) -> None:
    folder = trainers.peft(tmp_path / "out", shape=shape, **settings)

    with pytest.raises(PreflightError) as refused:
        brought(folder, base)

    assert said in str(refused.value)


@peft
@pytest.mark.parametrize("settings", [{"modules_to_save": ["embed_tokens"]}, {"target_modules": ["q_proj", "lm_head"]}])
def test_one_matrix_that_is_two_is_not_adapted_as_one_of_them(
    settings: dict[str, Any], tied: Known, tmp_path: Path
) -> None:
    folder = trainers.peft(tmp_path / "out", shape={"tie_word_embeddings": True}, **settings)

    with pytest.raises(PreflightError, match="one matrix for embeddings and output"):
        brought(folder, tied)


def test_an_added_token_to_pad_with_or_one_that_nothing_writes_is_no_fault(base: Known, tmp_path: Path) -> None:
    folder = trainers.plain(tmp_path / "out")
    trainers.tokenizer(folder, ("<pad>", "<tool>"), pad="<pad>")

    assert brought(folder, base).origin.form == "peft"


@pytest.mark.parametrize(
    ("named", "confirmed", "said"),
    [
        (None, None, ""),
        ("someone/tiny", None, ""),
        ("unsloth/tiny-bnb-4bit", "unsloth/tiny-bnb-4bit", ""),
        ("/home/me/models/tiny", None, "named_base: local-path"),
        ("..\\models\\tiny", None, "named_base: local-path"),
        ("./tiny", None, "named_base: local-path"),
        ("tiny", None, "named_base: local-path"),
        ("unsloth/tiny-unsloth-bnb-4bit", None, "unsloth/tiny is what it was made of"),
        ("someone/other-bnb-4bit", None, "a copy in few bits or another format, and model.base_model_id is"),
        ("mlx-community/tiny-4bit", None, "a copy in few bits or another format, and model.base_model_id is"),
        ("someone/tiny-base", None, "named_base: someone/tiny-base"),
        ("someone/tiny-base", "someone/else", "named_base: someone/tiny-base"),
    ],
)
def test_a_base_of_another_name_is_taken_by_the_users_word_alone(
    named: str | None, confirmed: str | None, said: str
) -> None:
    told = fit.name_problem(fit.base_named(named), "someone/tiny", confirmed)

    assert (said in told) if said else not told
    assert "/home" not in told


def test_a_lora_in_gguf_is_read_back_in_the_order_of_transformers(tmp_path: Path) -> None:
    """Written as llama.cpp's converter writes Llama's: q and k with their rows turned for its rotary embedding."""
    from gguf import GGUFWriter

    known = trainers.base(tmp_path / "base")
    names = {"self_attn.q_proj": "attn_q", "self_attn.o_proj": "attn_output"}
    there = trainers.lora(tuple(names)) | trainers.lora(("self_attn.o_proj",), rank=2)
    writer = GGUFWriter(str(tmp_path / "lora.gguf"), "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 12.0)
    for name, one in there.items():
        layer, module, part = re.fullmatch(r"base_model\.model\.model\.layers\.(\d)\.(.+)\.lora_(.)\.weight", name).groups()  # type: ignore[union-attr]  # fmt: skip  # noqa: E501
        matrix = np.frombuffer(one.data, "<f4").reshape(one.shape)
        if part == "B" and module == "self_attn.q_proj":
            matrix = (
                matrix.reshape(4, 2, 4, 4).swapaxes(1, 2).reshape(32, 4)
            )  # LlamaModel.permute: heads, 2, half a head
        writer.add_tensor(f"blk.{layer}.{names[module]}.weight.lora_{part.lower()}", np.ascontiguousarray(matrix))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    found = bring(str(tmp_path / "lora.gguf"), known, lambda _: None)

    back = tensors.digests(found.folder / layout.WEIGHTS)
    tensors.write(there, tmp_path / "there.safetensors")
    assert back == tensors.digests(tmp_path / "there.safetensors")
    assert (found.origin.form, found.settings["r"], found.settings["lora_alpha"]) == ("gguf", 2, 12)
    others = {f"model.layers.{layer}.self_attn.q_proj": 4 for layer in (0, 1)}
    assert found.settings["rank_pattern"] == others  # llama.cpp scales by alpha / rank of each matrix


def gguf(*settings: bytes, tensors: int = 0) -> bytes:
    """A GGUF with these settings, each with its type and value behind the letter it is called."""
    return (
        b"GGUF" + struct.pack("<IQQ", 3, tensors, len(settings)) + b"".join(b"\1" + bytes(7) + one for one in settings)
    )


NESTED = b"a" + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 100_000


@pytest.mark.parametrize(
    "content",
    [
        *(b"GGUF", b"GGUF" + b"\xff" * 64, b"GGUF\3\0\0\0" + b"\xff" * 16),
        gguf(b"a" + struct.pack("<IIQ", 9, 0, 1 << 40)),
        gguf(b"a" + struct.pack("<IIQ", 9, 8, 1 << 20)),
        gguf(b"a" + struct.pack("<IQ", 8, 1 << 60)),
        gguf(NESTED),
        gguf(tensors=1 << 40),
    ],
    ids=["letters", "ones", "counts", "a list without end", "texts without end", "a text", "lists in lists", "tensors"],
)
def test_a_file_that_is_no_gguf_is_refused_as_one(content: bytes, base: Known, tmp_path: Path) -> None:
    (tmp_path / "lora.gguf").write_bytes(content)

    with pytest.raises(PreflightError, match="not a GGUF file that can be read"):
        bring(str(tmp_path / "lora.gguf"), base, lambda _: None)


def test_a_model_of_many_words_is_told_to_be_one(base: Known, tmp_path: Path) -> None:
    words = b"a" + struct.pack("<IIQ", 9, 8, 20_000) + struct.pack("<Q1s", 1, b"w") * 20_000
    (tmp_path / "model.gguf").write_bytes(gguf(words))

    with pytest.raises(PreflightError, match="a whole model, not a LoRA"):
        bring(str(tmp_path / "model.gguf"), base, lambda _: None)


@pytest.mark.parametrize(
    ("named", "revision", "keys"),
    [
        ("someone/tiny", "a" * 40, ["  base_model_id: someone/tiny", f'  revision: "{"a" * 40}"']),
        ("unsloth/tiny-bnb-4bit", "a" * 40, ["  base_model_id: unsloth/tiny", "  named_base: unsloth/tiny-bnb-4bit"]),
        (
            "someone/tiny-bnb-4bit",
            None,
            ["  base_model_id: NAMESPACE/NAME  # the repository that someone/tiny-bnb-4bit was made of"],
        ),
        ("/models/tiny", None, ["  base_model_id: NAMESPACE/NAME", "  named_base: local-path"]),
        (None, None, ["  base_model_id: NAMESPACE/NAME"]),
    ],
)
def test_the_keys_name_the_base_that_transformers_can_load(
    named: str | None, revision: str | None, keys: list[str], tmp_path: Path
) -> None:
    trainers.plain(tmp_path / "out", base_model_name_or_path=named, revision=revision)

    said = list(telling.keys(brought(tmp_path / "out", None), None, "out"))

    assert [one for one in said if one in keys] == keys
    assert any(one.startswith("  revision: ") for one in said) == (named == "someone/tiny")
    trainers.mlx(tmp_path / "mlx")
    mlx = list(telling.keys(brought(tmp_path / "mlx", None), None, "mlx"))
    assert "  base_model_id: NAMESPACE/NAME  # the repository that mlx-community/tiny-4bit was made of" in mlx
    assert "  named_base: mlx-community/tiny-4bit" in mlx


def test_the_command_writes_what_it_found_and_the_keys_to_set(tmp_path: Path) -> None:
    trainers.unsloth(tmp_path / "out")
    said: list[str] = []

    def say(event: object) -> None:
        said.append(getattr(event, "text", ""))

    telling.imported(str(tmp_path / "out"), telling.Into(folder=tmp_path / "peft", layout="peft"), None, say)
    telling.imported(str(tmp_path / "peft"), telling.Into(folder=tmp_path / "mlx", layout="mlx"), None, lambda _: None)

    text = "\n".join(said)
    assert "named_base: unsloth/tiny-unsloth-bnb-4bit" in text
    assert "base_model_id: unsloth/tiny\n" in text
    assert "quantization: {load_in_4bit: true}" in text
    assert (tmp_path / "peft" / layout.WEIGHTS).read_bytes() == (tmp_path / "out" / layout.WEIGHTS).read_bytes()
    assert json.loads((tmp_path / "mlx" / layout.SETTINGS).read_bytes())["lora_parameters"]["scale"] == 2.0
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        telling.imported(str(tmp_path / "out"), telling.Into(folder=tmp_path / "peft", layout="peft"), None, say)
