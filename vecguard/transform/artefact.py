"""Artefact files: matrices that were fitted or trained, named in a policy with the SHA-256 of the file.

Format (docs/formats.md): `VGA1`, u32 little-endian length of a header, the header as JSON (`kind`; `arrays`: names with
their shapes, in order; where there are any `facts`: numbers by name), then the arrays as little-endian float32. Reading
one runs no code.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np

from vecguard.errors import ConfigError
from vecguard.transform.base import Floats

_MAGIC: Final = b"VGA1"
_MAX_BYTES: Final = 64 << 20
_MAX_HEADER: Final = 1 << 16
_NO_FACTS: Final[Mapping[str, float]] = MappingProxyType({})


class FittedSpec(Protocol):
    """The policy's entry of a transform that an artefact holds: `{kind: pca, dims: 64, file: pca.vga, sha256: ...}`."""

    @property
    def kind(self) -> str:
        """`pca` or `learned`."""

    @property
    def dims(self) -> int:
        """Dimensions that it leaves."""

    @property
    def file(self) -> str:
        """The artefact."""

    @property
    def sha256(self) -> str:
        """Of that file, hexadecimal digits."""


def write_artefact(path: Path, kind: str, arrays: Mapping[str, Floats], facts: Mapping[str, float] = _NO_FACTS) -> str:
    """Write an artefact, with what is to be said of how it was made; returns the file's SHA-256 in hexadecimal digits.

    Raises:
        ConfigError: it cannot be written.
    """
    shapes = [[name, list(array.shape)] for name, array in arrays.items()]
    said = {"facts": dict(facts)} if facts else {}
    header = json.dumps({"kind": kind, "arrays": shapes, **said}, separators=(",", ":")).encode()
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
    return _read(path, sha256, kind)[0]


def read_facts(path: Path, sha256: str, kind: str) -> dict[str, float]:
    """What an artefact says of how it was made; empty where it says nothing.

    Raises:
        ConfigError: see `read_artefact`.
    """
    return _read(path, sha256, kind)[1]


def _read(path: Path, sha256: str, kind: str) -> tuple[dict[str, Floats], dict[str, float]]:
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
    except (ValueError, KeyError, TypeError, AttributeError, struct.error):
        raise ConfigError(f"{path}: is no artefact of kind {kind}") from None


def _parse(content: bytes, kind: str) -> tuple[dict[str, Floats], dict[str, float]]:
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
    return arrays, {str(name): float(value) for name, value in header.get("facts", {}).items()}
