"""Embeddings of a data set, kept on disk: embedding some thousand documents takes minutes, reading them a moment.

Under the cache folder lie, for a data set named NAME: `NAME_docs.npy` and `NAME_queries.npy` (float32, one unit row a
text), `NAME_docs.jsonl` and `NAME_queries.jsonl` (`{"id", "text"}` a row, in the same order; a question's row has also
`"relevant"`, the ids of its documents), and `NAME.json`, which says what was embedded by which model. A cache that was
made of other texts or by another model is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.beir import Dataset


class Embedder(Protocol):
    """What turns texts into unit rows of float32, as `vecguard.demo.embedder.MiniLM` does."""

    def embed(self, texts: list[str], /, progress: Callable[[int], None]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Embedded:
    """A data set with the embeddings of its documents (n, d) and questions (m, d), float32, in its order."""

    dataset: Dataset
    documents: NDArray[np.float32]
    questions: NDArray[np.float32]


def cached(
    dataset: Dataset, cache: Path, make: Callable[[], Embedder], model: str, progress: Callable[[int], None]
) -> Embedded:
    """The embeddings of `dataset` from the cache, made and stored there first if they are missing or of other texts.

    `make` is called only when something must be embedded; `model` names its model in the cache;
    `progress(count)` is told how many more texts (documents, then questions) are embedded.
    """
    cache.mkdir(parents=True, exist_ok=True)
    label = {"model": model, "texts": _fingerprint(dataset)}
    described = cache / f"{dataset.name}.json"
    paths = [cache / f"{dataset.name}_{part}.npy" for part in ("docs", "queries")]
    if not (described.exists() and json.loads(described.read_text()) == label and all(path.exists() for path in paths)):
        described.unlink(missing_ok=True)
        embedder = make()
        for path, texts in zip(paths, (dataset.documents, dataset.questions), strict=True):
            np.save(path, embedder.embed([text.full for text in texts], progress=progress))
        _write_ids(dataset, cache)
        # Written last: an interrupted run leaves no label, so its files are never taken for whole.
        described.write_text(json.dumps(label, indent=1) + "\n")
    documents, questions = (np.load(path) for path in paths)
    return Embedded(dataset, documents, questions)


def _write_ids(dataset: Dataset, cache: Path) -> None:
    documents = [{"id": text.id, "text": text.full} for text in dataset.documents]
    questions = [
        {"id": text.id, "text": text.full, "relevant": sorted(dataset.relevant[text.id])} for text in dataset.questions
    ]
    for part, rows in (("docs", documents), ("queries", questions)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (cache / f"{dataset.name}_{part}.jsonl").write_text(lines, encoding="utf-8")


def _fingerprint(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for text in (*dataset.documents, *dataset.questions):
        for part in (text.id, text.full):
            digest.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    return digest.hexdigest()
