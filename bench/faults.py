"""Kill a small release in every way and at any moment, start it again, and compare: `make faults N=50`."""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ["HF_HUB_DISABLE_XET"] = "1"  # read when the client is imported

from tests.helpers import faults  # noqa: E402
from tests.helpers.families_table import CASES  # noqa: E402
from tests.helpers.hub_fixture import hub_in  # noqa: E402
from tests.release.test_families import SMALL, prepared  # noqa: E402

SETTINGS = {**SMALL, "training.save_steps": 6}  # three checkpoints on the way


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=24, help="faults to inject (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments (default: %(default)s)")
    asked = parser.parse_args()
    words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in SETTINGS.items()}
    command = faults.command([word for key, value in words.items() for word in ("--set", f"{key}={value}")])
    with tempfile.TemporaryDirectory() as scratch, hub_in(Path(scratch) / "away") as hub:
        folder = Path(scratch).resolve()
        model = prepared(CASES[0], folder / "model", hub)

        def prepare(there: Path) -> faults.Line:
            shutil.copytree(model, there, dirs_exist_ok=True, ignore=shutil.ignore_patterns("stand-in"))
            env = faults.environment(
                ADAPTER_RELEASE_CACHE=str(there / "cache"),
                HF_ENDPOINT=hub.endpoint,
                HF_TOKEN=hub.token,
                HF_HUB_DISABLE_XET="1",
            )
            return faults.Line(folder=there, command=command, env=env, repo="you/name", tag="v1.0.0")

        outcomes: list[faults.Outcome] = []
        with contextlib.suppress(KeyboardInterrupt):  # what was found until then is told
            outcomes.extend(faults.many(prepare, folder, asked.count, asked.seed, _tell))
    sys.stdout.write("\n".join(faults.table(outcomes)) + "\n")
    return 0 if all(one.sound for one in outcomes) else 1


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
