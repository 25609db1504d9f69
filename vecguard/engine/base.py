"""What an embedded database is to the process that serves it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol


class Engine(Protocol):
    """A database of ours in a process of its own, under supervision.

    `health` is an RPC that it answers when sent an empty message.
    """

    health: ClassVar[str]

    @staticmethod
    def socket_of(data: Path) -> str | None:
        """The gRPC target at which an engine of another process serves `data`, if one does; None where its path would
        be too long, so that it is not known."""

    async def start(self, data: Path) -> str:
        """Serve the folder `data`, and wait until it answers.

        Returns:
            The gRPC target, the same over restarts.

        Raises:
            Unavailable: it ended or did not answer in time.
        """

    async def stop(self) -> None:
        """End it, with what it acknowledged on disk."""
