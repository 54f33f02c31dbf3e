"""Families of models through the whole line, each as a tiny stand-in: released and verified, or refused at once.

The lines run two at a time, as a user runs them; those of the tests that were collected start when the first asks.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from release.config import forms, reading
from release.config.settings import Form
from release.data import chat as chats
from release.models import base as bases
from release.models import generate, loading, train
from release.models.engines import transformers
from release.models.engines.engine import Asked
from release.running.place import Here
from release.values.artifacts import Manifest
from release.values.events import Event
from tests.helpers.families import ANSWER, put_on
from tests.helpers.families_table import BEGIN, CASES, DOCS, END, Case, table
from tests.helpers.hub_fixture import EmbeddedHub, hub_in
from tests.helpers.line import ROOT, adapter_release

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # peft asks
]
EXAMPLE = re.findall(r"^```yaml\n(run: .*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
PLACE = 'Qwen/Qwen3-0.6B, revision: "<40-digit commit>"'
SMALL = {
    "run.threads": 1,
    "container": "never",
    "training.max_steps": 24,
    "training.logging_steps": 4,
    "training.learning_rate": 2e-2,
    "training.per_device_train_batch_size": 4,
    "training.gradient_accumulation_steps": 1,
    "generation.max_new_tokens": 16,
    "generation.batch_size": 20,
    "gates": {"json_parse": {"mode": "point", "target": 0.05}},
    "publishing.endpoint": "file:hub",
}
"""What makes README's example small: a base that learns one constant, judged by whether it writes JSON."""
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "citations": {"type": "array", "items": {"type": "integer"}},
        "refusal": {"type": "boolean"},
    },
}
TAG = "you/name@v1.0.0"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A folder in which the line ran, and what it said."""

    folder: Path
    env: Mapping[str, str]
    released: subprocess.CompletedProcess[str]
    verified: subprocess.CompletedProcess[str] | None = None

    def command(self, *arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """A command on what was released, with the rows that the release does not carry."""
        words = [*before, sys.executable, "-m", "release.cli", *arguments, "--data", str(self.run / "data")]
        return subprocess.run(
            words,
            cwd=self.folder,
            env={**os.environ, "CI": "true", "PYTHONPATH": str(ROOT), **self.env},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def run(self) -> Path:
        (record,) = self.folder.glob("runs/mine/*/record.json")
        return record.parent

    @property
    def base(self) -> Path:
        (found,) = self.fetched
        return found

    @property
    def fetched(self) -> list[Path]:
        """The base models whose weights were fetched."""
        return [path.parent for path in self.folder.glob(f"cache/bases/*/{bases.RECORD}")]

    def read(self, name: str) -> Any:
        """A JSON file of the run folder."""
        return json.loads((self.run / name).read_bytes())

    def lines(self, name: str) -> list[Any]:
        """A file of JSON lines of the run folder."""
        return [json.loads(one) for one in (self.run / name).read_text("utf-8").splitlines()]

    def tensors(self) -> set[str]:
        """The names of the released adapter's tensors."""
        from safetensors import safe_open

        with safe_open(self.run / "adapter" / "adapter_model.safetensors", "np") as file:
            return set(file.keys())


Lines = Callable[[str], Line]


