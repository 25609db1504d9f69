"""The lock of a data folder: one process at a time, and a clear word to the second."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from vecguard.errors import FailedPrecondition

LOCK_FILE = "LOCK"


class DataLock:
    """An exclusive advisory lock on `folder`, released by the kernel when the process dies, however it dies."""

    def __init__(self, folder: Path, name: str = LOCK_FILE) -> None:
        """`name` is that of the lock's file in `folder`."""
        self._folder = folder
        self._name = name
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Make the folder if need be, and lock it.

        Raises:
            FailedPrecondition: it is locked; the message names the folder and the holder's process id.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder / self._name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 64, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise FailedPrecondition(
                f"the data folder {self._folder} is already served by another engine process (pid {holder})"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the folder up; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
