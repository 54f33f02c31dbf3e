"""A release is judged in forms that it never claimed: how they are named, what is refused, and what is found."""

from pathlib import Path

import pytest

import gates
from release.checking import export, opening, serve_check
from release.models.engines import vllm
from release.values.errors import ConfigError, GatesFailed, PreflightError, VerificationError
from tests.helpers.line import ROOT
from tests.helpers.served_model import Body, Reply, completion, served_model
from tests.helpers.small_release import reseal, small_release

KEPT = ROOT / "tests" / "data" / "releases" / "v2"


def quiet(_: object) -> None:
    """Say nothing."""


def request(release: Path, output: Path, *texts: str) -> serve_check.Request:
    known = opening.Known()
    forms = serve_check.forms(list(texts))
    return serve_check.Request(release=str(release), endpoint="file:hub", known=known, forms=forms, output=output)


def test_a_form_is_named_by_its_values() -> None:
    found = serve_check.forms(["base=unquantized", "engine=llama.cpp,merged=true,file_type=Q8_0"])

    assert found["unquantized"] == {"base": "unquantized"}
    assert found["llama-cpp-merged-q8_0"] == {"engine": "llama.cpp", "merged": True, "file_type": "Q8_0"}


def test_forms_of_one_name_and_those_of_the_default_are_all_asked() -> None:
    url = "engine=openai,url=http://127.0.0.1:8000/v1,model=my-adapter-number-"

    assert len(serve_check.forms([f"{url}{number}" for number in range(3)])) == 3
    assert list(serve_check.forms(["base=trained,merged=true"])) == ["trained-merged"]
    assert list(serve_check.forms(["base=nf4,constraint=json_schema", "engine=llama.cpp,merged=true,file_type=Q8_0"]))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("bas=unquantized", r"--as unquantized\.bas is not a setting\. Did you mean serving\.unquantized\.base\?"),
        ("base=bf16", "--as bf16.base is \"bf16\"; expected 'trained'"),
        ("base", "--as form.base is"),
        ("", "is not a setting"),
        ("engine=openai,model=m", "--as openai-m.url is missing"),
        ("file_type=Q8_0", "only 'llama.cpp' has it"),
    ],
)
def test_a_form_that_cannot_be_is_refused_before_anything_is_fetched(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        serve_check.forms([text])


def test_a_release_that_lies_is_not_answered_with(tmp_path: Path) -> None:
    folder = small_release(tmp_path).folder
    reseal(folder, lambda it: it.update(passed=False))

    with pytest.raises(VerificationError, match="not what its record says"):
        serve_check.serve_check(request(folder, tmp_path / "out", "base=unquantized"), quiet)


def test_all_that_forms_lack_is_told_before_one_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(vllm.PYTHON, str(tmp_path / "python"))

    texts = ("base=unquantized", "engine=vllm,base=unquantized", "engine=llama.cpp,file_type=Q4_K_M")

    with pytest.raises(PreflightError, match="Nothing was asked yet") as stop:
        serve_check.serve_check(request(KEPT, tmp_path / "out", *texts), quiet)

    assert "--as vllm-unquantized: ADAPTER_RELEASE_VLLM is" in str(stop.value)
    assert "--as llama-cpp-q4_k_m: file_type Q4_K_M is made by llama.cpp's own quantizer" in str(stop.value)
    assert not (tmp_path / "out").exists()


def of_the_kept_release() -> Reply:
    """Answers as was judged: ``m`` as the adapter, any other name as the base without it."""
    said = {name: gates.read_outputs(KEPT / "gates" / f"{name}.jsonl") for name in ("answers", "base_answers")}
    texts = {name: {one.id: one.output for one in outputs} for name, outputs in said.items()}
    rows = {row.prompt[-1]["content"]: row.id for row in gates.read_golden(KEPT / "data" / "golden.jsonl")}

    async def reply(body: Body, _: int) -> Body:
        name = "answers" if body["model"] == "m" else "base_answers"
        return completion(texts[name][rows[body["messages"][-1]["content"]]], model=body["model"])

    return reply


@pytest.mark.slow
@pytest.mark.usefixtures("base")
def test_an_address_is_judged_and_one_that_drops_the_adapter_is_refused_by_name(tmp_path: Path) -> None:
    with served_model(of_the_kept_release(), listed=("m", "base", "dropped")) as server:
        asked = f"engine=openai,url={server.url},base_model=base"
        serve_check.serve_check(request(KEPT, tmp_path / "out", f"{asked},model=m"), quiet)
        with pytest.raises(VerificationError, match="model dropped, answers 16 of 16 questions as the base without"):
            serve_check.serve_check(request(KEPT, tmp_path / "dropped", f"{asked},model=dropped"), quiet)

    report = (tmp_path / "out" / serve_check.REPORT).read_text("utf-8")
    assert "| **verdict** | **PASS** | **PASS** |" in report
    assert "| answers as trained | all | 100/100 |" in report
    assert not (tmp_path / "dropped").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("base")
def test_an_adapter_of_one_precision_fails_over_the_base_that_people_load(tmp_path: Path) -> None:
    """The kept release was trained over NF4 alone: 33 of its 60 citations hold over the unquantized base."""
    with pytest.raises(GatesFailed, match=r"does not pass its gates as unquantized"):
        serve_check.serve_check(request(KEPT, tmp_path / "out", "base=unquantized"), quiet)

    report = (tmp_path / "out" / serve_check.REPORT).read_text("utf-8")
    assert "| **verdict** | **PASS** | **FAIL** |" in report
    assert "100/100 (≥ 97.0 %)" in report


def test_a_file_that_comes_out_otherwise_is_not_given_out_and_both_causes_are_named(tmp_path: Path) -> None:
    made, to = tmp_path / "made.gguf", tmp_path / "to" / "made.gguf"
    made.write_bytes(b"GGUF")

    with pytest.raises(VerificationError, match=r"other versions of what makes it.*or it was made on another device"):
        export._keep(made, to, "0" * 64, quiet)

    assert not to.parent.exists()
