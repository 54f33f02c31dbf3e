"""Each file that a release holds, once: its name, what it is, and what others may do with it.

A run folder holds those under ``gates/`` and ``data/`` too, the first without their folder (``in_run``).
"""

import re
from dataclasses import dataclass

from release.values import bounds
from release.values.bounds import Kind


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a release."""

    name: str
    """Below the release's folder, with forward slashes."""
    holds: str
    kind: Kind
    """What its bytes are, and how many it may have."""
    needed: bool = False
    """Whether every release has it, the first ones included."""
    judged: bool = False
    """Whether each candidate leaves it: what it was judged by, and what came of it."""
    compared: bool = False
    """Whether the next release of the same repository fetches it, to be compared with this one."""
    listed: bool = True
    """Whether the record lists its sha256: it cannot list itself, nor what is signed after it."""


RECORD = "release.json"
ATTESTATION = "attestation.json"
"""The record of a model that somebody serves, in a repository that holds no adapter."""
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
LEDGER = "gates/ledger.jsonl"
REVIEW = "gates/review.json"
"""What people said of the answers, where the policy asks them."""
PAGE = "gates/report.html"
"""The page for people, which nothing loads."""
PICTURE = "gates/report.svg"
"""The gates as a picture, which the card shows."""
DATA = {"train": "data/train.jsonl", "tuning": "data/tuning.jsonl", "golden": "data/golden.jsonl"}
INPUTS = "inputs.json"
"""In a run folder, and not released: what its name is the digest of."""
TRAINING_METRICS = "training_metrics.json"
"""What was measured on tuning rows while it trained, beside the adapter's own files, which nothing loads."""
TRAINING_CONFIG = "training_config.yaml"
"""Beside it: the configuration of the record, for who reads no record."""
EXPORTS = "exports"
"""The folder, of a run and of a release, with the same weights in other engines' formats."""
TRAINED = "trained"
"""The name of the form that an adapter was trained in, which needs no mention."""
MERGED = "merged"
"""The folder in ``EXPORTS`` with the merged model in safetensors."""
MODELFILE = "Modelfile"
"""How the names in ``EXPORTS`` of Ollama's files begin."""
OF_A_FORM = ("answers.jsonl", "verdict.json", "comparison.json")
"""What is held of each form beside the one it was trained in: its answers, their verdict, both forms row by row."""
TRIES = "gates/tries"
"""The folder with what each try answered to the tuning rows, and what was logged while it trained."""
OF_A_TRY = ("answers.jsonl", TRAINING_METRICS)
TEST_RESULT = "attestations/test-result.json"
PROVENANCE = "attestations/provenance.json"
ENVELOPES = "attestations/signed.intoto.jsonl"
SIGNED_REVIEW = "attestations/review.dsse.jsonl"
SIGNATURE = "model.sig"
PREVIOUS = "earlier"
"""The folder, in ``gates/`` and beside the run folders, with the files of previous releases by their commits."""

