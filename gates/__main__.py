"""`python -m gates`: judge a file of answers from any model, plan a golden set, or ask an embedding model."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn, TextIO

from gates import others, report
from gates.answer import pair, pairing_problems
from gates.comparison import Against, Earlier, compare
from gates.context_alignment import Embedder, align, load_embedder
from gates.context_alignment import lines as alignment_lines
from gates.contract import Contract, load_contract
from gates.controls import gate_zero
from gates.files import read_yaml
from gates.invalid import InvalidConfig, InvalidData
from gates.policy import HUMAN_REVIEW, Policy, completed, default_policy, load_policy
from gates.provable import plan
from gates.rows import Golden, read_golden
from gates.shown import plain, printable
from gates.verdict import SelfTest, judge

MOST_ATTEMPTS = 1_000_000
PASSED, CONFIG, DATA, NOT_PASSED = 0, 2, 3, 5


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 passed, 2 usage or configuration, 3 data, 5 failed or could not be decided."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        verb = {"plan": _plan, "context": _context}.get(given[0]) if given else None
        return verb(given[1:]) if verb else _judge(given)
    except InvalidConfig as error:
        _say("\n".join(map(plain, error.problems)), sys.stderr)
        return CONFIG
    except InvalidData as error:
        _say("\n".join(map(plain, error.problems)), sys.stderr)
        return DATA


def _judge(given: Sequence[str]) -> int:
    parser = _parser()
    options = parser.parse_args(given)
    contract = _contract(options.contract)
    policy = _policy(options.policy, contract.declares).at(options.attempt)
    for note in (*contract.notes, *([] if options.policy else report.left_out(contract.declares))):
        _say(f"note: {note}", sys.stderr)
    golden, outputs = read_golden(options.golden), others.read(options.answers)
    if options.without_gate_zero:
        _say("gate zero was not run: nothing proves that a gate can fail", sys.stderr)
    problems = () if options.without_gate_zero else _gate_zero_problems(golden, contract, policy)
    tested: SelfTest = "not run" if options.without_gate_zero else "failed" if problems else "passed"
    verdict = judge(golden, outputs, contract, policy, problems=problems, self_test=tested)
    if options.explain and options.explain not in verdict.names:
        parser.error(f"--explain {options.explain}: not measured here. Choose one of {', '.join(verdict.names)}")
    beside: list[tuple[Path, Against]] = [(options.base, "base"), (options.last, "last")]
    comparisons = [
        compare(golden, outputs, [_earlier(path, golden)], contract, policy, against=against)
        for path, against in beside
        if path is not None
    ]
    if options.json:
        _write(options.json, verdict.to_json())
    if options.markdown:
        parts = [report.markdown(verdict), *map(report.comparison_markdown, comparisons)]
        _write(options.markdown, "\n".join(parts).encode())
    if options.explain:
        before = {} if options.last is None else {one.id: one.output for one in others.read(options.last)}
        _say("\n".join(report.explain(verdict, options.explain, before, golden=golden, outputs=outputs)))
    else:
        parts = [
            "\n".join(lines) for lines in (report.terminal(verdict), *map(report.comparison_terminal, comparisons))
        ]
        _say("\n\n".join([*report.unfinished(outputs), *parts]))
    if policy.review is not None:
        _say(f"{HUMAN_REVIEW}: not measured here, where nobody is asked. `adapter-release review` asks people.")
        return NOT_PASSED
    return PASSED if verdict.passed and all(one.passed for one in comparisons) else NOT_PASSED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m gates",
        description="Judge a model's answers against a golden set.",
        epilog="`python -m gates plan --golden G --policy P` says what a golden set can prove; "
        "`python -m gates context ANSWERS --golden G --contract C` measures context alignment (never a gate). "
        "Exit codes: 0 passed, 2 usage or configuration, 3 data, 5 failed or could not be decided.",
    )
    parser.add_argument("answers", type=Path, help="one {id, output, finish_reason} a line")
    parser.add_argument("--golden", type=Path, required=True, help="one {id, messages, documents, ...} a line")
    parser.add_argument("--contract", type=Path, required=True, help="YAML: schema, answer, citations, refusal, ...")
    parser.add_argument("--policy", type=Path, help="YAML: a mode and a target for each gate (default: built in)")
    parser.add_argument("--base", type=Path, help="the answers of the base model, which must be beaten")
    parser.add_argument("--last", type=Path, help="the answers of the last release, which must not be better")
    parser.add_argument(
        "--without-gate-zero",
        action="store_true",
        help="judge rows without reference answers: nothing proves then that a gate can fail",
    )
    parser.add_argument("--json", type=Path, help="write the verdict to this file")
    parser.add_argument("--markdown", type=Path, help="write the report to this file")
    parser.add_argument("--explain", metavar="GATE", help="show every row that this gate counts as wrong, and why")
    _attempt_option(parser)
    return parser


def _attempt_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--attempt",
        type=_number,
        default=1,
        metavar="N",
        help="which adapter this is of all that were judged on this golden set (default: 1)",
    )


def _number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= MOST_ATTEMPTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_ATTEMPTS:,}")
    return int(text)


def _gate_zero_problems(golden: Sequence[Golden], contract: Contract, policy: Policy) -> tuple[str, ...]:
    without = sum(row.gold is None for row in golden)
    if without:
        missing = f"gate zero: {without} of {len(golden)} golden rows have no reference answer"
        return (f"{missing}, so no gate was proved able to fail: add them, or give --without-gate-zero",)
    zero = gate_zero(golden, contract, policy)
    if zero.problems:
        return tuple(f"gate zero: {problem}" for problem in zero.problems)
    return tuple(
        f"gate zero: the reference answers do not pass {gate.name}: {report.line(gate)}"
        for gate in zero.gates
        if gate.bar.required and gate.state != "PASS"
    )


def _earlier(path: Path, golden: Sequence[Golden]) -> Earlier:
    return Earlier(name=path.name, golden=golden, outputs=others.read(path))


def _plan(given: Sequence[str]) -> int:
    parser = _Parser(prog="python -m gates plan", description="What this golden set can prove.")
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument("--policy", type=Path, help="YAML: a mode and a target for each gate (default: built in)")
    _attempt_option(parser)
    options = parser.parse_args(given)
    policy = _policy(options.policy).at(options.attempt)
    plans = plan(read_golden(options.golden), policy)
    _say("\n".join(report.plan_lines(plans, policy)))
    return PASSED if all(one.possible for one in plans if one.bar.required) else NOT_PASSED


def _context(given: Sequence[str], load: Callable[[], Embedder] = load_embedder) -> int:
    parser = _Parser(
        prog="python -m gates context",
        description="How near answers are to what they cite, by an embedding model: shown, never a gate.",
    )
    parser.add_argument("answers", type=Path)
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument("--contract", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="write the cosine of each row to this file")
    options = parser.parse_args(given)
    contract, golden, outputs = _contract(options.contract), read_golden(options.golden), others.read(options.answers)
    if problems := pairing_problems(golden, outputs):
        raise InvalidData(problems)
    alignment = align(pair(golden, outputs, contract), load())
    if options.json:
        _write(options.json, alignment.to_json())
    _say("\n".join(alignment_lines(alignment)))
    return PASSED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _say(text: str, stream: TextIO | None = None) -> None:
    print(printable(text), file=stream or sys.stdout)


def _bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show a bug's traceback, whatever a row wrote into its message."""
    _say("".join(traceback.format_exception(kind, error, trace)), sys.stderr)


def _contract(path: Path) -> Contract:
    return load_contract(read_yaml(path), path.parent, where=str(path))


def _policy(path: Path | None, declares: Collection[str] | None = None) -> Policy:
    if path is None:
        return load_policy(default_policy(declares))
    return load_policy(completed(read_yaml(path), declares), where=str(path))


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise InvalidConfig([f"{path}: {error.strerror}"]) from None


if __name__ == "__main__":
    sys.excepthook = _bug
    sys.exit(main())
