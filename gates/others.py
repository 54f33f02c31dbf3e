"""Answers in the files of other programs, as rows of ours: batches of OpenAI and Anthropic, TGI, lm-eval, and so on.

A file is known by its shape. Only `python -m gates` reads it so: recorded answers are read as they were written.
"""

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from gates import strict_json
from gates.invalid import InvalidData
from gates.rows import MAX_ROWS, Output, parse_outputs, read_outputs

Row: TypeAlias = Mapping[str, Any]
MAX_PROBLEMS = 20
MAX_BYTES = 256 * 2**20
"""Of a file that is read as a whole."""
FINISHED = frozenset({"end_turn", "stop_sequence", "eos_token", "eos", "completed", "complete", "COMPLETE", "STOP"})
"""What others call an answer that ends by itself: Anthropic, TGI, OpenAI's responses, Cohere, Gemini."""
CUT = frozenset({"max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens", "model_context_window_exceeded"})
TEXTS = ("output", "response", "completion", "generated_text", "prediction", "generation")
"""Columns and keys that hold an answer's text."""
REASONS = ("finish_reason", "stop_reason", "finishReason")
KNOWN = (
    "Known are rows of {id, output, finish_reason} (a line each, an array, CSV), batch output of OpenAI and Anthropic, "
    "TGI, samples of lm-eval, results of promptfoo and logs of inspect"
)


def read(path: Path) -> tuple[Output, ...]:
    """The answers in a file of ours or of another program; ``InvalidData`` says which rows cannot be read, and why."""
    rows = _rows(path)
    if rows is None:
        return read_outputs(path)
    problems, found = [], []
    for number, row in enumerate(rows, 1):
        try:
            found.append(_ours(row))
        except ValueError as error:
            problems.append(f"{path} row {number}: {error}")
    if problems:
        raise InvalidData(problems[:MAX_PROBLEMS])
    return parse_outputs(found, str(path))


def _rows(path: Path) -> Sequence[Row] | None:
    """The rows of another program's file; None where every line is one of ours as it stands."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return None  # read line by line, as ours
        data = path.read_bytes()
    except OSError as error:
        raise InvalidData([f"{path}: {error.strerror}"]) from None
    if data.startswith(b"PK\x03\x04"):
        return _inspect_zip(path)
    text = data.decode("utf-8-sig", "replace")
    start = text.lstrip()[:1]
    header = set(text.partition("\n")[0].strip().replace("\t", ",").replace('"', "").split(","))
    is_table = "\n" in text.strip() and {"id", "custom_id"} & header and set(TEXTS) & header
    if is_table or path.suffix.lower() in (".csv", ".tsv"):
        return _table(path, text)
    whole = strict_json.read(text, max_characters=MAX_BYTES) if start == "{" else None
    if start == "[":
        return _listed(path, text)
    if whole is not None and isinstance(whole.value, dict):
        return _of_object(whole.value)
    lines = [strict_json.read(line, max_characters=strict_json.MAX_FILE) for line in text.split("\n") if line.strip()]
    values = [one.value for one in lines if isinstance(one.value, dict)]
    return values if len(values) == len(lines) and any(map(_is_foreign, values)) else None


def _is_foreign(row: Row) -> bool:
    """Whether a row has the shape of another program's; one of ours with a key too many has not."""
    of_a_batch = "custom_id" in row and bool({"response", "result", "error"} & row.keys())
    of_a_harness = {"doc_id", "resps"} <= row.keys() or ("vars" in row and bool({"response", "error"} & row.keys()))
    if of_a_batch or of_a_harness or isinstance(row.get("output"), dict):
        return True
    plain = {"id", "custom_id"} & row.keys() and set(TEXTS) & row.keys() and row.keys() <= PLAIN
    return bool(plain) and (not row.keys() <= OWN or str(row.get("finish_reason")) in FINISHED | CUT)


OWN = frozenset({"id", "output", "finish_reason", "meta"})
PLAIN = OWN | {"custom_id", "details", *TEXTS, *REASONS}


def _listed(path: Path, text: str) -> Sequence[Row]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidData([f"{path}: not a JSON array: {str(error)[:100]}. {KNOWN}"]) from None
    if not all(isinstance(row, dict) for row in rows) or len(rows) > MAX_ROWS:
        raise InvalidData([f"{path}: an array of something else than rows, or of more than {MAX_ROWS:,}. {KNOWN}"])
    return list(rows)


