"""The memory in a file of this host: SQLite, in which each acknowledged change survives a loss of power.

Several processes of one host share it. The key of names and stamps lies in it, wrapped by the key provider as that of a
store of shared state is (`vecguard.state.connection`). docs/formats.md §19 has its tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from vecguard.errors import Unavailable, Unreadable
from vecguard.fresh.log import EMPTY
from vecguard.fresh.memory import READY, Held
from vecguard.fresh.stamps import StampCache, Stamps
from vecguard.fresh.tidy import Tidier
from vecguard.keys.key import Key
from vecguard.keys.lease import LeasingProvider, Recording
from vecguard.state.sealing import StateKey

Result = TypeVar("Result")
_Row: TypeAlias = tuple[str, bytes, str]

_CONTEXT: Final = b"vecguard memory 1"
_BUSY_S: Final = 5.0
_MARK: Final = b""
_PAGE: Final = 1_000
_AWAY: Final = "the file that remembers what is newest cannot be used"
_OTHER_KEY: Final = f"{_AWAY}: it holds a key that this key provider does not open"
_CHANGED: Final = "what is newest was being noted, or its file was replaced, meanwhile: try again"
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, wrapped BLOB NOT NULL, kek TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS logs (place BLOB, name BLOB, text BLOB NOT NULL, PRIMARY KEY (place, name)) "
    "WITHOUT ROWID",
)


class FileMemory:
    """See `vecguard.fresh.memory.Memory`."""

    def __init__(self, file: Path, provider: LeasingProvider) -> None:
        """Nothing is opened yet."""
        self._file, self._provider = file, provider
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._lock = threading.Lock()
        self._agreeing = asyncio.Lock()
        self._key: StateKey | None = None
        self._stamps = StampCache()
        self._lease = provider.recording()
        self.tidier = Tidier(self)

    async def stamps(self, collection: bytes) -> Stamps:
        """See `Memory`."""
        async with self._agreeing:
            if self._key is None or not self._lease.good:
                self._key, self._lease = await self._agreed()
            return self._stamps.of(self._key, collection)

    async def read(self, stamps: Stamps, names: Sequence[bytes]) -> Held:
        """See `Memory`."""
        return await self._run(stamps, lambda held: _held(held, stamps.place, names))

    async def begin(self, stamps: Stamps, writes: Mapping[bytes, tuple[bytes, bytes]]) -> Held:
        """See `Memory`."""

        def act(held: sqlite3.Connection) -> Held:
            found = _held(held, stamps.place, list(writes))
            if found.mark.startswith(READY):
                began = found.now.to_bytes(6, "big")
                for (name, (number, body)), text in zip(writes.items(), found.logs, strict=True):
                    head = (11 + len(body)).to_bytes(4, "big") + b"\0" + number + began
                    _put(held, stamps.place, name, (text or EMPTY) + head + body)
            return found

        return await self._run(stamps, act)

    async def swap(
        self, stamps: Stamps, mark: bytes, changes: Mapping[bytes, tuple[bytes, bytes]]
    ) -> dict[bytes, bytes]:
        """See `Memory`."""

        def act(held: sqlite3.Connection) -> dict[bytes, bytes]:
            found = _held(held, stamps.place, list(changes))
            _require(found.mark, mark)
            others = {}
            for (name, (before, after)), text in zip(changes.items(), found.logs, strict=True):
                if text == before:
                    _put(held, stamps.place, name, after)
                else:
                    others[name] = text
            return others

        return await self._run(stamps, act)

    async def mark(self, stamps: Stamps, mark: bytes, *, empty: bool) -> None:
        """See `Memory`."""

        def act(held: sqlite3.Connection) -> None:
            if empty:
                held.execute("DELETE FROM logs WHERE place = ?", (stamps.place,))
            _put(held, stamps.place, _MARK, mark)

        await self._run(stamps, act)

    async def put(self, stamps: Stamps, mark: bytes, logs: Mapping[bytes, bytes]) -> None:
        """See `Memory`."""

        def act(held: sqlite3.Connection) -> None:
            _require(_held(held, stamps.place, ()).mark, mark)
            for name, text in logs.items():
                _put(held, stamps.place, name, text)

        await self._run(stamps, act)

    async def names(self, stamps: Stamps, after: bytes) -> tuple[list[bytes], bytes | None]:
        """See `Memory`; in their order."""
        ask = "SELECT name FROM logs WHERE place = ? AND name > ? ORDER BY name LIMIT ?"

        def act(held: sqlite3.Connection) -> list[bytes]:
            return [name for (name,) in held.execute(ask, (stamps.place, after, _PAGE))]

        found = await self._run(stamps, act)
        return found, found[-1] if len(found) == _PAGE else None

    async def close(self) -> None:
        """See `Memory`."""
        self.tidier.close()
        with self._lock, contextlib.suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    async def _run(self, stamps: Stamps, act: Callable[[sqlite3.Connection], Result]) -> Result:
        """Act as one step, off the loop, under the key that names and stamps were made with."""

        def ran() -> Result:
            with self._opened() as held:
                known = held.execute("SELECT 1 FROM keys WHERE id = ?", (stamps.identity,)).fetchone()
                if known is None:
                    self._key = None
                    raise Unavailable(_CHANGED)
                return act(held)

        return await asyncio.to_thread(ran)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """One step on the file, which is there for all processes when the block ends, or not at all."""
        with self._lock:
            try:
                held = self._same_file()
                held.execute("BEGIN IMMEDIATE")
                try:
                    yield held
                    held.execute("COMMIT")
                except BaseException:
                    held.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError):
                raise Unavailable(_AWAY) from None

    def _same_file(self) -> sqlite3.Connection:
        """The connection to what lies at the path now."""
        with contextlib.suppress(FileNotFoundError):
            if self._connection is not None and self._file.stat().st_ino == self._inode:
                return self._connection
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
        inode = self._file.stat().st_ino
        held = sqlite3.connect(self._file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        for text in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", *_TABLES):
            held.execute(text)
        self._connection, self._inode = held, inode
        return held

    async def _agreed(self) -> tuple[StateKey, Recording]:
        """The key that the file holds, unwrapped; one of ours is put there where it has none."""
        lease = self._provider.recording()
        row = await asyncio.to_thread(self._kept_key)
        if row is None:
            wrapped = await asyncio.to_thread(self._provider.wrap, Key.random(), _CONTEXT)
            made = StateKey(await asyncio.to_thread(self._provider.unwrap, wrapped, _CONTEXT))
            row = await asyncio.to_thread(self._kept_key, (made.identity, wrapped, self._provider.key_id))
        identity, wrapped, kek = row or ("", b"", "")
        try:
            key = await asyncio.to_thread(lease.unwrap, wrapped, _CONTEXT)
        except Unreadable:
            raise Unavailable(_OTHER_KEY) from None
        agreed = StateKey(key)
        if agreed.identity != identity:
            raise Unavailable(_OTHER_KEY)
        if kek != self._provider.key_id:  # a former key-encryption key wrapped it
            again = await asyncio.to_thread(self._provider.wrap, key, _CONTEXT)
            await asyncio.to_thread(self._kept_key, (identity, again, self._provider.key_id), replace=True)
        return agreed, lease

    def _kept_key(self, offered: _Row | None = None, *, replace: bool = False) -> _Row | None:
        """The file's key: id, wrapped, name of the KEK; `offered` where there is none, or to `replace` the same one."""
        with self._opened() as held:
            row: _Row | None = held.execute("SELECT id, wrapped, kek FROM keys").fetchone()
            if offered is not None and (row is None or (replace and row[0] == offered[0])):
                held.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", offered)
                return offered
            return row


def _held(held: sqlite3.Connection, place: bytes, names: Sequence[bytes]) -> Held:
    """A collection's mark and some logs, in a step of the caller's."""
    ask, found = "SELECT text FROM logs WHERE place = ? AND name = ?", list[bytes]()
    for name in (_MARK, *names):
        row = held.execute(ask, (place, name)).fetchone()
        found.append(b"" if row is None else row[0])
    return Held(found[0], found[1:], int(time.time() * 1e3))


def _put(held: sqlite3.Connection, place: bytes, name: bytes, text: bytes) -> None:
    if text:
        held.execute("INSERT OR REPLACE INTO logs VALUES (?, ?, ?)", (place, name, text))
    else:
        held.execute("DELETE FROM logs WHERE place = ? AND name = ?", (place, name))


def _require(mark: bytes, begun_under: bytes) -> None:
    if mark != begun_under:
        raise Unavailable(_CHANGED)
