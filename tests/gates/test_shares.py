"""Rows judged by several processes: the same as by one, whatever becomes of the children."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gates.shares import LEAST, in_shares, processes

SHARED = """
import os, sys, time
from gates import shares

shares.processes = lambda: 3
here = os.getpid()

def work(first, end):
    WHAT
    return first, end, os.getpid() == here

try:
    print(shares.in_shares(work, ROWS))
except ValueError as error:
    print("raised", error)
try:
    os.waitpid(-1, os.WNOHANG)
    print("left")
except ChildProcessError:
    print("none left")
"""
IN_THREE = "[(0, 1000, True), (1000, 2000, {0}), (2000, 3000, {0})]"


@pytest.mark.parametrize(
    ("what", "rows", "said"),
    [
        ("pass", 3000, IN_THREE.format(False)),
        ("pass", 1999, "[(0, 1999, True)]"),
        ("pass", 2001, "[(0, 1000, True), (1000, 2001, False)]"),
        ("pass", 0, "[(0, 0, True)]"),
        ("if os.getpid() != here: os._exit(1)", 3000, IN_THREE.format(True)),
        ("if os.getpid() != here: os.kill(os.getpid(), 9)", 3000, IN_THREE.format(True)),
        ("if os.getpid() != here: raise KeyboardInterrupt", 3000, IN_THREE.format(True)),
        ("if first == 2000: raise ValueError(first)", 3000, "raised 2000"),
        ("if first: raise ValueError(first)", 3000, "raised 1000"),
        ("if not first: raise ValueError(first)\n    else: time.sleep(60)", 3000, "raised 0"),
    ],
)
def test_shares_come_in_order_and_no_child_is_left(what: str, rows: int, said: str) -> None:
    code = SHARED.replace("WHAT", what).replace("ROWS", str(rows))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout == f"{said}\nnone left\n"
    assert ended.stderr == ""


JUDGED = """
import hashlib
import gates
from gates import shares
from tests.gates import examples

rows = [{**row, "id": f"{n}-{row['id']}"} for n in range(60) for row in examples.golden_rows()]
for number, row in enumerate(rows):
    row["messages"] = [{"role": "user", "content": f"Question {number}?"}, row["messages"][1]]
golden = gates.parse_golden(rows)
outputs = [
    gates.Output(id=row.id, output=[row.gold, "no", row.gold.replace("2", "9"), row.gold][number % 4])
    for number, row in enumerate(golden)
]
contract = examples.contract()
for many in (1, 2):
    shares.processes = lambda: many
    verdict = gates.judge(golden, outputs, contract, examples.policy())
    print(len(golden), verdict.gate("json_parse").score.k, hashlib.sha256(verdict.to_json()).hexdigest())
"""


def test_a_verdict_is_the_same_to_the_byte_by_two_processes() -> None:
    ended = subprocess.run([sys.executable, "-c", JUDGED], capture_output=True, text=True, timeout=60, check=True)
    alone, shared = ended.stdout.splitlines()
    assert alone == shared
    assert alone.startswith("2400 1800 ")


@pytest.mark.parametrize("clock", [signal.ITIMER_PROF, signal.ITIMER_VIRTUAL])
def test_where_a_clock_bounds_the_work_no_other_process_does_it(clock: int) -> None:
    signal.setitimer(clock, 1000)
    try:
        assert processes() == 1
    finally:
        signal.setitimer(clock, 0)


def test_few_rows_are_judged_here() -> None:
    assert in_shares(lambda first, end: (first, end, os.getpid()), LEAST) == [(0, LEAST, os.getpid())]
    assert processes() >= 1


KILLED = """
import sys, time
from gates import shares

shares.processes = lambda: 3

def work(first, end):
    if first:
        return b"x" * 1_000_000  # more than a pipe holds
    print("working", flush=True)
    time.sleep(60)

shares.in_shares(work, 3000)
"""


def test_no_child_outlives_a_parent_that_is_killed() -> None:
    """Its output stays open while any child has it."""
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        time.sleep(0.5)
        parent.kill()
        began = time.monotonic()

        assert parent.stdout.read() == b""
        assert time.monotonic() - began < 20
