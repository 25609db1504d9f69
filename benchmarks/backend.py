"""The databases that the load can be sent to: how each is started, and how the same load is spelled for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as qdrant

from benchmarks import requests
from benchmarks.processes import HEALTH, engine_command, vecguard_command

TEXT_FIELDS = ("text", "source", "page")


@dataclass(frozen=True)
class Call:
    """One call: its method, `/package.Service/Name`, and the serialised request."""

    method: str
    request: bytes


@dataclass(frozen=True)
class Progress:
    """A call to repeat until its answer says that something is finished; `done` gives that, and a word on how far."""

    call: Call
    done: Callable[[bytes], tuple[bool, str]]


class Backend(Protocol):
    """A database under measure. Names of collections, ids 0 to n - 1 and the rows' contents are the same for all."""

    key: str
    engine: str
    """What is behind, with its version."""
    write: str
    search: str
    health: str
    success: bytes
    """What a successful answer under load begins with, for protocols that tell of errors in their answers."""

    def healthy(self, answer: bytes) -> bool:
        """Whether the answer to `health` says that calls are taken."""

    def error(self, call: Call, answer: bytes) -> str:
        """The text of an error that an answer tells of; empty for none."""

    def engine_command(self, data: Path, listen: str) -> tuple[str, ...]:
        """How the database is started, behind `python -m`."""

    def proxy_command(self, listen: str, upstream: str, policy: Path, key: Path) -> tuple[str, ...]:
        """How VecGuard is started before it, behind `python -m`."""

    def creation(self, collection: str, dims: int, index: bool) -> Sequence[Call]:
        """What makes a collection; `index`: with an approximate index, to be built by `indexing`."""

    def created(self, collection: str) -> Progress | None:
        """How it is known that the collection takes rows and searches; None: at once."""

    def writes(self, collection: str, rows: NDArray[np.float32], batch: int) -> Iterator[bytes]:
        """Acknowledged writes of `rows` (n, d) float32, `batch` rows each."""

    def searches(
        self, collection: str, queries: NDArray[np.float32], limit: int, with_payload: bool
    ) -> Iterator[bytes]:
        """One nearest-neighbour query for each row of `queries` (m, d) float32."""

    def visible(self, collection: str) -> Sequence[Call]:
        """What returns only when all that was written is searched."""

    def indexing(self, collection: str) -> Sequence[Call]:
        """What starts the building of the index."""

    def indexed(self, collection: str) -> Progress:
        """How it is known that the index is built."""

    def found(self, answer: bytes) -> set[int]:
        """The ids in a search's answer."""


class QdrantBackend:
    """Qdrant's gRPC API, by the embedded engine."""

    key = "qdrant"
    write = requests.UPSERT
    search = requests.QUERY
    health = HEALTH
    success = b""

    def __init__(self) -> None:
        self.engine = f"embedded engine, qdrant-edge-py {version('qdrant-edge-py')}"

    def healthy(self, answer: bytes) -> bool:
        """It answers only when it serves."""
        return True

    def error(self, call: Call, answer: bytes) -> str:
        """Qdrant tells of errors by statuses of gRPC."""
        return ""

    def engine_command(self, data: Path, listen: str) -> tuple[str, ...]:
        """The embedded engine on its own."""
        return engine_command(data, listen)

    def proxy_command(self, listen: str, upstream: str, policy: Path, key: Path) -> tuple[str, ...]:
        """VecGuard before a Qdrant server."""
        return vecguard_command(listen, upstream, policy, key)

    def creation(self, collection: str, dims: int, index: bool) -> Sequence[Call]:
        """One unnamed cosine vector; the index waits until it is asked for in any case."""
        return (Call(requests.CREATE, requests.create(collection, dims).SerializeToString()),)

    def created(self, collection: str) -> Progress | None:
        """At once."""
        return None

    def writes(self, collection: str, rows: NDArray[np.float32], batch: int) -> Iterator[bytes]:
        """Upserts that wait."""
        return requests.upserts(collection, rows, batch)

    def searches(
        self, collection: str, queries: NDArray[np.float32], limit: int, with_payload: bool
    ) -> Iterator[bytes]:
        """`points/query`."""
        return requests.searches(collection, queries, limit, with_payload)

    def visible(self, collection: str) -> Sequence[Call]:
        """Acknowledged points are searched."""
        return ()

    def indexing(self, collection: str) -> Sequence[Call]:
        """A lower indexing threshold."""
        return (Call(requests.UPDATE, requests.build_index(collection).SerializeToString()),)

    def indexed(self, collection: str) -> Progress:
        """Green, with indexed vectors."""
        request = qdrant.GetCollectionInfoRequest(collection_name=collection).SerializeToString()

        def done(answer: bytes) -> tuple[bool, str]:
            info = qdrant.GetCollectionInfoResponse.FromString(answer).result
            finished = info.status == qdrant.CollectionStatus.Green and info.indexed_vectors_count > 0
            return finished, f"{info.indexed_vectors_count} of {info.points_count}"

        return Progress(Call(requests.INFO, request), done)

    def found(self, answer: bytes) -> set[int]:
        """Numeric point ids."""
        return {point.id.num for point in qdrant.QueryResponse.FromString(answer).result}
