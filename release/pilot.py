"""A rehearsal: ten rows, one epoch, all of the pipeline to a dry run of publishing: a broken set-up costs a minute."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import gates
from gates.canonical import canonical_json
from release import begin, inputs, pipeline, preflight
from release.config import ladder
from release.config import reading as configs
from release.config.settings import Config
from release.data.dataset import few
from release.hub import address
from release.inputs import Inputs, there
from release.models import generate
from release.running import lock
from release.values.artifacts import Candidate, sha256_file, write_atomically
from release.values.events import Line, Say, Stage

ROWS = 10


def pilot(config: Config, say: Say) -> None:
    """Check the real configuration, its data and its Hub, then take a few rows through every stage.

    Nothing leaves the machine, and what was made is removed when all went well: it is not a release.
    """
    say(Stage(name="preflight"))
    with address.of(config).opened() as hub:
        found = inputs.load(config, say)
        preflight.check(found, hub, say)
    pipeline.check_data(found, say)
    small = prepare(found)
    with (
        lock.held(small.run.output_dir),
        address.of(small).opened() as hub,
    ):
        say(Stage(name="pilot", note=f"{ROWS} rows, one epoch, in {small.run.output_dir.parent}"))
        judged = pipeline.check_data(inputs.load(small, _quiet), _quiet)
        candidate, run = pipeline.make(small, judged, say)
        if not candidate.passed:
            candidate = _with_reference_answers(small, judged, run, say)
        say(Stage(name="package"))
        packed = pipeline.pack(small, candidate, run)
        say(Stage(name="publish", note="a dry run, to a Hub in the pilot's own folder"))
        pipeline.publish(small.publishing, packed, run, hub, say)
    shutil.rmtree(small.run.output_dir.parent)
    name = f"{config.publishing.hf_repo}@{config.publishing.tag}"
    say(
        Line(
            text="The pilot passed: data, training, generation, gates, package, publication and its check. "
            f"{name} can be published; nothing was. The pilot's files were removed."
        )
    )


def _quiet(_: object) -> None:
    """The same report as a moment ago, over fewer rows, is not shown."""


def prepare(found: Inputs) -> Config:
    """The same configuration over a few rows, with a gate that they can decide, and a Hub in a folder of its own.

    What a previous pilot left is removed: a rehearsal that finds work done rehearses less.
    """
    config, rows = found.config, there(found.rows)
    folder = config.run.output_dir / "pilot"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = {}
    for name, loaded in (("train", rows.train), ("tuning", rows.tuning), ("golden", rows.golden)):
        if loaded is None:
            continue
        lines = loaded.texts()
        paths[name] = folder / f"{name}.jsonl"
        write_atomically(paths[name], b"".join(lines[number] + b"\n" for number in few(loaded.rows, ROWS)))
    tree = ladder.alone(configs.effective(config))
    tree["run"] |= {"name": "pilot", "output_dir": str(folder / "runs")}
    if "training" in tree and "eval_steps" not in tree["training"]:
        paths.pop("tuning", None)
    tree["data"] |= {f"{name}_file": str(path) for name, path in paths.items()}
    tree["data"] |= {"format": "auto", "fields": {}}
    tree["data"].pop("tuning_share", None)  # it was taken, above
    few_say_little = {"support": "warning"}  # it asks of most rows, and these are ten
    tree["data"]["checks"] = {**tree["data"].get("checks", {}), **few_say_little}
    if "training" in tree:
        tree["training"] |= {"num_train_epochs": 1, "max_steps": -1, "warmup_steps": 0, "save_steps": 0.5}
        few_evaluations = {"eval_steps": 1, "eval_generate": 2, "metric_for_best_model": "eval_loss"}
        tree["training"] |= {name: value for name, value in few_evaluations.items() if name in tree["training"]}
    tree["gates"] = {"json_parse": {"mode": "zero_failures", "min_n": 1}}
    tree["publishing"] |= {"endpoint": f"file:{folder / 'hub'}", "hf_repo": "local/pilot", "private": False}
    del tree["budget"]
    return configs.parse(tree, config.path)


def _with_reference_answers(config: Config, judged: begin.Judged, run: Path, say: Say) -> Candidate:
    """A candidate that the gates let through: reference answers for the adapter's, silence for the base's.

    A package cannot be made of a candidate that did not pass, and the rest of the pipeline is to be rehearsed too.
    """
    say(
        Line(
            text=f"The gates refused this adapter, as expected: {ROWS} rows are too few to learn from. The gates "
            "work. The rest is rehearsed with the reference answers in place of the adapter's."
        )
    )
    outputs = gates.gold_outputs(judged.golden.rows)
    silence = [gates.Output(id=one.id, output="") for one in outputs]
    made = json.loads((run / "generation.json").read_bytes())
    for name, answers in (("answers", outputs), ("base_answers", silence)):
        path = run / f"{name}.jsonl"
        write_atomically(path, "".join(json.dumps(asdict(one)) + "\n" for one in answers).encode())
        made[f"{name}_sha256"] = sha256_file(path)
    write_atomically(run / "generation.json", canonical_json(made))
    for name in config.serving:
        _answer_as(generate.folder_of(run, name), outputs)
    candidate, _ = pipeline.make(config, judged, _quiet)
    return candidate


def _answer_as(folder: Path, outputs: Sequence[gates.Output]) -> None:
    """The same in a form that is served."""
    made, path = json.loads((folder / "generation.json").read_bytes()), folder / "answers.jsonl"
    write_atomically(path, "".join(json.dumps(asdict(one)) + "\n" for one in outputs).encode())
    made["answers_sha256"] = sha256_file(path)
    write_atomically(folder / "generation.json", canonical_json(made))
