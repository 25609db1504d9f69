"""Where logs of records are kept: what several processes share, and the database's writers cannot reach."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vecguard.fresh.stamps import Stamps
from vecguard.fresh.tidy import Tidier

READY: Final = b"r"
"""What the mark of a collection begins with whose records are remembered."""
ADOPTING: Final = b"a"
"""And of one whose records are being taken as they are."""
_MARK_BYTES: Final = 8


def new_mark(state: bytes) -> bytes:
    """A mark that no other one is equal to: what was begun under another is not ended under this."""
    return state + secrets.token_bytes(_MARK_BYTES)


@dataclass(frozen=True, slots=True)
class Held:
    """What the memory holds: a collection's mark (empty where it has none), logs in the order asked for (empty where
    there is none), and its clock in milliseconds."""

    mark: bytes
    logs: Sequence[bytes]
    now: int


class Memory(Protocol):
    """Logs by collection (`Stamps.place`) and name (`Stamps.name`). All methods raise Unavailable where it is away."""

    @property
    def tidier(self) -> Tidier:
        """What takes out of logs what went."""

    async def stamps(self, collection: bytes) -> Stamps:
        """What the names and stamps of a collection, by its uuid's bytes, are made with."""

    async def read(self, stamps: Stamps, names: Sequence[bytes]) -> Held:
        """The logs of some records."""

    async def begin(self, stamps: Stamps, writes: Mapping[bytes, tuple[bytes, bytes]]) -> Held:
        """Put a write, as number and `log.body`, at the end of each of some records' logs, if the collection's mark
        says that it is ready; the logs as they were before, in the same order."""

    async def swap(
        self, stamps: Stamps, mark: bytes, changes: Mapping[bytes, tuple[bytes, bytes]]
    ) -> dict[bytes, bytes]:
        """Put each second log in the place of the first, where that one still stands; the others, as they are now.

        Raises:
            Unavailable: the collection has another mark by now.
        """

    async def mark(self, stamps: Stamps, mark: bytes, *, empty: bool) -> None:
        """Give a collection a mark; none takes all that is remembered of it. With `empty`, forget its logs."""

    async def put(self, stamps: Stamps, mark: bytes, logs: Mapping[bytes, bytes]) -> None:
        """Put logs, whatever was there. Raises Unavailable, see `swap`."""

    async def names(self, stamps: Stamps, after: bytes) -> tuple[list[bytes], bytes | None]:
        """Some names that a collection has a log of, and what to give as `after` for more (at first, nothing); None
        after the last ones. A name may be told twice."""

    async def close(self) -> None:
        """Give back what it holds."""
