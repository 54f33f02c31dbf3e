"""A file as people have it → its rows as JSON values, one after the other, whatever they are packed in.

JSON Lines, one JSON array, objects over several lines, CSV and TSV, Parquet and Arrow; packed with gzip, bzip2, xz or
zstd; UTF-8 or UTF-16 with a byte order mark. A file is read in pieces and never held whole.
"""

import bz2
import codecs
import contextlib
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar, cast

from gates import strict_json
from gates.canonical import Json
from release.data import tables
from release.values.errors import DataError

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")
LONGEST = 10_000_000  # characters of a row: far more than any context holds
LONGEST_LINE = 4 * LONGEST + 1  # bytes of as many characters, and one more
PIECE = 1 << 20
HEAD = 1 << 16
PLENTY, TIMES = 256 << 20, 200
"""Bytes to which any file may unpack, and how many times its own if that is more: rows as people write them pack to a
tenth, and rows that repeat a long prompt to a hundredth."""
SAID = 64  # rows between two looks at how far a file is read
WRAPPED = re.compile(
    r'\s*\{\s*"(?:data|rows|examples|train|instances|items|records|dataset|samples|entries)"\s*:\s*(?=\[\s*\{)'
)
"""The beginning of an object that only holds the list of rows."""
MARKS: dict[bytes, str] = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
"""Byte order marks, the longer ones first, and the encoding that each says."""
OTHERS: dict[bytes, str] = {
    b"PK\x03\x04": "a zip archive or a workbook of Excel. Unpack it, or save the sheet as CSV",
    b"%PDF-": "a PDF. Write its questions and answers as JSON Lines",
    b"SQLite format 3": "an SQLite database. Export the table as CSV",
    b"version https://git-lfs": "a pointer of Git LFS, not the file. Run `git lfs pull`",
    b"<": "a web page or XML. Where it was downloaded: the address of the file itself is another one",
    b"\x80": "a Python pickle. Write its rows as JSON Lines",
    b"\x89PNG": "a picture. Write its questions and answers as JSON Lines",
    b"\x1f\x9d": "packed by compress. Unpack it",
    b"7z\xbc\xaf": "a 7z archive. Unpack it, and name the file of rows in it",
    b"Rar!\x1a": "a rar archive. Unpack it, and name the file of rows in it",
    b"Obj\x01": "an Avro file. Write its rows as JSON Lines or Parquet",
    b"\x89HDF": "an HDF5 file. Write its rows as JSON Lines or Parquet",
    b"\x93NUMPY": "an array of NumPy. Write its rows as JSON Lines or Parquet",
    b"\xd0\xcf\x11\xe0": "a document or workbook of an old Office. Save the sheet as CSV",
    b"{\\rtf": "a document in RTF. Write its questions and answers as JSON Lines",
}
"""How files begin that hold no rows, what they are and what to do."""
TAR = 257
"""Where a tar archive says what it is: it begins with the name of its first file."""
ADVICE = {
    "not_utf8": "Save the file as UTF-8",
    "bom": "Take it out: a byte order mark stands at the start of a file, once",
    "fenced": "Take the lines with the fence out",
    "too_long": "Leave the row out, or cut it into several",
    "lone_surrogate": "Write the whole character, or leave it out: no text can hold half of one",
    "duplicate_key": "Leave one of the two out",
    "non_finite": "Write null, or leave the key out",
}
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""How files of gzip, bzip2, xz and zstd begin."""
SPELLINGS = {
    r"\x1e":
        "It is a JSON text sequence: take the record separators (U+001E) out",
    r"\s*[\[{]?\s*\{?\s*'|[^\n]*:\s*(?:None|True|False)\b|(?:None|True|False)\b":
        "It is how Python shows an object: write `json.dumps(row)`, one a line",
    r"\s*(?://|/\*|#)": "JSON has no comments: take them out",
    r"\s*[\]}]": "Take the comma before it out",
    r"\s*-\s+\w+:": "It is YAML: write its rows as JSON, one object a line",
}  # fmt: skip
"""How texts begin that are nearly JSON, and what to do."""
CANNOT_UNPACK = (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeError)
SCAN = json.JSONDecoder(parse_int=str, parse_float=str)  # finds where a value ends; strict_json says what it is


@dataclass(frozen=True, kw_only=True)
class Item:
    """One value of a file."""

    line: int
    """Where it begins; in Parquet and Arrow the row."""
    value: Json
    raw: bytes = b""
    """Its text as it stands, where a line of UTF-8 is the row."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A place of a file that is not a value."""

    line: int
    says: str


Found = Iterator[Item | Fault]
Watch = Callable[[int, int], None]
"""Told how many bytes of how many were read."""


