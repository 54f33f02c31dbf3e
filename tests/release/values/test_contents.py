"""Every trick of a hostile folder fails a step in bounded time; honest folders that look alike are taken."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release.checking import explain, opening, verify
from release.checking.steps import FIRST_LOOK, Step
from release.judging import attempts
from release.judging.released import Released
from release.publishing import package
from release.values import bounds, contents, layout
from release.values.errors import Stop, VerificationError
from tests.helpers import hostile, pages
from tests.helpers.small_release import reseal, small_release

SECONDS = 20
"""Of a processor, for each trick; the slowest takes about two."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_release(tmp_path_factory.mktemp("made")).folder


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    return hostile.copy(original, tmp_path / "release")


def steps(folder: Path) -> list[Step]:
    return verify.check(opening.Opened(release=Released(name="release", folder=folder)))


def failed(folder: Path) -> list[str]:
    return [problem for step in steps(folder) for problem in step.problems]


@pytest.mark.parametrize("trick", hostile.MAKERS)
def test_a_trick_fails_a_step_and_every_step_is_told(trick: str, release: Path) -> None:
    hostile.MAKERS[trick](release)
    started = time.process_time()

    found = steps(release)

    assert time.process_time() - started < SECONDS
    assert len(found) == len(verify.CHECKS)
    lines = [line for step in found for line in (*step.problems, *step.unchecked)]
    assert any(step.problems for step in found)
    assert all(len(line) <= bounds.LINE for line in lines)


@pytest.mark.parametrize(
    "trick",
    [one for one in hostile.MAKERS if "pipe in" in one or "device" in one or "link" in one or "record" in one],
)
def test_an_explanation_of_it_ends_too(trick: str, release: Path) -> None:
    hostile.MAKERS[trick](release)
    started = time.process_time()

    with (
        contextlib.suppress(Stop),
        explain.found(str(release), release.parent, "file:hub", lambda _: None, None) as place,
    ):
        explain.explain("json_parse", place, lambda _: None)

    assert time.process_time() - started < SECONDS


def test_a_run_folder_with_a_pipe_in_it_is_not_explained(release: Path) -> None:
    run = release / "gates"
    hostile.MAKERS["a pipe in place of the policy"](release)

    with (
        pytest.raises(VerificationError, match=r"policy\.json is not a plain file"),
        explain.found(str(run), release.parent, "file:hub", lambda _: None, None),
    ):
        pass


def test_what_is_refused_is_read_by_no_step_and_the_others_still_say_what_is_wrong(release: Path) -> None:
    hostile.MAKERS["a pipe in place of the policy"](release)
    (release / "README.md").write_text("---\nbase_model: other\n---\n", "utf-8")

    found = {step.name: step for step in steps(release)}

    assert [step.name for step in found.values() if any("not looked at" in line for line in step.unchecked)]
    assert found[FIRST_LOOK].problems == (f"{layout.POLICY} {contents.SPECIAL}",)
    assert any("two base models" in line for step in found.values() for line in step.problems)


def test_a_step_alone_does_not_pass_over_what_the_first_look_would_refuse(release: Path) -> None:
    hostile.MAKERS["a pipe in place of the record"](release)
    place, *names = (name for name in verify.CHECKS if name != FIRST_LOOK)

    each = [verify.check(opening.Opened(release=Released(folder=release)), [name])[0] for name in names]

    assert place  # asks nothing where nothing is expected
    assert all(step.unchecked or "not looked at" in step.problems[0] for step in each)  # unsigned is said as it is


def a_licence(folder: Path) -> None:
    (folder / "LICENSE.txt").write_text("Apache License\nVersion 2.0\n", "utf-8")
    (folder / "NOTICE").write_text("Größe und 数\n", "utf-8")
    reseal(folder)


def what_tools_keep(folder: Path) -> None:
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n", "utf-8")
    (folder / ".cache" / "huggingface" / "download").mkdir(parents=True)
    (folder / ".cache" / "huggingface" / "download" / "x.metadata").write_text("1", "utf-8")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)


def older_names_of_special_tokens(folder: Path) -> None:
    (folder / "special_tokens_map.json").write_text('{"eos_token": "<|im_end|>"}', "utf-8")
    files = {
        one: _sha256(folder / one) for one in (*Released(folder=folder).record.adapter.files, "special_tokens_map.json")
    }
    manifest = Released(folder=folder).manifest(list(files)).digest

    def change(value: Any) -> None:
        value["adapter"].update(files=files, sha256=manifest)
        value["generation"]["adapter_sha256"] = manifest

    reseal(folder, change)
    (one,) = attempts.parse((folder / layout.LEDGER).read_bytes(), layout.LEDGER)
    attempt = Released(folder=folder).terms.attempt(manifest, one.answers_sha256)
    ours = replace(one, attempt=attempt, adapter_sha256=manifest)
    (folder / layout.LEDGER).write_bytes(attempts.written([ours]))
    reseal(folder)
    pages.redraw(folder)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def a_snapshot(folder: Path) -> None:
    _as_snapshot(folder, shared=False)


def a_snapshot_of_shared_blobs(folder: Path) -> None:
    _as_snapshot(folder, shared=True)