FILES = (
    File(
        name=CARD,
        kind=bounds.CARD,
        needed=True,
        holds="the model card: what was measured, and how to load what was judged",
    ),
    File(
        name=RECORD,
        kind=bounds.RECORD,
        needed=True,
        compared=True,
        listed=False,
        holds="the record: all to make it again",
    ),
    File(name=SETTINGS, kind=bounds.SETTINGS, needed=True, holds="PEFT's settings of the adapter"),
    File(name=WEIGHTS, kind=bounds.WEIGHTS, needed=True, holds="the adapter's weights"),
    File(
        name=CHAT_TEMPLATE, kind=bounds.TEMPLATE, holds="the chat template that the adapter was trained and judged with"
    ),
    File(
        name=VERDICT,
        kind=bounds.RESULT,
        needed=True,
        judged=True,
        compared=True,
        holds="each gate's counts and state",
    ),
    File(name=COMPARISON, kind=bounds.RESULT, judged=True, holds="the adapter beside the base without it"),
    File(name=COMPARISON_LAST, kind=bounds.RESULT, holds="the adapter beside the last release, where there is one"),
    File(
        name=COMPARISON_BEST,
        kind=bounds.RESULT,
        holds="the adapter beside each gate's best release, where there is one",
    ),
    File(
        name=ANSWERS,
        kind=bounds.ANSWERS,
        needed=True,
        judged=True,
        compared=True,
        holds="the adapter's answers to the golden rows",
    ),
    File(name=BASE_ANSWERS, kind=bounds.ANSWERS, judged=True, holds="the base's own answers to them"),
    File(
        name=POLICY,
        kind=bounds.RULES,
        needed=True,
        judged=True,
        compared=True,
        holds="the gates' thresholds, as before training",
    ),
    File(
        name=CONTRACT,
        kind=bounds.RULES,
        needed=True,
        judged=True,
        holds="where an answer holds its text, citations and refusal",
    ),
    File(name=ANSWER_SCHEMA, kind=bounds.RULES, needed=True, judged=True, holds="the JSON Schema of an answer"),
    File(name=GOLDEN_ROWS, kind=bounds.RESULT, judged=True, compared=True, holds="a digest of each golden row"),
    File(name=PAGE, kind=bounds.PAGE, holds="what was measured, as a page for a browser; early releases have none"),
    File(
        name=PICTURE,
        kind=bounds.PICTURE,
        holds="the gates as a picture, which the card shows; in every release that holds a page",
    ),
    File(
        name=REVIEW, kind=bounds.RESULT, holds="what people said of a sample of the answers, where the policy asks them"
    ),
    File(
        name=LEDGER,
        kind=bounds.LEDGER,
        judged=True,
        compared=True,
        holds="every attempt on this golden set that is known, this one last",
    ),
    File(
        name=TRAINING_METRICS,
        kind=bounds.RESULT,
        holds="what was logged and evaluated while it trained, where it was evaluated",
    ),
    File(
        name=TRAINING_CONFIG,
        kind=bounds.RULES,
        holds="beside that, the settings that it was trained by, as the record has them: JSON, which is YAML too",
    ),
    File(
        name=DATA["train"],
        kind=bounds.ROWS,
        holds="the rows that it was trained on, where their licence allows to publish them",
    ),
    File(name=DATA["tuning"], kind=bounds.ROWS, holds="the rows that it was evaluated by while it trained, likewise"),
    File(name=DATA["golden"], kind=bounds.ROWS, holds="the rows that it was judged by, likewise"),
    File(name=TEST_RESULT, kind=bounds.STATEMENT, holds="the verdict as an in-toto statement"),
    File(name=PROVENANCE, kind=bounds.STATEMENT, holds="what it was made of, as an in-toto statement"),
    File(name=ENVELOPES, kind=bounds.ENVELOPES, listed=False, holds="both statements, signed with a key"),
    File(name=SIGNED_REVIEW, kind=bounds.ENVELOPES, listed=False, holds="what people said, signed with a key"),
    File(name=SIGNATURE, kind=bounds.STATEMENT, listed=False, holds="the signature over all other files"),
)
OF_AN_ATTESTATION = (CARD, VERDICT, ANSWERS, POLICY, CONTRACT, ANSWER_SCHEMA, GOLDEN_ROWS, LEDGER)
"""The files of a repository that holds one, beside it, its golden rows and texts for people."""
NEEDED = tuple(file.name for file in FILES if file.needed)
JUDGED = tuple(file.name for file in FILES if file.judged)
COMPARED = tuple(file.name for file in FILES if file.compared)
UNLISTED = tuple(file.name for file in FILES if not file.listed)
TOKENIZER = {
    "tokenizer.json": bounds.TOKENIZER,
    "tokenizer_config.json": bounds.SETTINGS,
    "special_tokens_map.json": bounds.SETTINGS,
    CHAT_TEMPLATE: bounds.TEMPLATE,
}
"""The tokenizer's files that an adapter is published with, as training writes them."""
TERMS = tuple(f"{name}{ending}" for name in ("LICENSE", "NOTICE") for ending in ("", ".txt", ".md"))
"""Texts for people that nothing loads."""
IN_MERGED = {
    **TOKENIZER,
    "config.json": bounds.SETTINGS,
    "generation_config.json": bounds.SETTINGS,
    "model.safetensors": bounds.MERGED,
    "model.safetensors.index.json": bounds.RECORD,
}
"""The files of a merged model in a folder of ``EXPORTS``, as transformers writes them; large ones in shards."""
FOLDERS = ("gates/", "data/", "attestations/", f"{EXPORTS}/")
"""Where a release holds what is not a part of the adapter; whatever else is there is loaded with it."""
_KINDS = {file.name: file.kind for file in FILES} | TOKENIZER | dict.fromkeys(TERMS, bounds.TERMS)
_KINDS |= {ATTESTATION: bounds.RECORD}
_FORM, _COMMIT, _EXPORT = "[a-z0-9][a-z0-9_-]{0,39}", "[0-9a-f]{40}", "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_TRY = "[1-9][0-9]?|100|seed-[0-9]{1,10}"
GGUF = rf"{_EXPORT}\.gguf"
"""The name of a file for llama.cpp, as a regular expression."""
_OF_PREVIOUS = "|".join(map(re.escape, (*COMPARED, DATA["golden"])))
_FAMILIES = (
    (rf"gates/forms/{_FORM}/answers\.jsonl", bounds.ANSWERS),
    (rf"gates/forms/{_FORM}/(verdict|comparison)\.json", bounds.RESULT),
    (rf"{TRIES}/({_TRY})/answers\.jsonl", bounds.ANSWERS),
    (rf"{TRIES}/({_TRY})/{re.escape(TRAINING_METRICS)}", bounds.RESULT),
    (f"{EXPORTS}/{GGUF}", bounds.GGUF),
    (rf"{EXPORTS}/{MODELFILE}-{_EXPORT}", bounds.TEMPLATE),
    (rf"{EXPORTS}/{_EXPORT}/model-\d{{5}}-of-\d{{5}}\.safetensors", bounds.MERGED),
)
_PLACES = (
    "gates|data|attestations",
    f"gates/forms|gates/forms/{_FORM}",
    f"{TRIES}|{TRIES}/({_TRY})",
    f"gates/{PREVIOUS}|gates/{PREVIOUS}/{_COMMIT}|gates/{PREVIOUS}/{_COMMIT}/(gates|data)",
    f"{EXPORTS}|{EXPORTS}/{_EXPORT}",
)


