"""Steps that must not be left half-way when the call they serve is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uninterrupted(steps: Coroutine[Any, Any, T]) -> T:
    """Run `steps` to their end even if the caller is cancelled meanwhile; the cancellation follows after them."""
    task = asyncio.ensure_future(steps)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
