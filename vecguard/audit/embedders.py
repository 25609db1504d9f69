"""Embedders by name, and a cache of what they made: embedding some thousand texts takes minutes, reading a moment."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import ConfigError

Floats = NDArray[np.float32]
Progress = Callable[[int], None]

# What is embedded at once between two reports of progress, for embedders that report none of their own.
_BATCH = 256


class Embedder(Protocol):
    """What turns texts into unit rows of float32."""

    def embed(self, texts: Sequence[str], progress: Progress | None = None, /) -> Floats:
        """(n, d) float32 for n texts; `progress(count)` is told how many more are done."""


class WordLlama:
    """Static token embeddings averaged over the text (256 dimensions): no context, and thousands of texts a second.

    Raises:
        ConfigError: the package `wordllama` is missing.
    """

    def __init__(self) -> None:
        try:
            import wordllama
        except ImportError as missing:
            raise ConfigError("the embedder `wordllama` needs its package: pip install wordllama") from missing
        folder = Path(cast(str, wordllama.__file__)).parent
        self._model: Any = wordllama.WordLlama.load(dim=256, cache_dir=folder, disable_download=True)

    def embed(self, texts: Sequence[str], progress: Progress | None = None, /) -> Floats:
        """Unit rows (n, 256)."""
        parts = []
        for start in range(0, len(texts), _BATCH):
            part = list(texts[start : start + _BATCH])
            parts.append(np.asarray(self._model.embed(part, norm=True), np.float32))
            if progress is not None:
                progress(len(part))
        return np.concatenate(parts) if parts else np.zeros((0, 256), np.float32)


def _minilm() -> Embedder:
    from vecguard.demo.embedder import MiniLM

    return MiniLM()


# A new embedder is one entry: its name, and what opens it.
EMBEDDERS: dict[str, Callable[[], Embedder]] = {"minilm": _minilm, "wordllama": WordLlama}


def open_embedder(name: str) -> Embedder:
    """The embedder called `name`.

    Raises:
        ConfigError: no such embedder, or a package that it needs is missing.
    """
    if name not in EMBEDDERS:
        raise ConfigError(f"there is no embedder {name!r}; known: {', '.join(EMBEDDERS)}")
    return EMBEDDERS[name]()


class CachedEmbedder:
    """An embedder by name that is opened when something is missing from its cache folder, and not before.

    A list of texts is one file, `NAME-<hash of the texts>.npy`, float32 (n, d).
    """

    def __init__(self, name: str, cache: Path | None) -> None:
        """`cache`: a folder, made when needed; None keeps nothing.

        Raises:
            ConfigError: no such embedder.
        """
        if name not in EMBEDDERS:
            raise ConfigError(f"there is no embedder {name!r}; known: {', '.join(EMBEDDERS)}")
        self.name = name
        self._cache = cache
        self._opened: Embedder | None = None

    def embed(self, texts: Sequence[str], progress: Progress | None = None, /) -> Floats:
        """As the embedder does; texts that the cache has are reported as done at once."""
        path = None if self._cache is None else self._cache / f"{self.name}-{fingerprint(texts)}.npy"
        if path is not None and path.exists():
            if progress is not None:
                progress(len(texts))
            return np.asarray(np.load(path), np.float32)
        if self._opened is None:
            self._opened = open_embedder(self.name)
        rows = self._opened.embed(texts, progress)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.part")
            with partial.open("wb") as stream:
                np.save(stream, rows)
            partial.replace(path)  # an interrupted run, or one beside this, leaves no file that looks whole
        return rows


def fingerprint(texts: Sequence[str]) -> str:
    """24 hex digits that stand for these texts in this order."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:24]
