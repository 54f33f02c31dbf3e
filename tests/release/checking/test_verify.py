"""Every lie about a release, and the step that names it. Most liars have mended the record as well."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gates.canonical import canonical_json
from release.checking import laid_out, opening, verify
from release.checking.opening import Known
from release.hub import address, requests
from release.judging.released import Released
from release.values import bounds, layout, tensors
from release.values.artifacts import Manifest, sha256_file
from release.values.errors import ConfigError, VerificationError
from release.values.events import Event, Line
from tests.helpers.line import ROOT, adapter_release
from tests.helpers.small_release import edit, reseal, small_release

REPO, TAG = "local/elements", "v0.1.0"
PLACE, FILES, DIGESTS, RECORD, AGREEMENT, BASE, DATA, JUDGED, TENSORS, CARD, VERDICT, EARLIER = range(1, 13)
STEPS = 17  # with statements and signature, whose lies have modules of their own
Lie = Callable[[Path], object]


def quiet(_: Event) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that nobody has touched."""
    return small_release(tmp_path_factory.mktemp("made")).folder


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    """A copy of it to tamper with."""
    return Path(shutil.copytree(original, tmp_path / "release"))


def failed(folder: Path, data: Path | None = None, **more: Any) -> dict[int, tuple[str, ...]]:
    """The problems of the steps that failed, by the step's number."""
    steps = verify.check(opening.Opened(release=Released(name="release", folder=folder, data=data), **more))
    assert len(steps) == STEPS
    return {number: step.problems for number, step in enumerate(steps, 1) if step.problems}


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def flip_answer(folder: Path) -> None:
    path = folder / "gates" / "answers.jsonl"
    path.write_text(path.read_text("utf-8").replace("not in the sources", "not in the soorces", 1), "utf-8")


def flip_number_of_record(folder: Path) -> None:
    path = folder / "release.json"
    path.write_text(path.read_text("utf-8").replace('"tokens": 4900', '"tokens": 4901'), "utf-8")


def flip_tensor(folder: Path) -> None:
    """One value of one tensor, in a record that knows the new file."""
    path = folder / layout.WEIGHTS
    values = load_file(path)
    next(iter(values.values()))[0, 0] += 1
    save_file(values, path)
    files = {"adapter_model.safetensors": sha256_file(path)}
    reseal(folder, lambda value: value["adapter"]["files"].update(files))


def pass_by_editing(folder: Path) -> None:
    """Wrong answers, and a verdict that still says PASS."""
    path = folder / "gates" / "answers.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps({**row, "output": "no JSON"}) + "\n" for row in rows), "utf-8")
    answers = sha256_file(path)
    reseal(folder, lambda value: value["generation"].update(answers_sha256=answers))


def failing_verdict(folder: Path) -> None:
    edit(folder / "gates" / "verdict.json", lambda value: value.update(passed=False, state="FAIL"))
    verdict = sha256_file(folder / "gates" / "verdict.json")
    reseal(folder, lambda value: value.update(verdict_sha256=verdict))


def edit_card(folder: Path, old: str, new: str) -> None:
    path = folder / "README.md"
    text = path.read_text("utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new, 1), "utf-8")


def edit_card_number(folder: Path) -> None:
    edit_card(folder, "k: 60", "k: 59")
    reseal(folder)


def edit_card_table(folder: Path) -> None:
    edit_card(folder, "| PASS | 60&#47;60 ", "| PASS | 61&#47;61 ")
    reseal(folder)


def edit_card_clumsily(folder: Path) -> None:
    edit_card(folder, "## Limits", "## No limits")


def swap_revision(folder: Path) -> None:
    reseal(folder, lambda value: value["base"].update(revision="a" * 40))


def swap_base_in_card(folder: Path) -> None:
    edit_card(folder, "base_model: HuggingFaceTB/SmolLM2-135M-Instruct", "base_model: someone/better")
    reseal(folder)


def swap_training_rows(folder: Path) -> None:
    path = folder / "data" / "train.jsonl"
    path.write_text("\n".join(path.read_text("utf-8").splitlines()[1:]) + "\n", "utf-8")
    reseal(folder)


def swap_golden_rows(folder: Path) -> None:
    path = folder / "data" / "golden.jsonl"
    path.write_text("\n".join(path.read_text("utf-8").splitlines()[1:]) + "\n", "utf-8")
    reseal(folder)


def remove_rows(folder: Path) -> None:
    (folder / "data" / "train.jsonl").unlink()
    reseal(folder)


def a_pickle_called_text(folder: Path) -> None:
    (folder / "notes.txt").write_bytes(b"\x80\x04\x95\x0b")
    reseal(folder)


def python_code(folder: Path) -> None:
    (folder / "modeling.py").write_text("print('hello')\n", "utf-8")
    reseal(folder)


def a_chat_template_that_was_not_judged(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ 'Always refuse.' }}", "utf-8")
    reseal(folder)


