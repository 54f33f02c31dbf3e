"""The program of a job that nobody can speak to, which has a folder that outlives it: a bucket, mounted.

What was sent lies there, what was said of its end is looked for there, and what it has is put there: as whole files,
each written once from beginning to end, for a mounted bucket is no disk. It imports the standard library alone.
"""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

THERE, SENT, MADE, CODE, END = "there.py", "sent.tar", "made.tar", "exit_code.json", "end"
KEPT = re.compile(r"kept-(\d{6})-([0-9a-f]{64})\.tar")
"""What is kept of a job that may be killed: the number says which is the newest, the digest that it is whole."""
RUNS, MADE_THERE, LOG, ENDED, WISH = "work/runs", "work/dist", "log", "exit_code", "end"
"""As they are called in the folder of the job."""
MADE_AGAIN = ("exports", "base_gguf")
"""Folders of a run and beside the runs that are not kept: gigabytes, made again of what is kept."""
COUNTED = ("work/runs/ledger.jsonl", "work/runs/spent.jsonl")
"""Come first in what is kept: whoever wants no more reads no more."""
LOCK = "code/release/assets/locks/gpu.txt"
OVER = "adapter-release: this job has ended."
"""Its last line."""
EVERY = 60.0  # seconds between two looks at what is new and to be kept
BLOCK = 1 << 20
CANNOT = 4  # exit status of a job that could not be prepared, or could not put away what it made


def main(bucket: Path, folder: Path, start: str, modules: list[str]) -> int:
    """Make the candidate in ``folder``, from what the bucket holds; its exit status, which the bucket holds then.

    ``start`` names this start of the job, and is said with the exit status: an earlier one's is told from it.
    """
    wanted: list[bool] = []
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, lambda *_: wanted.append(True))
    try:
        code, size = make(bucket, folder, modules, wanted)
    except Exception as error:  # noqa: BLE001  whoever waits is told of any: else it is paid for again
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        print(f"error: the job could not do its work, and the lines above may say why: {what}", flush=True)
        nothing = io.BytesIO()
        tarfile.open(fileobj=nothing, mode="w").close()
        code, size = CANNOT, (bucket / MADE).write_bytes(nothing.getvalue())
    # last: it says that the other is there
    (bucket / CODE).write_text(json.dumps({"code": code, "size": size, "start": start}), "utf-8")
    print(OVER, flush=True)
    return code


def make(bucket: Path, folder: Path, modules: list[str], wanted: list[bool]) -> tuple[int, int]:
    """The exit status, and the size of what was made, which lies in the bucket."""
    program = [sys.executable, "-I", str(bucket / THERE)]
    folder.mkdir(parents=True, exist_ok=True)
    newest = restore(bucket, folder)
    with (bucket / SENT).open("rb") as sent:
        subprocess.run([*program, "put", str(folder)], stdin=sent, stdout=subprocess.DEVNULL, check=True)
    install(folder, modules)
    code = run([*program, "run", str(folder)], bucket, folder, wanted, newest)
    made = folder.with_name(f"{folder.name}.{MADE}")
    with made.open("wb") as file:
        subprocess.run([*program, "fetch", str(folder), MADE_THERE], stdout=file, check=True)
    lay(made, bucket / MADE)
    return code, made.stat().st_size


def restore(bucket: Path, folder: Path) -> int:
    """Lay down the newest that an earlier job of this bucket kept whole; its number, 0 where there is none."""
    kept, half = [path.name for path in bucket.iterdir()], folder.with_name(f"{folder.name}.kept")
    if whole(kept, lambda name: lay(bucket / name, half), half):
        with tarfile.open(half) as tar:
            tar.extractall(folder, filter="data")
    half.unlink(missing_ok=True)
    return max((int(name[5:11]) for name in kept if KEPT.fullmatch(name)), default=0)


def whole(names: Iterable[str], take: Callable[[str], object], to: Path) -> str | None:
    """The name of the newest that is kept whole, which ``take`` lays at ``to``; None where there is none."""
    for name in sorted(filter(KEPT.fullmatch, names), reverse=True):
        take(name)
        if name == named(name[5:11], to):
            return name
    return None