def items(path: Path, watch: Watch = lambda _done, _all: None) -> Found:
    """Every row of a file; ``DataError`` where the file holds none in any way that is known."""
    with contextlib.closing(_each_of(path, lambda stream: _rows(path, stream), watch)) as found:
        yield from found


def lines(path: Path, watch: Watch = lambda _done, _all: None) -> Iterator[bytes]:
    """Every line of a file that is not blank, unpacked and unread."""
    with contextlib.closing(_each_of(path, lambda stream: filter(bytes.strip, stream), watch)) as found:
        yield from found


def _each_of(
    path: Path, read: "Callable[[io.BufferedReader], Iterator[T]]", watch: Watch
) -> "Generator[T, None, None]":
    """What is read of an unpacked file, with how far it is."""
    try:
        with path.open("rb", buffering=HEAD) as opened, contextlib.ExitStack() as open_until_here:
            file = cast("io.BufferedReader", opened)
            size = max(path.stat().st_size, 1)
            most = max(PLENTY, TIMES * size)
            stream = open_until_here.enter_context(_unpacked(path, file, file.peek(HEAD)[:HEAD], most))
            for number, found in enumerate(read(cast("io.BufferedReader", stream))):
                if number % SAID == 0 and not file.closed:
                    watch(min(file.tell(), size), size)
                yield found
            watch(size, size)
    except CANNOT_UNPACK as error:
        raise _unreadable(path, error) from None


def packed(path: Path) -> bool:
    """Whether a file's bytes are not those of its rows."""
    with path.open("rb") as file:
        return file.read(8).startswith(PACKED)


def stem(path: Path) -> str:
    """A file's name as ids begin with it, the same in whatever the rows are packed."""
    name = path.name
    while (end := Path(name).suffix.lower()) in (
        *(".gz", ".bz2", ".xz", ".zst", ".zstd", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow"),
        ".txt",
    ) and len(name) > len(end):
        name = name[: -len(end)]
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, UnicodeError):
        return DataError(f"{path}: its bytes are not the encoding that its first ones say. Save the file as UTF-8.")
    if isinstance(error, OSError) and error.strerror:
        return DataError(
            f"{path} cannot be read: {error.strerror}. Check the path, here or under data in the configuration."
            f"{_of_the_hub(path)}"
        )
    return DataError(f"{path} cannot be unpacked: {str(error) or 'it ends too early'}. Fetch it again, or unpack it.")


def _of_the_hub(path: Path) -> str:
    """What to write for somebody who named a dataset of the Hub, or many files."""
    if "*" in path.name:
        return " One file is named; `adapter-release data convert FILE FILE --to rows.jsonl` makes one of several."
    if path.suffix or path.parent.exists():
        return ""
    name = f"{path.parent.name}/{path.name}"
    return (
        f" A dataset of the Hub is named with its commit and file: hf://datasets/{name}@COMMIT/PATH "
        f"(`git ls-remote https://huggingface.co/datasets/{name}` prints the commit)."
    )


def _unpacked(path: Path, file: IO[bytes], head: bytes, most: int) -> contextlib.AbstractContextManager[IO[bytes]]:
    """The file's own bytes, by how it begins; of what is packed ``most``."""
    if head.startswith(PACKED[0]):
        return _within(gzip.GzipFile(fileobj=file), most)
    if head.startswith(PACKED[1]):
        return _within(bz2.BZ2File(file), most)
    if head.startswith(PACKED[2]):
        return _within(lzma.LZMAFile(file), most)
    if head.startswith(PACKED[3]):
        return _within(tables.unpacked(file, path), most)
    return contextlib.nullcontext(file)


def _within(unpacked: io.IOBase, most: int) -> io.BufferedReader:
    return io.BufferedReader(_Within(cast("io.RawIOBase", unpacked), most), HEAD)


class _Within(io.RawIOBase):
    """What was packed, as long as there is not more of it than there may be."""

    def __init__(self, unpacked: io.RawIOBase, most: int) -> None:
        self.unpacked, self.left, self.most = unpacked, most, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        count = self.unpacked.readinto(buffer) or 0
        self.left -= count
        if self.left < 0:
            raise OSError(f"it unpacks to more than {self.most:,} bytes, {TIMES} times its own, as no rows do")
        return count


