"""Embedders by name, and their cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from vecguard.audit import embedders
from vecguard.errors import ConfigError


class Counting:
    """Counts what it embeds."""

    embedded = 0

    def embed(self, texts: Sequence[str], progress: object = None, /) -> np.ndarray:
        Counting.embedded += len(texts)
        return np.array([[len(text), 1.0] for text in texts], np.float32)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    Counting.embedded = 0
    monkeypatch.setitem(embedders.EMBEDDERS, "counting", Counting)
    return Counting


def test_what_was_embedded_once_is_read(tmp_path: Path, counting: type[Counting]) -> None:
    told: list[int] = []
    first = embedders.CachedEmbedder("counting", tmp_path / "cache").embed(["a", "bcd"])
    again = embedders.CachedEmbedder("counting", tmp_path / "cache").embed(["a", "bcd"], told.append)
    assert counting.embedded == 2
    assert told == [2]
    np.testing.assert_array_equal(first, again)


def test_other_texts_are_other_files(tmp_path: Path, counting: type[Counting]) -> None:
    embedder = embedders.CachedEmbedder("counting", tmp_path)
    for texts in (["ab", "c"], ["a", "bc"], ["c", "ab"]):
        embedder.embed(texts)
    assert counting.embedded == 6


def test_an_unknown_name_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="minilm"):
        embedders.CachedEmbedder("nobody", None)