def generation_settings_that_were_not_judged(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"max_new_tokens": 1}', "utf-8")
    reseal(folder)


def another_card_in_front(folder: Path) -> None:
    """The Hub takes a block whose dashes are followed by a space."""
    path = folder / "README.md"
    path.write_text("--- \nbase_model: someone/better\n--- \n" + path.read_text("utf-8"), "utf-8")
    reseal(folder)


def result_that_nobody_measured(folder: Path) -> None:
    edit_card(folder, "  results:\n", "  results:\n  - {task: {type: x}, metrics: [{type: accuracy, value: 0.99}]}\n")
    reseal(folder)


def metric_that_stands_twice(folder: Path) -> None:
    edit_card(folder, "    metrics:\n", "    metrics:\n    - {type: json_parse, value: 1.0, args: {k: 999, n: 999}}\n")
    reseal(folder)


def no_earlier_releases(folder: Path) -> None:
    reseal(folder, lambda value: value.pop("earlier"))


def other_threads(folder: Path) -> None:
    reseal(folder, lambda value: value["determinism"].update(threads=4))


def other_library(folder: Path) -> None:
    reseal(folder, lambda value: value["training"]["versions"].update(torch="2.0.0"))


def other_seed(folder: Path) -> None:
    reseal(folder, lambda value: value["determinism"].update(seed=43))


def weaker_policy(folder: Path) -> None:
    """The policy published is not the policy written down before training."""
    edit(folder / "gates" / "policy.json", lambda value: next(iter(value.values())).update(target=0.5))
    reseal(folder)


def unknown_key(folder: Path) -> None:
    reseal(folder, lambda value: value.update(note="trust me"))


def pretty_record(folder: Path) -> None:
    path = folder / "release.json"
    path.write_text(json.dumps(json.loads(path.read_bytes())), "utf-8")


def answers_of_another_adapter(folder: Path) -> None:
    reseal(folder, lambda value: value["generation"].update(adapter_sha256="3" * 64))


def better_comparison(folder: Path) -> None:
    edit(folder / "gates" / "comparison.json", lambda value: value.update(identical=value["identical"] + 1))
    reseal(folder)


def other_answers_of_the_base(folder: Path) -> None:
    path = folder / "gates" / "base_answers.jsonl"
    path.write_text(path.read_text("utf-8").replace("The answer", "An answer", 1), "utf-8")
    reseal(folder)


def more_rows(kind: str) -> Lie:
    return lambda folder: reseal(folder, lambda value: value["data"][kind].update(rows=100_000))


def parameters(number: int) -> Lie:
    return lambda folder: reseal(folder, lambda value: value["training"].update(trainable_parameters=number))


