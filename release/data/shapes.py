"""The shapes that rows come in, by their keys: who writes so, the format that reads it, and under which keys.

One table for reading, for messages and for docs/data.md. The first shape whose keys a row has is what it is.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from gates.canonical import Json
from gates.shown import shorten
from release.data.turns import BadRow, How, Row, inside, option

AUTO = ("auto", "chat_jsonl", "jsonl")  # the first, and what older configurations call it


@dataclass(frozen=True, kw_only=True)
class Shape:
    form: str
    name: str
    """Who writes so."""
    keys: tuple[str, ...]
    """What a row of it has; dots lead inside."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The format's fields under other keys."""


SHAPES = (
    Shape(form="canonical", name="this tool, golden rows", keys=("prompt", "gold")),
    Shape(form="preference", name="OpenAI preference tuning", keys=("input.messages", "preferred_output"),
          fields={"prompt": "input.messages", "chosen": "preferred_output"}),
    Shape(form="preference", name="LLaMA-Factory ranking, ShareGPT", keys=("conversations", "chosen"),
          fields={"prompt": "conversations"}),
    Shape(form="preference", name="LLaMA-Factory ranking, Alpaca", keys=("instruction", "chosen"),
          fields={"prompt": "instruction"}),
    Shape(form="preference", name="TRL, UltraFeedback, DPO", keys=("prompt", "chosen")),
    Shape(form="preference", name="Intel Orca DPO pairs", keys=("question", "chosen"),
          fields={"prompt": "question"}),
    Shape(form="preference", name="TRL, the question inside", keys=("chosen", "rejected")),
    Shape(form="chat", name="OpenAI, Anthropic, Bedrock, TRL, MLX, Axolotl, this tool", keys=("messages",)),
    Shape(form="chat", name="OpenAI batch", keys=("body.messages",), fields={"messages": "body.messages"}),
    Shape(form="gemini", name="Gemini, Vertex AI", keys=("contents",)),
    Shape(form="sharegpt", name="ShareGPT, LLaMA-Factory, Unsloth", keys=("conversations",)),
    Shape(form="sharegpt", name="LMSYS, WildChat", keys=("conversation",), fields={"conversations": "conversation"}),
    Shape(form="prompt_completion", name="TRL, MLX, OpenAI", keys=("prompt", "completion")),
    Shape(form="alpaca", name="Alpaca, LLaMA-Factory", keys=("instruction", "output")),
    Shape(form="alpaca", name="dolly", keys=("instruction", "response"),
          fields={"output": "response", "input": "context"}),
    Shape(form="archive", name="RAGAS", keys=("user_input", "reference"),
          fields={"query": "user_input", "answer": "reference", "documents": "retrieved_contexts"}),
    Shape(form="archive", name="RAGAS", keys=("user_input", "response"),
          fields={"query": "user_input", "answer": "response", "documents": "retrieved_contexts"}),
    Shape(form="archive", name="RAGAS 0.1", keys=("question", "contexts", "ground_truth"),
          fields={"query": "question", "answer": "ground_truth", "documents": "contexts"}),
    Shape(form="archive", name="RAGAS 0.1", keys=("question", "contexts", "answer"),
          fields={"query": "question", "documents": "contexts"}),
    Shape(form="archive", name="records of a RAG service", keys=("query", "answer")),
    Shape(form="alpaca", name="ms-swift", keys=("query", "response"),
          fields={"instruction": "query", "output": "response"}),
    Shape(form="prompt_completion", name="OpenOrca", keys=("question", "response"),
          fields={"prompt": "question", "completion": "response", "system": "system_prompt"}),
    Shape(form="prompt_completion", name="question and answer", keys=("question", "answer"),
          fields={"prompt": "question", "completion": "answer"}),
    Shape(form="prompt_completion", name="prompt and response", keys=("prompt", "response"),
          fields={"completion": "response"}),
    Shape(form="prompt_completion", name="input and output", keys=("input", "output"),
          fields={"prompt": "input", "completion": "output"}),
)  # fmt: skip
ASKED = ("prompt", "question", "query", "input", "instruction", "user_input", "user", "ask", "q", "request", "problem")
RIGHT = ("expected", "reference", "gold", "ground_truth", "ideal", "corrected")
"""In the names of answers that somebody gave as right ones; without one there are those that a model gave."""
ANSWERED = ("completion", "answer", "response", "output", "reply", "target", "assistant", "solution", "a", "chosen")
NOT_SAID = ("suggest", "status", "actual", "predict", "rejected")
"""In the names of what nobody gave as a right answer: a model's, a proposal, a state."""
WHOLE = ("text", "content", "body")
MARKS: Mapping[str, tuple[str, ...]] = {
    "canonical": ("prompt", "gold"), "chat": ("messages",), "prompt_completion": ("prompt", "completion"),
    "sharegpt": ("conversations",), "alpaca": ("instruction", "output"), "archive": ("query", "answer"),
    "gemini": ("contents",), "preference": ("chosen",),
}  # fmt: skip
"""The fields by which a format is known where the keys of all of them are named."""


