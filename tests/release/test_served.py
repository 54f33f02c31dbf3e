"""A release as it is served: made, killed, judged in llama.cpp too; each program on its card answers as was judged.

The kept adapter was trained over NF4 alone, so it passes as trained and merged, and fails over the unquantized base.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import gates
from release.models import base as bases
from release.models.exports import parity
from release.publishing import snippet
from release.values.record import known
from tests.helpers.card_snippet import answers, programs_of
from tests.helpers.line import adapter_release
from tests.helpers.prepared import FEW, prepared_config, trained
from tests.helpers.small_release import read_record
from tests.release.test_whole import REPO, environment, release, start, wait_for

pytestmark = pytest.mark.slow
ASKED = 2
RELEASED, HUB = f"{REPO}@v0.1.0", ("--hub", "file:hub")
SERVING = {
    "gguf": {"engine": "llama.cpp", "merged": True, "file_type": "Q8_0"},
    "gguf_held": {"engine": "llama.cpp", "merged": True, "file_type": "Q8_0", "constraint": "json_schema"},
    "lora": {"engine": "llama.cpp", "file_type": "Q8_0"},
    "merged_held": {"merged": True, "constraint": "json_schema"},
    "plain": {"base": "unquantized", "required": False},
}
PASSED = ("gguf", "gguf_held", "lora", "merged_held")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, base: bases.Base) -> Path:
    """Released, after a kill -9 while its GGUF was made."""
    line = tmp_path_factory.mktemp("line")
    prepared_config(line, few=True, serving=SERVING)
    trained(line, base)
    killed = start(line)
    wait_for(killed, "exporting gguf 0")
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    time.sleep(1)  # the kernel kills the child with its parent
    assert not (line / "hub" / "models").exists()

    done = release(line)

    assert done.returncode == 0, done.stderr
    subprocess.run(
        ["git", "clone", "-q", str(line / "hub" / "models" / f"{REPO}.git"), str(line / "clone")], check=True
    )
    return line


def test_the_form_that_passed_is_published_and_the_other_is_told(line: Path) -> None:
    clone, record = line / "clone", known(read_record(line / "clone"))
    card = (clone / "README.md").read_text("utf-8")

    assert record.forms is not None
    passed = {name: form.passed for name, form in record.forms.items()}
    assert passed == {**dict.fromkeys(PASSED, True), "plain": False}
    assert "| **verdict** | **PASS** | **PASS** | **PASS** | **PASS** | **PASS** | **FAIL** |" in card
    assert set(programs_of(card)) == {"trained", *PASSED}
    near = record.forms["gguf"].parity
    assert near is not None
    assert near == record.forms["gguf_held"].parity
    assert (near.rows, near.same_first) == (parity.ROWS, near.tokens)
    assert near.mean_kl < 0.01
    assert "ollama create" in card
    assert (clone / "exports" / "Modelfile-merged-Q8_0").read_text("utf-8").startswith("FROM ./merged-Q8_0.gguf\n")
    assert (clone / "exports" / "merged-Q8_0.gguf").is_file()
    verified = adapter_release("verify", f"{REPO}@v0.1.0", "--hub", "file:hub", cwd=line, env=environment())
    assert verified.returncode == 0, verified.stderr
    assert "15. ok" in verified.stderr


def test_each_program_on_the_card_gives_the_judged_answers(line: Path) -> None:
    """In fresh processes that know no more than the card, against the Hub."""
    from hub_folder.server import serve

    clone = line / "clone"
    rows = gates.read_golden(clone / "data" / "golden.jsonl")[:ASKED]
    judged = {name: clone / "gates" / "forms" / name / "answers.jsonl" for name in PASSED}
    judged["trained"] = clone / "gates" / "answers.jsonl"
    card = (clone / "README.md").read_text("utf-8")
    programs, (makes_the_base,) = (
        programs_of(card),
        re.findall(r"^The base as `.*` is made by `(.*)`\.$", card, re.MULTILINE),
    )
    assert programs.keys() == judged.keys()
    for command in (f"adapter-release base {snippet.EMBEDDED}", makes_the_base):
        typed = shlex.split(command)
        assert typed.pop(0) == "adapter-release"
        done = adapter_release(*typed, cwd=line, env=environment())
        assert done.returncode == 0, done.stderr

    with serve(line / "hub", token=(line / "hub" / "token").read_text("utf-8").strip()) as endpoint:
        env = {"HF_ENDPOINT": endpoint, "HF_HOME": str(line / "hf"), "HF_HUB_DISABLE_XET": "1"}
        for name, program in programs.items():
            told = {row.id: row.output for row in gates.read_outputs(judged[name])}
            assert answers(program, [list(row.prompt) for row in rows], line, env) == [told[row.id] for row in rows]


def test_why_a_gate_failed_in_a_form_is_explained(line: Path) -> None:
    explained = adapter_release(
        "explain", "citation_coverage", str(line / "clone"), "--form", "plain", cwd=line, env=environment()
    )

    assert explained.returncode == 0, explained.stderr
    assert "FAIL citation_coverage" in explained.stderr
    wrong = adapter_release("explain", "json_parse", str(line / "clone"), "--form", "no", cwd=line, env=environment())
    assert wrong.returncode == 2
    assert "Judged are trained, gguf, gguf_held, lora, merged_held, plain" in wrong.stderr


def test_the_same_is_answered_in_each_form_again(line: Path) -> None:
    done = adapter_release(
        "rejudge", RELEASED, *HUB, "--level", "answers", "--output", "again", cwd=line, env=environment()
    )

    assert done.returncode == 0, done.stderr
    assert f"gguf:    {2 * FEW} of {2 * FEW} answers are the same to the byte" in done.stderr


def test_an_export_is_made_again_as_it_was_judged_and_overwrites_nothing(line: Path) -> None:
    shutil.rmtree(line / "files", ignore_errors=True)
    command = ("export", RELEASED, *HUB, "--to", "files")
    first, second = (adapter_release(*command, cwd=line, env=environment()) for _ in range(2))

    assert first.returncode == 0, first.stderr
    assert "merged-Q8_0.gguf  as it was judged" in first.stderr
    (packed,) = (line / "run").glob("*/package/exports/merged-Q8_0.gguf")
    assert (line / "files" / "merged-Q8_0.gguf").read_bytes() == packed.read_bytes()
    assert "Modelfile-merged-Q8_0  as it was judged" in first.stderr
    assert second.returncode == 2
    assert "is there already" in second.stderr
