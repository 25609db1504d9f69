"""Writing a journal: a worker's events appended to its own files, a new one when the last is full.

What cannot be written (a full disk) is kept for a while and written later; what had to be given up is counted in the
chain itself. Calls are not held up: whether a service goes on without its trail is for its operator, who is told.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import structlog

from vecguard.errors import ConfigError
from vecguard.journal.chain import CHECKPOINT, CLOSING, FORMAT, LOST, OPENING, Chain, file_key, read_line

CHECKPOINT_S: Final = 60.0
_MOST_WAITING: Final = 20_000
_PAUSE_S: Final = 1.0
_TAIL_BYTES: Final = 1 << 16
_MODE: Final = 0o600
_ID_BYTES: Final = 16
_log = structlog.get_logger("vecguard.journal")


class Place(NamedTuple):
    """A line of a journal: its file's name, its number, and its mac in hex."""

    file: str
    seq: int
    mac: str


class _File:
    """One file of a journal: only ever appended to, line by whole line."""

    def __init__(self, folder: Path, worker: int | str, key: bytes, wrapped: bytes, before: Place | None) -> None:
        """Make it, with its opening line. Raises OSError, and leaves nothing then."""
        identity = secrets.token_bytes(_ID_BYTES)
        now = datetime.now(UTC)
        self.path = folder / f"trail-{worker}-{now:%Y%m%dT%H%M%S}-{identity[:4].hex()}.jsonl"
        self._chain = Chain(file_key(key, identity))
        self.size = 0
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, _MODE)
        opening = {
            "format": FORMAT,
            "worker": worker,
            "id": identity.hex(),
            "key": base64.b64encode(wrapped).decode(),
            "after": None if before is None else before._asdict(),
        }
        try:
            self.put(_event(OPENING, **opening))
        except OSError:
            self.close()
            self.path.unlink(missing_ok=True)
            raise

    @property
    def place(self) -> Place:
        """The last line."""
        return Place(self.path.name, self._chain.number - 1, self._chain.mac.hex())

    def put(self, event: bytes) -> None:
        """Append one line, whole or not at all. Raises OSError."""
        before = self._chain.number, self._chain.mac
        line = self._chain.line(event)
        try:
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._chain.number, self._chain.mac = before
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(line)

    def sync(self) -> None:
        """Let it all reach the disk. Raises OSError."""
        os.fsync(self._descriptor)

    def end(self) -> None:
        """Append the closing line, and let it all reach the disk. Raises OSError."""
        self.put(_event(CLOSING))
        self.sync()

    def close(self) -> None:
        """Give the file back."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class Journal:
    """One worker's journal, or a command's. Not safe from several threads or processes: each has its own."""

    def __init__(
        self,
        folder: Path,
        worker: int | str,
        key: bytes,
        wrapped: bytes,
        *,
        file_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin a new file in `folder`, which names the last line of this worker's file before, if there is one.

        `key` (32 bytes) is new for each process; `wrapped` is what the key provider made of it, for `chain.CONTEXT`.

        Raises:
            ConfigError: the folder cannot be written.
        """
        self._folder, self._worker = folder, worker
        self._key, self._wrapped = key, wrapped
        self._file_bytes = file_bytes
        self._clock = clock
        self._waiting: list[bytes] = []
        self._lost = 0
        self._retry_at = -1.0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = _File(folder, worker, key, wrapped, _last_place(folder, worker))
        except OSError as fault:
            raise ConfigError(f"trail folder {folder} cannot be written: {fault.strerror}") from None
        self._full_at = file_bytes
        self._tell()

    @property
    def place(self) -> Place:
        """The last line that was written."""
        return self._file.place

    def write(self, events: Sequence[bytes]) -> None:
        """Append events: JSON objects, one line each, with or without a newline. Raises nothing."""
        self._waiting.extend(event.rstrip(b"\n") for event in events)
        if self._clock() < self._retry_at:
            self._give_up_some()
            return
        try:
            self._append()
        except OSError as fault:
            self._retry_at = self._clock() + _PAUSE_S
            self._give_up_some()
            self._complain("trail file not written", fault)
            return
        if self._clock() - self._told_at >= CHECKPOINT_S:
            self._tell()

    def record(self, event: bytes) -> Place:
        """Append one event and let it reach the disk; where it stands then. For what must not be done untold.

        Raises:
            ConfigError: it could not be written.
        """
        self._waiting.append(event.rstrip(b"\n"))
        try:
            self._append()
            self._file.sync()
        except OSError as fault:
            self._waiting.clear()
            raise ConfigError(f"trail file {self._file.path} cannot be written: {fault.strerror}") from None
        return self.place

    def close(self) -> None:
        """Write what waits and the closing line. What cannot be written any more is said in the log."""
        try:
            self._append()
            self._file.end()
            self._tell()
        except OSError as fault:
            self._complain("trail file not closed", fault)
        self._file.close()

    def _append(self) -> None:
        if self._lost:
            self._file.put(_event(LOST, events=self._lost))
            self._lost = 0
        done = 0
        try:
            for event in self._waiting:
                if self._file.size >= self._full_at:
                    self._rotate()
                self._file.put(event)
                done += 1
        finally:
            del self._waiting[:done]

    def _rotate(self) -> None:
        """End the file and begin the next. Raises OSError, after which the old one may have two ends."""
        self._file.end()
        following = _File(self._folder, self._worker, self._key, self._wrapped, self.place)
        self._file.close()
        self._file, self._full_at = following, self._file_bytes
        self._tell()

    def _tell(self) -> None:
        """Write to the log where the chain stands: what was told cannot be cut off unnoticed any more."""
        self._told_at = self._clock()
        _log.info(CHECKPOINT, **self.place._asdict())

    def _give_up_some(self) -> None:
        more = len(self._waiting) - _MOST_WAITING
        if more > 0:
            del self._waiting[:more]
            self._lost += more

    def _complain(self, what: str, fault: OSError) -> None:
        _log.error(what, file=self._file.path.name, code=fault.strerror, waiting=len(self._waiting), lost=self._lost)


def _event(event: str, **fields: Any) -> bytes:
    return orjson.dumps({**fields, "event": event, "timestamp": datetime.now(UTC)}, option=orjson.OPT_UTC_Z)


def _last_place(folder: Path, worker: int | str) -> Place | None:
    """The last whole line of the worker's newest file, as it stands there. Raises OSError."""
    files = sorted(folder.glob(f"trail-{worker}-*.jsonl"), key=lambda file: (file.stat().st_mtime_ns, file.name))
    for file in reversed(files):
        with file.open("rb") as stream:
            stream.seek(max(file.stat().st_size - _TAIL_BYTES, 0))
            lines = stream.read().split(b"\n")[:-1]
        for text in reversed(lines):
            line = read_line(text)
            if line is not None:
                return Place(file.name, line.number, line.mac.hex())
    return None
