"""What every scenario stores and asks: synthetic clinic notes, a real embedder, a connection, the form of answers.

Scenarios run in an environment of their own, where the frameworks are; they print a JSON object, which the tests read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vecguard.demo.embedder import DIMS, MiniLM
from vecguard.demo.notes import make_notes, make_questions

COUNT = 150
QUESTIONS = 6
SEED = 31
NAMESPACE = uuid.UUID("5f1b0e2e-9a5c-4d7e-8f60-6d8a2f7f0c11")
TIMEOUT_S = 120
WORD = re.compile(r"[a-z0-9]+")
# Okapi BM25's usual constants (Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009).
# Length is counted in characters.
K1, B, MEAN_CHARACTERS = 1.2, 0.75, 200.0


@dataclass(frozen=True)
class Entry:
    """One stored text: `id` is a UUID, `metadata` holds texts, integers, floats, booleans, lists and dates."""

    id: str
    text: str
    metadata: dict[str, Any]


def _entry(number: int, note: Any) -> Entry:
    metadata = {
        "patient": note.patient,
        "department": note.department,
        "diagnosis": note.diagnosis,
        "page": number % 12,
        "weight": (number % 7) / 4 + 0.125,
        "urgent": number % 5 == 0,
        "tags": [note.department, note.medication],
        "written": f"2026-{number % 12 + 1:02d}-{number % 27 + 1:02d}T08:{number % 60:02d}:00+00:00",
    }
    return Entry(str(uuid.uuid5(NAMESPACE, note.text)), note.text, metadata)


_NOTES = make_notes(COUNT, SEED)
ENTRIES: tuple[Entry, ...] = tuple(_entry(number, note) for number, note in enumerate(_NOTES))
ASKED: tuple[str, ...] = tuple(question.text for question in make_questions(_NOTES, QUESTIONS, SEED))


class Embedder:
    """MiniLM, one text at a time: a text has one embedding whatever stands beside it, so answers can be recomputed.

    (The model's int8 activations are scaled by batch, which moves other texts' embeddings in the third decimal.)
    What was embedded once is kept in a folder, for the scenarios that come after.
    """

    dims = DIMS

    def __init__(self, memo: Path) -> None:
        self._memo = memo
        self._model: MiniLM | None = None

    def embed(self, text: str) -> list[float]:
        """The unit embedding of one text."""
        path = self._memo / (hashlib.sha256(text.encode()).hexdigest() + ".npy")
        if not path.exists():
            self._model = self._model or MiniLM(threads=1)
            part = path.with_suffix(f".{uuid.uuid4().hex}.npy")
            np.save(part, self._model.embed([text])[0])
            part.rename(path)
        embedding: list[float] = np.load(path).tolist()
        return embedding

    def all(self, texts: Iterable[str]) -> list[list[float]]:
        """`embed` of each text."""
        return [self.embed(text) for text in texts]


def terms(text: str) -> tuple[list[int], list[float]]:
    """A document's sparse vector: BM25's saturated term frequency, by the CRC-32 of each word.

    Every text's weights are up to a hundredth larger than that, so that no two texts tie: sums of equal weights differ
    in the last bit with the order of their indices, which protection changes.
    """
    counts = Counter(WORD.findall(text.lower()))
    norm = K1 * (1 - B + B * len(text) / MEAN_CHARACTERS)
    scale = (K1 + 1) * (1 + zlib.crc32(text.encode()) / 2**32 / 100)
    weights = {zlib.crc32(word.encode()): count * scale / (count + norm) for word, count in counts.items()}
    return sorted(weights), [weights[index] for index in sorted(weights)]


def question_terms(text: str) -> tuple[list[int], list[float]]:
    """A question's sparse vector: 1 for each of its words."""
    indices = sorted({zlib.crc32(word.encode()) for word in WORD.findall(text.lower())})
    return indices, [1.0] * len(indices)


@dataclass(frozen=True)
class Connection:
    """Where the database, or VecGuard before it, listens on loopback; `rest` None: all goes by gRPC.

    Milvus clients know gRPC alone.
    """

    grpc: int
    rest: int | None
    memo: Path
    sparse: bool = True
    """Whether the database knows sparse vectors and several vectors a collection (Milvus 2.3 does not)."""

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of QdrantClient, as an application would give them."""
        if self.rest is not None:
            return {"url": f"http://127.0.0.1:{self.rest}", "timeout": TIMEOUT_S}
        # The bare engine has no REST, so the client's question for the server's version is left out.
        gone = {"prefer_grpc": True, "check_compatibility": False}
        return {"host": "127.0.0.1", "grpc_port": self.grpc, "timeout": TIMEOUT_S, **gone}

    @property
    def milvus(self) -> str:
        """The address as Milvus clients are given it."""
        return f"http://127.0.0.1:{self.grpc}"

    @property
    def embedder(self) -> Embedder:
        """The embedder over the folder of what was embedded before."""
        return Embedder(self.memo)


def hit(ident: object, text: str, metadata: Mapping[str, Any], score: float | None = None) -> dict[str, Any]:
    """One found text, in the form that tests compare."""
    found: dict[str, Any] = {"id": str(ident), "text": text, "metadata": dict(metadata)}
    return found if score is None else found | {"score": score}


def refused(call: Any, *arguments: Any, **options: Any) -> str:
    """The text of the error that a call ends with; fails if it does not."""
    try:
        call(*arguments, **options)
    except Exception as error:  # noqa: BLE001  frameworks raise what they like; the text is what counts
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"{call} was not refused")


def connection(arguments: Sequence[str] | None = None) -> Connection:
    """The connection that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--grpc", type=int, required=True)
    parser.add_argument("--rest", type=int)
    parser.add_argument("--memo", type=Path, required=True)
    parser.add_argument("--without-sparse", action="store_true")
    given = parser.parse_args(arguments)
    return Connection(given.grpc, given.rest, given.memo, not given.without_sparse)


def report(results: Mapping[str, Any]) -> None:
    """Print the results, as the last line of stdout."""
    print(json.dumps(results), flush=True)
