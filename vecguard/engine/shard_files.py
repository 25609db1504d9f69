"""What the files of an Edge shard tell that Edge itself does not: bytes waiting for an index, and bytes of its log.

Edge counts indexed vectors without subtracting those that were overwritten since, so counts cannot tell when a build
pays. The segment that takes writes is recognised by its growing (chunked) vector storage, named in `segment.json`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

_GROWING_STORAGE = "Chunked"
_BLOCK_BYTES = 512  # the unit of st_blocks, stat(2)
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class VectorSizes:
    """Bytes of dense vectors on disk, holes not counted: in segments that take writes, and in finished ones."""

    unindexed: int
    finished: int


def vector_sizes(shard: str) -> VectorSizes:
    """Measure a shard's vectors; a segment that is just being made or removed counts as empty."""
    unindexed = finished = 0
    for segment in _entries(f"{shard}/segments"):
        for storage, growing in _dense_storages(segment.path):
            if growing:
                unindexed += _allocated(f"{storage}/vectors")
            else:
                finished += _allocated(storage)
    return VectorSizes(unindexed, finished)


def log_size(shard: str) -> int:
    """Bytes of a shard's write-ahead log on disk, holes not counted."""
    return _allocated(f"{shard}/wal")


# All this runs whenever a collection's status is asked for, where pathlib and file objects cost more than the kernel.
def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _dense_storages(segment: str) -> list[tuple[str, bool]]:
    try:
        vectors = json.loads(_content(f"{segment}/segment.json"))["config"]["vector_data"]
        return [
            (f"{segment}/vector_storage" + (f"-{name}" if name else ""), _GROWING_STORAGE in vector["storage_type"])
            for name, vector in vectors.items()
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _content(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = b""
        while part := os.read(file, _READ_BYTES):
            content += part
            if len(part) < _READ_BYTES:
                break
        return content
    finally:
        os.close(file)


def _allocated(folder: str) -> int:
    try:
        return sum(entry.stat(follow_symlinks=False).st_blocks for entry in _entries(folder)) * _BLOCK_BYTES
    except OSError:
        return 0