def _of_object(whole: Row) -> Sequence[Row] | None:
    """The rows in one object: a promptfoo result, an inspect log, or a single row."""
    results = whole.get("results")
    inner = results.get("results") if isinstance(results, dict) else results
    for rows in (inner, whole.get("samples")):
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            return list(rows)
    return [whole] if _is_foreign(whole) else None


def _inspect_zip(path: Path) -> Sequence[Row]:
    """The samples of an inspect log in its own format, as far as they are packed in a way that is read here."""
    rows: list[Row] = []
    size = 0
    try:
        with zipfile.ZipFile(path) as file:
            names = sorted(one for one in file.namelist() if one.startswith("samples/") and one.endswith(".json"))
            for name in names[:MAX_ROWS]:
                size += file.getinfo(name).file_size
                if size > MAX_BYTES:
                    raise InvalidData([f"{path}: more than {MAX_BYTES:,} bytes of samples. Split the log"])
                if file.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise NotImplementedError(f"{name} is packed in another way than deflate")
                if not isinstance(row := json.loads(file.read(name)), dict):
                    raise ValueError(f"{name} is no object")  # noqa: TRY004, TRY301  # a fault of the file
                rows.append(row)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        way = "write it as JSON: inspect log convert LOG --to json --output-dir FOLDER"
        raise InvalidData([f"{path}: this log cannot be read: {str(error)[:100]}; {way}"]) from None
    if not rows:
        raise InvalidData([f"{path}: an archive without samples. {KNOWN}"])
    return rows


def _table(path: Path, text: str) -> Sequence[Row]:
    first = text.partition("\n")[0]
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in first else ",", strict=True)
        names = [name for name in reader.fieldnames or () if name]
        if not {"id", "custom_id"} & set(names) or not set(TEXTS) & set(names):
            columns = f"the columns are {', '.join(names)[:100]}: it needs id and output"
            raise InvalidData([f"{path}: neither JSON nor a table of answers; as CSV {columns}. {KNOWN}"])
        kept = (*TEXTS, *REASONS, "id", "custom_id")
        rows = [{key: one for key, one in row.items() if key in kept and one is not None} for row in reader]
    except csv.Error as error:
        raise InvalidData([f"{path}: not CSV: {error}. {KNOWN}"]) from None
    if not rows:
        raise InvalidData([f"{path} line 1: a table's header without a row under it. {KNOWN}"])
    return [{key: one for key, one in row.items() if one or key not in REASONS} for row in rows]


def _ours(row: Row) -> Row:
    """A row of another program as {id, output, finish_reason}; ``ValueError`` says what it lacks."""
    for shape in SHAPES:
        if (found := shape(row)) is not None:
            name, text, reason = found
            break
    else:
        keys = ", ".join(map(str, row))[:100]
        raise ValueError(f"the keys are {keys}: it needs id and output, and takes finish_reason and meta. {KNOWN}")
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise ValueError(f"its id is {name!r:.40}, and must be the golden row's: text or a whole number")  # noqa: TRY004  # a fault of the row
    if text is not None and not isinstance(text, str):
        text = json.dumps(text, ensure_ascii=False)  # parsed already by who wrote the file
    if reason is not None and not isinstance(reason, str):
        raise ValueError(f"finish_reason is {reason!r:.40}, and must be text")
    said = "stop" if reason is None or reason in FINISHED else "length" if reason in CUT else reason
    return {"id": name, "output": text, "finish_reason": said}


Found: TypeAlias = tuple[Any, Any, Any] | None


def _openai_batch(row: Row) -> Found:
    if "custom_id" not in row or not {"response", "error"} & row.keys():
        return None
    response = row.get("response")
    given: Row = response if isinstance(response, dict) else {}
    body = given.get("body")
    if row.get("error") or not isinstance(body, dict) or given.get("status_code", 200) != 200:
        return row["custom_id"], "", "error"
    return (row["custom_id"], *_completion(body))


