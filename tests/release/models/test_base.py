"""Base models: the embedded one as it lies in the cache, and another from a Hub."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from release.config.settings import Model
from release.hub import base_files
from release.models import base as bases
from release.models import embedded
from release.values.as_json import to_json
from release.values.errors import HubError, VerificationError
from release.values.events import Event
from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import ROOT

REPO = "someone/tiny"


def quiet(_: Event) -> None:
    """Say nothing."""


def put(hub: EmbeddedHub, folder: Path, **files: bytes) -> str:
    """A commit with these files; its sha."""
    from huggingface_hub import CommitOperationAdd

    hub.api.create_repo(REPO, exist_ok=True)
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    operations = [CommitOperationAdd(name, str(folder / name)) for name in files]
    return hub.api.create_commit(REPO, operations, commit_message="files").oid


def test_the_embedded_base_is_unpacked_whole_and_named_by_its_hub_id(base: bases.Base) -> None:
    names = {file.path for file in base.files.files}

    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= names
    assert base.base_model_id == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert embedded.GGUF_SHA256 in base.origin
    assert str(base.folder) not in json.dumps(to_json(base.in_record()))
    assert "model.gguf" not in names


def test_a_changed_base_is_refused(base: bases.Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte of the tokenizer in the cache."""
    monkeypatch.setenv("ADAPTER_RELEASE_CACHE", str(tmp_path))
    copied = tmp_path / "bases" / base.folder.name
    copied.mkdir(parents=True)
    for path in base.folder.iterdir():
        if path.name == "model.safetensors":
            os.link(path, copied / path.name)
        else:
            shutil.copyfile(path, copied / path.name)
    (copied / "tokenizer_config.json").write_bytes((copied / "tokenizer_config.json").read_bytes() + b" ")

    with pytest.raises(VerificationError, match="not as it was unpacked"):
        bases.resolve(Model(base_model_id=base.base_model_id, source="embedded"), quiet)


def test_a_base_from_a_hub_is_taken_at_its_commit_without_pickles_or_code(away: EmbeddedHub, tmp_path: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"w" * 64, "pytorch_model.bin": b"p", "modeling.py": b"x = 1"}
    commit = put(away, tmp_path / "files", **files)

    found = bases.resolve(Model(base_model_id=REPO, revision=commit), quiet)

    assert [file.path for file in found.files.files] == ["config.json", "model.safetensors"]
    assert found.revision == commit


