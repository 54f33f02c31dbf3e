"""Judging answers: release gates for structured, cited, refusing answers, on anybody's answers and contract.

    contract = load_contract({"schema": "answer.schema.json", "answer": "/answer", ...}, folder)
    policy = load_policy(default_policy(contract.declares))
    golden, outputs = read_golden(path), read_outputs(path)
    zero = gate_zero(golden, contract, policy)      # the reference answers pass, and broken ones do not
    verdict = judge(golden, outputs, contract, policy)
    verdict.passed                                  # only if every required gate passes
    base = Earlier(name="base", golden=golden, outputs=read_outputs(other))
    compare(golden, outputs, [base], contract, policy, against="base").passed

A gate is a function from answers to a ``Score``; a verdict is a pure function of saved files. What was not measured
never passes.
"""

from gates.answer import Answer, read_answer
from gates.comparison import VERSION as COMPARISON_VERSION
from gates.comparison import Against, Comparison, Earlier, blind, compare, not_comparable
from gates.contract import Contract, load_contract
from gates.controls import gate_zero, negative_controls, prove_gates_can_fail, self_test
from gates.invalid import Invalid, InvalidConfig, InvalidData
from gates.loosened import weaker_contract
from gates.policy import DEFAULT_POLICY, HumanReview, Policy, completed, default_policy, load_policy, weaker
from gates.provable import GatePlan, plan
from gates.rows import (
    Golden,
    Output,
    gold_outputs,
    golden_digest,
    parse_golden,
    parse_outputs,
    read_golden,
    read_outputs,
)
from gates.same_rows import Known, Matched, known, matched
from gates.score import Gate, Miss, Score
from gates.table import GATES
from gates.verdict import VERSION as VERDICT_VERSION
from gates.verdict import GateVerdict, SelfTest, Verdict, judge, unmeasurable

__all__ = [
    "COMPARISON_VERSION",
    "DEFAULT_POLICY",
    "GATES",
    "VERDICT_VERSION",
    "Against",
    "Answer",
    "Comparison",
    "Contract",
    "Earlier",
    "Gate",
    "GatePlan",
    "GateVerdict",
    "Golden",
    "HumanReview",
    "Invalid",
    "InvalidConfig",
    "InvalidData",
    "Known",
    "Matched",
    "Miss",
    "Output",
    "Policy",
    "Score",
    "SelfTest",
    "Verdict",
    "blind",
    "compare",
    "completed",
    "default_policy",
    "gate_zero",
    "gold_outputs",
    "golden_digest",
    "judge",
    "known",
    "load_contract",
    "load_policy",
    "matched",
    "negative_controls",
    "not_comparable",
    "parse_golden",
    "parse_outputs",
    "plan",
    "prove_gates_can_fail",
    "read_answer",
    "read_golden",
    "read_outputs",
    "self_test",
    "unmeasurable",
    "weaker",
    "weaker_contract",
]
