"""How the data commands take a large file: seconds against a plain read-and-write, and memory.

usage: python bench/data.py [--megabytes 1000] [--check] [--folder FOLDER]

`data convert` and `data split`; with --check `data check` instead, of rows with sources and an answer that cites them,
beside the embedded example's golden set.
"""

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLAIN = """
import json, sys
with open(sys.argv[1], "rb") as given, open(sys.argv[2], "wb") as made:
    for line in given:
        made.write((json.dumps(json.loads(line), ensure_ascii=False) + "\\n").encode())
"""
WORDS = [f"word{number}" for number in range(2000)]


def write(path: Path, size: int) -> int:
    """Chat rows of about 750 bytes, as many as there is room for."""
    picked, rows = random.Random(1), 0  # noqa: S311  it must repeat
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            for _ in range(1000):
                asked, said = (" ".join(picked.choices(WORDS, k=k)) for k in (60, 25))
                messages = [
                    {"role": "system", "content": "Answer from the sources as JSON."},
                    {"role": "user", "content": f"Question {rows}: {asked}?"},
                    {"role": "assistant", "content": said},
                ]
                file.write(json.dumps({"messages": messages, "source": "made"}) + "\n")
                rows += 1
    return rows


def write_cited(path: Path, size: int) -> int:
    """Rows of about a kilobyte: three sources, a question, and an answer as the embedded example's contract has it."""
    picked, rows = random.Random(1), 0  # noqa: S311  it must repeat
    words = re.findall("[a-z]{2,}", (ROOT / "LICENSE").read_text("utf-8").lower())

    def sentence() -> str:
        return " ".join(picked.choices(words, k=picked.randint(8, 22))).capitalize()

    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            for _ in range(500):
                sources = [". ".join(sentence() for _ in range(picked.randint(1, 3))) for _ in range(3)]
                refusal, cited = rows % 10 < 3, 1 + rows % 3
                answer = {
                    "answer": "It is not in the sources." if refusal else f"{sources[cited - 1]} [{cited}].",
                    "citations": [] if refusal else [cited],
                    "refusal": refusal,
                }
                shown = "".join(f"{one} [{number}].\n" for number, one in enumerate(sources, 1))
                messages = [
                    {"role": "system", "content": "Answer from the sources as JSON."},
                    {"role": "user", "content": f"{shown}In case {rows}: {sentence().lower()}?"},
                    {"role": "assistant", "content": json.dumps(answer, separators=(",", ":"))},
                ]
                file.write(json.dumps({"messages": messages, "source": "made"}) + "\n")
                rows += 1
    return rows


ASIDE = """
import os, pathlib, re, resource, subprocess, sys, tempfile
said, most = tempfile.TemporaryFile("w+"), 0
done = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=said, text=True, start_new_session=True)
while True:
    try:
        done.wait(1)
        break
    except subprocess.TimeoutExpired:
        now = 0
        for one in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.getsid(int(one.name)) == done.pid:
                    now += int(re.search(r"^Pss: +(\\d+)", (one / "smaps_rollup").read_text(), re.M)[1])
            except (OSError, TypeError):
                pass
        most = max(most, now)
print(max(most, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
said.seek(0)
sys.stderr.write(said.read()[-2000:])
sys.exit(done.returncode)
"""
"""Runs a command as its only child, and tells the most memory that it and its children had together."""


def measured(name: str, *command: str) -> float:
    """Processor seconds of a command, told with its peak memory."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    aside = [sys.executable, "-P", "-c", ASIDE, *command]
    done = subprocess.run(aside, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(f"{name} ended with {done.returncode}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory, wall = int(done.stdout.split()[-1]) / 1024, time.monotonic() - started
    print(f"{name}: {seconds:.1f} s of a processor, {wall:.0f} s by the clock, at most {memory:.0f} MiB", flush=True)
    return seconds


def configured(folder: Path) -> Path:
    """The embedded example's configuration with the rows here, and room for them."""
    said = (ROOT / "release.yaml").read_text("utf-8").replace("data/elements/train.jsonl", str(folder / "chat.jsonl"))
    said = said.replace(": data/elements", f": {ROOT}/data/elements").replace("max_length: 256", "max_length: 2048")
    (folder / "release.yaml").write_text(said, "utf-8")
    return folder / "release.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # libraries would be compiled anew, and counted as rows
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        rows = (write_cited if given.check else write)(folder / "chat.jsonl", given.megabytes * 1_000_000)
        print(f"{rows:,} rows, {(folder / 'chat.jsonl').stat().st_size / 1e6:.0f} MB")
        cli = (sys.executable, "-m", "release.cli", "data")
        plain = measured("plain", sys.executable, "-c", PLAIN, str(folder / "chat.jsonl"), str(folder / "plain.jsonl"))
        if given.check:
            check = measured("check", *cli, "check", str(configured(folder)), "--report", str(folder))
            print(f"check {check / plain:.1f} times the plain one")
            return
        convert = measured("convert", *cli, "convert", str(folder / "chat.jsonl"), "--to", str(folder / "rows.jsonl"))
        sides = ("--train", str(folder / "t.jsonl"), "--golden", str(folder / "g.jsonl"))
        split = measured("split", *cli, "split", str(folder / "rows.jsonl"), *sides)
        print(f"convert {convert / plain:.1f} times the plain one, split {split / plain:.1f} times")


if __name__ == "__main__":
    main()