def kind_of(name: str) -> Kind | None:
    """The kind of a file that a release may hold under this name; None where it may hold none.

    This is a list of what an adapter, and the proof of it, need. Nothing else is published, or taken for a release.
    """
    if name in _KINDS:
        return _KINDS[name]
    if found := re.fullmatch(rf"gates/{PREVIOUS}/{_COMMIT}/({_OF_PREVIOUS})", name):
        return _KINDS[found[1]]
    if (found := re.fullmatch(rf"{EXPORTS}/{_EXPORT}/([^/]+)", name)) and found[1] in IN_MERGED:
        return IN_MERGED[found[1]]
    return next((kind for family, kind in _FAMILIES if re.fullmatch(family, name)), None)


def is_folder(name: str) -> bool:
    """Whether a release may have a folder of this name."""
    return any(re.fullmatch(place, name) for place in _PLACES)


def in_run(name: str) -> str:
    """Where a run folder holds a file of ``gates/``."""
    return name.removeprefix("gates/")


def of_form(form: str) -> dict[str, str]:
    """Where a release holds the files ``OF_A_FORM`` of this form."""
    return {name: f"gates/forms/{form}/{name}" for name in OF_A_FORM}


def answers_as(form: str) -> str:
    """Where a release holds the answers in this form."""
    return of_form(form)["answers.jsonl"]


def of_a_try(name: str) -> dict[str, str]:
    """Where a release holds the files ``OF_A_TRY`` of the try of this name."""
    return {file: f"{TRIES}/{name}/{file}" for file in OF_A_TRY}
