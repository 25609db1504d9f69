"""How long analysis holds the event loop at a time, and how long it then leaves it to calls.

A call goes through the loop several times before it is answered. Where analysis took a slice in each of these rounds,
a call would be late by all of them; as the loop is the calls' for longer than a slice, it is late by one or two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

SLICE_S: Final = 0.0015
"""How long analysis may hold the event loop at a time, about."""
REST: Final = 2.0
"""How long it then leaves it to calls, in times of the slice."""
_LONGEST_REST_S: Final = 0.01


class Pace:
    """Ends slices of analysis in time."""

    def __init__(self, crowded: Callable[[], bool] = lambda: True) -> None:
        """`crowded` says whether so many calls wait for analysis that it does not rest; it does not by default."""
        self._crowded, self._hurried = crowded, False
        self._began = 0.0

    def begin(self) -> None:
        """Now there is work."""
        self._began = time.perf_counter()

    def hurry(self) -> None:
        """Rest no more."""
        self._hurried = True

    async def step(self) -> None:
        """Give the event loop back, where a slice is over."""
        spent = time.perf_counter() - self._began
        if spent < SLICE_S:
            return
        rest = 0.0 if self._hurried or self._crowded() else min(REST * spent, _LONGEST_REST_S)
        await asyncio.sleep(rest)
        self.begin()