def _rows(path: Path, stream: io.BufferedReader) -> Found:
    head = stream.peek(HEAD)[:HEAD]
    if head.startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")):
        for number, value in enumerate(tables.rows(stream, head, path), 1):
            yield Item(line=number, value=value)
        return
    encoding = next((name for mark, name in MARKS.items() if head.startswith(mark)), "")
    if other := _no_rows(head, encoding):
        raise DataError(f"{path} is {other}. Nothing was read.")
    if tables.of_cells(path):
        yield from _cells(path, stream, encoding or "utf-8")
    elif encoding and encoding != "utf-8-sig":
        yield from _json(io.BufferedReader(_Recoded(stream, encoding), HEAD), lines_are_bytes=False)
    else:
        if encoding:
            stream.read(len(codecs.BOM_UTF8))
        yield from _json(stream, lines_are_bytes=not encoding)


def _no_rows(head: bytes, encoding: str) -> str:
    """What a file is that begins so, and what to do, where it holds no rows."""
    if head[TAR : TAR + 8] in (b"ustar\x0000", b"ustar  \0"):  # POSIX's and GNU's
        return "a tar archive. Unpack it, and name the file of rows in it"
    if other := next((says for begins, says in OTHERS.items() if head.lstrip().startswith(begins)), ""):
        return other
    return "not text. Write its rows as JSON Lines in UTF-8" if b"\0" in head and not encoding else ""


