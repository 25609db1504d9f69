"""Principals that an operator shut out: one small file that every worker of a host looks at before each call.

The file is replaced whole, so a reader sees an old list or a new one. A look is one `stat`; it is read when it changed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from vecguard.errors import Blocked, ConfigError

_MODE: Final = 0o600
_REFUSED: Final = "this caller is blocked by the operator"


class Block(BaseModel):
    """One principal that is shut out. Times in seconds since 1970; `until` None: until it is pardoned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: float
    until: float | None = None
    reason: str = ""

    def holds(self, now: float) -> bool:
        """Whether it is in force."""
        return self.until is None or now < self.until


_LIST: Final = TypeAdapter(dict[str, Block])


class Blocks:
    """The list, as every process of a host sees it. One process writes it."""

    def __init__(self, file: Path) -> None:
        """Raises ConfigError where the file is there and is no such list: nobody is let in by a damaged one."""
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._blocks: Mapping[str, Block] = {}
        self._refresh()

    def require_free(self, principal: str) -> None:
        """Go on only if the principal is not blocked. Raises Blocked, ConfigError."""
        self._refresh()
        block = self._blocks.get(principal)
        if block is not None and block.holds(time.time()):
            raise Blocked(_REFUSED)

    def held(self) -> dict[str, Block]:
        """The blocks that are in force, by principal."""
        self._refresh()
        now = time.time()
        return {principal: block for principal, block in self._blocks.items() if block.holds(now)}

    def block(self, principal: str, seconds: float | None, reason: str) -> Block:
        """Shut a principal out, for so many seconds or for good. Raises OSError."""
        now = time.time()
        block = Block(since=now, until=None if seconds is None else now + seconds, reason=reason)
        self._write({**self.held(), principal: block})
        return block

    def pardon(self, principal: str) -> bool:
        """Let a principal in again; whether it was blocked. Raises OSError."""
        held = self.held()
        found = held.pop(principal, None) is not None
        self._write(held)
        return found

    def _refresh(self) -> None:
        try:
            stat = os.stat(self._file)
        except FileNotFoundError:
            self._seen, self._blocks = None, {}
            return
        seen = (stat.st_ino, stat.st_mtime_ns)
        if seen == self._seen:
            return
        try:
            self._blocks = _LIST.validate_json(self._file.read_bytes())
        except (ValidationError, OSError):
            raise ConfigError(f"the list of blocked callers, {self._file.name}, cannot be read") from None
        self._seen = seen

    def _write(self, blocks: dict[str, Block]) -> None:
        fresh = self._file.with_suffix(f".{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(_LIST.dump_json(blocks))
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        self._refresh()
