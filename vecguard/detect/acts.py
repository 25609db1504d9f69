"""Operators' acts on principals, where each worker remembers its own: one small file that all workers of a host read.

The file is replaced whole by the process that serves the control plane. It holds the latest act of each kind on each
principal and collection, numbered, so that a worker that starts takes them all, and one that runs only what is new.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from vecguard.detect.desk import Acknowledge, Act, Pardon, Pin
from vecguard.detect.store import Key

FILE: Final = "acts.json"
_MODE: Final = 0o600
_MOST: Final = 10_000
_log = structlog.get_logger("vecguard.detect")


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    principal: str
    collection: str
    act: Literal["acknowledge", "pardon", "pin"]
    until: float = 0.0
    risk: float | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        return self.principal, self.collection, self.act

    @property
    def value(self) -> Act:
        if self.act == "acknowledge":
            return Acknowledge(self.until)
        return Pardon() if self.act == "pardon" else Pin(self.risk)


_LIST: Final = TypeAdapter(list[_Entry])


class Acts:
    """The file, as every process of a host sees it. One process writes it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._entries: list[_Entry] = []

    def add(self, key: Key, act: Act) -> None:
        """Tell the workers of an act. Raises OSError."""
        entries = self._read()
        number = max((one.number for one in entries), default=0) + 1
        more: Mapping[str, float | None] = {}
        if isinstance(act, Acknowledge):
            more = {"until": act.until}
        elif isinstance(act, Pin):
            more = {"risk": act.risk}
        kind = type(act).__name__.lower()
        fresh = _Entry.model_validate(
            {"number": number, "principal": key[0], "collection": key[1], "act": kind, **more}
        )
        kept = [one for one in entries if one.place != fresh.place]
        self._write([*kept[-_MOST + 1 :], fresh])

    def after(self, number: int) -> tuple[int, list[tuple[Key, Act]]]:
        """Acts since the one of this number, and the number to go on from. A look is one `stat` where there is none."""
        found = [one for one in self._read() if one.number > number]
        acts: list[tuple[Key, Act]] = [((one.principal, one.collection), one.value) for one in found]
        return max((one.number for one in found), default=number), acts

    def _read(self) -> list[_Entry]:
        try:
            stat = os.stat(self._file)
        except FileNotFoundError:
            return []
        seen = (stat.st_ino, stat.st_mtime_ns)
        if seen != self._seen:
            try:
                self._entries = _LIST.validate_json(self._file.read_bytes())
            except (ValidationError, OSError):
                _log.error("acts of the operator cannot be read", file=self._file.name)
                return []
            self._seen = seen
        return self._entries

    def _write(self, entries: list[_Entry]) -> None:
        fresh = self._file.with_suffix(f".{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(_LIST.dump_json(entries))
            fresh.replace(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
