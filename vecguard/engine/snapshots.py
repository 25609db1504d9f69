"""Snapshot files: consistent copies of a collection, or of all, in one tar file each, with their SHA-256.

A collection's snapshot holds its folder as `collection.py` describes it, with one shard. A full snapshot holds one such
folder each under `collections/`, and `aliases.json`. A collection's snapshot is restored when the engine starts
(`--restore`), or while it runs (`snapshot_transfer.py`).

Folder:

    snapshots/collections/<collection folder>/<name>-<time>.snapshot     one collection's
    snapshots/full/full-snapshot-<time>.snapshot                         full ones
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tarfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from vecguard.engine.collection import CURRENT, Collection
from vecguard.engine.collection_record import RECORD_FILE
from vecguard.engine.durable_files import copy_tree, remove_tree, sync_folder, write_atomically
from vecguard.engine.store import Store
from vecguard.errors import AlreadyExists, InvalidArgument, LimitExceeded, NotFound

SUFFIX = ".snapshot"
_CHECKSUM_SUFFIX = ".checksum"
# File names end at 255 bytes; time and suffixes need some of them.
_MAX_STEM_BYTES = 190
_SHARD = "shard-0"
_BLOCK = 1024 * 1024
_COPIES = 5
_ALIASES = "aliases.json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot file. `created_at` in seconds since the epoch, `size` in bytes, `checksum` in hexadecimal digits."""

    name: str
    created_at: float
    size: int
    checksum: str


class Snapshots:
    """The snapshots of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._home = store.folder / "snapshots"
        self._creation = asyncio.Lock()

    async def create(self, collection_name: str) -> Snapshot:
        """Snapshot one collection; writes wait while its files are copied, searches do not.

        Raises:
            NotFound: there is no such collection.
        """
        async with self._creation:
            collection = self._store.collection(collection_name)
            workplace = self._workplace()
            try:
                await _copy_collection(collection, workplace / "content")
                path = self._folder_of(collection) / _file_name(collection.name)
                return await asyncio.to_thread(_pack, workplace / "content", path)
            finally:
                await asyncio.to_thread(remove_tree, workplace)

    async def create_full(self) -> Snapshot:
        """Snapshot every collection and the aliases."""
        async with self._creation:
            workplace = self._workplace()
            content = workplace / "content"
            try:
                (content / "collections").mkdir(parents=True)
                for number, name in enumerate(self._store.names()):
                    await _copy_collection(self._store.collection(name), content / "collections" / str(number))
                write_atomically(content / _ALIASES, json.dumps(self._store.aliases()).encode())
                return await asyncio.to_thread(_pack, content, self._full_home() / _file_name("full-snapshot"))
            finally:
                await asyncio.to_thread(remove_tree, workplace)

    def of(self, collection_name: str) -> list[Snapshot]:
        """The snapshots of a collection, oldest first. Raises NotFound."""
        return _list(self._folder_of(self._store.collection(collection_name)))

    def full(self) -> list[Snapshot]:
        """The full snapshots, oldest first."""
        return _list(self._full_home())

    def delete(self, collection_name: str, snapshot_name: str) -> None:
        """Delete a collection's snapshot. Raises NotFound."""
        _delete(self._folder_of(self._store.collection(collection_name)), snapshot_name)

    def delete_full(self, snapshot_name: str) -> None:
        """Delete a full snapshot. Raises NotFound."""
        _delete(self._full_home(), snapshot_name)

    def path(self, collection_name: str, snapshot_name: str) -> Path:
        """The file of a collection's snapshot. Raises NotFound."""
        return _existing(self._folder_of(self._store.collection(collection_name)), snapshot_name)

    def full_path(self, snapshot_name: str) -> Path:
        """The file of a full snapshot. Raises NotFound."""
        return _existing(self._full_home(), snapshot_name)

    def checksum(self, path: Path) -> str:
        """SHA-256 of a snapshot's file when it was made, in hexadecimal digits."""
        return _describe(path).checksum

    async def restore(self, path: Path, name: str) -> Collection:
        """Make a new collection `name` from the file of a collection's snapshot.

        Raises:
            AlreadyExists: a collection has that name.
            InvalidArgument: the file is no snapshot of a collection, or its checksum is wrong.
        """
        async with self._creation:
            workplace = self._workplace()
            try:
                await asyncio.to_thread(unpack, path, workplace / "content")
                return await self._store.restore(name, workplace / "content")
            finally:
                await asyncio.to_thread(remove_tree, workplace)

    def _workplace(self) -> Path:
        workplace = self._home / "unfinished"
        remove_tree(workplace)
        workplace.mkdir(parents=True)
        return workplace

    def _folder_of(self, collection: Collection) -> Path:
        # By the folder's name, so that a new collection of the same name does not inherit the old one's snapshots.
        return self._home / "collections" / collection.folder.name

    def _full_home(self) -> Path:
        return self._home / "full"


