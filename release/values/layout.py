"""Each file that a release holds, once: its name, what it is, and what others may do with it.

A run folder holds those under ``gates/`` and ``data/`` too, the first without their folder (``in_run``).
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a release."""

    name: str
    """Below the release's folder, with forward slashes."""
    holds: str
    needed: bool = False
    """Whether every release has it, the first ones included."""
    judged: bool = False
    """Whether each candidate leaves it: what it was judged by, and what came of it."""
    compared: bool = False
    """Whether the next release of the same repository fetches it, to be compared with this one."""
    listed: bool = True
    """Whether the record lists its sha256: it cannot list itself, nor what is signed after it."""


RECORD = "release.json"
CARD = "README.md"
WEIGHTS = "adapter_model.safetensors"
SETTINGS = "adapter_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
"""Where a tokenizer's folder, a run and a release hold the template."""
VERDICT = "gates/verdict.json"
COMPARISON = "gates/comparison.json"
COMPARISON_LAST = "gates/comparison_last.json"
COMPARISON_BEST = "gates/comparison_best.json"
ANSWERS = "gates/answers.jsonl"
BASE_ANSWERS = "gates/base_answers.jsonl"
POLICY = "gates/policy.json"
CONTRACT = "gates/contract.json"
ANSWER_SCHEMA = "gates/answer.schema.json"
GOLDEN_ROWS = "gates/golden_rows.json"
DATA = {"train": "data/train.jsonl", "golden": "data/golden.jsonl"}
EXPORTS = "exports"
"""The folder, of a run and of a release, with the same weights in other engines' formats."""
TRAINED = "trained"
"""The name of the form that an adapter was trained in, which needs no mention."""
MERGED = "merged"
"""The folder in ``EXPORTS`` with the merged model in safetensors."""
OF_A_FORM = ("answers.jsonl", "verdict.json", "comparison.json")
"""What is held of each form beside the one it was trained in: its answers, their verdict, both forms row by row."""
TEST_RESULT = "attestations/test-result.json"
PROVENANCE = "attestations/provenance.json"
ENVELOPES = "attestations/signed.intoto.jsonl"
SIGNATURE = "model.sig"
PREVIOUS = "earlier"
"""The folder, in ``gates/`` and beside the run folders, with the files of previous releases by their commits."""

FILES = (
    File(name=CARD, needed=True, holds="the model card: what was measured, and how to load what was judged"),
    File(name=RECORD, needed=True, compared=True, listed=False, holds="the record: all to make it again"),
    File(name=SETTINGS, needed=True, holds="PEFT's settings of the adapter"),
    File(name=WEIGHTS, needed=True, holds="the adapter's weights"),
    File(name=CHAT_TEMPLATE, holds="the chat template that the adapter was trained and judged with"),
    File(name=VERDICT, needed=True, judged=True, holds="each gate's counts and state"),
    File(name=COMPARISON, judged=True, holds="the adapter beside the base without it"),
    File(name=COMPARISON_LAST, holds="the adapter beside the last release, where there is one"),
    File(name=COMPARISON_BEST, holds="the adapter beside each gate's best release, where there is one"),
    File(name=ANSWERS, needed=True, judged=True, compared=True, holds="the adapter's answers to the golden rows"),
    File(name=BASE_ANSWERS, judged=True, holds="the base's own answers to them"),
    File(name=POLICY, needed=True, judged=True, compared=True, holds="the gates' thresholds, as before training"),
    File(name=CONTRACT, needed=True, judged=True, holds="where an answer holds its text, citations and refusal"),
    File(name=ANSWER_SCHEMA, needed=True, judged=True, holds="the JSON Schema of an answer"),
    File(name=GOLDEN_ROWS, judged=True, compared=True, holds="a digest of each golden row"),
    File(name=DATA["train"], holds="the rows that it was trained on, where their licence allows to publish them"),
    File(name=DATA["golden"], holds="the rows that it was judged by, likewise"),
    File(name=TEST_RESULT, holds="the verdict as an in-toto statement"),
    File(name=PROVENANCE, holds="what it was made of, as an in-toto statement"),
    File(name=ENVELOPES, listed=False, holds="both statements, signed with a key"),
    File(name=SIGNATURE, listed=False, holds="the signature over all other files"),
)
NEEDED = tuple(file.name for file in FILES if file.needed)
JUDGED = tuple(file.name for file in FILES if file.judged)
COMPARED = tuple(file.name for file in FILES if file.compared)
UNLISTED = tuple(file.name for file in FILES if not file.listed)
FOLDERS = ("gates/", "data/", "attestations/", f"{EXPORTS}/")
"""Where a release holds what is not a part of the adapter; whatever else is there is loaded with it."""


def in_run(name: str) -> str:
    """Where a run folder holds a file of ``gates/``."""
    return name.removeprefix("gates/")


def of_form(form: str) -> dict[str, str]:
    """Where a release holds the files ``OF_A_FORM`` of this form."""
    return {name: f"gates/forms/{form}/{name}" for name in OF_A_FORM}
