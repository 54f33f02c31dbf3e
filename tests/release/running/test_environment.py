"""What makes a run repeat itself, by torch's own warnings: what has no fixed result is told once, and recorded."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from release.models import arithmetic
from release.running import child, environment, machine
from tests.helpers import rooms
from tests.helpers.line import ROOT


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], str]:
    """What a stage saw that ran as on a GPU, and its log."""
    folder = tmp_path_factory.mktemp("stage")
    child.call(
        "tests.helpers.nondeterministic", "gpu", str(folder / "seen.json"), say=lambda _: None, log=folder / "log"
    )
    return json.loads((folder / "seen.json").read_bytes()), (folder / "log").read_text("utf-8")


def test_an_operation_without_a_fixed_result_is_told_once_and_recorded(told: tuple[dict[str, object], str]) -> None:
    seen, log = told

    assert seen["before"] == []
    arithmetic = seen["arithmetic"]
    assert isinstance(arithmetic, dict)
    assert arithmetic["nondeterministic"] == ["max_unpooling2d_forward_out", "put_"]
    assert arithmetic["deterministic_algorithms"] is True
    assert log.count("put_ does not have a deterministic implementation") == 1
    assert log.count("max_unpooling2d_forward_out does not have a deterministic implementation") == 1


def test_attention_is_strict_forwards_and_backwards_and_nothing_else_is(told: tuple[dict[str, object], str]) -> None:
    """Its backward pass comes after the one of what follows it, and before the one of what it was made from."""
    seen, _ = told
    forwards, behind, inside, inside_query, before = True, False, True, True, False
    without_gradients = True

    assert seen["strict"] == [forwards, behind, inside, inside_query, before, before, before, without_gradients]
    assert seen["after_attention"] is False
    assert seen["equal"] is True


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("cumsum_cuda_kernel does not have a deterministic implementation, but you set", "cumsum_cuda_kernel"),
        ("_histc_cuda with floating point input does not have a deterministic implementation",
         "_histc_cuda with floating point input"),
        ("Flash Attention defaults to a non-deterministic algorithm. To explicitly enable", "Flash Attention"),
        ("Deterministic behavior was enabled with `at::Context`,\nbut this is not deterministic because it uses CuBLAS",
         "CuBLAS"),
        ("The given NumPy array is not writable", None),
        ("Deterministic algorithms are slower", None),
    ],
)  # fmt: skip
def test_what_torch_says_is_known_by_its_words(message: str, name: str | None) -> None:
    found = arithmetic.NO_FIXED_RESULT.match(message)

    assert (found and (found[1] or found[2])) == name


def test_a_run_on_a_processor_is_recorded_with_none(tmp_path: Path) -> None:
    arguments = ("processor", str(tmp_path / "seen.json"))
    child.call(
        "tests.helpers.nondeterministic", *arguments, say=lambda _: None, log=tmp_path / "log", env=machine.only(None)
    )

    arithmetic = json.loads((tmp_path / "seen.json").read_bytes())
    assert (arithmetic["nondeterministic"], arithmetic["deterministic_algorithms"]) == ([], False)


def test_the_digest_of_the_code_covers_all_that_training_answering_and_judging_import() -> None:
    there = rooms.modules()
    todo = ["release.models.train", "release.models.generate", "release.judging.derive", "release.judging.recording"]
    todo += [f"release.models.engines.{name}" for name in ("table", "transformers")]
    seen: set[str] = set()
    while todo:
        module = todo.pop()
        if module in seen or module not in there:
            continue
        seen.add(module)
        todo += [name for one in rooms.imports(there[module]) for name in (one, one.rpartition(".")[0])]

    files = {there[module].relative_to(ROOT).as_posix() for module in seen} - {"release/__init__.py"}
    known = [name if name.endswith(".py") else f"{name}/" for name in environment.DECIDING]
    left_out = [file for file in sorted(files) if not file.startswith(tuple(known))]
    assert len(files) > 40
    # they count bytes and hours for a person, name prices in the record, and serve a folder; no adapter depends on them
    assert [file for file in left_out if not file.startswith(("release/planning/", "hub_folder/"))] == []


def test_a_byte_in_the_pipeline_is_another_code_and_one_in_a_help_text_is_not() -> None:
    assert "release/pipeline.py" in environment.DECIDING
    assert not any(name.startswith(("release/cli", "release/checking")) for name in environment.DECIDING)
    assert all((ROOT / name).exists() for name in environment.DECIDING)


def a_project(folder: Path, *names: str) -> Path:
    """A repository with one commit that holds these files."""
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, "utf-8")
    for command in (["add", "--all"], ["commit", "--quiet", "--allow-empty", "-m", "mine"]):
        subprocess.run([*git, *command], check=True)
    return folder


NAMES = ("release.yaml", "data/*.jsonl", ":(top)r\u00f6ws \u2028.jsonl")


def test_the_users_commit_is_named_with_whether_it_holds_what_a_release_is_made_of(tmp_path: Path) -> None:
    folder = a_project(tmp_path / "mine", *NAMES)
    files = [folder / name for name in NAMES]

    clean = environment.project(folder, files)

    assert clean is not None
    assert (len(clean.commit), clean.dirty) == (40, False)
    assert environment.project(folder / "data", files) == clean
    (folder / "notes.txt").write_text("of no concern", "utf-8")
    assert environment.project(folder, files) == clean
    assert environment.project(folder, [*files, folder / "notes.txt"]) == replace(clean, dirty=True)
    assert environment.project(folder, [*files, tmp_path / "elsewhere.jsonl"]) == replace(clean, dirty=True)
    files[0].write_text("changed", "utf-8")
    assert environment.project(folder, []) == replace(clean, dirty=True)


def test_where_there_is_no_commit_of_the_user_none_is_named(tmp_path: Path) -> None:
    assert environment.project(tmp_path, []) is None
    assert environment.project(ROOT, [ROOT / "release.yaml"]) is None  # the tool's own, which `source` names
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert environment.project(tmp_path, []) is None
