"""The program of a job that nobody can speak to, which has a folder that outlives it: a bucket, mounted.

What was sent lies there, what was said of its end is looked for there, and what it has is put there: as whole files,
each written once from beginning to end, for a mounted bucket is no disk. It imports the standard library alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

THERE, SENT, MADE, CODE, END = "there.py", "sent.tar", "made.tar", "exit_code.json", "end"
KEPT = re.compile(r"kept-(\d{6})-([0-9a-f]{64})\.tar")
"""What is kept of a job that may be killed: the number says which is the newest, the digest that it is whole."""
RUNS, MADE_THERE, LOG, ENDED, WISH = "work/runs", "work/dist", "log", "exit_code", "end"
"""As they are called in the folder of the job."""
LOCK = "code/release/assets/locks/gpu.txt"
OVER = "adapter-release: this job has ended."
"""Its last line."""
EVERY = 60.0  # seconds between two looks at what is new and to be kept
BLOCK = 1 << 20


def main(bucket: Path, folder: Path, modules: list[str]) -> int:
    """Make the candidate in ``folder``, from what the bucket holds; its exit status, which the bucket holds then."""
    wanted: list[bool] = []
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, lambda *_: wanted.append(True))
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
    said = folder / CODE
    said.write_text(json.dumps({"code": code, "size": made.stat().st_size}), "utf-8")
    lay(said, bucket / CODE)  # last: it says that the other is there
    print(OVER, flush=True)
    return code


def restore(bucket: Path, folder: Path) -> int:
    """Lay down the newest that an earlier job of this bucket kept whole; its number, 0 where there is none."""
    kept = sorted((path for path in bucket.iterdir() if KEPT.fullmatch(path.name)), reverse=True)
    for path in kept:
        half = folder.with_name(f"{folder.name}.kept")
        lay(path, half)
        if path.name == named(path.name[5:11], half):
            with tarfile.open(half) as tar:
                tar.extractall(folder, filter="data")
            half.unlink()
            break
        half.unlink()
    return max((int(path.name[5:11]) for path in kept), default=0)


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
    at, looked, known = 0, time.monotonic(), names(folder)
    with subprocess.Popen(program) as job:
        while job.poll() is None:
            time.sleep(0.2)
            at = tell(folder / LOG, at)
            if wanted or (bucket / END).exists():
                (folder / WISH).touch()
            if time.monotonic() - looked > EVERY and names(folder) != known:
                known, newest = names(folder), keep(bucket, folder, newest)
                looked = time.monotonic()
    tell(folder / LOG, at)
    keep(bucket, folder, newest)
    return int((folder / ENDED).read_text("utf-8"))


def names(folder: Path) -> set[str]:
    """What there is: a checkpoint, a mark or an answer is a file of its own."""
    return {str(path) for path in (folder / RUNS).rglob("*")}


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
        with tarfile.open(half, "w") as tar:
            for path in sorted((folder / RUNS).rglob("*")):
                if path.is_file() and not path.is_symlink():
                    tar.add(path, path.relative_to(folder).as_posix())
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
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
