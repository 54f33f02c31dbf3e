"""The gates there are, what each needs the contract to declare, and the broken answers on which each must fail."""

from collections.abc import Mapping
from dataclasses import dataclass

from gates.metrics import (
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
    provenance_completeness,
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

GATES: Mapping[str, Gate] = {
    "json_parse": json_parse.score,
    "schema_compliance": schema_compliance.score,
    "type_correctness": type_correctness.score,
    "required_fields": required_fields.score,
    "contract_rules": contract_rules.score,
    "citation_coverage": citation_coverage.score,
    "citation_validity": citation_validity.score,
    "citation_precision": citation_precision.score,
    "citation_recall": citation_recall.score,
    "provenance_completeness": provenance_completeness.score,
    "multi_source_synthesis": multi_source_synthesis.score,
    "refusal_precision": refusal_precision.score,
    "refusal_recall": refusal_recall.score,
    "answer_rate": answer_rate.score,
    "unknowns_completeness": unknowns_completeness.score,
    "no_false_confidence": no_false_confidence.score,
}

ADVISORY: Mapping[str, Gate] = {
    "retrieval_utilisation": retrieval_utilisation.score,
    "lexical_grounding": lexical_grounding.score,
    "unsupported_specifics": unsupported_specifics.score,
}
"""Shown and never decided on: they compare words, and words prove little. All need citations."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What must be known of a gate before there is an answer."""

    control: str
    """The negative control on which it must fail."""
    needs: tuple[str, ...] = ()
    """Parts of the contract without which it measures nothing."""
    counts_outputs: bool = False
    """Whether the model's answers decide how many rows are counted: then a minimum support takes min_n's place."""


ABOUT: Mapping[str, About] = {
    "json_parse": About(control="truncated"),
    "schema_compliance": About(control="schema_broken"),
    "type_correctness": About(control="wrong_type"),
    "required_fields": About(control="field_missing"),
    "contract_rules": About(control="rules_broken", needs=("rules",)),
    "citation_coverage": About(control="wrong_citation", needs=("citations",)),
    "citation_validity": About(control="wrong_citation", needs=("citations",), counts_outputs=True),
    "citation_precision": About(control="wrong_citation", needs=("citations",), counts_outputs=True),
    "citation_recall": About(control="wrong_citation", needs=("citations",)),
    "provenance_completeness": About(control="wrong_provenance", needs=("provenance",), counts_outputs=True),
    "multi_source_synthesis": About(control="wrong_citation", needs=("citations",)),
    "refusal_precision": About(control="refused", needs=("refusal",), counts_outputs=True),
    "refusal_recall": About(control="answered", needs=("refusal",)),
    "answer_rate": About(control="refused"),
    "unknowns_completeness": About(control="no_unknowns", needs=("refusal", "unknowns"), counts_outputs=True),
    "no_false_confidence": About(control="wrong_citation", needs=("confidence", "citations"), counts_outputs=True),
}
