"""Hostile releases: each maker turns the folder of an honest one into one that plays a trick on whoever looks at it.

Most mend the record afterwards, as a careful liar would. A maker writes new files in place of old ones and never into
them, so that a copy may share its large files with the original (`copy`).
"""

import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from release.values import layout
from tests.helpers.small_release import reseal

Maker = Callable[[Path], None]
LARGE = 1_000_000  # bytes


def copy(original: Path, folder: Path) -> Path:
    """A copy to play a trick on; large files are second names of the original's."""
    for path in sorted(one for one in original.rglob("*") if one.is_file()):
        target = folder / path.relative_to(original)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.stat().st_size > LARGE:
            os.link(path, target)
        else:
            shutil.copyfile(path, target)
    return folder


def _write(name: str, content: bytes) -> Maker:
    """A file of this name with this content, in a record that knows it."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        reseal(folder)

    return make


def _hole(name: str, size: int) -> Maker:
    """A file that says it has this size and takes no room on the disk."""

    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        with (folder / name).open("wb") as file:
            file.truncate(size)

    return make


def _link(name: str, target: str) -> Maker:
    def make(folder: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.move(path, folder.parent / f"{folder.name}-{path.name}")
            target_there = folder.parent / f"{folder.name}-{path.name}"
            path.symlink_to(target_there, target_is_directory=True)
            return
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    return make


def _pipe(name: str) -> Maker:
    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return make


def _socket(folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/LICENSE")
    os.close(here)


def _card(change: Callable[[str], str]) -> Maker:
    """A card with another text, in a record that knows it."""

    def make(folder: Path) -> None:
        path = folder / layout.CARD
        text = change(path.read_text("utf-8"))
        path.unlink()
        path.write_bytes(text.encode())
        reseal(folder)

    return make


def _front(change: Callable[[str], str]) -> Maker:
    """A card with other lines of metadata."""

    def both(text: str) -> str:
        _, metadata, body = text.split("---\n", 2)
        return f"---\n{change(metadata)}---\n{body}"

    return _card(both)


ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 11)
)
LIES = "base_model: meta-llama/Llama-3.1-405B\nlicense: mit\n"
ROW = "| json&#95;parse | PASS | 5000&#47;5000 = 100&#46;0 % |\n"


def _first_row(text: str, change: Callable[[str], str]) -> str:
    row = next(line for line in text.splitlines(keepends=True) if line.startswith("| json&#95;parse |"))
    return text.replace(row, change(row), 1)


def _many_files(folder: Path) -> None:
    for number in range(21_000):
        os.mknod(folder / "data" / f"{number}.jsonl") if number % 2 else (folder / "data" / str(number)).touch()


def _deep_folders(folder: Path) -> None:
    path = folder / "exports"
    for _ in range(300):
        path = path / "merged"
    path.mkdir(parents=True)


def _sixty_thousand_documents(folder: Path) -> None:
    path = folder / layout.DATA["golden"]
    row = json.loads(path.read_bytes().split(b"\n")[0])
    row["documents"] = [{"id": f"{n}", "text": ""} for n in range(60_000)]
    path.unlink()
    path.write_text(json.dumps(row) + "\n", "utf-8")


def _schema_elsewhere(path: str) -> Maker:
    def make(folder: Path) -> None:
        contract = json.loads((folder / layout.CONTRACT).read_bytes())
        (folder / layout.CONTRACT).unlink()
        (folder / layout.CONTRACT).write_text(json.dumps({**contract, "schema": path}), "utf-8")
        reseal(folder)

    return make


def _colliding(folder: Path) -> None:
    (folder / "exports").mkdir(exist_ok=True)
    (folder / "exports" / "model.gguf").write_bytes(b"GGUF")
    (folder / "exports" / "MODEL.gguf").write_bytes(b"GGUF")
    reseal(folder)


def _all_colliding(folder: Path) -> None:
    """Each to be held against all others would take minutes."""
    (folder / "exports").mkdir(exist_ok=True)
    for number in range(1 << 13):
        letters = (one.upper() if number >> place & 1 else one for place, one in enumerate("adapterweight"))
        (folder / "exports" / f"{''.join(letters)}.gguf").write_bytes(b"GGUF")


def _named(name: bytes) -> Maker:
    def make(folder: Path) -> None:
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:  # noqa: PTH123  a Path is text
            file.write(b"x")

    return make


def _doubled_members(folder: Path) -> None:
    members = "".join(f'"m{n}": 0, ' for n in range(300_000))
    _write(layout.SETTINGS, f'{{{members}"m299999": 0}}'.encode())(folder)


def _long_base(folder: Path) -> None:
    settings = json.loads((folder / layout.SETTINGS).read_bytes())
    long = json.dumps({**settings, "base_model_name_or_path": "x" * 5_000_000})
    _write(layout.SETTINGS, long.encode())(folder)


PROTOCOL_0 = b"cos\nsystem\n(S'true'\ntR."
ELF = b"\x7fELF\x02\x01\x01" + bytes(57)

MAKERS: dict[str, Maker] = {
    # what a file costs to read
    "aliases in the card": _front(lambda text: text.replace("base_model:", f"{ALIASES}base_model: *a10\nother:", 1)),
    "aliases in the card's tags": _front(lambda text: text + ALIASES + "more: *a10\n"),
    "five megabytes of metadata": _front(lambda text: text + "".join(f"k{n}: 1\n" for n in range(450_000))),
    "metadata without an end": _card(lambda _: "---\n" + "a\n" * 20_000_000),
    "metadata nested deeply": _front(lambda text: f"{text}deep: {'[' * 50_000}{']' * 50_000}\n"),
    "a contract of 120 MB": _write(layout.CONTRACT, b"[" + b"{}," * 40_000_000 + b"{}]"),
    "a record that is a hole of 2 GB": _hole(layout.RECORD, 2_000_000_000),
    "an adapter that is a hole of 200 GB": _hole(layout.WEIGHTS, 200_000_000_000),
    "an adapter whose header has 2^60 bytes": _write(layout.WEIGHTS, (1 << 60).to_bytes(8, "little") + b"{}"),
    "an adapter with a gap behind its tensors": _write(
        layout.WEIGHTS,
        (64).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(64) + bytes(4000),
    ),
    "answers in one line of 100 MB": _hole(layout.ANSWERS, 100_000_000),
    "a million and one answers": _write(layout.ANSWERS, b"{}\n" * 1_000_001),
    "a verdict of twenty million values": _write(layout.VERDICT, b'{"gates": [' + b"0," * 20_000_000 + b"0]}"),
    "a policy nested deeply": _write(layout.POLICY, b'{"a":' + b"[" * 900_000 + b"]" * 900_000 + b"}"),
    "a row of sixty thousand documents": _sixty_thousand_documents,
    "settings with three hundred thousand members, one twice": _doubled_members,
    "a base's name of five megabytes": _long_base,
    "twenty thousand files": _many_files,
    "three hundred folders in each other": _deep_folders,
    # what is no file
    "a pipe": _pipe("notes.txt"),
    "a pipe in place of the tokenizer": _pipe("tokenizer.json"),
    "a pipe in place of the policy": _pipe(layout.POLICY),
    "a pipe in place of the record": _pipe(layout.RECORD),
    "a pipe called .gitattributes": _pipe(".gitattributes"),
    "a socket called LICENSE": _socket,
    "a link to a device": _link("special_tokens_map.json", "/dev/zero"),
    "a contract whose schema is a device": _schema_elsewhere("/dev/zero"),
    "a contract whose schema is a file elsewhere": _schema_elsewhere("../../../../../../../../etc/passwd"),
    # links
    "a link to a file of the reader": _link("leak.txt", "/etc/passwd"),
    "a licence that is a link to a file of the reader": _link("LICENSE", "/etc/passwd"),
    "a link to another file of the release": _link("special_tokens_map.json", "tokenizer.json"),
    "a link to itself": _link("special_tokens_map.json", "special_tokens_map.json"),
    "a link to nothing": _link("LICENSE.txt", "nothing"),
    "a link that looks like the cache's": _link("LICENSE.txt", f"../../blobs/{'a' * 64}"),
    "a folder that is a link": _link("data", ""),
    "a previous release that is a link": _link(f"gates/earlier/{'a' * 40}", "/etc"),
    # names
    "a name that clears the terminal": _named(b"\x1b[2J\x1b[H 1. ok.txt"),
    "a name with a line end": _named(b"a\n::error::b.txt"),
    "a name that is not text": _named(b"\xff\xfe.txt"),
    "a name of 255 letters": _named(b"a" * 255),
    "two names that are one on another disk": _colliding,
    "thousands of names that are one on another disk": _all_colliding,
    "a card beside the card": _write("readme.md", b"# another"),
    # code
    "a pickle of protocol 0": _write("notes.txt", PROTOCOL_0),
    "a pickle behind two bytes": _write("notes.md", b"N0" + pickle.dumps(["x"])),
    "bytecode": _write("modeling.pyc", b"\xa7\r\r\n" + bytes(12)),
    "a library of Windows": _write("tools.pyd", b"MZ" + bytes(60)),
    "a batch file": _write("install.bat", b"echo hello\r\n"),
    "a library with a version": _write("libx.so.1", ELF),
    "a script without an ending": _write("run", b"#!/bin/sh\ntrue\n"),
    "a model of Keras": _write("model.h5", b"\x89HDF\r\n\x1a\n"),
    "a pickle called tokenizer": _write("tokenizer.json", PROTOCOL_0),
    "a pickle called weights": _write(layout.WEIGHTS, pickle.dumps(["x"])),
    "a library called GGUF": _write("exports/model.gguf", ELF),
    "a zip called licence": _write("LICENSE.txt", b"PK\x03\x04\x14\x00\x00\x00"),
    "a chat template in UTF-16": _write(layout.CHAT_TEMPLATE, "{{ messages }}".encode("utf-16")),
    "code in a folder of its own": _write("code/__init__.py", b"print('hello')\n"),
    # the card
    "a second block of metadata behind a comment": _front(lambda text: f"{text}# ---\n{LIES}"),
    "the right table in a comment": _card(lambda text: _first_row(text, lambda row: f"<!--\n{row}-->\n{ROW}")),
    "the right table in HTML that is not shown": _card(
        lambda text: _first_row(text, lambda row: f"<div hidden>\n\n{row}\n</div>\n{ROW}")
    ),
    "a second row for a gate": _card(lambda text: _first_row(text, lambda row: row + ROW)),
    "a table more": _card(lambda text: f"{text}\n| benchmark | result |\n|---|---|\n| MMLU | 99 % |\n"),
    "a sentence that only people see": _card(lambda text: text.replace("## Limits", "It beats GPT.\n\n## Limits")),
    "a key of the metadata twice": _front(lambda text: text + LIES),
    "a key that the metadata should not have": _front(lambda text: f"{text}eval_results: [{{mmlu: 99}}]\n"),
    "a result in the metadata of another model": _front(
        lambda text: text + "- name: other\n  results: []\n"
    ),
    "metadata that a carriage return ends": _front(lambda text: f"{LIES}\r---\r\n{text}"),
    "a card that begins with a mark of byte order": _card(lambda text: f"\ufeff{text}"),
    "a program that loads another repository": _card(
        lambda text: text.replace('from_pretrained("', 'from_pretrained("someone-else/', 1)
    ),
}  # fmt: skip
"""Each trick by its name."""