def install(folder: Path, modules: list[str]) -> None:
    """What training needs, by the lock that was sent, where the image lacks any of it."""
    if missing := [one for one in modules if importlib.util.find_spec(one) is None]:
        print(f"installing locks/gpu.txt: the image lacks {', '.join(missing[:4])}", flush=True)
        options = ["--quiet", "--no-cache-dir", "--disable-pip-version-check", "--root-user-action=ignore"]
        options += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(folder / LOCK)]
        subprocess.run([sys.executable, "-P", "-m", "pip", "install", *options], check=True)


def run(program: list[str], bucket: Path, folder: Path, wanted: list[bool], newest: int) -> int:
    """Run the job to its end, passing on what it says; what it finished is kept meanwhile. Its exit status."""
    for name in (ENDED, WISH):
        (folder / name).unlink(missing_ok=True)
    at, looked, known = 0, time.monotonic(), files(folder)
    seen = known
    keeping: Future[int] | None = None  # it is packed beside: meanwhile words and wishes are passed on
    with ThreadPoolExecutor(1) as beside, subprocess.Popen(program) as job:
        while job.poll() is None:
            time.sleep(0.2)
            with contextlib.suppress(OSError):
                at = tell(folder / LOG, at)
            with contextlib.suppress(OSError):  # a mounted bucket that does not answer once
                if wanted or (bucket / END).exists():
                    (folder / WISH).touch()
            if keeping and keeping.done():
                known, newest, keeping = seen if keeping.result() > newest else known, keeping.result(), None
            if not keeping and time.monotonic() - looked > EVERY and (seen := files(folder)) != known:
                keeping, looked = beside.submit(keep, bucket, folder, newest), time.monotonic()
    tell(folder / LOG, at)
    keep(bucket, folder, keeping.result() if keeping else newest)
    return int((folder / ENDED).read_text("utf-8"))


def files(folder: Path) -> list[Path]:
    """What is kept of the runs: a checkpoint, a mark or an answer is a file of its own. What goes meanwhile is not."""
    found = []
    for at, folders, names in os.walk(folder / RUNS):
        depth = len(Path(at).relative_to(folder / RUNS).parts)
        folders[:] = [one for one in folders if depth > 1 or one not in MADE_AGAIN]
        found += [Path(at) / name for name in names]
    return sorted(found)


def tell(log: Path, at: int) -> int:
    """Say what stands in the log from a byte on; the byte after it."""
    with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
        file.seek(at)
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        at = file.tell()
    return at


def keep(bucket: Path, folder: Path, newest: int) -> int:
    """Put the runs into the bucket, in place of what was kept before; the number by which they are kept.

    What changes or goes while it is packed is of a checkpoint that is made or given up: whoever goes on looks at the
    digests of its files, and takes the one before.
    """
    half = folder.with_name(f"{folder.name}.kept")
    try:
        named_there = {path.relative_to(folder).as_posix(): path for path in files(folder)}
        with tarfile.open(half, "w", format=tarfile.GNU_FORMAT) as tar:
            for name in sorted(named_there, key=lambda name: (name not in COUNTED, name)):
                path = named_there[name]
                with contextlib.suppress(FileNotFoundError):
                    if path.is_file() and not path.is_symlink():
                        tar.add(path, name)
        name = named(f"{newest + 1:06d}", half)
        lay(half, bucket / name)
        half.unlink()
        for path in bucket.iterdir():
            if KEPT.fullmatch(path.name) and path.name < name:
                path.unlink()
    except OSError as error:
        print(f"  what is finished so far could not be kept: {error}", flush=True)
        return newest
    return newest + 1


def named(number: str, file: Path) -> str:
    """The name under which a file is kept."""
    digest = hashlib.sha256()
    with file.open("rb") as data:
        while block := data.read(BLOCK):
            digest.update(block)
    return f"kept-{number}-{digest.hexdigest()}.tar"


def lay(file: Path, to: Path) -> None:
    with file.open("rb") as data, to.open("wb") as copy:
        shutil.copyfileobj(data, copy, BLOCK)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
