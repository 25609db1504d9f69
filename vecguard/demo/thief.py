"""What someone who carries the database away finds in it: no key, only the stored files and the database's own API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
from qdrant_client import grpc as qdrant
from qdrant_client.conversions.conversion import GrpcToRest

from vecguard.errors import InvalidArgument

PAGE = 500
TIMEOUT_S = 30.0
# Twelve consecutive equal bytes do not happen by chance in megabytes of ciphertext (2^-96 each), and no key name of
# the demo's payload is that long: only values count as readable.
WINDOW = 12
# Small enough for the hashes to stay in the processor's cache.
CHUNK = 1 << 16
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Loot:
    """One stolen collection: ids, stored vectors float32 (n, stored dims), payloads as the database keeps them."""

    ids: tuple[int, ...]
    vectors: npt.NDArray[np.float32]
    payloads: tuple[dict[str, object], ...]


def scroll_everything(target: str, collection: str) -> Loot:
    """Reads every point straight from the database at gRPC `target`, ordered by id.

    Raises:
        grpc.RpcError: the database does not answer.
        InvalidArgument: the collection is empty or a point has no single unnamed vector.
    """
    with grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", -1)]) as channel:
        stub = qdrant.PointsStub(channel)  # type: ignore[no-untyped-call]
        points = sorted(_scroll(stub, collection), key=lambda point: point.id.num)
    if not points:
        raise InvalidArgument(f"collection {collection} holds no point")
    return Loot(
        ids=tuple(point.id.num for point in points),
        vectors=np.stack([_vector(point) for point in points]),
        payloads=tuple(GrpcToRest.convert_payload(point.payload) for point in points),
    )


def readable_bytes(files: Iterable[bytes], secrets: Sequence[str]) -> int:
    """How many bytes of the database's files lie in a piece of 12 or more bytes copied from a secret.

    Args:
        files: the content of each file.
        secrets: the clear payload values; shorter ones than 12 bytes of UTF-8 cannot be counted.
    """
    pieces = [secret.encode() for secret in secrets]
    hashes = [_window_hashes(np.frombuffer(piece, dtype=np.uint8)) for piece in pieces if len(piece) >= WINDOW]
    if not hashes:
        return 0
    known = np.unique(np.concatenate(hashes))
    return sum(_covered(content, known) for content in files)


def database_files(folder: Path) -> Iterator[bytes]:
    """The content of every file under `folder`."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.read_bytes()


def readable_payloads(loot: Loot, texts: Sequence[str]) -> int:
    """How many stolen points hold one of `texts` in clear as a payload value."""
    wanted = set(texts)
    return sum(
        any(value in wanted for value in payload.values() if isinstance(value, str)) for payload in loot.payloads
    )


def _scroll(points: qdrant.PointsStub, collection: str) -> Iterator[qdrant.RetrievedPoint]:
    request = qdrant.ScrollPoints(collection_name=collection, limit=PAGE)
    request.with_payload.enable = True
    request.with_vectors.enable = True
    while True:
        page = points.Scroll(request, timeout=TIMEOUT_S)
        yield from page.result
        if not page.HasField("next_page_offset"):
            return
        request.offset.CopyFrom(page.next_page_offset)


def _vector(point: qdrant.RetrievedPoint) -> npt.NDArray[np.float32]:
    vector = point.vectors.vector
    # Servers up to 1.15 fill the flat `data`, later ones the `dense` branch.
    values = vector.dense.data if vector.HasField("dense") else vector.data
    if not values:
        raise InvalidArgument(f"point {point.id.num} holds no single dense vector")
    return np.array(values, dtype=np.float32)


def _window_hashes(content: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """A polynomial hash modulo 2^64 of each window of 12 bytes, shape (len(content) - 11,).

    Equal windows hash alike; the rolling form (Karp & Rabin 1987) is evaluated for all windows at once.
    """
    hashes = np.zeros(len(content) - WINDOW + 1, dtype=np.uint64)
    for place in range(WINDOW):
        hashes *= _MULTIPLIER
        hashes += content[place : place + len(hashes)]
        # An odd multiplier alone leaves the low bits weak; folding the high bits in mixes them.
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _covered(content: bytes, known: npt.NDArray[np.uint64]) -> int:
    """Bytes of `content` inside a window whose hash is in `known`, which is sorted and not empty."""
    table = np.zeros(1 << 20, dtype=bool)
    table[known & np.uint64(len(table) - 1)] = True
    covered = np.zeros(len(content), dtype=bool)
    for start in range(0, len(content) - WINDOW + 1, CHUNK):
        chunk = np.frombuffer(content, dtype=np.uint8)[start : start + CHUNK + WINDOW - 1]
        if not chunk.any():  # engines preallocate files full of zeros
            continue
        hashes = _window_hashes(chunk)
        # The table drops nearly all windows cheaply, the exact lookup decides on the rest.
        maybe = np.flatnonzero(table[hashes & np.uint64(len(table) - 1)])
        place = np.minimum(np.searchsorted(known, hashes[maybe]), len(known) - 1)
        for hit in start + maybe[known[place] == hashes[maybe]]:
            covered[hit : hit + WINDOW] = True
    return int(covered.sum())
