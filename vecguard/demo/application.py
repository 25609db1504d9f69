"""The RAG application of the demo: an ordinary QdrantClient that writes notes and asks questions.

It is the same code for both databases; only the port differs, and nothing of VecGuard is imported for its calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models

from vecguard.demo.notes import Note

COLLECTION = "clinic-notes"
TOP = 10
BATCH = 100
PAGE = 500
WARM_UP = 5
TIMEOUT_S = 60

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """ids[i] are the notes found for question i, best first; seconds[i] is how long the client waited for them."""

    ids: tuple[tuple[int, ...], ...]
    seconds: npt.NDArray[np.float64]

    def latency_ms(self, percentile: float) -> float:
        """The percentile (0 to 100) of the waiting time in milliseconds."""
        return float(np.percentile(self.seconds, percentile)) * 1000.0


def connect(port: int, api_key: str | None = None) -> QdrantClient:
    """A client as any application makes it. REST is not served here, so the client's version probe is left out."""
    return QdrantClient(
        host="127.0.0.1",
        grpc_port=port,
        prefer_grpc=True,
        check_compatibility=False,
        timeout=TIMEOUT_S,
        https=False,
        api_key=api_key,
    )


def write(client: QdrantClient, notes: Sequence[Note], embeddings: Floats, progress: Callable[[int], None]) -> float:
    """Creates the collection and upserts the notes in batches of 100 with their payloads.

    Args:
        client: connected to either database.
        notes: what to store.
        embeddings: float32 (len(notes), d).
        progress: called after each batch with its size.

    Returns:
        Seconds from the first upsert to the last acknowledgement.
    """
    size = embeddings.shape[1]
    client.create_collection(COLLECTION, models.VectorParams(size=size, distance=models.Distance.COSINE))
    started = time.perf_counter()
    for first in range(0, len(notes), BATCH):
        part = notes[first : first + BATCH]
        batch = models.Batch(
            ids=[note.id for note in part],
            vectors=embeddings[first : first + BATCH].tolist(),
            payloads=[note.payload() for note in part],
        )
        client.upsert(COLLECTION, batch, wait=True)
        progress(len(part))
    return time.perf_counter() - started


def ask(client: QdrantClient, embeddings: Floats, progress: Callable[[int], None]) -> Answers:
    """Searches the ten nearest notes, with payload, for each row of `embeddings` (float32 (q, d)), one at a time."""
    for embedding in embeddings[:WARM_UP]:
        client.query_points(COLLECTION, query=embedding.tolist(), limit=TOP, with_payload=True)
    ids, seconds = [], np.empty(len(embeddings))
    for row, embedding in enumerate(embeddings):
        query = embedding.tolist()
        started = time.perf_counter()
        found = client.query_points(COLLECTION, query=query, limit=TOP, with_payload=True)
        seconds[row] = time.perf_counter() - started
        ids.append(tuple(int(point.id) for point in found.points))
        progress(1)
    return Answers(tuple(ids), seconds)


def read_back(client: QdrantClient, notes: Sequence[Note]) -> dict[int, dict[str, object]]:
    """The payload that the application gets back for each note that is there, by id; read 500 at a time."""
    payloads: dict[int, dict[str, object]] = {}
    for first in range(0, len(notes), PAGE):
        ids: list[models.ExtendedPointId] = [note.id for note in notes[first : first + PAGE]]
        for point in client.retrieve(COLLECTION, ids, with_payload=True):
            payloads[int(point.id)] = dict(point.payload or {})
    return payloads


def exact_neighbours(embeddings: Floats, questions: Floats) -> npt.NDArray[np.intp]:
    """Rows of the ten notes nearest by cosine for each question, by scoring all of them: int (q, min(10, n))."""
    scores = questions @ embeddings.T
    order: npt.NDArray[np.intp] = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    return order


def recall(answers: Answers, exact: npt.NDArray[np.intp], notes: Sequence[Note]) -> float:
    """recall@10: the mean share of the exact neighbours that were found."""
    wanted = [{notes[row].id for row in rows} for rows in exact]
    return float(np.mean([len(ids & set(found)) / len(ids) for ids, found in zip(wanted, answers.ids, strict=True)]))


def hit_rate(answers: Answers, relevant: Sequence[frozenset[int]]) -> float:
    """The share of questions for which at least one relevant note is among the ten found."""
    return float(np.mean([bool(ids & set(found)) for ids, found in zip(relevant, answers.ids, strict=True)]))
