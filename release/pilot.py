"""A rehearsal: ten rows, one epoch, the whole line into a folder of its own, so that a broken set-up costs a minute."""

import shutil
from collections.abc import Sequence
from itertools import chain, zip_longest

import gates
from release import config as configs
from release import dataset, hub_target, pipeline, preflight
from release.artifacts import write_atomically
from release.config import Config
from release.errors import GatesFailed
from release.events import Line, Say

ROWS = 10


def pilot(config: Config, say: Say) -> None:
    """Check the real configuration and its Hub, then train, answer and judge a few rows. Nothing leaves the machine."""
    with hub_target.environment(config.publishing.endpoint, config.path.parent) as hub:
        preflight.check(config, hub, say)
    small = prepare(config)
    try:
        pipeline.release(small, say)
    except GatesFailed as failed:
        say(Line(text=f"The gates have decided, as they should: {ROWS} rows teach nothing.\n{failed}"))
    say(Line(text=f"The pilot went through. {config.publishing.hf_repo} can be written to, and was not."))


def prepare(config: Config) -> Config:
    """The same configuration over a few rows, with a gate that they can decide, and a Hub in a folder of its own."""
    folder = config.run.output_dir / "pilot"
    shutil.rmtree(folder / "hub", ignore_errors=True)  # a rehearsal is the first release of its repository
    folder.mkdir(parents=True, exist_ok=True)
    data, paths = config.data, {}
    for name, path in (("train", data.train_file), ("golden", data.golden_file)):
        loaded = dataset.load(path, data.format, data.fields)
        lines = [line for line in loaded.canonical.split(b"\n") if line.strip()]
        paths[name] = folder / f"{name}.jsonl"
        write_atomically(paths[name], b"".join(lines[number] + b"\n" for number in few(loaded.rows)))
    tree = configs.effective(config)
    tree["run"] |= {"name": "pilot", "output_dir": str(folder / "runs")}
    tree["data"] |= {"train_file": str(paths["train"]), "golden_file": str(paths["golden"])}
    tree["training"] |= {"num_train_epochs": 1, "max_steps": -1, "warmup_steps": 0, "save_steps": 0.5}
    tree["gates"] = {"json_parse": {"mode": "zero_failures", "min_n": 1}}
    tree["publishing"] |= {"endpoint": f"file:{folder / 'hub'}", "hf_repo": "local/pilot"}
    return configs.parse(tree, config.path)


def few(rows: Sequence[gates.Golden]) -> list[int]:
    """The first rows of each label in turn, so that both are there."""
    labels = [[n for n, row in enumerate(rows) if row.answerable is label] for label in (True, False, None)]
    in_turn = (number for number in chain.from_iterable(zip_longest(*labels)) if number is not None)
    return sorted(list(in_turn)[:ROWS])
