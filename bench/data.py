"""How `data convert` and `data split` take a large file: seconds against a plain read-and-write, and memory.

usage: python bench/data.py [--megabytes 1000] [--folder FOLDER]
"""

import argparse
import json
import random
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


ASIDE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stderr=subprocess.PIPE, text=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.stderr.write(done.stderr[-2000:])
sys.exit(done.returncode)
"""
"""Runs a command as its only child, whose peak memory is then its own."""


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        rows = write(folder / "chat.jsonl", given.megabytes * 1_000_000)
        print(f"{rows:,} rows, {(folder / 'chat.jsonl').stat().st_size / 1e6:.0f} MB")
        cli = (sys.executable, "-m", "release.cli", "data")
        plain = measured("plain", sys.executable, "-c", PLAIN, str(folder / "chat.jsonl"), str(folder / "plain.jsonl"))
        convert = measured("convert", *cli, "convert", str(folder / "chat.jsonl"), "--to", str(folder / "rows.jsonl"))
        sides = ("--train", str(folder / "t.jsonl"), "--golden", str(folder / "g.jsonl"))
        split = measured("split", *cli, "split", str(folder / "rows.jsonl"), *sides)
        print(f"convert {convert / plain:.1f} times the plain one, split {split / plain:.1f} times")


if __name__ == "__main__":
    main()
