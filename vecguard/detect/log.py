"""Observations on disk, for a replay under another policy: written as they were seen, read back in the order of time.

A file begins with `MAGIC`; then come frames, each u32 LE length, u32 LE CRC-32 of what follows, and that many bytes: a
packed observation. docs/formats.md has the format byte by byte, tests/vectors/observations.json known answers. Files
are only appended to; a file that has its size is followed by another, and the oldest of a worker are removed.
"""

from __future__ import annotations

import errno
import heapq
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vecguard.detect.observation import SKETCH_DIMS, Leaving, Observation, Operation
from vecguard.errors import ConfigError

MAGIC: Final = b"vecguard observations 1\n"
SUFFIX: Final = ".vgo"
_FRAME_BYTES: Final = 8
_LENGTH_BYTES: Final = 4
_MOST_FRAME_BYTES: Final = 256 * 1024 * 1024
# Arrays of an observation in the order in which they are written: name, type, and numbers in a row.
_ARRAYS: Final = (
    ("queries", "<f4", SKETCH_DIMS),
    ("ids", "<u8", 1),
    ("query_of", "<i4", 1),
    ("scores", "<f4", 1),
    ("vectors", "<f4", SKETCH_DIMS),
    ("vector_ids", "<u8", 1),
    ("written", "<u8", 1),
    ("written_vectors", "<f4", SKETCH_DIMS),
    ("canaries", "<u2", 1),
)


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    time: float
    principal: str
    collection: str
    operation: Operation
    rows: tuple[int, ...] = Field(min_length=len(_ARRAYS), max_length=len(_ARRAYS))
    left: tuple[Leaving, ...]
    limit: int
    offset: int
    exact: bool
    filter_shape: int
    filter_ids: int
    records: int
    planted: int
    request_id: str


def pack(observation: Observation) -> bytes:
    """An observation as bytes: u32 LE length of a JSON object, the object, and the arrays, little-endian."""
    arrays = [np.ascontiguousarray(getattr(observation, name), kind) for name, kind, _ in _ARRAYS]
    head = _Head(
        rows=tuple(len(array) for array in arrays),
        left=tuple(sorted(observation.left)),
        **{name: getattr(observation, name) for name in _Head.model_fields if name not in ("rows", "left")},
    )
    text = head.model_dump_json().encode()
    return b"".join([len(text).to_bytes(_LENGTH_BYTES, "little"), text, *(array.tobytes() for array in arrays)])


def unpack(data: bytes) -> Observation:
    """Undo `pack`.

    Raises:
        ValueError: it is no packed observation.
    """
    start = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    try:
        head = _Head.model_validate_json(data[_LENGTH_BYTES:start])
    except ValidationError:
        raise ValueError("no head of an observation") from None
    arrays: dict[str, Any] = {}
    for (name, kind, width), rows in zip(_ARRAYS, head.rows, strict=True):
        count = rows * width
        if rows < 0 or start + count * np.dtype(kind).itemsize > len(data):
            raise ValueError("arrays end early")
        flat = np.frombuffer(data, kind, count, start).astype(np.dtype(kind).newbyteorder("="), copy=True)
        arrays[name] = flat.reshape(rows, width) if width > 1 else flat
        start += count * flat.itemsize
    if start != len(data):
        raise ValueError("more than the arrays")
    scalars = head.model_dump(exclude={"rows", "left"})
    return Observation(**scalars, **arrays, left=frozenset(head.left))


class LogWriter:
    """Appends observations to a worker's files. What is written is on its way to disk when `write` returns."""

    def __init__(self, folder: Path, worker: int, *, file_bytes: int, most_files: int) -> None:
        """`folder` is made where it is missing; each worker keeps `most_files` of about `file_bytes` at most.

        Raises:
            ConfigError: the folder cannot be written.
        """
        self._folder, self._worker = folder, worker
        self._file_bytes, self._most_files = file_bytes, most_files
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file, self._size = self._next()
        except OSError as fault:
            raise ConfigError(f"detection_log {folder} cannot be written: {fault.strerror}") from None

    def write(self, observations: Sequence[Observation]) -> None:
        """Append observations, oldest first, all or none.

        Raises:
            OSError: the disk is full, or gone. What was appended before stays readable.
        """
        if self._size >= self._file_bytes:
            os.close(self._file)
            self._file, self._size = self._next()
        frames = []
        for body in map(pack, observations):
            frames += [len(body).to_bytes(4, "little"), zlib.crc32(body).to_bytes(4, "little"), body]
        data = b"".join(frames)
        try:
            if os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def _next(self) -> tuple[int, int]:
        """A new file and its size; the oldest are removed. Names sort by time."""
        pattern = f"observations-{self._worker:03}-"
        written = sorted(self._folder.glob(f"{pattern}*{SUFFIX}"))
        for old in written[: max(len(written) - self._most_files + 1, 0)]:
            old.unlink(missing_ok=True)
        name = self._folder / f"{pattern}{time.time_ns() // 1000:017}{SUFFIX}"
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        return descriptor, os.write(descriptor, MAGIC)

    def close(self) -> None:
        """Finish the file."""
        os.close(self._file)


def read_log(place: Path) -> Iterator[Observation]:
    """All observations of a file, or of all files in a folder, in the order of time.

    Raises:
        ConfigError: it cannot be read, is no such file, or is damaged; says where.
    """
    files = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else [place]
    if not files:
        raise ConfigError(f"{place} holds no recorded observations (*{SUFFIX})")
    return heapq.merge(*(_frames(file) for file in files), key=lambda one: one.time)


def _frames(file: Path) -> Iterator[Observation]:
    """The observations of one file. A frame that the end of the file cuts off was being written; it is left out."""
    try:
        with file.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                raise ConfigError(f"{file} is no log of observations, or of a version that is not known here")
            while len(front := stream.read(_FRAME_BYTES)) == _FRAME_BYTES:
                at, length = stream.tell() - _FRAME_BYTES, int.from_bytes(front[:4], "little")
                body = stream.read(length) if length <= _MOST_FRAME_BYTES else b""
                if length <= _MOST_FRAME_BYTES and len(body) < length:
                    return
                if length > _MOST_FRAME_BYTES or zlib.crc32(body) != int.from_bytes(front[4:], "little"):
                    raise ConfigError(f"{file} is damaged at byte {at}")
                try:
                    yield unpack(body)
                except ValueError as fault:
                    raise ConfigError(f"{file} is damaged at byte {at}: {fault}") from None
    except OSError as fault:
        raise ConfigError(f"{file} cannot be read: {fault.strerror}") from None
