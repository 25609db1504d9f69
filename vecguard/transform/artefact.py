"""Artefact files: matrices that were fitted or trained, named in a policy with the SHA-256 of the file.

Format (docs/formats.md): `VGA1`, u32 little-endian length of a header, the header as JSON (`kind`, and `arrays`: names
with their shapes, in order), then the arrays as little-endian float32. Reading one runs no code.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from vecguard.errors import ConfigError
from vecguard.transform.base import Floats

_MAGIC: Final = b"VGA1"
_MAX_BYTES: Final = 64 << 20
_MAX_HEADER: Final = 1 << 16


def write_artefact(path: Path, kind: str, arrays: Mapping[str, Floats]) -> str:
    """Write an artefact; returns the SHA-256 of the file as hexadecimal digits.

    Raises:
        ConfigError: it cannot be written.
    """
    shapes = [[name, list(array.shape)] for name, array in arrays.items()]
    header = json.dumps({"kind": kind, "arrays": shapes}, separators=(",", ":")).encode()
    body = b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays.values())
    content = _MAGIC + struct.pack("<I", len(header)) + header + body
    try:
        path.write_bytes(content)
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be written: {fault.strerror}") from None
    return hashlib.sha256(content).hexdigest()


def read_artefact(path: Path, sha256: str, kind: str) -> dict[str, Floats]:
    """The arrays of an artefact, float32, by name.

    Raises:
        ConfigError: no such file, another SHA-256, another kind, or a damaged file.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path}: is larger than {_MAX_BYTES >> 20} MiB, which no artefact is")
        content = path.read_bytes()
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be read: {fault.strerror}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ConfigError(f"{path}: has SHA-256 {found}, and not the {sha256} that the policy names")
    try:
        return _parse(content, kind)
    except (ValueError, KeyError, TypeError, struct.error):
        raise ConfigError(f"{path}: is no artefact of kind {kind}") from None


def _parse(content: bytes, kind: str) -> dict[str, Floats]:
    (length,) = struct.unpack_from("<I", content, len(_MAGIC))
    start = len(_MAGIC) + 4
    if not content.startswith(_MAGIC) or length > _MAX_HEADER:
        raise ValueError
    header = json.loads(content[start : start + length])
    if header["kind"] != kind:
        raise ValueError
    arrays, at = {}, start + length
    for name, shape in header["arrays"]:
        size = math.prod(shape)
        arrays[name] = np.frombuffer(content, "<f4", size, at).reshape(shape).astype(np.float32)
        at += 4 * size
    if at != len(content) or not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError
    return arrays
