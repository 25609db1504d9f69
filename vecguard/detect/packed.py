"""Detectors' states of one principal as one run of bytes: what Python keeps around some forty arrays is saved."""

from __future__ import annotations

import math
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from vecguard.detect.detector import State

Layout: TypeAlias = tuple[tuple[str, str, np.dtype[np.generic], tuple[int, ...]], ...]
"""Detector, name, type and shape of each array, in the order in which they lie."""

_MOST_LAYOUTS: Final = 256
_layouts: dict[Layout, Layout] = {}


class Packed(NamedTuple):
    """States as bytes; principals whose arrays are alike share one layout. `empty` names detectors without arrays."""

    layout: Layout
    data: bytes
    empty: tuple[str, ...]


def pack(states: dict[str, State]) -> Packed:
    """The states as bytes."""
    arrays = [(name, key, array) for name, state in states.items() for key, array in state.items()]
    layout = tuple((name, key, array.dtype, array.shape) for name, key, array in arrays)
    if len(_layouts) >= _MOST_LAYOUTS:
        _layouts.clear()
    empty = tuple(name for name, state in states.items() if not state)
    return Packed(_layouts.setdefault(layout, layout), b"".join(array.tobytes() for _, _, array in arrays), empty)


def unpack(packed: Packed) -> dict[str, State]:
    """The states, in arrays of their own."""
    states: dict[str, State] = {name: {} for name in packed.empty}
    start = 0
    for name, key, dtype, shape in packed.layout:
        count = math.prod(shape)
        array = np.frombuffer(packed.data, dtype, count, start).reshape(shape).copy()
        states.setdefault(name, {})[key] = array
        start += array.nbytes
    return states
