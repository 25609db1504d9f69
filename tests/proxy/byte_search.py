"""Looking for many byte strings in a lot of bytes at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HEAD = 8
_BITS = 24
_CBOR = np.dtype([("tag", "u1"), ("value", ">f4")])
_FLOATS = re.compile(rb"(?:\xfa[\x00-\xff]{4}){16,}", re.DOTALL)
_ZEROS = re.compile(rb"\x00{64,}")


def every_byte(folder: Path) -> bytes:
    """The bytes of every file below a folder, names included; long runs of zeros are cut to 64.

    A database that is running may take a file away meanwhile, for another that holds the same: then all are read again.
    """
    for _ in range(100):
        with contextlib.suppress(FileNotFoundError):
            return b"\0".join(_every_part(folder))
    raise AssertionError(f"files below {folder} never stay")


def _every_part(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path).encode()
            yield _ZEROS.sub(bytes(64), path.read_bytes())


def found(data: bytes, needles: Sequence[bytes]) -> set[int]:
    """Indices of the needles (each of 8 bytes or more) that occur in `data` at any offset.

    Every offset's first 8 bytes are looked up in a table of the needles' own; what passes is compared in full.
    """
    by_head: dict[int, list[int]] = {}
    for index, needle in enumerate(needles):
        assert len(needle) >= HEAD
        by_head.setdefault(int.from_bytes(needle[:HEAD], "little"), []).append(index)
    heads = np.fromiter(by_head, np.uint64, len(by_head))
    table = np.zeros(1 << _BITS, bool)
    table[heads & np.uint64((1 << _BITS) - 1)] = True
    hits: set[int] = set()
    for shift in range(HEAD):
        count = (len(data) - shift) // HEAD
        if count <= 0:
            break
        words = np.frombuffer(data, "<u8", count, shift)
        likely = np.flatnonzero(table[words & np.uint64((1 << _BITS) - 1)])
        likely = likely[np.isin(words[likely], heads)]
        for word in likely.tolist():
            hits |= _matching(data, shift + word * HEAD, by_head[int(words[word])], needles)
    return hits


def _matching(data: bytes, at: int, indices: Iterable[int], needles: Sequence[bytes]) -> set[int]:
    return {index for index in indices if data.startswith(needles[index], at)}


def with_cbor_floats(data: bytes) -> bytes:
    """`data`, followed by every run of 16 or more CBOR single-precision floats in it (RFC 8949 §3.3: 0xfa, big-endian)
    as little-endian floats: the engine's write-ahead log is CBOR."""
    found_floats = [
        np.frombuffer(run.group(), _CBOR)["value"].astype("<f4").tobytes() for run in _FLOATS.finditer(data)
    ]
    return b"".join([data, *found_floats])


def found_near(data: bytes, rows: NDArray[np.float32], kind: str, tolerance: float) -> set[int]:
    """Indices of the rows (n, k) whose k numbers stand one after the other in `data`, at any offset.

    `kind` is "<f4" or "<f2"; each number fits within a relative `tolerance`, since whoever normalises a vector rounds
    it in their own way.
    """
    order = np.argsort(rows[:, 0])
    first = rows[order, 0]
    size = np.dtype(kind).itemsize
    hits: set[int] = set()
    for shift in range(size):
        numbers = np.frombuffer(data, kind, (len(data) - shift) // size, shift).astype(np.float32)
        numbers = np.append(np.nan_to_num(numbers), np.zeros(rows.shape[1], np.float32))
        above = np.clip(np.searchsorted(first, numbers), 0, len(first) - 1)
        for guess in (above, np.maximum(above - 1, 0)):
            at = np.flatnonzero(np.abs(numbers - first[guess]) <= tolerance * np.abs(first[guess]))
            row = order[guess[at]]
            for column in range(1, rows.shape[1]):
                wanted = rows[row, column]
                same = np.abs(numbers[at + column] - wanted) <= tolerance * np.abs(wanted)
                at, row = at[same], row[same]
            hits |= set(row.tolist())
    return hits