def recognise(row: Row, how: How) -> tuple[str, Mapping[str, str]]:
    """The format that a row's keys say, and the key of each of its fields; ``BadRow`` names what comes nearest."""
    if _columns(row):
        raise BadRow(f"it is one object of columns, not of a row. Write its rows: {_PANDAS}")
    if by_name := next(_by_names(row, how), None):
        return by_name, how.fields
    there: Row = {key: value for key, value in row.items() if value is not None}
    for given in (there, row):  # a table has a null where another row has something
        for shape in SHAPES:
            if how.form in (*AUTO, shape.form) and all(holds(given, key) for key in shape.keys):
                return shape.form, {**shape.fields, **how.fields}
    if how.form not in AUTO:
        return how.form, how.fields
    if holds(row, "gold") or not row:
        return "canonical", how.fields
    raise BadRow(nearest(row))


def _by_names(row: Row, how: How) -> Iterator[str]:
    """The formats whose fields were named, and stand in the row where it was said."""
    for form, needs in MARKS.items():
        named = any(name in how.fields for name in needs)
        if how.form in (*AUTO, form) and named and all(holds(row, how.fields.get(name, name)) for name in needs):
            yield form


def holds(row: Row, path: str) -> bool:
    """Whether a dotted key is there, be it null: then it is what is missing that is said, not the format."""
    if path in row:
        return True
    inside: object = row
    for key in path.split("."):
        if not isinstance(inside, dict) or key not in inside:
            return False
        inside = inside[key]
    return True