@pytest.fixture(scope="module")
def lines(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    without_xet: None,  # noqa: ARG001
) -> Iterator[Lines]:
    """The line of a case by its name, run once; those that parametrize a collected test start at once."""
    folder = tmp_path_factory.mktemp("families")
    cases = {case.name: case for case in CASES}
    collected = [item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")]
    with hub_in(folder / "away") as hub, ThreadPoolExecutor(2) as pool:

        @cache
        def started(name: str) -> Future[Line]:
            here = prepared(cases[name], folder / name, hub)
            return pool.submit(ran, cases[name], here, hub)

        for name in dict.fromkeys(collected):
            if name in cases:
                started(name)
        yield lambda name: started(name).result()
        pool.shutdown(cancel_futures=True)


def prepared(case: Case, folder: Path, hub: EmbeddedHub) -> Path:
    """README's example in a new folder, over a stand-in of this family and rows of its own."""
    folder.mkdir()
    revision = put_on(hub, case.family, case.repo, folder / "stand-in")
    (example,) = EXAMPLE
    assert PLACE in example
    (folder / "release.yaml").write_text(example.replace(PLACE, f'{case.repo}, revision: "{revision}"'), "utf-8")
    (folder / "answer.schema.json").write_text(json.dumps(SCHEMA), "utf-8")
    for name, first, count in (("train", 100, 24), ("golden", 200, 20)):
        rows = [json.dumps(row(number, case, golden=name == "golden")) for number in range(first, first + count)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


def row(number: int, case: Case, *, golden: bool) -> dict[str, Any]:
    """A question with one document; every other golden row can be answered, which no stand-in learns."""
    answerable = golden and number % 2 == 0
    answer = '{"answer":"No.","citations":[1],"refusal":false}' if answerable else ANSWER
    system = [{"role": "system", "content": "Answer as JSON."}] if case.system else []
    return {
        "id": f"row-{number}",
        "messages": [
            *system,
            {"role": "user", "content": f"{number} is so [1]. Is {number} so?"},
            {"role": "assistant", "content": answer},
        ],
        "documents": [{"id": 1, "text": f"{number} is so."}],
        "answerable": answerable,
        "support": [1] if answerable else [],
    }


def surroundings(hub: EmbeddedHub, cache: Path) -> Mapping[str, str]:
    """What a command is told whose base is on this Hub, with a cache of its own and a core."""
    return {
        "ADAPTER_RELEASE_CACHE": str(cache),
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.token,
        "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1",
    }


def ran(case: Case, folder: Path, hub: EmbeddedHub) -> Line:
    env = surroundings(hub, folder / "cache")
    settings = {**SMALL, **case.settings}
    said = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
    overrides = [word for key, value in said.items() for word in ("--set", f"{key}={value}")]
    released = adapter_release("release", "release.yaml", *overrides, cwd=folder, env=env)
    line = Line(folder=folder, env=env, released=released)
    return line if released.returncode else replace(line, verified=line.command("verify", TAG))


def test_a_release_whose_template_writes_the_date_is_the_same_a_month_later(lines: Lines) -> None:
    """Trained and answered again, with the clock of every process moved."""
    if not shutil.which("faketime"):
        if "CI" in os.environ:
            pytest.fail("faketime is not installed: apt-get install faketime")
        pytest.skip("no faketime here: apt-get install faketime")
    line = lines("Llama-3.2")
    later = ["faketime", "-f", "+30d"]

    done = line.command("reproduce", TAG, "--level", "bits", "--output", "again", before=later)

    assert done.returncode == 0, done.stderr
    found = json.loads((line.folder / "again" / "reproduction.json").read_bytes())
    assert (found["reached"], found["differences"]) == ("bits", [])
    assert found["answers"]["identical"]
    assert found["base"]["answers"]["identical"]


@pytest.mark.parametrize("name", [case.name for case in CASES if not case.refused])
def test_a_family_that_works_is_released_and_verified(lines: Lines, name: str) -> None:
    line = lines(name)

    assert line.released.returncode == 0, line.released.stderr
    answers = [one["output"] for one in line.lines("answers.jsonl")]
    assert sum(one.strip() == ANSWER for one in answers) >= 10, answers
    assert line.verified is not None
    assert line.verified.returncode == 0, line.verified.stderr


@pytest.mark.parametrize("name", [case.name for case in CASES if case.refused])
def test_a_family_that_does_not_work_is_refused_before_its_weights_are_fetched(lines: Lines, name: str) -> None:
    case, line = next(case for case in CASES if case.name == name), lines(name)

    assert line.released.returncode == 4, line.released.stderr
    assert case.refused in line.released.stderr
    assert case.remedy in line.released.stderr
    assert not line.fetched
    assert not list(line.folder.glob("cache/**/*.safetensors"))
    assert not list(line.folder.glob("runs/mine/*/started.json"))


def test_the_readmes_example_is_asked_without_thoughts_and_says_so(lines: Lines) -> None:
    line = lines("Qwen3")

    assert line.read("generation.json")["chat"]["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs {enable_thinking: false}" in line.read("chat.json")["changed"][0]


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("Gemma-3", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        ("Phi-3.5", {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}),
        ("Qwen3-30B-A3B", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("GPT-NeoX", {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}),
    ],
)
def test_the_adapter_is_on_the_modules_that_were_named_and_on_no_vision_tower(
    lines: Lines, name: str, modules: set[str]
) -> None:
    found = {one.partition(".lora_")[0] for one in lines(name).tensors() if ".lora_" in one}

    assert {one.rpartition(".")[2] for one in found} == modules
    assert not [one for one in found if "vision" in one]


@pytest.mark.parametrize("name", ["Qwen2.5 base", "GPT-NeoX"])
def test_where_biases_are_trained_the_base_that_is_compared_with_is_the_true_one(lines: Lines, name: str) -> None:
    line = lines(name)
    settings = reading.load(line.run / "config.yaml")
    chat = chats.read(line.run / "adapter", chats.Wanted(), base=line.base)
    asked = Asked(
        base=line.base,
        adapter=line.run / "adapter",
        chat=chat,
        settings=settings,
        form=Form(),
        schema=line.run / "answer.schema.json",
        exports=line.run / "exports",
    )
    said = loading.loaded_as(settings.adapter, forms.precision(Form(), settings.adapter))
    model = loading.load_model(line.base, said, trust_remote_code=False)
    prompts = generate.prompts_of(line.run, chat)

    assert any(one.endswith(".bias") for one in line.tensors())
    assert line.lines("base_answers.jsonl") == [
        asdict(one) for one in transformers.answers(asked, model.eval(), prompts)
    ]


def test_the_bases_own_answers_are_kept_for_the_next_attempt_and_made_again_if_they_were_changed(
    lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = lines("OLMo-2")
    monkeypatch.setenv("OMP_NUM_THREADS", line.env["OMP_NUM_THREADS"])  # what the answers depend on must be the same
    shutil.copytree(line.run.parent, tmp_path / "runs")
    run, then = tmp_path / "runs" / line.run.name, line.read("generation.json")
    adapter = train.train(run, base_of(line), Here(), quiet)
    (kept,) = (tmp_path / "runs" / generate.BASE_ANSWERS).glob("*.jsonl")

    assert not then["base_answers_reused"]
    for change, reused in ((lambda: None, True), (lambda: kept.write_text("{}\n", "utf-8"), False)):
        (run / "generation.json").unlink()
        change()
        generate.generate(run, base_of(line), adapter, Here(), quiet)
        now = json.loads((run / "generation.json").read_bytes())
        assert now["base_answers_reused"] is reused
        assert now["base_answers_sha256"] == then["base_answers_sha256"]


def base_of(line: Line) -> bases.Base:
    return bases.Base(folder=line.base, base_model_id="", revision=None, origin="", files=Manifest.of_folder(line.base))


def quiet(_: Event) -> None:
    """Say nothing."""


def test_the_documentation_holds_the_table_of_these_families() -> None:
    assert f"{BEGIN}\n{table()}\n{END}" in DOCS.read_text("utf-8")
