"""Embeddings of any text, kept on disk by what was embedded: crawlers ask in words that nobody knows beforehand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.detection.target import Vectors

LONGEST: Final = 1_200
"""Characters of a text that are embedded: about the 256 tokens that MiniLM reads."""


class TextVectors:
    """`embed(texts)` by MiniLM, each text once.

    Under `folder` lie `texts.npy` (n, 384) float32, unit rows, and `texts.hashes.npy` (n, 16) uint8, BLAKE2b of each
    text in UTF-8, keyed by the model's SHA-256, so that another model's vectors are never taken for it.
    """

    def __init__(self, folder: Path, tell: Callable[[int], None] = lambda count: None) -> None:
        from vecguard.demo.embedder import DIMS, MODEL_SHA256

        self._folder, self._tell = folder, tell
        self._key = bytes.fromhex(MODEL_SHA256)
        self._embedder: Callable[[list[str]], Vectors] | None = None
        self._at: dict[bytes, int] = {}
        self._chunks: list[Vectors] = [np.zeros((0, DIMS), np.float32)]
        self._count = 0
        if self._paths[1].exists():
            self._chunks = [np.load(self._paths[0])]
            self._at = {row.tobytes(): at for at, row in enumerate(np.load(self._paths[1]))}
            self._count = len(self._at)
        self._saved = self._count

    @property
    def _paths(self) -> tuple[Path, Path]:
        return self._folder / "texts.npy", self._folder / "texts.hashes.npy"

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Unit rows (n, 384) float32 of texts, each cut at `LONGEST` characters, in their order."""
        cut = [text[:LONGEST] for text in texts]
        hashes = [self._hash(text) for text in cut]
        missing = {digest: text for digest, text in zip(hashes, cut, strict=True) if digest not in self._at}
        if missing:
            self._add(list(missing), self._embedded(list(missing.values())))
        return self._rows(np.array([self._at[digest] for digest in hashes], dtype=np.int64))

    def save(self) -> None:
        """Write what was added since it was read."""
        if self._count == self._saved:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        hashes = np.frombuffer(b"".join(self._at), dtype=np.uint8).reshape(-1, 16)
        for path, rows in zip(self._paths, (self._rows(np.arange(self._count)), hashes), strict=True):
            whole = path.with_suffix(".part.npy")
            np.save(whole, rows)
            whole.rename(path)
        self._saved = self._count

    def _add(self, hashes: list[bytes], rows: Vectors) -> None:
        for digest in hashes:
            self._at[digest] = self._count
            self._count += 1
        self._chunks.append(rows)

    def _rows(self, at: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Vectors:
        if len(self._chunks) > 200:
            self._chunks = [np.concatenate(self._chunks)]
        ends = np.cumsum([len(chunk) for chunk in self._chunks])
        chunks = np.searchsorted(ends, at, side="right")
        rows = [self._chunks[c][i - (ends[c] - len(self._chunks[c]))] for c, i in zip(chunks, at, strict=True)]
        return np.array(rows, dtype=np.float32).reshape(len(at), -1)

    def _embedded(self, texts: list[str]) -> Vectors:
        if self._embedder is None:
            from vecguard.demo.embedder import MiniLM

            model = MiniLM()
            self._embedder = lambda some: model.embed(some, progress=self._tell)
        return self._embedder(texts)

    def _hash(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode(), digest_size=16, key=self._key).digest()
