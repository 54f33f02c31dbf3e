"""Where every try is refused: the candidate's folder says why, and what was tried; over runs whose stages are done."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import gates
from gates.canonical import canonical_json
from release import begin, inputs, pipeline, tries, tries_planned, two_jobs
from release.begin import Judged
from release.checking import explain
from release.config import ladder, reading
from release.config.ladder import Step
from release.judging import ledger
from release.judging.attempts import Entry
from release.models import tuning_answers
from release.publishing import candidate_folder
from release.values.artifacts import Adapter, Manifest, sha256_file
from release.values.as_json import tree
from release.values.errors import GatesFailed, VerificationError
from release.values.events import Event
from tests.helpers.line import adapter_release
from tests.helpers.prepared import lent, prepared_config
from tests.helpers.small_release import training, write_answers

CHANGES = {"changes": [{"training": {"learning_rate": 0.02}}]}
CODE = 5


def quiet(_: Event) -> None:
    """Say nothing."""


def ended(step: Step, judged: Judged) -> None:
    """A try whose training ended without an adapter."""
    told = tries._without(step, "Training diverged: loss is nan at step 3. There is no adapter to judge.")
    run = begin.begin(step.config, judged, quiet).run
    (run / tries.ENDED).write_bytes(canonical_json(tree(replace(told, seconds=7.5))))


def answered(step: Step, judged: Judged, outputs: Sequence[gates.Output]) -> None:
    """A try that was trained, and answered the tuning rows so."""
    run = begin.begin(step.config, judged, quiet).run
    lent(run)
    folder = run / tuning_answers.FOLDER
    folder.mkdir()
    write_answers(folder / "answers.jsonl", [asdict(one) for one in outputs])
    made = {
        "adapter_sha256": Manifest.of_folder(run / "adapter").digest,
        "answers_sha256": sha256_file(folder / "answers.jsonl"),
        "seconds": 2.5,
        "tokens": 90,
    }
    (folder / "generation.json").write_bytes(canonical_json(made))


def refused(folder: Path, **more: object) -> tuple[Path, str]:
    """The folder of a candidate without a try that passes, or with a seed that does not, and what was said."""
    prepared_config(folder)
    asked = {"data.tuning_share": 0.2, "tries": {**CHANGES, **more}, "container.use": "never"}
    config = reading.load(folder / "release.yaml", {key: json.dumps(value) for key, value in asked.items()})
    judged = pipeline.check_data(inputs.load(config, quiet), quiet)
    assert judged.tuning is not None
    right = gates.gold_outputs(judged.tuning.rows)
    wrong = [replace(one, output="no JSON") for one in right]
    first, second = ladder.steps(config)
    ended(first, judged)
    answered(second, judged, right if more else wrong)
    for one in ladder.seeds(config, second):
        answered(one, judged, wrong)
    with pytest.raises(GatesFailed) as stopped:
        two_jobs.candidate(config, folder / "dist", quiet)
    assert stopped.value.exit_code == CODE
    return folder / "dist", str(stopped.value)


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("more", "judged", "says"),
    [
        ({}, ["2"], "None of 2 tries passes on the"),
        ({"seeds": 2, "every_seed_passes": True}, ["2", "seed-43"], "1 of 2 seeds do not pass on the tuning rows"),
    ],
)
def test_it_hands_over_what_was_tried_and_why_nothing_was_judged(
    tmp_path: Path, more: dict[str, object], judged: list[str], says: str
) -> None:
    dist, said = refused(tmp_path, **more)

    assert says in said
    kept = dist / candidate_folder.REFUSED
    assert (kept / candidate_folder.MESSAGE).read_text("utf-8") == said
    table = json.loads((kept / tries_planned.TABLE).read_bytes())
    assert [one["passed"] for one in table["tries"]] == [False, bool(more)]
    assert table["tries"][0]["seconds"] == 7.5
    assert sorted(path.name for path in (kept / "tries").iterdir()) == judged
    assert {path.name for path in kept.glob("tries/*/*")} == {"answers.jsonl", "training_metrics.json"}
    report = (dist / candidate_folder.REPORT).read_text("utf-8")
    assert report.startswith("# Nothing was judged on the golden set\n")
    assert "| 1 | as written | refused&#58; Training diverged" in report
    assert "is this adapter" not in report
    assert not (dist / candidate_folder.SUMS).exists()
    candidate_folder.replaceable(dist)  # the next one takes its place


@pytest.mark.usefixtures("base")
def test_the_kinds_of_rows_that_a_try_missed_are_told_as_its_refusal_says(tmp_path: Path) -> None:
    """The command that is named, word for word; and its wrong rows, and a gate that was not measured."""
    _, said = refused(tmp_path)
    command = shlex.split(next(line for line in said.splitlines() if "--rows-to-add" in line).split("`")[1])

    kinds = adapter_release(*command[1:], cwd=tmp_path)
    wrong = adapter_release(*command[1:-1], cwd=tmp_path)
    unknown = adapter_release("explain", "citation", command[3], cwd=tmp_path)

    assert kinds.returncode == 0, kinds.stderr
    assert "a try on " in kinds.stderr
    assert "rows to add, from " in kinds.stderr
    assert wrong.returncode == 0, wrong.stderr
    assert "no JSON" in wrong.stderr
    assert "'citation' was not measured" in unknown.stderr


@pytest.mark.usefixtures("base")
def test_a_try_whose_answers_are_a_link_is_not_read(tmp_path: Path) -> None:
    _, said = refused(tmp_path)
    (run,) = {path.parent.parent for path in tmp_path.glob("**/tuning/answers.jsonl")}
    answers = run / "tuning" / "answers.jsonl"
    answers.rename(tmp_path / "elsewhere.jsonl")
    answers.symlink_to(tmp_path / "elsewhere.jsonl")

    with (
        pytest.raises(VerificationError, match="is not a plain file"),
        explain.found(str(run), tmp_path, "", quiet, None),
    ):
        pass

    assert str(run) in said


def test_a_configuration_is_not_taken_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "release.yaml").write_text("{}", "utf-8")

    done = adapter_release("tries", "release.yaml", cwd=tmp_path)

    assert done.returncode == 2
    assert "release.yaml is a configuration" in done.stderr
    assert "`adapter-release tries --config release.yaml`" in done.stderr
    assert "neither a folder here nor REPO@TAG" in adapter_release("tries", "nothing.yaml", cwd=tmp_path).stderr


@pytest.mark.usefixtures("base")
def test_the_outlook_of_a_try_is_of_the_attempt_that_would_be_the_next(tmp_path: Path) -> None:
    """One that is known already, as after a run that is started again, does not come after itself."""
    prepared_config(tmp_path)
    config = reading.load(tmp_path / "release.yaml", {"container.use": "never"})
    judged = pipeline.check_data(inputs.load(config, quiet), quiet)
    (tmp_path / "adapter").mkdir()
    mine = Adapter(folder=tmp_path, files=Manifest.of_folder(tmp_path / "adapter"), training=training())
    assert begin._next(config, judged, mine).policy.attempt == 1

    known = begin.terms_of(config, judged).golden_set
    for name, adapter in (("a" * 64, "0" * 64), ("b" * 64, mine.files.digest), ("c" * 64, "1" * 64)):
        one = Entry(
            attempt=name, form="trained", adapter_sha256=adapter, answers_sha256="2" * 64, policy_sha256="3" * 64,
            golden_sha256=known.golden_sha256, data_sha256=known.data_sha256, golden_rows=known.golden_rows,
            passed=False, refused_by=(),
        )  # fmt: skip
        ledger.add(config, [one])

    assert begin._next(config, judged, mine).policy.attempt == 2
    (tmp_path / "adapter" / "other").write_bytes(b"")
    other = replace(mine, files=Manifest.of_folder(tmp_path / "adapter"))
    assert begin._next(config, judged, other).policy.attempt == 4


def test_a_training_without_an_adapter_leaves_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier candidate left is not taken for this one's."""
    dist = tmp_path / "dist"
    candidate_folder.lay_out(dist, {"package/release.json": b"{}"}, sums=True)
    why = "Training diverged: loss is nan at step 3. There is no adapter to judge."

    def diverges(*_: object) -> None:
        raise GatesFailed(why)

    monkeypatch.setattr(pipeline, "candidate", diverges)
    with pytest.raises(GatesFailed, match="diverged"):
        two_jobs._made(inputs.Inputs.__new__(inputs.Inputs), (), dist, quiet)

    assert {path.relative_to(dist).as_posix() for path in dist.rglob("*.*")} == {"report.md", "refused/message.txt"}
    assert "Training diverged" in (dist / candidate_folder.REPORT).read_text("utf-8")
