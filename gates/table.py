"""The gates there are, what each needs the contract to declare, and the broken answers on which each must fail."""

from collections.abc import Mapping
from dataclasses import dataclass

from gates import (
    answer_rate,
    citation_coverage,
    citation_precision,
    citation_recall,
    citation_validity,
    contract_rules,
    json_parse,
    refusal_precision,
    refusal_recall,
    schema_compliance,
)
from gates.score import Gate

GATES: Mapping[str, Gate] = {
    "json_parse": json_parse.score,
    "schema_compliance": schema_compliance.score,
    "contract_rules": contract_rules.score,
    "citation_coverage": citation_coverage.score,
    "citation_validity": citation_validity.score,
    "citation_precision": citation_precision.score,
    "citation_recall": citation_recall.score,
    "refusal_precision": refusal_precision.score,
    "refusal_recall": refusal_recall.score,
    "answer_rate": answer_rate.score,
}


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
    "contract_rules": About(control="rules_broken", needs=("rules",)),
    "citation_coverage": About(control="wrong_citation", needs=("citations",)),
    "citation_validity": About(control="wrong_citation", needs=("citations",), counts_outputs=True),
    "citation_precision": About(control="wrong_citation", needs=("citations",), counts_outputs=True),
    "citation_recall": About(control="wrong_citation", needs=("citations",)),
    "refusal_precision": About(control="refused", needs=("refusal",), counts_outputs=True),
    "refusal_recall": About(control="answered", needs=("refusal",)),
    "answer_rate": About(control="refused"),
}
