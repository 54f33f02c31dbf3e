"""The gates there are, what each needs the contract to declare, and the broken answers on which each must fail."""

from collections.abc import Mapping
from dataclasses import dataclass

from gates.metrics import (
    answer_correctness,
    answer_rate,
    citation_coverage,
    citation_precision,
    citation_recall,
    citation_validity,
    contract_rules,
    json_parse,
    lexical_grounding,
    multi_source_synthesis,
    no_false_confidence,
    no_stray_citations,
    provenance_completeness,
    refusal_agreement,
    refusal_precision,
    refusal_recall,
    required_fields,
    retrieval_utilisation,
    schema_compliance,
    type_correctness,
    unknowns_completeness,
    unsupported_specifics,
)
from gates.score import Gate


@dataclass(frozen=True, kw_only=True)
class About:
    """What must be known of a gate before there is an answer."""

    score: Gate
    control: str
    """The negative control on which it must fail."""
    needs: tuple[str, ...] = ()
    """Parts of the contract without which it measures nothing."""
    counts_outputs: bool = False
    """Whether the model's answers decide how many rows are counted: then a minimum support takes min_n's place."""
    only_shown: bool = False
    """Whether it may never be required: it compares words, which prove little."""


ABOUT: Mapping[str, About] = {
    "json_parse": About(score=json_parse.score, control="truncated"),
    "schema_compliance": About(score=schema_compliance.score, control="schema_broken"),
    "type_correctness": About(score=type_correctness.score, control="wrong_type"),
    "required_fields": About(score=required_fields.score, control="field_missing"),
    "contract_rules": About(score=contract_rules.score, control="rules_broken", needs=("rules",)),
    "citation_coverage": About(score=citation_coverage.score, control="wrong_citation", needs=("citations",)),
    "citation_validity": About(
        score=citation_validity.score, control="wrong_citation", needs=("citations",), counts_outputs=True
    ),
    "citation_precision": About(
        score=citation_precision.score, control="wrong_citation", needs=("citations",), counts_outputs=True
    ),
    "citation_recall": About(score=citation_recall.score, control="wrong_citation", needs=("citations",)),
    "provenance_completeness": About(
        score=provenance_completeness.score, control="wrong_provenance", needs=("provenance",), counts_outputs=True
    ),
    "multi_source_synthesis": About(score=multi_source_synthesis.score, control="wrong_citation", needs=("citations",)),
    "refusal_precision": About(
        score=refusal_precision.score, control="refused", needs=("refusal",), counts_outputs=True
    ),
    "refusal_recall": About(score=refusal_recall.score, control="answered", needs=("refusal",)),
    "answer_rate": About(score=answer_rate.score, control="refused"),
    "unknowns_completeness": About(
        score=unknowns_completeness.score, control="no_unknowns", needs=("refusal", "unknowns"), counts_outputs=True
    ),
    "no_false_confidence": About(
        score=no_false_confidence.score,
        control="wrong_citation",
        needs=("confidence", "citations"),
        counts_outputs=True,
    ),
    "no_stray_citations": About(score=no_stray_citations.score, control="stray_citation", needs=("citations",)),
    "answer_correctness": About(score=answer_correctness.score, control="wrong_value", needs=("correctness",)),
    "refusal_agreement": About(score=refusal_agreement.score, control="other_text", needs=("refusal", "refusal_text")),
    "retrieval_utilisation": About(
        score=retrieval_utilisation.compared,
        control="wrong_citation",
        needs=("citations",),
        counts_outputs=True,
        only_shown=True,
    ),
    "lexical_grounding": About(
        score=lexical_grounding.compared,
        control="wrong_citation",
        needs=("citations",),
        counts_outputs=True,
        only_shown=True,
    ),
    "unsupported_specifics": About(
        score=unsupported_specifics.compared,
        control="wrong_citation",
        needs=("citations",),
        counts_outputs=True,
        only_shown=True,
    ),
}
"""A line for each gate that a policy may name."""

COUNT_OUTPUTS = frozenset(name for name, about in ABOUT.items() if about.counts_outputs)
"""Gates whose rows the model's answers decide; of all others the golden set does, of people's word too."""
GATES: Mapping[str, Gate] = {name: about.score for name, about in ABOUT.items()}

ADVISORY: Mapping[str, Gate] = {
    "retrieval_utilisation": retrieval_utilisation.score,
    "lexical_grounding": lexical_grounding.score,
    "unsupported_specifics": unsupported_specifics.score,
}
"""Shown and never decided on: they compare words, and words prove little. All need citations."""

COMPARED: Mapping[str, Gate] = {
    "retrieval_utilisation": retrieval_utilisation.compared,
    "lexical_grounding": lexical_grounding.compared,
    "unsupported_specifics": unsupported_specifics.compared,
}
"""The same over the answers in which there was something to compare, as policies count since version 2."""