def nearest(row: Row) -> str:
    """What to say of a row whose keys are those of no format: the one that comes nearest, and how to ask for it."""
    keys = ", ".join(map(str, row))
    what = f"no format has these keys: {shorten(keys, 200)}"
    if many := _of_many_rows(row):
        return many
    other = {key: value for key, value in row.items() if key != "documents"}  # of a row, whatever else it holds
    lists = [key for key, value in other.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    sound = {key: value for key, value in row.items() if not any(word in key.lower() for word in NOT_SAID)}
    asked, answered = _guess(sound, ASKED), _guess(sound, RIGHT) or _guess(sound, ANSWERED)
    if len(lists) == 1 and lists[0] in ASKED and answered:
        asked = lists[0]
    elif len(lists) == 1:
        way = _messages(lists[0]) if _like_messages(row[lists[0]]) else _DEEPER
        return f"{what}. If {lists[0]} is the list of rows, write that list alone; {way}"
    if asked and answered:
        return f"{what}. Nearest is prompt_completion: {_pair(asked, answered)}"
    if whole := next((key for key in WHOLE if isinstance(row.get(key), str)), None):
        return (
            f"{what}. {whole} does not say where the question ends and the answer begins, so there is nothing to "
            "learn as an answer. Write both: prompt and completion, or messages"
        )
    if asked:
        return f"{what}. It has a question and no answer by its name. Say where: {_pair(asked, 'KEY')}"
    return f"{what}. Say which keys hold them: --format prompt_completion --field prompt=KEY --field completion=KEY"


_DEEPER = "what stands within a list no option names: write what is asked and the answer as prompt and completion"
_PANDAS = "`frame.to_json(path, orient='records', lines=True)` in pandas"


def _pair(asked: str, answered: str) -> str:
    return f"--format prompt_completion {option('prompt', asked)} {option('completion', answered)}"


def _messages(key: str) -> str:
    return f"if it is a row's messages: --format chat {option('messages', key)}"


def _like_messages(value: Json) -> bool:
    """Whether the first object of a list has two texts at least, as who speaks and what is said."""
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and ("role" in first or sum(isinstance(one, str) for one in first.values()) > 1)


COLUMNS: Mapping[str, Mapping[str, str]] = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output", "system": "system",
               "history": "history", "chosen": "chosen"},
    "sharegpt": {"messages": "conversations", "system": "system", "chosen": "chosen"},
}  # fmt: skip
"""What LLaMA-Factory's ``columns`` are called here."""
TAGS = {"user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}


def _of_many_rows(row: Row) -> str:
    """What to say of an object that is a list of rows, or of files of them; empty for any other."""
    if commands := _of_dataset_info(row):
        return f"it is LLaMA-Factory's dataset_info.json, which names files of rows. Convert those: {commands}"
    if "role" in row and any(key in row for key in ("content", "text", "value")):
        return 'it is one message. Write all messages of a conversation as one row: {"messages": [...]}'
    pages = row.get("rows")
    if isinstance(pages, list) and pages and isinstance(pages[0], dict) and isinstance(pages[0].get("row"), dict):
        return "it is a page of the Hub's dataset viewer, not the file. Write what stands under `row`, one a line"
    objects = [value for value in row.values() if isinstance(value, dict)]
    halves = [_among({key.lower(): key for key in row}, words) for words in (ASKED, (*RIGHT, *ANSWERED))]
    if (
        1 < len(objects) == len(row)
        and len({frozenset(one) for one in objects}) == 1
        and (None in halves or len(set(halves)) == 1)
    ):
        return f"it is one object of {len(objects)} rows by name. Write its values as one list, or one a line"
    return ""


def _of_dataset_info(row: Row) -> str:
    """The commands that convert the files of LLaMA-Factory's list of datasets; empty for anything else."""
    entries = [one for one in row.values() if isinstance(one, dict) and ("file_name" in one or "hf_hub_url" in one)]
    return "; ".join(map(_command, entries[:3])) if entries and len(entries) == len(row) else ""


def _command(entry: Row) -> str:
    form = str(entry.get("formatting", "alpaca"))
    columns, tags = (given if isinstance(given := entry.get(key), dict) else {} for key in ("columns", "tags"))
    known = COLUMNS.get(form, {})
    options = [option(known[name], str(key)) for name, key in columns.items() if name in known and known[name] != key]
    named = {"role": tags.get("role_tag"), "content": tags.get("content_tag")}
    options += [option(name, str(key)) for name, key in named.items() if key]
    options += [f"--role {tags[tag]}={who}" for tag, who in TAGS.items() if tag in tags]
    file = shlex.quote(str(entry.get("file_name", "FILE")))
    return f"`adapter-release data convert {' '.join([file, '--to rows.jsonl', f'--format {form}', *options])}`"


def _columns(row: Row) -> bool:
    """Whether an object is a whole table: of each column an object by number, or a list of texts."""
    objects = [value for value in row.values() if isinstance(value, dict)]
    lists = [value for value in row.values() if isinstance(value, list)]
    if isinstance(row.get("columns"), list) and isinstance(row.get("data"), list):
        return True  # pandas' orient="split"
    numbered = 0 < len(objects) == len(row) and all(map(str.isdigit, map(str, objects[0])))
    parallel = 1 < len(lists) == len(row) and len({len(one) for one in lists}) == 1
    return numbered or (parallel and all(isinstance(one, str) for value in lists for one in value))


def _guess(row: Row, words: tuple[str, ...]) -> str | None:
    texts = {key.lower(): key for key, value in row.items() if isinstance(value, str) and key[:1] != "_"}
    paths = [f"{key}.{name}" for key, value in row.items() if isinstance(value, dict) for name in value]
    further = {path.partition(".")[2].lower(): path for path in paths if isinstance(inside(row, path), str)}
    spoken = {path.partition(".")[0].lower(): path for path in paths if _like_messages(inside(row, path))}
    return _among(texts, words) or _among(further, words) or _among(spoken, words)


def _among(texts: Mapping[str, str], words: tuple[str, ...]) -> str | None:
    exact = next((texts[word] for word in words if word in texts), None)
    within: Callable[[str], bool] = lambda key: any(len(word) > 2 and word in key for word in words)  # noqa: E731
    return exact or next((name for key, name in texts.items() if within(key)), None)