async def _copy_collection(collection: Collection, target: Path) -> None:
    await asyncio.to_thread(target.mkdir, parents=True)
    async with collection.paused_writes():
        await asyncio.to_thread(_copy_settled, collection.shard_folder, target / _SHARD)
        record = (collection.folder / RECORD_FILE).read_bytes()
    write_atomically(target / RECORD_FILE, record)
    write_atomically(target / CURRENT, _SHARD.encode())


def _copy_settled(source: Path, target: Path) -> None:
    """Copy a shard's files. Edge still flushes what was written before: a temporary file of its that goes away while
    it is read has the copy begun again, since only a whole one is a snapshot."""
    for left in reversed(range(_COPIES)):
        try:
            copy_tree(source, target)
            return
        except FileNotFoundError:
            remove_tree(target)
            if not left:
                raise


def _file_name(stem: str) -> str:
    if len(stem.encode()) > _MAX_STEM_BYTES:
        stem = f"{stem[:32]}-{hashlib.sha256(stem.encode()).hexdigest()[:16]}"
    now = time.time()
    moment = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(now))
    return f"{stem}-{moment}-{int(now * 1000) % 1000:03d}{SUFFIX}"


def _pack(content: Path, path: Path) -> Snapshot:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with tarfile.open(temporary, "w:gz", compresslevel=1) as archive:
        for entry in sorted(content.iterdir()):
            archive.add(entry, arcname=entry.name)
    digest = _sha256(temporary)
    with temporary.open("rb") as packed:
        os.fsync(packed.fileno())
    write_atomically(path.with_name(path.name + _CHECKSUM_SUFFIX), digest.encode())
    temporary.replace(path)
    sync_folder(path.parent)
    return _describe(path)


def existing_collection(name: str) -> AlreadyExists:
    """Why a snapshot is not restored over what there is, and what to do about it."""
    return AlreadyExists(
        f"Wrong input: Collection `{name}` already exists! A snapshot is restored as a new collection: delete this one "
        "first (download its own snapshots before: they are out of reach then), or, if it is an alias, remove the alias"
    )


def unpack(path: Path, target: Path, room: int | None = None) -> None:
    """Unpack a collection's snapshot into the new folder `target`, with `room` bytes at most (None: any number).

    Raises:
        InvalidArgument: the file is no snapshot of a collection, its checksum is wrong, or it holds anything but what
            `Snapshots.create` packs: links, or a shard elsewhere.
        LimitExceeded: it is larger than `room`.
    """
    checksum = path.with_name(path.name + _CHECKSUM_SUFFIX)
    try:
        if checksum.exists() and checksum.read_text() != _sha256(path):
            raise InvalidArgument(f"Wrong input: the checksum of snapshot {path.name} does not match")
        with tarfile.open(path) as archive:
            archive.extractall(target, filter=_PlainFiles(room))  # noqa: S202 - filtered
            # To the end, where gzip has its checksum: tar itself stops before.
            while archive.fileobj is not None and archive.fileobj.read(_BLOCK):
                pass
    except (OSError, EOFError, zlib.error, tarfile.TarError) as failure:
        raise InvalidArgument(f"Wrong input: snapshot {path.name} cannot be read: {failure}") from failure
    if not (target / RECORD_FILE).is_file() or not (target / CURRENT).is_file():
        raise InvalidArgument(f"Wrong input: {path.name} is no snapshot of a collection")
    if (target / CURRENT).read_bytes() != _SHARD.encode() or not (target / _SHARD).is_dir():
        raise InvalidArgument(f"Wrong input: {path.name} names a shard that it does not hold")


class _PlainFiles:
    """A filter of tar members (PEP 706): files and folders under the target only, of `room` bytes together."""

    def __init__(self, room: int | None) -> None:
        self._room = room

    def __call__(self, member: tarfile.TarInfo, target: str) -> tarfile.TarInfo | None:
        if not member.isfile() and not member.isdir():
            raise InvalidArgument("Wrong input: the snapshot holds something other than files and folders")
        if self._room is not None:
            self._room -= member.size
            if self._room < 0:
                raise LimitExceeded("the database's disk has no room for the snapshot")
        return tarfile.data_filter(member, target)


def _list(folder: Path) -> list[Snapshot]:
    return [_describe(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]


def _describe(path: Path) -> Snapshot:
    status = path.stat()
    checksum = path.with_name(path.name + _CHECKSUM_SUFFIX).read_text()
    return Snapshot(path.name, status.st_mtime, status.st_size, checksum)


def _delete(folder: Path, name: str) -> None:
    path = _existing(folder, name)
    path.unlink()
    path.with_name(path.name + _CHECKSUM_SUFFIX).unlink(missing_ok=True)


def _existing(folder: Path, name: str) -> Path:
    if name not in {path.name for path in folder.glob(f"*{SUFFIX}")}:
        raise NotFound(f"Not found: Snapshot {name} not found")
    return folder / name


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
