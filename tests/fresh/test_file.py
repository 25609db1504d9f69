"""The memory in a file: durable, of this host's processes together, and refused where it is not what it was."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from state.stores import provider

from vecguard.errors import FailedPrecondition, Unavailable
from vecguard.fresh import log
from vecguard.fresh.file import FileMemory
from vecguard.fresh.guard import Guard
from vecguard.fresh.log import WHOLE, Change
from vecguard.keys.file import FileKeyProvider
from vecguard.keys.key import Key
from vecguard.keys.lease import LeasingProvider
from vecguard.keys.several import SeveralProviders

KNOWN = json.loads((Path(__file__).parents[1] / "vectors" / "freshness.json").read_text())
UUID, RECORD = bytes(range(16)), b"\x01" + bytes(8)
WRITER = """
import asyncio, sys, itertools
from pathlib import Path
from vecguard.fresh.file import FileMemory
from vecguard.fresh.guard import Guard
from vecguard.fresh.log import WHOLE, Change
from vecguard.keys.file import FileKeyProvider
from vecguard.keys.lease import LeasingProvider

async def main(folder, first):
    keys = LeasingProvider(FileKeyProvider(f"{folder}/kek.key"))
    guard = Guard(FileMemory(Path(folder) / "newest.db", keys), bytes(range(16)), "notes")
    for value in itertools.count(first):
        record = b"\\x01" + value.to_bytes(8, "big")
        begun = await guard.begin(await guard.stamps(), {record: Change((WHOLE,), {b"r": value.to_bytes(8, "big")})})
        await guard.commit(begun)
        print(value, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def memory(folder: Path) -> FileMemory:
    return FileMemory(folder / "newest.db", provider(folder))


def stamp(value: int) -> bytes:
    return value.to_bytes(8, "big")


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    """Two processes write until they are killed: all that they told of stands, and the file serves on."""

    async def begin() -> None:
        held = memory(tmp_path)
        await Guard(held, UUID, "notes").open_empty()
        await held.close()

    asyncio.run(begin())
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(first)], stdout=subprocess.PIPE, text=True)
        for first in (1_000, 5_000)
    ]
    told: list[int] = []
    for writer in writers:
        assert writer.stdout is not None
        told += [int(writer.stdout.readline()) for _ in range(20)]
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        assert writer.stdout is not None
        told += [int(line) for line in writer.stdout.read().split() if line]
        writer.wait()

    async def look() -> None:
        held = memory(tmp_path)
        guard = Guard(held, UUID, "notes")
        records = [b"\x01" + value.to_bytes(8, "big") for value in told]
        texts, since = await guard.logs(await guard.stamps(), records, time.monotonic())
        for value, text in zip(told, texts, strict=True):
            assert log.parse(text).fresh({b"r": stamp(value)}, since)
            assert not log.parse(text).fresh({}, since + 60_000)
        await held.close()

    asyncio.run(look())
    assert len(told) >= 40


def test_only_its_user_reads_it_and_nothing_is_in_clear(tmp_path: Path) -> None:
    async def act() -> None:
        held = memory(tmp_path)
        guard = Guard(held, UUID, "notes-in-clear")
        await guard.open_empty()
        await guard.commit(await guard.begin(await guard.stamps(), {b"record-in-clear": Change((WHOLE,), {})}))
        await held.close()

    asyncio.run(act())
    file = tmp_path / "newest.db"
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"in-clear" not in file.read_bytes()
    assert UUID not in file.read_bytes()


def replaced(file: Path) -> None:
    file.unlink()
    for beside in file.parent.glob("newest.db-*"):
        beside.unlink()


def garbage(file: Path) -> None:
    replaced(file)
    file.write_bytes(os.urandom(8_192))


@pytest.mark.parametrize(("change", "error"), [(replaced, FailedPrecondition), (garbage, Unavailable)])
def test_a_file_that_is_another_by_now(tmp_path: Path, change: Callable[[Path], None], error: type[Exception]) -> None:
    """Never served from what a process has open: what others write would not be seen."""

    async def act() -> None:
        held = memory(tmp_path)
        guard = Guard(held, UUID, "notes")
        await guard.open_empty()
        stamps = await guard.stamps()
        change(tmp_path / "newest.db")
        with pytest.raises(Unavailable):
            await guard.begin(stamps, {})
        with pytest.raises(error):
            await guard.begin(await guard.stamps(), {})
        await held.close()

    asyncio.run(act())


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    async def act() -> None:
        guard = Guard(FileMemory(tmp_path / "missing" / "newest.db", provider(tmp_path)), UUID, "notes")
        with pytest.raises(Unavailable):
            await guard.open_empty()

    asyncio.run(act())


def test_the_key_encryption_key_changes(tmp_path: Path) -> None:
    """The new one wraps the file's key anew where the old one is still known; else the file is refused."""
    provider(tmp_path), provider(tmp_path, "new.key")
    old, new = FileKeyProvider(tmp_path / "kek.key"), FileKeyProvider(tmp_path / "new.key")

    async def act() -> None:
        async def known(keys: LeasingProvider) -> bool:
            held = FileMemory(tmp_path / "newest.db", keys)
            try:
                return await Guard(held, UUID, "notes").is_known()
            finally:
                await held.close()

        first = memory(tmp_path)
        await Guard(first, UUID, "notes").open_empty()
        await first.close()
        with pytest.raises(Unavailable):
            await known(LeasingProvider(new))
        assert await known(LeasingProvider(SeveralProviders(new, [old])))
        assert await known(LeasingProvider(new))
        with sqlite3.connect(tmp_path / "newest.db") as file:
            assert file.execute("SELECT count(*), max(kek) FROM keys").fetchall() == [(1, new.key_id)]

    asyncio.run(act())


def test_a_file_as_the_specification_has_it(tmp_path: Path) -> None:
    """Made by hand, by docs/formats.md §19, of known answers."""
    keys, names = provider(tmp_path), [bytes.fromhex(KNOWN[part]) for part in ("place", "name")]
    wrapped = keys.wrap(Key(bytes.fromhex(KNOWN["state_key"])), b"vecguard memory 1")
    with sqlite3.connect(tmp_path / "newest.db") as file:
        file.execute("CREATE TABLE keys (id TEXT PRIMARY KEY, wrapped BLOB NOT NULL, kek TEXT NOT NULL)")
        file.execute("CREATE TABLE logs (place BLOB, name BLOB, text BLOB NOT NULL, PRIMARY KEY (place, name))")
        file.execute("INSERT INTO keys VALUES (?, ?, ?)", (KNOWN["identity"], wrapped, keys.key_id))
        file.execute("INSERT INTO logs VALUES (?, ?, ?)", (names[0], b"", b"r" + bytes(8)))
        file.execute("INSERT INTO logs VALUES (?, ?, ?)", (*names, bytes.fromhex(KNOWN["whole"])))

    async def act() -> None:
        held = memory(tmp_path)
        guard = Guard(held, bytes.fromhex(KNOWN["uuid"]), "notes")
        texts, _ = await guard.logs(await guard.stamps(), [bytes.fromhex(KNOWN["point"])], time.monotonic())
        assert [text.hex() for text in texts] == [KNOWN["whole"]]
        assert await guard.count() == 1
        await held.close()

    asyncio.run(act())
