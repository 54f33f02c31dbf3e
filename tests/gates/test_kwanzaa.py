"""A real user's contract and 107 rows, taken as they are; skipped where the files are not at hand."""

import pytest

import gates
from tests.gates.examples import KWANZAA

pytestmark = pytest.mark.skipif(not KWANZAA.is_dir(), reason="the user's dataset is not part of this repository")

CONTRACT = {
    "schema": "answer_json.schema.json",
    "answer": "/answer/text",
    "citations": {
        "at": "/sources",
        "key": "canonical_url",
        "matches": "url",
        "provenance": {"canonical_url": "url", "citation_label": "label"},
    },
    "documents": r"^\[(?P<id>\d+)\] (?P<label>.*)\nRelevance Score: (?P<score>\S+).*\nSource: .*\n"
    r"Content: (?P<text>.*)\nURL: (?P<url>\S+)",
    "refusal": [
        {"at": "/integrity/fallback_behavior", "equals": "refusal"},
        {"at": "/answer/completeness", "equals": "insufficient_data"},
    ],
    "confidence": "/answer/confidence",
    "unknowns": ["/unknowns/missing_context", "/unknowns/unsupported_claims"],
    "markers": r"\[(\d+)\]",
    "rules": [
        {
            "name": "citations_provided_is_true_only_with_sources",
            "if": {"at": "/integrity/citations_provided", "equals": True},
            "only_if": {"at": "/sources", "empty": False},
        },
        "refusal_has_unknowns",
    ],
}


@pytest.fixture(scope="module")
def verdict() -> gates.Verdict:
    golden = gates.read_golden(KWANZAA / "train.jsonl")
    names = ["json_parse", "schema_compliance", "type_correctness", "required_fields", "contract_rules"]
    names += ["citation_validity", "provenance_completeness", "unknowns_completeness", "no_false_confidence"]
    bars = {name: {"mode": "zero_failures"} for name in names}
    contract = gates.load_contract(CONTRACT, KWANZAA)
    return gates.judge(golden, gates.gold_outputs(golden), contract, gates.load_policy(bars))


def test_every_reference_answer_is_json(verdict: gates.Verdict) -> None:
    assert (verdict.gate("json_parse").score.k, verdict.rows) == (107, 107)


def test_thirteen_reference_answers_break_their_own_schema(verdict: gates.Verdict) -> None:
    misses = verdict.gate("schema_compliance").score.misses
    assert len(misses) == 13
    paths = {miss.path.rsplit("/", 1)[0] for miss in misses}
    assert paths == {"/retrieval_summary/results", "/retrieval_summary"}
    assert [miss.path for miss in misses if miss.path.endswith("top_k")] == ["/retrieval_summary/top_k"]


def test_in_two_rows_the_fields_that_mean_a_refusal_disagree(verdict: gates.Verdict) -> None:
    reasons = [miss.reason for miss in verdict.gate("contract_rules").score.misses]
    assert sum("disagree" in reason for reason in reasons) == 2


def test_every_source_is_a_document_of_the_prompt(verdict: gates.Verdict) -> None:
    score = verdict.gate("citation_validity").score
    assert score.k == score.n == 85


def test_twelve_of_them_miss_required_fields_and_none_has_a_wrong_type(verdict: gates.Verdict) -> None:
    assert (verdict.gate("required_fields").score.k, verdict.gate("type_correctness").score.k) == (95, 107)


def test_every_source_repeats_address_and_label_of_its_document(verdict: gates.Verdict) -> None:
    score = verdict.gate("provenance_completeness").score
    assert score.k == score.n == 85


def test_one_confident_answer_has_no_source_and_every_refusal_says_what_is_missing(verdict: gates.Verdict) -> None:
    assert [miss.id for miss in verdict.gate("no_false_confidence").score.misses] == ["line-93"]
    score = verdict.gate("unknowns_completeness").score
    assert score.k == score.n == 25


def test_such_reference_answers_are_not_released_on(verdict: gates.Verdict) -> None:
    assert verdict.state == "FAIL"