class _Recoded(io.RawIOBase):
    """A stream in another encoding, as UTF-8."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self.stream, self.decoder, self.left = stream, codecs.getincrementaldecoder(encoding)(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        while not self.left and (piece := self.stream.read(PIECE)):
            self.left = self.decoder.decode(piece).encode("utf-8", "surrogatepass")
        if not self.left:
            self.decoder.decode(b"", final=True)
        room = memoryview(buffer)
        part, self.left = self.left[: len(room)], self.left[len(room) :]
        room[: len(part)] = part
        return len(part)


def _cells(path: Path, stream: io.BufferedReader, encoding: str) -> Found:
    text = io.TextIOWrapper(stream, encoding=encoding, newline="")
    try:
        for line, value in tables.cells(text, path):
            yield Fault(line=line, says=value) if isinstance(value, str) else Item(line=line, value=value)
    except UnicodeDecodeError:
        raise DataError(f"{path}: its text is not {encoding}. Save the file as UTF-8.") from None
    finally:
        with contextlib.suppress(ValueError):
            text.detach()


def _json(stream: io.BufferedReader, *, lines_are_bytes: bool) -> Found:
    """Lines, the items of an array, or objects over several lines, by how the text begins."""
    head = stream.peek(HEAD)[:HEAD]
    text = head.decode("utf-8", "ignore")
    first = text.lstrip()[:1]
    wrapped = WRAPPED.match(text)
    if first == "[" or wrapped or (first == "{" and _over_lines(text)):
        start = wrapped.end() if wrapped else 0
        yield from _values(_Text(stream), start, array=first == "[" or bool(wrapped), wrapped=bool(wrapped))
        return
    for number, line in _lines(stream):
        if line.strip():
            yield _read(line.removesuffix(b"\n"), number, raw=lines_are_bytes)


def _over_lines(text: str) -> bool:
    """Whether the first object ends on a later line than it begins on, as where it was written to be read."""
    start = len(text) - len(text.lstrip())
    line_end = text.find("\n", start)
    if line_end < 0 or strict_json.read(text[start:line_end]).code != "truncated":
        return False
    try:
        SCAN.raw_decode(text, start)
    except json.JSONDecodeError as error:
        return error.pos >= len(text) - 1 or error.msg.startswith("Unterminated")
    except (ValueError, RecursionError):
        return False
    return True


def _lines(stream: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    """Each line; of one that is longer than any row, its beginning."""
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        rest = line
        while len(rest) == LONGEST_LINE and not rest.endswith(b"\n"):
            rest = stream.readline(LONGEST_LINE)
        yield number, line


def _read(text: bytes | str, line: int, *, raw: bool) -> Item | Fault:
    reading = strict_json.read(text, max_characters=LONGEST)
    if reading.ok:
        return Item(line=line, value=reading.value, raw=bytes(text) if raw and isinstance(text, bytes) else b"")
    advice = ADVICE.get(reading.code, "Write one JSON object a line")
    if reading.code == "trailing_text" and isinstance(text, bytes) and b"\r{" in text.replace(b"\r ", b"\r"):
        advice = "End each line with a line feed, not with a carriage return alone"
    if reading.code == "trailing_text" and text.rstrip()[-1:] in (",", b","):
        advice = "Take the comma off the end of each line, or write [ before the first row and ] behind the last"
    if reading.code == "not_object" and isinstance(reading.value, str) and reading.value.lstrip()[:1] in ("{", "["):
        advice = "It is JSON within a text: write it without the quotes around it"
    if reading.code in ("syntax", "prose_before"):
        shown = text.decode("utf-8", "ignore") if isinstance(text, bytes) else text
        advice = _spelling(shown) or advice
        if line == 1 and _like_cells(shown):
            advice = "It looks like CSV: name the file .csv, or .tsv if tabs part its cells"
    return Fault(line=line, says=f"{reading.code}: {reading.detail}. {advice}")


def _like_cells(text: str) -> bool:
    return bool(re.fullmatch(r'"?[\w .-]+"?(?:[,;\t]"?[\w .-]+"?)+\r?', text))


def _spelling(text: str) -> str:
    """What to do about a text that another language writes so; empty where nothing is known."""
    return next((advice for pattern, advice in SPELLINGS.items() if re.match(pattern, text, re.DOTALL)), "")


class _Text:
    """Text that is read on as it is needed, with the line that each place of it is on."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.decoder = stream, codecs.getincrementaldecoder("utf-8")()
        self.text, self.at, self.line = "", 0, 1

    def more(self) -> bool:
        """Whether there was more: what was passed is forgotten, and a piece as long as the rest is added."""
        if len(self.text) - self.at > LONGEST:
            return False
        piece = self.decoder.decode(data := self.stream.read(max(PIECE, len(self.text) - self.at)))
        self.text, self.at = self.text[self.at :] + piece, 0
        return bool(data)

    def pass_to(self, end: int) -> None:
        self.line += self.text.count("\n", self.at, end)
        self.at = end

    def next(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            rest = self.text[self.at : self.at + 4096]
            if bare := rest.lstrip(strict_json.WHITESPACE):
                self.pass_to(self.at + len(rest) - len(bare))
                return bare[0]
            self.pass_to(self.at + len(rest))
            if self.at >= len(self.text) and not self.more():
                return ""


def _values(text: _Text, start: int, *, array: bool, wrapped: bool) -> Found:
    """Values one after the other, or those of one array; what follows a fault is not read."""
    while len(text.text) < start and text.more():
        pass
    text.pass_to(start)
    try:
        if array and text.next() == "[":
            text.pass_to(text.at + 1)
        yield from _each(text, array=array, wrapped=wrapped)
    except UnicodeDecodeError as error:
        yield Fault(line=text.line, says=f"not_utf8: byte {error.object[error.start]:#04x}. {ADVICE['not_utf8']}")


def _each(text: _Text, *, array: bool, wrapped: bool) -> Found:
    first = True
    while (after := text.next()) and not (array and after == "]"):
        if array and not first:
            if after != ",":
                yield Fault(line=text.line, says=f"syntax: {after!r} where ',' or ']' is expected. {_ARRAY}")
                return
            text.pass_to(text.at + 1)
            text.next()
        line, end = text.line, _end(text)
        if isinstance(end, str):
            yield Fault(line=line, says=end)
            return
        yield _read(text.text[text.at : end], line, raw=False)
        text.pass_to(end)
        first = False
    if array:
        yield from _closed(text, wrapped=wrapped)


_ARRAY = "Write one array of JSON objects, or one object a line"


def _closed(text: _Text, *, wrapped: bool) -> Found:
    """Faults of what follows the items: the array's end, and nothing else."""
    if not text.next():
        yield Fault(line=text.line, says=f"truncated: the array does not end. {_ARRAY}")
        return
    for closing in ("]", "}")[: 1 + wrapped]:
        if text.next() == closing:
            text.pass_to(text.at + 1)
    if wrapped and text.next() == ",":
        yield Fault(line=text.line, says="trailing_text: the object holds more than one list. Write each as a file")
    elif rest := text.next():
        yield Fault(line=text.line, says=f"trailing_text: {rest!r} after the rows. {_ARRAY}")


def _end(text: _Text) -> int | str:
    """Where the value here ends, or what keeps it from being one."""
    while True:
        try:
            end = SCAN.raw_decode(text.text, text.at)[1]
        except json.JSONDecodeError as error:
            ahead = error.pos - text.at
            if text.more():
                continue
            if len(text.text) - text.at > LONGEST:
                return f"too_long: more than {LONGEST:,} characters, or not JSON. {ADVICE['too_long']}"
            place = text.at + ahead
            rest = text.text[place:].rstrip()
            cut = not rest or error.msg.startswith("Unterminated") or strict_json.CUT_TOKEN.fullmatch(rest) is not None
            line = text.line + text.text.count("\n", text.at, place)
            advice = _spelling(rest) or _ARRAY
            return f"{'truncated' if cut else 'syntax'}: {error.msg} (line {line}). {advice}"
        except RecursionError:
            return f"too_deep: more than {strict_json.MAX_DEPTH} levels. {_ARRAY}"
        if end < len(text.text) or not text.more():
            return end
