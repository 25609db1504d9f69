"""The cache of embeddings: what is there is read, what is not of these texts is made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.embeddings import Embedded, cached
from vecguard.audit.beir import Dataset, Text

DATASET = Dataset(
    name="small",
    documents=tuple(Text(f"d{i}", "", "x" * (i + 1)) for i in range(7)),
    questions=(Text("q0", "", "xxx"), Text("q1", "", "x")),
    relevant={"q0": frozenset({"d2"}), "q1": frozenset({"d0", "d1"})},
)


class Lengths:
    """Embeds a text as its length and its square, and counts the texts."""

    seen = 0

    def embed(self, texts: list[str], /, progress: Callable[[int], None]) -> NDArray[np.float32]:
        self.seen += len(texts)
        progress(len(texts))
        return np.array([[len(text), len(text) ** 2] for text in texts], dtype=np.float32)


def _get(dataset: Dataset, cache: Path, embedder: Lengths, model: str = "m") -> Embedded:
    return cached(dataset, cache, lambda: embedder, model, lambda count: None)


def test_rows_are_those_of_the_texts_and_come_back_from_the_cache(tmp_path: Path) -> None:
    embedder = Lengths()
    first = _get(DATASET, tmp_path, embedder)
    np.testing.assert_array_equal(first.documents, [[i, i * i] for i in range(1, 8)])
    np.testing.assert_array_equal(first.questions, [[3, 9], [1, 1]])
    again = _get(DATASET, tmp_path, embedder)
    assert embedder.seen == 9
    np.testing.assert_array_equal(again.documents, first.documents)
    np.testing.assert_array_equal(again.questions, first.questions)


def test_ids_and_relevance_lie_beside_the_rows(tmp_path: Path) -> None:
    _get(DATASET, tmp_path, Lengths())
    documents = [json.loads(line) for line in (tmp_path / "small_docs.jsonl").read_text().splitlines()]
    questions = [json.loads(line) for line in (tmp_path / "small_queries.jsonl").read_text().splitlines()]
    assert [row["id"] for row in documents] == [f"d{i}" for i in range(7)]
    assert [row["relevant"] for row in questions] == [["d2"], ["d0", "d1"]]


def test_other_texts_or_another_model_are_embedded_anew(tmp_path: Path) -> None:
    embedder = Lengths()
    _get(DATASET, tmp_path, embedder)
    changed = replace(DATASET, questions=(Text("q0", "", "xxxx"), DATASET.questions[1]))
    np.testing.assert_array_equal(_get(changed, tmp_path, embedder).questions, [[4, 16], [1, 1]])
    assert embedder.seen == 18
    _get(changed, tmp_path, embedder, model="another")
    assert embedder.seen == 27


def test_an_interrupted_run_leaves_no_cache(tmp_path: Path) -> None:
    class Interrupted(Lengths):
        def embed(self, texts: list[str], /, progress: Callable[[int], None]) -> NDArray[np.float32]:
            if self.seen:
                raise KeyboardInterrupt
            return super().embed(texts, progress)

    with pytest.raises(KeyboardInterrupt):
        _get(DATASET, tmp_path, Interrupted())
    embedder = Lengths()
    _get(DATASET, tmp_path, embedder)
    assert embedder.seen == 9