def test_a_base_that_is_here_needs_no_hub(away: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = put(away, tmp_path / "files", **{"model.safetensors": b"w" * 64})
    model = Model(base_model_id=REPO, revision=commit)
    first = bases.resolve(model, quiet)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    assert bases.resolve(model, quiet) == first


def test_a_base_with_pickles_only_is_refused(away: EmbeddedHub, tmp_path: Path) -> None:
    commit = put(away, tmp_path / "files", **{"pytorch_model.bin": b"p"})

    with pytest.raises(HubError, match="holds no safetensors"):
        bases.resolve(Model(base_model_id=REPO, revision=commit), quiet)


def test_a_revision_that_is_not_there_is_named(away: EmbeddedHub) -> None:
    away.api.create_repo(REPO)
    with pytest.raises(HubError, match="0000000000"):
        bases.resolve(Model(base_model_id=REPO, revision="0" * 40), quiet)


def weights(*names: str) -> bytes:
    """A safetensors file with a number under each name."""
    from safetensors.numpy import save

    return bytes(save({name: np.ones(1, np.float32) for name in names}))


CARD = b"---\nlicense: llama3.1\nbase_model: meta-llama/Llama-3.1-8B\n---\n# A base\n"
BESIDE = {
    "original/consolidated.00.pth": b"p" * 5000,
    "original/params.json": b"{}" * 500,
    "onnx/model.onnx": b"o" * 5000,
    "onnx/model.safetensors": b"o" * 5000,
    "consolidated.safetensors": b"c" * 5000,
    "consolidated.safetensors.index.json": b"{}" * 500,
    "consolidated-00001-of-00002.safetensors": b"c" * 5000,
    "model-Q4_K_M.gguf": b"g" * 5000,
    "pytorch_model.bin": b"p" * 5000,
    "training_args.bin": b"p" * 5000,
    "flax_model.msgpack": b"f" * 5000,
    "figure.png": b"f" * 5000,
}
"""What repositories hold beside the weights that transformers loads."""


def test_a_base_is_outlined_without_its_weights(away: EmbeddedHub, tmp_path: Path) -> None:
    """Its licence from the card, its modules from the first bytes of each file; only small files are fetched."""
    one = weights("model.layers.0.mlp.up_proj.weight", "model.norm.weight")
    index = {"weight_map": dict.fromkeys(("model.layers.0.mlp.up_proj.weight",), "model-1.safetensors")}
    files = {
        "README.md": CARD,
        "config.json": b"{}",
        "model-1.safetensors": one,
        "model.safetensors.index.json": json.dumps(index).encode(),
    }
    model = Model(base_model_id=REPO, revision=put(away, tmp_path / "files", **files))

    found = bases.outline(model, quiet)

    assert (found.license, found.base_model) == ("llama3.1", "meta-llama/Llama-3.1-8B")
    assert found.modules == frozenset({"model.layers.0.mlp.up_proj"})
    assert sorted(path.name for path in found.folder.iterdir()) == ["config.json", "outline.json"]
    assert found.to_fetch > len(one)


@pytest.mark.parametrize(
    ("names", "code", "taken"),
    [
        (BESIDE, False, []),
        (BESIDE, True, []),
        (["model.safetensors", "config.json", "README.md"], False, ["model.safetensors", "config.json"]),
        (["LICENSE", "LICENSE.txt", "merges.txt", "tokenizer.model"], False, None),
        (["model-00001-of-00002.safetensors", "model.safetensors.index.json", "chat_template.jinja"], False, None),
        (["generation_config.json", "special_tokens_map.json"], False, None),
        (["modeling_own.py", "config.json"], False, ["config.json"]),
        (["modeling_own.py", "config.json", "inference/own.py"], True, ["modeling_own.py", "config.json"]),
    ],
)
def test_what_is_wanted_of_a_repository_is_what_transformers_loads(
    names: list[str], code: bool, taken: list[str] | None
) -> None:
    assert base_files.wanted(names, code=code) == (list(names) if taken is None else taken)


def test_what_is_not_loaded_is_neither_counted_nor_fetched(away: EmbeddedHub, tmp_path: Path) -> None:
    """The disk that is asked for is the disk that is used."""
    files = {"config.json": b"{}", "model.safetensors": weights("a.weight"), "LICENSE": b"mine"}
    for name in BESIDE:
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
    model = Model(base_model_id=REPO, revision=put(away, tmp_path / "files", **files, **BESIDE))
    known = bases.outline(model, quiet)

    fetched = bases.resolve(model, quiet)

    assert {file.path for file in fetched.files.files} == files.keys()
    assert known.to_fetch == sum(file.size for file in fetched.files.files)


def test_weights_in_another_layout_alone_are_refused(away: EmbeddedHub, tmp_path: Path) -> None:
    model = Model(
        base_model_id=REPO,
        revision=put(away, tmp_path / "files", **{"consolidated.safetensors": b"c", "config.json": b"{}"}),
    )

    for ask in (bases.outline, bases.resolve):
        with pytest.raises(HubError, match="holds no safetensors weights that transformers loads"):
            ask(model, quiet)


@pytest.mark.parametrize("broken", [b"no header", weights("a.weight")[:20]])
def test_weights_whose_header_is_none_are_the_repositorys_fault(
    broken: bytes, away: EmbeddedHub, tmp_path: Path
) -> None:
    files = {"config.json": b"{}", "model.safetensors": broken}
    model = Model(base_model_id=REPO, revision=put(away, tmp_path / "files", **files))

    with pytest.raises(HubError, match="has weights that are no safetensors file"):
        bases.outline(model, quiet)


def test_an_outline_of_an_older_version_is_asked_for_anew(away: EmbeddedHub, tmp_path: Path) -> None:
    """It holds less than is needed now."""
    model = Model(
        base_model_id=REPO,
        revision=put(
            away,
            tmp_path / "files",
            **{
                "model.safetensors": weights("a.weight"),
                "README.md": CARD,
                "config.json": b"{}",
                "generation_config.json": b"{}",
            },
        ),
    )
    older = bases.folder_of(model).with_name(f"{bases.folder_of(model).name}.outline")
    older.mkdir(parents=True)
    (older / "outline.json").write_text('{"license": "mit", "tensors": [], "bytes": 1}', "utf-8")

    found = bases.outline(model, quiet)

    assert (found.license, found.base_model) == ("llama3.1", "meta-llama/Llama-3.1-8B")
    assert (found.folder / "generation_config.json").exists()


def test_an_outline_is_asked_for_once_and_knows_when_the_weights_are_here(
    away: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = put(away, tmp_path / "files", **{"model.safetensors": weights("a.weight"), "config.json": b"{}"})
    model = Model(base_model_id=REPO, revision=revision)
    first = bases.outline(model, quiet)
    bases.resolve(model, quiet)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    assert first.to_fetch > 0
    assert bases.outline(model, quiet) == dataclasses.replace(first, to_fetch=0)
    assert first.license is None


def test_what_keeps_a_base_from_being_had_is_said_before_anything_is_fetched(away: EmbeddedHub, tmp_path: Path) -> None:
    pickled = put(away, tmp_path / "files", **{"pytorch_model.bin": b"p"})

    with pytest.raises(HubError, match="holds no safetensors"):
        bases.outline(Model(base_model_id=REPO, revision=pickled), quiet)
    with pytest.raises(HubError, match="has no commit 0000000000"):
        bases.outline(Model(base_model_id=REPO, revision="0" * 40), quiet)
    with pytest.raises(HubError, match="repository or revision does not exist"):
        bases.outline(Model(base_model_id="nobody/nothing", revision="0" * 40), quiet)


@pytest.mark.parametrize("whole", [True, False])
def test_of_two_that_unpack_at_once_the_second_keeps_what_the_first_finished(whole: bool, tmp_path: Path) -> None:
    for name in ("base", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name, "utf-8")
    if whole:
        bases.seal(Path(shutil.copytree(tmp_path / "base", tmp_path / "first")), tmp_path / "sealed")
        bases.seal(tmp_path / "mine", tmp_path / "sealed")
        assert not (tmp_path / "mine").exists()
        assert (tmp_path / "sealed" / "config.json").read_text("utf-8") == "base"
    else:
        with pytest.raises(OSError, match="not empty"):
            bases.seal(tmp_path / "mine", tmp_path / "base")


def test_what_another_process_works_at_is_left_to_it(tmp_path: Path) -> None:
    mine, killed = tmp_path / f".base.{os.getpid()}", tmp_path / ".base.4999999"
    for folder in (mine, killed):
        folder.mkdir()

    assert bases._temporary(tmp_path / "base") == mine
    assert mine.exists()
    assert not killed.exists()


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_the_embedded_base_is_the_one_that_the_kept_releases_were_made_on(version: str, base: bases.Base) -> None:
    """Else none of them is answered or made again; every file, whatever its writer adds to it."""
    record = json.loads((ROOT / "tests" / "data" / "releases" / version / "release.json").read_bytes())

    assert base.in_record().files == record["base"]["files"]