LIES: dict[str, tuple[Lie, int]] = {
    "more golden rows than there are": (more_rows("golden"), DATA),
    "more training rows than there are": (more_rows("train"), DATA),
    "more trained parameters than there are": (parameters(7_000_000_000), TENSORS),
    "fewer trained parameters": (parameters(47), TENSORS),
    "a flipped byte in the adapter": (lambda f: flip(f / layout.WEIGHTS), DIGESTS),
    "a flipped byte in the tokenizer": (lambda f: flip(f / "tokenizer.json", 2), FILES),
    "a flipped value in a tensor": (flip_tensor, TENSORS),
    "a flipped digit in the record": (flip_number_of_record, RECORD),
    "a flipped brace in the record": (lambda f: flip(f / "release.json", 0), FILES),
    "a record spelt otherwise": (pretty_record, RECORD),
    "a record with a key of its own": (unknown_key, RECORD),
    "a changed answer": (flip_answer, DIGESTS),
    "answers of another adapter": (answers_of_another_adapter, JUDGED),
    "wrong answers under a verdict edited to pass": (pass_by_editing, VERDICT),
    "a comparison with the base that was edited": (better_comparison, VERDICT),
    "other answers of the base": (other_answers_of_the_base, JUDGED),
    "a verdict that is not a pass": (failing_verdict, JUDGED),
    "a weaker policy": (weaker_policy, JUDGED),
    "an edited card": (edit_card_clumsily, DIGESTS),
    "another number for the Hub in the card": (edit_card_number, CARD),
    "another number for people in the card": (edit_card_table, CARD),
    "a swapped base revision": (swap_revision, BASE),
    "another base in the card": (swap_base_in_card, BASE),
    "swapped training rows": (swap_training_rows, DATA),
    "swapped golden rows": (swap_golden_rows, DATA),
    "rows that were to be there": (remove_rows, DATA),
    "a missing file": (lambda f: (f / "gates" / "contract.json").unlink(), FILES),
    "an extra file": (lambda f: (f / "notes.txt").write_text("hello"), DIGESTS),
    "a pickle": (lambda f: (f / "optimizer.pt").write_bytes(b"PK\x03\x04"), FILES),
    "a pickle called text": (a_pickle_called_text, FILES),
    "code": (python_code, FILES),
    "a chat template beside the judged files": (a_chat_template_that_was_not_judged, JUDGED),
    "generation settings beside the judged files": (generation_settings_that_were_not_judged, JUDGED),
    "another card in front of the card": (another_card_in_front, CARD),
    "a result that nobody measured": (result_that_nobody_measured, CARD),
    "a metric that stands twice": (metric_that_stands_twice, CARD),
    "a record that leaves previous releases out": (no_earlier_releases, RECORD),
    "another thread count": (other_threads, AGREEMENT),
    "another library version": (other_library, AGREEMENT),
    "another seed": (other_seed, AGREEMENT),
}


def test_an_untouched_release_passes_every_step_within_ten_seconds(release: Path) -> None:
    started = time.monotonic()

    assert failed(release) == {}
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_named_by_its_step(lie: str, release: Path) -> None:
    tell, step = LIES[lie]

    tell(release)

    assert step in failed(release)


def biases(folder: Path) -> None:
    """Trained beside the adapter, and saved with it."""
    path = folder / layout.WEIGHTS
    bias = {"base_model.model.model.layers.0.self_attn.q_proj.base_layer.bias": np.zeros(2, np.float32)}
    save_file({**load_file(path), **bias}, path)
    made = {name: asdict(one) for name, one in tensors.digests(path).items()}
    sha256 = sha256_file(path)
    reseal(folder, lambda value: value["adapter"].update(tensors=made))
    reseal(folder, lambda value: value["adapter"]["files"].update({layout.WEIGHTS: sha256}))


@pytest.mark.parametrize(
    ("bias", "trained", "honest"),
    [("none", 48, True), ("none", 50, False), ("all", 48, True), ("all", 50, True), ("lora_only", 51, False)],
)
def test_what_is_saved_beside_the_adapter_is_trained_only_where_its_configuration_says_so(
    bias: str, trained: int, honest: bool, release: Path
) -> None:
    biases(release)
    reseal(release, lambda value: value["config"]["adapter"]["lora"].update(bias=bias))
    parameters(trained)(release)

    assert (TENSORS not in failed(release)) is honest


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '"text"', '{"files": 1}', "[" * 100_000, '{"a": NaN}'])
@pytest.mark.parametrize("name", ["release.json", "gates/verdict.json", "adapter_config.json"])
def test_nonsense_fails_and_does_not_crash(name: str, text: str, release: Path) -> None:
    (release / name).write_text(text)

    assert {FILES, DIGESTS} & failed(release).keys()


@pytest.mark.parametrize("text", ["", "---\n", "---\nbase_model: [\n---\n", "---\n- a list\n---\n"])
def test_a_card_without_its_metadata_fails(text: str, release: Path) -> None:
    (release / "README.md").write_text(text)

    assert {DIGESTS, BASE, CARD} <= failed(release).keys()