def _as_snapshot(folder: Path, *, shared: bool) -> None:
    """As huggingface_hub lays out its cache; with ``shared``, as it does where repositories share their blobs."""
    cache = folder.parent / "cache"
    repo = cache / "models--local--elements"
    snapshot = repo / "snapshots" / ("c" * 40)
    (repo / "blobs").mkdir(parents=True)
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = path.relative_to(folder)
        blob = repo / "blobs" / _sha256(path)
        there = cache / "blobs" / blob.name[:2] / blob.name if shared else blob
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, there)
        if shared and not blob.is_symlink():
            blob.symlink_to(os.path.relpath(there, blob.parent))
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(os.path.relpath(blob, (snapshot / name).parent))
    shutil.rmtree(folder)
    folder.symlink_to(snapshot, target_is_directory=True)  # the folder that a person names may be a link


HONEST: dict[str, Callable[[Path], None]] = {
    "as it was published": lambda _: None,
    "with a licence and a notice": a_licence,
    "beside what git and the Hub's client keep": what_tools_keep,
    "with another of the tokenizer's files": older_names_of_special_tokens,
    "in the cache of the Hub's client": a_snapshot,
    "in a cache that shares its blobs": a_snapshot_of_shared_blobs,
}


@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_folder_that_looks_alike_is_taken(kind: str, release: Path) -> None:
    HONEST[kind](release)

    assert failed(release) == []


@pytest.mark.parametrize(
    ("target", "beside"),
    [
        ("../../../elsewhere", "elsewhere"),
        ("../../blobs/" + "g" * 64, "models--local--elements/blobs/" + "g" * 64),
        ("../../blobs/" + "b" * 64, None),
        ("/etc/passwd", None),
    ],
)
def test_a_link_of_a_snapshot_that_leads_elsewhere_is_refused(target: str, beside: str | None, release: Path) -> None:
    a_snapshot(release)
    if beside:
        (release.parent / "cache" / beside).write_text("text", "utf-8")
    (release.resolve() / "LICENSE").symlink_to(target)

    assert any("LICENSE is a link" in problem for problem in failed(release))


def test_a_blob_that_is_a_link_out_of_the_cache_is_refused(release: Path) -> None:
    a_snapshot(release)
    blobs = release.resolve().parent.parent / "blobs"
    (blobs / ("d" * 64)).symlink_to("/etc/passwd")
    (release.resolve() / "LICENSE").symlink_to(f"../../blobs/{'d' * 64}")

    assert any("LICENSE is a link" in problem for problem in failed(release))


def test_what_is_larger_than_its_bound_by_a_byte_is_refused_and_what_fills_it_is_not(release: Path) -> None:
    template = release / "LICENSE"
    template.write_bytes(b"a" * bounds.TERMS.most)
    assert "LICENSE" in contents.look(release).sizes

    template.write_bytes(b"a" * (bounds.TERMS.most + 1))
    assert "1,000,001 bytes; at most 1,000,000 are read" in contents.look(release).refused["LICENSE"]


def test_a_merged_model_of_ten_gigabytes_in_shards_is_within_the_bounds(release: Path) -> None:
    folder = release / "exports" / "merged"
    folder.mkdir(parents=True)
    for number in (1, 2):
        with (folder / f"model-0000{number}-of-00002.safetensors").open("wb") as file:
            file.truncate(5_000_000_000)
    for name in ("config.json", "generation_config.json", "model.safetensors.index.json", "chat_template.jinja"):
        (folder / name).write_text("{}", "utf-8")
    with (release / "exports" / "merged-Q4_K_M.gguf").open("wb") as file:
        file.truncate(10_000_000_000)

    found = contents.look(release)

    assert found.refused == {}
    assert sum(found.sizes.values()) > 20_000_000_000


def test_every_kind_says_what_its_largest_honest_file_holds() -> None:
    kinds = {kind for kind in vars(bounds).values() if isinstance(kind, bounds.Kind)}

    assert len(kinds) >= 14
    assert all(kind.why and kind.most > 0 for kind in kinds)
    assert all(layout.kind_of(file.name) is file.kind for file in layout.FILES)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("exports/Modelfile-merged-nf4-Q8_0", bounds.TEMPLATE),
        ("exports/Modelfile-adapter-base-unquantized-F16", bounds.TEMPLATE),
        ("exports/Modelfile-a.gguf", bounds.GGUF),
        ("exports/adapter-F32.gguf", bounds.GGUF),
    ],
)
def test_what_engines_load_and_how_ollama_is_told_may_be_there(name: str, kind: bounds.Kind) -> None:
    assert layout.kind_of(name) is kind


@pytest.mark.parametrize(
    "name",
    [
        "adapter_model.bin",
        "Modelfile-a",
        "exports/Modelfile",
        "exports/Modelfile-",
        "exports/Modelfile-a/b",
        "exports/Modelfile-a\n",
        "pytorch_model.bin",
        "gates/verdict.json ",
        "gates/forms/../answers.jsonl",
        "gates/forms/Plain/answers.jsonl",
        f"gates/earlier/{'g' * 40}/release.json",
        f"gates/earlier/{'a' * 40}/README.md",
        "exports/../README.md",
        "exports/a/b/model.safetensors",
        "exports/run.sh",
        "exports/merged/modeling.py",
        "LICENSE\n",
        "README.md/",
        "",
    ],
)
def test_a_name_beside_the_list_is_none_of_a_release(name: str) -> None:
    assert layout.kind_of(name) is None


def test_what_is_packed_is_what_verify_allows(tmp_path: Path) -> None:
    """One list: a file of training's that no release may hold is noticed before anything is published."""
    made = small_release(tmp_path / "made")
    (made.candidate.adapter.folder / "modeling.py").write_text("print('hello')", "utf-8")

    with pytest.raises(VerificationError, match=r"modeling\.py is not a file that a release may hold"):
        package.lay(made.candidate, {}, b"# card\n", tmp_path / "packed")
    assert not (tmp_path / "packed").exists()
