"""Operations applied to the serving shard while its copy is being indexed, kept to be replayed on that copy."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from qdrant_edge import UpdateOperation


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One operation in the order it was applied. A failed one is kept too: it took a place in the write-ahead log,
    and may have been applied in part before it failed."""

    operation: UpdateOperation
    failed: bool
    size: int


class Journal:
    """A queue of applied operations, oldest first. `size` is the request bytes that it holds."""

    def __init__(self) -> None:
        self._entries: deque[JournalEntry] = deque()
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, operation: UpdateOperation, *, failed: bool, size: int) -> None:
        """Note an operation that the serving shard has just applied (or failed to apply)."""
        self._entries.append(JournalEntry(operation, failed, size))
        self.size += size

    def pop(self) -> JournalEntry:
        """Take the oldest entry. Raises IndexError when there is none."""
        entry = self._entries.popleft()
        self.size -= entry.size
        return entry