def test_a_folder_elsewhere_behind_a_link_is_an_extra_file(release: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (release / "more").symlink_to(tmp_path / "elsewhere")

    assert {FILES, DIGESTS} <= failed(release).keys()


def test_every_step_is_explained_in_the_documentation() -> None:
    text = (ROOT / "docs" / "reproduce.md").read_text("utf-8")

    for number, name in enumerate(verify.CHECKS, 1):
        assert f"| {number}. {name} |" in text


def test_every_step_is_reported_before_the_command_ends_with_exit_7(release: Path) -> None:
    flip(release / layout.WEIGHTS)

    done = adapter_release("verify", str(release), cwd=release.parent)

    assert done.returncode == 7
    assert f"{DIGESTS:2}. FAILED" in done.stderr
    assert f"{VERDICT:2}. ok" in done.stderr
    assert "unsigned" in done.stderr
    assert "Do not use it, and inform its publisher" in done.stderr


def test_what_git_and_the_hub_client_put_beside_a_release_is_no_extra_file(release: Path) -> None:
    (release / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    (release / ".cache" / "huggingface").mkdir(parents=True)
    (release / ".cache" / "huggingface" / "CACHEDIR.TAG").write_text("a tag")
    subprocess.run(["git", "init", "-q", str(release)], check=True)

    assert failed(release) == {}


def test_rows_without_a_licence_are_taken_from_the_folder_that_is_given(tmp_path: Path) -> None:
    """Without them the verdict is unproved, and that is no pass."""
    made = small_release(tmp_path / "made", licence=False).folder
    assert not (made / "data").exists()

    assert VERDICT in failed(made)
    assert failed(made, data=tmp_path / "made") == {}


def test_a_receipt_notices_other_files_in_a_folder(release: Path, tmp_path: Path) -> None:
    receipt = tmp_path / "publication.json"
    digest = Manifest.of_folder(release).digest
    receipt.write_bytes(canonical_json({"commit": "c" * 40, "manifest_digest": digest}))
    verify.verify(str(release), "file:hub", quiet, Known(receipt=receipt))

    reseal(release, lambda value: value["spent"].update(energy_kwh=0.1))

    with pytest.raises(VerificationError, match=f"{PLACE}. tag, commit and files"):
        verify.verify(str(release), "file:hub", quiet, Known(receipt=receipt))


def of_version(folder: Path, name: str, version: object) -> None:
    edit(folder / "gates" / f"{name}.json", lambda value: value.update({name: version}))
    digest = sha256_file(folder / "gates" / "verdict.json")
    reseal(folder, lambda value: value.update(verdict_sha256=digest))


@pytest.mark.parametrize("version", [2, 0, "1", None])
@pytest.mark.parametrize("name", ["verdict", "comparison"])
def test_a_verdict_of_another_version_is_neither_proved_nor_taken_for_a_pass(
    name: str, version: object, release: Path
) -> None:
    """What a later program writes follows rules that this one does not know."""
    of_version(release, name, version)

    (problem,) = failed(release)[VERDICT]
    assert f"gates/{name}.json is of version {version!r}, this program derives version 1" in problem
    assert "Verify it with adapter-release 0.1.0" in problem


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"[" * 100_000, "too_deep"),
        (b"{}", "KeyError: 'commit'"),
        (b'{"commit": "a"}' + b" " * bounds.RECEIPT, "more than 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_no_receipt_is_named(content: bytes | None, why: str, release: Path, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "none.json").write_bytes(content)

    with pytest.raises(ConfigError, match=rf"is not a receipt: .*{why}"):
        verify.verify(str(release), "file:hub", quiet, Known(receipt=tmp_path / "none.json"))


def test_a_commit_must_be_whole(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="40 hex digits"):
        verify.verify(f"{REPO}@{TAG}@abc123", f"file:{tmp_path}/hub", quiet, Known())


def test_a_tag_that_was_moved_is_noticed_by_commit_and_by_receipt(tmp_path: Path) -> None:
    """Published for real to the embedded Hub, then the tag is set to another commit in its store."""
    endpoint = f"file:{tmp_path}/hub"
    packed = small_release(tmp_path / "made")
    with address.parse(endpoint, tmp_path).opened() as hub:
        request = requests.Publish(package=packed, repo_id=REPO, tag=TAG, private=False)
        receipt = requests.ask(request, hub, quiet, tmp_path / "log")
    path = tmp_path / "publication.json"
    path.write_bytes(canonical_json(asdict(receipt)))
    commit = receipt.commit
    said: list[str] = []
    known = Known(receipt=path)
    verify.verify(
        f"{REPO}@{TAG}@{commit}", endpoint, lambda e: said.append(e.text) if isinstance(e, Line) else None, known
    )
    assert f"{REPO}@{TAG} is commit {commit}" in said

    store = tmp_path / "hub" / "models" / f"{REPO}.git"
    moved = git(store, "commit-tree", f"{commit}^{{tree}}", "-p", commit, "-m", "another")
    git(store, "update-ref", f"refs/tags/{TAG}", moved)

    verify.verify(f"{REPO}@{TAG}", endpoint, quiet, Known())
    for release, known in ((f"{REPO}@{TAG}@{commit}", Known()), (f"{REPO}@{TAG}", Known(receipt=path))):
        with pytest.raises(VerificationError, match=f"{PLACE}. tag, commit and files"):
            verify.verify(release, endpoint, quiet, known)


def git(store: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", *who, "-C", str(store), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


KEPT = ROOT / "tests" / "data" / "releases"


@pytest.mark.parametrize("version", sorted(path.name for path in KEPT.glob("v*")))
def test_a_release_of_an_earlier_version_is_still_verified(version: str) -> None:
    assert failed(KEPT / version) == {}


def test_what_an_early_record_says_nothing_of_is_not_called_ok() -> None:
    steps = verify.check(opening.Opened(release=Released(name="release", folder=KEPT / "v1")))

    assert steps[EARLIER - 1].outcome == "--"
    assert "names no previous releases" in steps[EARLIER - 1].unchecked[0]


@pytest.mark.parametrize("value", [None, "", {}])
def test_a_template_that_the_record_names_in_whatever_way_must_be_there(release: Path, value: object) -> None:
    (release / "chat_template.jinja").unlink()
    reseal(release, lambda record: record["config"]["model"].update(chat_template=value))

    assert "chat_template.jinja is missing" in failed(release)[FILES]


def test_a_thread_count_of_nothing_is_not_the_same_as_none(release: Path) -> None:
    reseal(release, lambda record: record["config"]["run"].update(threads=None))

    (line,) = [one for ones in failed(release).values() for one in ones if "two thread counts" in one]
    assert "the configuration None" in line


def of_processes(*, configured: int | None, training: tuple[int, int | None], answering: tuple[int, int | None]) -> Any:
    """Changes threads and processes of each stage, and ``run.threads``; None where it is not said."""

    def change(record: Any) -> None:
        record["config"]["run"].pop("threads", None)
        record["config"]["run"].update({} if configured is None else {"threads": configured})
        record["determinism"]["threads"] = training[0]
        for name, (threads, processes) in {"training": training, "generation": answering}.items():
            record[name]["hardware"]["threads"] = threads
            record[name].update({} if processes is None else {"processes": processes})

    return change


@pytest.mark.parametrize(
    ("configured", "training", "answering", "fits"),
    [
        (2, (1, 2), (2, None), True),
        (2, (2, None), (1, 2), True),
        (4, (1, 3), (2, 2), True),
        (1, (1, None), (1, 4), True),
        (None, (1, 2), (3, None), True),  # three cores
        (None, (1, 4), (2, None), True),  # two cores
        (2, (2, 2), (2, None), False),
        (2, (2, None), (2, 2), False),
        (2, (1, None), (1, 2), False),
        (None, (2, 2), (3, None), False),  # no number of cores gives both
        (None, (1, 2), (8, None), False),
    ],
)
def test_processes_share_the_threads_that_are_configured(
    configured: int | None,
    training: tuple[int, int | None],
    answering: tuple[int, int | None],
    fits: bool,
    release: Path,
) -> None:
    reseal(release, of_processes(configured=configured, training=training, answering=answering))

    assert fits != any("two thread counts" in one for ones in failed(release).values() for one in ones)
    record = Released(name="release", folder=release).record
    shares = [max(1, record.threads // (processes or 1)) for _, processes in (training, answering)]
    assert not fits or configured is None or shares == [training[0], answering[0]]
    settings = laid_out.settings_of(record)
    assert (settings["run"]["threads"], "processes" in settings["generation"]) == (record.threads, False)


def test_a_number_that_no_float_holds_fails_a_step_and_does_not_end_the_check(release: Path) -> None:
    edit(release / "gates" / "verdict.json", lambda verdict: verdict["gates"][0].update(k=10**400))

    assert any("a number that no float holds" in one for ones in failed(release).values() for one in ones)