def _completion(body: Row) -> tuple[Any, Any]:
    """Text and reason of an answer of OpenAI's two interfaces."""
    if isinstance(choices := body.get("choices"), list):
        (one,) = choices if len(choices) == 1 else (None,)
        if not isinstance(one, dict):
            raise ValueError(f"has {len(choices)} choices, and one can be judged: ask with n=1")  # noqa: TRY004  # the same
        message = one.get("message")
        if not isinstance(message, dict):
            return one.get("text"), one.get("finish_reason")
        reason, text = one.get("finish_reason"), message.get("content")
        calls = message.get("tool_calls")
        if text is None and isinstance(calls, list) and len(calls) == 1 and isinstance(calls[0], dict):
            called = calls[0].get("function")
            arguments = called.get("arguments") if isinstance(called, dict) else None
            return arguments, None if reason == "tool_calls" else reason
        return text, reason if not message.get("refusal") else "refusal"
    parts = [part for item in _dicts(body.get("output")) for part in _dicts(item.get("content"))]
    details = body.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else body.get("status")
    return _text(part for part in parts if part.get("type") == "output_text"), reason


def _text(parts: Iterable[Row]) -> str:
    return "".join(text for part in parts if isinstance(text := part.get("text"), str))


def _dicts(value: object) -> Iterator[Row]:
    yield from (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _anthropic_batch(row: Row) -> Found:
    result = row.get("result")
    if "custom_id" not in row or not isinstance(result, dict):
        return None
    message = result.get("message")
    if result.get("type") != "succeeded" or not isinstance(message, dict):
        return row["custom_id"], "", str(result.get("type", "error"))
    return (row["custom_id"], *_message(message))


def _message(message: Row) -> tuple[Any, Any]:
    blocks = list(_dicts(message.get("content")))
    calls = [block.get("input") for block in blocks if block.get("type") == "tool_use"]
    text = _text(block for block in blocks if block.get("type") == "text")
    reason = message.get("stop_reason")
    if len(calls) == 1 and not text.strip():
        return calls[0], None if reason == "tool_use" else reason
    return text, reason


def _lm_eval(row: Row) -> Found:
    if "doc_id" not in row or "resps" not in row:
        return None
    resps = row["resps"]
    flat = (
        [text for one in resps for text in (one if isinstance(one, list) else [one])] if isinstance(resps, list) else []
    )
    if len(flat) != 1:
        raise ValueError(f"has {len(flat)} answers, and one can be judged: run lm-eval with repeats: 1, generate_until")
    doc = row.get("doc")
    return doc.get("id", row["doc_id"]) if isinstance(doc, dict) else row["doc_id"], flat[0], None


def _promptfoo(row: Row) -> Found:
    if "vars" not in row or not {"response", "error"} & row.keys():
        return None
    response = row.get("response")
    given, test = row.get("vars"), row.get("testCase")
    meta = test.get("metadata") if isinstance(test, dict) else None
    held = [one for one in (given, meta) if isinstance(one, dict) and "id" in one]
    if not held:
        raise ValueError("its vars and its test's metadata have no id: add one to each test, that of the golden row")
    if not isinstance(response, dict) or "output" not in response:
        return held[0]["id"], "", "error"
    return held[0]["id"], response["output"], response.get("finishReason")


def _inspect(row: Row) -> Found:
    output = row.get("output")
    if not isinstance(output, dict) or "choices" not in output:
        return None
    if row.get("epoch", 1) != 1:
        raise ValueError(f"is of epoch {row['epoch']}: one answer to each row can be judged. Run with --epochs 1")
    choices = list(_dicts(output["choices"]))
    if row.get("error") or not choices:
        return row.get("id"), "", "error"
    message = choices[0].get("message")
    content = message.get("content") if isinstance(message, dict) else None
    text = content if isinstance(content, str) else _text(_dicts(content))
    return row.get("id"), text, choices[0].get("stop_reason")


def _plain(row: Row) -> Found:
    texts = [name for name in TEXTS if name in row and not isinstance(row[name], dict)]
    name = row.get("id", row.get("custom_id"))
    if name is None or len(texts) != 1 or not row.keys() <= PLAIN:
        return None
    details = row.get("details")
    reasons = [one[key] for one in (row, details) if isinstance(one, dict) for key in REASONS if key in one]
    if any(not isinstance(one, str) for one in reasons):
        raise ValueError(f"finish_reason is {reasons[0]!r:.40}, and must be text")
    return name, row[texts[0]], reasons[0] if reasons else None


SHAPES: tuple[Callable[[Row], Found], ...] = (_openai_batch, _anthropic_batch, _lm_eval, _promptfoo, _inspect, _plain)
