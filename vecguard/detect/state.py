"""The arrays of a detector's state, by type."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.detector import State


def doubles(state: State, name: str) -> NDArray[np.float64]:
    """Sums, counts and times."""
    return cast("NDArray[np.float64]", state[name])


def singles(state: State, name: str) -> NDArray[np.float32]:
    """Moments and coordinates."""
    return cast("NDArray[np.float32]", state[name])


def halves(state: State, name: str) -> NDArray[np.float16]:
    """A ring of sketches."""
    return cast("NDArray[np.float16]", state[name])


def octets(state: State, name: str) -> NDArray[np.uint8]:
    """Registers and bitmaps."""
    return cast("NDArray[np.uint8]", state[name])


def hashes(state: State, name: str) -> NDArray[np.uint64]:
    """Hashed ids."""
    return cast("NDArray[np.uint64]", state[name])
