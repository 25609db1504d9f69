"""A counter shared by the workers of one host: it tells every cache that some collection was made, dropped or changed.

Each worker adds to its own 8-byte slot of a small memory-mapped file and reads the sum of all slots, so no lock is
needed: a slot has one writer, and aligned 8-byte stores are atomic on the processors that Python runs on.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final

_SLOT: Final = struct.Struct("<Q")


class Generation:
    """The counter as one worker sees it."""

    def __init__(self, file: Path | None, workers: int, worker: int) -> None:
        """`file` is shared by `workers` processes, of which this is number `worker`; None: a single process."""
        self._offset = worker * _SLOT.size
        self._slots = struct.Struct(f"<{max(workers, 1)}Q")
        size = self._slots.size
        if file is None:
            self._memory = mmap.mmap(-1, size)
            return
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < size:
                os.ftruncate(descriptor, size)
            self._memory = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)

    def current(self) -> int:
        """A number that changes whenever any worker bumps."""
        return sum(self._slots.unpack_from(self._memory))

    def bump(self) -> None:
        """Tell every worker that what it knows of collections may be stale."""
        (value,) = _SLOT.unpack_from(self._memory, self._offset)
        _SLOT.pack_into(self._memory, self._offset, value + 1)
