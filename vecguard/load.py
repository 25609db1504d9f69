"""How much a worker has on its hands: calls whose messages are too much together are turned away, and told to wait.

So a flood of large messages costs a bounded memory; calls that are under way are not disturbed by it.
"""

from __future__ import annotations

from vecguard.errors import LimitExceeded

_MIB = 1024 * 1024


class Load:
    """The bytes of requests that a worker is busy with."""

    def __init__(self, max_mib: int) -> None:
        """`max_mib`: how much at once. One message alone is always let in."""
        self._most = max_mib * _MIB
        self._bytes = 0

    def admitted(self, size: int) -> _Share:
        """Be busy with a message of `size` bytes while a block runs (`with load.admitted(size):`).

        Raises:
            LimitExceeded: there is too much under way.
        """
        return _Share(self, size)

    def aside(self, size: int) -> _Aside:
        """Leave the room of a message of `size` bytes to others while a block waits (`with load.aside(size):`).

        Raises:
            LimitExceeded: at its end, there is no room any more.
        """
        return _Aside(self, size)

    def take(self, size: int) -> None:
        """Be busy with `size` bytes more. Raises LimitExceeded."""
        self.require_room(size)
        self._bytes += size

    def require_room(self, size: int) -> None:
        """Raise LimitExceeded where `size` bytes more are too much."""
        if self._bytes and self._bytes + size > self._most:
            raise LimitExceeded("this server is busy with too many large requests: try again in a moment")

    def take_anyway(self, size: int) -> None:
        """Be busy with `size` bytes more, however much that is."""
        self._bytes += size

    def give_back(self, size: int) -> None:
        """Be done with `size` bytes."""
        self._bytes -= size


class _Share:
    """What one call takes of a load. A plain object, since every call makes one: a generator costs three times that."""

    __slots__ = ("_load", "_size")

    def __init__(self, load: Load, size: int) -> None:
        self._load, self._size = load, size

    def __enter__(self) -> None:
        self._load.take(self._size)

    def __exit__(self, *_: object) -> None:
        self._load.give_back(self._size)


class _Aside:
    """The time in which a call waits, and is not being worked on."""

    __slots__ = ("_load", "_size")

    def __init__(self, load: Load, size: int) -> None:
        self._load, self._size = load, size

    def __enter__(self) -> None:
        self._load.give_back(self._size)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._load.require_room(self._size)
        finally:
            self._load.take_anyway(self._size)  # its share gives that back when the call ends, however it does
