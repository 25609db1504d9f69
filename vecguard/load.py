"""How much a worker has on its hands: calls whose messages are too much together are turned away, and told to wait.

So a flood of large messages costs a bounded memory; calls that are under way are not disturbed by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vecguard.errors import LimitExceeded

_MIB = 1024 * 1024


class Load:
    """The bytes of requests that a worker is busy with."""

    def __init__(self, max_mib: int) -> None:
        """`max_mib`: how much at once. One message alone is always let in."""
        self._most = max_mib * _MIB
        self._bytes = 0

    @contextmanager
    def admitted(self, size: int) -> Iterator[None]:
        """Be busy with a message of `size` bytes while the block runs.

        Raises:
            LimitExceeded: there is too much under way.
        """
        if self._bytes and self._bytes + size > self._most:
            raise LimitExceeded("this server is busy with too many large requests: try again in a moment")
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
