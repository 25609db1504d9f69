"""A profile as bytes: a head that an operator's list needs, and the detectors' states, which are larger.

docs/formats.md has the format, tests/vectors/profiles.json known answers. Numbers in the head are JSON's shortest
decimal form of a double; arrays are little-endian and in row-major order.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from vecguard.detect.detector import Evidence, State
from vecguard.detect.store import Key, Profile
from vecguard.detect.trend import Trend
from vecguard.errors import Unreadable

_STATES: Final = b"vgs1"
_LENGTH_BYTES: Final = 4
_MOST_BYTES: Final = 16 * 1024 * 1024
_KINDS: Final = "biuf"


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: str
    principal: str
    collection: str
    risk: float
    at: float
    rung: str
    evidence: dict[str, tuple[float, str]]
    trend: list[tuple[float, float]]
    pinned: float | None
    acknowledged: float
    blocked_until: float


HEAD: Final = "vecguard profile 1"


def pack_head(key: Key, profile: Profile) -> bytes:
    """All of a profile but the states. Raises ValueError where a number of it is not finite."""
    head = {
        "format": HEAD,
        "principal": key[0],
        "collection": key[1],
        "risk": profile.risk,
        "at": profile.at,
        "rung": profile.rung,
        "evidence": {name: [one.level, one.reason] for name, one in sorted(profile.evidence.items())},
        "trend": list(profile.trend),
        "pinned": profile.pinned,
        "acknowledged": profile.acknowledged,
        "blocked_until": profile.blocked_until,
    }
    return json.dumps(head, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def open_head(data: bytes) -> tuple[Key, Profile]:
    """Whose profile it is, and the profile without states. Raises Unreadable."""
    try:
        head = _Head.model_validate_json(data)
    except ValidationError:
        raise Unreadable from None
    if head.format != HEAD:
        raise Unreadable
    profile = Profile(
        risk=head.risk,
        at=head.at,
        rung=head.rung,
        evidence={name: Evidence(name, level, reason) for name, (level, reason) in head.evidence.items()},
        trend=Trend(head.trend),
        pinned=head.pinned,
        acknowledged=head.acknowledged,
        blocked_until=head.blocked_until,
    )
    return (head.principal, head.collection), profile


def pack_states(states: dict[str, State]) -> bytes:
    """The detectors' states. Raises ValueError where an array is of no number."""
    listed: list[tuple[str, str, str, tuple[int, ...]]] = []
    parts: list[bytes] = []
    for detector, state in sorted(states.items()):
        for name, array in sorted(state.items()):
            if array.dtype.kind not in _KINDS:
                raise ValueError(f"{detector}: `{name}` has the type {array.dtype}")
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            listed.append((detector, name, little.dtype.str, array.shape))
            parts.append(little.tobytes())
    detectors = sorted(states)
    table = json.dumps([detectors, listed], ensure_ascii=False, separators=(",", ":")).encode()
    return b"".join([_STATES, len(table).to_bytes(_LENGTH_BYTES, "little"), table, *parts])


def open_states(data: bytes) -> dict[str, State]:
    """The detectors' states, as arrays of their own. Raises Unreadable."""
    start = len(_STATES) + _LENGTH_BYTES
    if not data.startswith(_STATES) or len(data) > _MOST_BYTES:
        raise Unreadable
    end = start + int.from_bytes(data[len(_STATES) : start], "little")
    try:
        detectors, listed = json.loads(data[start:end])
        states: dict[str, State] = {str(name): {} for name in detectors}
        for detector, name, kind, shape in listed:
            states[detector][name], end = _array(data, end, kind, shape)
    except (ValueError, TypeError, KeyError):
        raise Unreadable from None
    if end != len(data):
        raise Unreadable
    return states


def _array(data: bytes, start: int, kind: Any, shape: Any) -> tuple[np.ndarray[Any, Any], int]:
    """The array that begins at `start`, and where it ends. Raises ValueError, TypeError."""
    dtype = np.dtype(str(kind))
    if dtype.kind not in _KINDS or any(not isinstance(side, int) or side < 0 for side in shape):
        raise ValueError
    count = math.prod(shape)
    end = start + count * dtype.itemsize
    if end > len(data):
        raise ValueError
    array = np.frombuffer(data, dtype, count, start).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=True), end
