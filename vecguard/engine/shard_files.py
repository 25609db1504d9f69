"""What the files of an Edge shard tell that Edge itself does not: bytes waiting for an index, and bytes of its log.

Edge counts indexed vectors without subtracting those that were overwritten since, so counts cannot tell when a build
pays. The segment that takes writes is recognised by its growing (chunked) vector storage, named in `segment.json`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

_GROWING_STORAGE = "Chunked"
_BLOCK_BYTES = 512  # the unit of st_blocks, stat(2)


@dataclass(frozen=True, slots=True)
class ShardSizes:
    """Bytes on disk, holes not counted: dense vectors in segments that take writes, in finished ones, and the log."""

    unindexed: int
    finished: int
    log: int


def shard_sizes(shard: Path) -> ShardSizes:
    """Measure a shard; a segment that is just being made or removed counts as empty."""
    unindexed = finished = 0
    for segment in _entries(f"{shard}/segments"):
        for storage, growing in _dense_storages(segment.path):
            if growing:
                unindexed += _allocated(f"{storage}/vectors")
            else:
                finished += _allocated(storage)
    return ShardSizes(unindexed, finished, _allocated(f"{shard}/wal"))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    # This runs whenever a collection's status is asked for: pathlib would cost more than the system calls.
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _dense_storages(segment: str) -> list[tuple[str, bool]]:
    try:
        with open(f"{segment}/segment.json", "rb") as file:
            vectors = json.loads(file.read())["config"]["vector_data"]
        return [
            (f"{segment}/vector_storage" + (f"-{name}" if name else ""), _GROWING_STORAGE in vector["storage_type"])
            for name, vector in vectors.items()
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _allocated(folder: str) -> int:
    try:
        return sum(entry.stat(follow_symlinks=False).st_blocks for entry in _entries(folder)) * _BLOCK_BYTES
    except OSError:
        return 0
