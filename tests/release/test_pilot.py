"""A pilot takes ten rows through every stage, and a budget stops a run that goes on later: for real, on a tiny base."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import adapter_release, small_config
from tests.helpers.tiny_base import REPO

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_xet")]


def configured(folder: Path, commit: str, **sections: Any) -> None:
    """The default configuration over the tiny base, with an output folder and a Hub of the test's own."""
    small_config(
        folder,
        **{
            "run": {"output_dir": "run"},
            "model": {"base_model_id": REPO, "revision": commit, "source": "hub"},
            "generation": {"max_new_tokens": 48},
            "publishing": {"endpoint": "file:published"},
            **sections,
        },
    )


def test_a_pilot_goes_through_every_stage_and_publishes_nothing(tiny_base: str, tmp_path: Path) -> None:
    configured(tmp_path, tiny_base)

    done = adapter_release("pilot", "release.yaml", cwd=tmp_path, env=os.environ)

    assert done.returncode == 0, done.stderr
    stages = [line.split()[0] for line in done.stderr.splitlines() if line and not line.startswith(" ")]
    wanted = ["preflight", "data", "pilot", "base", "train", "generate", "gates", "package", "publish"]
    assert [stage for stage in stages if stage in wanted] == wanted
    assert "not checked" not in done.stderr
    assert "The gates refused this adapter, as expected" in done.stderr
    assert "downloading it to check every byte" in done.stderr
    assert "local/elements@v0.1.0 can be published; nothing was" in done.stderr
    assert not list((tmp_path / "published").glob("models/*/*"))
    assert not (tmp_path / "run" / "pilot").exists()


def test_a_pilot_over_a_base_that_is_not_as_the_configuration_says_stops_at_once(
    tiny_base: str, tmp_path: Path, away: EmbeddedHub
) -> None:
    """Target names of another architecture, a revision that is not there: nothing is downloaded, nothing trained."""
    configured(tmp_path, tiny_base, adapter={"lora": {"target_modules": ["q_proj", "wi_0"]}})

    wrong_names = adapter_release("pilot", "release.yaml", cwd=tmp_path, env=os.environ)
    no_such = adapter_release("pilot", "--set", f"model.revision={'0' * 40}", cwd=tmp_path, env=os.environ)

    assert wrong_names.returncode == no_such.returncode == 4
    assert "names wi_0, which no module of the base model is called" in wrong_names.stderr
    assert f"has no commit {'0' * 40}" in no_such.stderr
    assert away.endpoint in no_such.stderr
    assert not list((tmp_path / "cache" / "bases").glob("*/model.safetensors"))


def test_a_run_stops_before_its_budget_goes_on_when_there_is_more_and_is_refused(
    tiny_base: str, tmp_path: Path
) -> None:
    """An hour costs 3600: a second costs 1. Alerts on the way, a checkpoint, and then the rest of the steps.

    What random weights say fails the gates: the adapter is kept and not published, and the report names the rows.
    """
    configured(tmp_path, tiny_base, budget={"limit": 4, "price_per_hour": 3600})

    stopped = adapter_release("release", "release.yaml", cwd=tmp_path, env=os.environ)
    spent = [json.loads(line) for line in (tmp_path / "run" / "spent.jsonl").read_text("utf-8").splitlines()]
    again = adapter_release("release", "release.yaml", cwd=tmp_path, env=os.environ)
    more = adapter_release("release", "release.yaml", "--set", "budget.limit=500", cwd=tmp_path, env=os.environ)

    assert stopped.returncode == 4, stopped.stderr
    assert "A checkpoint is kept. Raise budget.limit" in stopped.stderr
    assert "past 20 %" in stopped.stderr
    # the step after the last that fitted takes no longer than a step did, unless others take the processor from it
    assert 0 < sum(one["seconds"] for one in spent) < 8
    assert again.returncode == 4
    assert more.returncode == 5, more.stderr
    assert "A gate did not pass: nothing was published" in more.stderr
    (run,) = (path.parent for path in (tmp_path / "run").glob("*/training.json"))
    training = json.loads((run / "training.json").read_bytes())
    assert training["resumed_from_step"] > 0
    assert training["steps"] == 160
    assert (run / "adapter" / "adapter_model.safetensors").exists()
    assert "FAIL" in (run / "report.md").read_text("utf-8")
    assert "golden-0001" in (run / "report.md").read_text("utf-8").replace("&#45;", "-")
    assert not (run / "package").exists()
    assert not list((tmp_path / "published").glob("models/*/*"))
