"""Snapshot files in and out: `vecguard.engine.Snapshots`, a service of our own beside Qdrant's.

Qdrant moves these files over HTTP only. Both methods carry raw bytes, in chunks of 1 MiB at most, and requests in JSON:

    Download    {"collection": name or null for a full snapshot, "snapshot": name} -> {"size": bytes}, chunk, ...
    Restore     {"collection": name, "checksum": SHA-256 in hexadecimal digits or null} -> {"ready": true};
                chunk, ..., an empty message -> the `qdrant.CollectionConfig` that the file holds;
                {"restore": true} -> {"restored": true}

Between the last two steps the caller looks at the configuration: nothing is replaced or made before it says so. A call
that ends earlier, in whatever way, leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import grpc
from qdrant_client import grpc as qdrant

from vecguard.engine.collection_record import CollectionRecord
from vecguard.engine.config_validate import check_collection_name
from vecguard.engine.durable_files import remove_tree
from vecguard.engine.edge_errors import EngineFailure
from vecguard.engine.snapshots import Snapshots, existing_collection, unpack
from vecguard.engine.store import Store
from vecguard.engine.uninterrupted import uninterrupted
from vecguard.errors import InvalidArgument, LimitExceeded, NotFound

CHUNK: Final = 1024 * 1024
# Of a disk's free space, what a file that arrives must leave.
_SPARE: Final = 1024 * CHUNK
_SERVICE: Final = "vecguard.engine.Snapshots"
_Context = grpc.aio.ServicerContext[Any, Any]


class SnapshotTransfer:
    """Sends snapshot files, and makes collections from those that it is sent."""

    def __init__(self, store: Store, spare: int = _SPARE) -> None:
        """`spare`: bytes of the disk that stay free while a file arrives and is unpacked."""
        self._store = store
        self._snapshots = Snapshots(store)
        self._spare = spare
        self._home = store.folder / "snapshots" / "incoming"
        remove_tree(self._home)  # what was under way when the last process ended

    @property
    def handler(self) -> grpc.GenericRpcHandler:  # type: ignore[type-arg]  # generic in the stubs only
        """The service, for a server."""
        return grpc.method_handlers_generic_handler(
            _SERVICE,
            {
                "Download": grpc.unary_stream_rpc_method_handler(self.download),
                "Restore": grpc.stream_stream_rpc_method_handler(self.restore),
            },
        )

    async def download(self, request: bytes, context: _Context) -> None:
        """Send a file; its last chunk only when all of it has the checksum that was taken when it was made.

        Raises:
            NotFound: there is no such collection or snapshot.
            InvalidArgument: the file is damaged.
        """
        asked = _asked(request)
        name = _text(asked, "snapshot")
        path = self._path(None if asked.get("collection") is None else _text(asked, "collection"), name)
        expected = self._snapshots.checksum(path)
        with path.open("rb") as file:
            await context.write(json.dumps({"size": path.stat().st_size}).encode())
            digest, waiting = hashlib.sha256(), b""
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                digest.update(chunk)
                if waiting:
                    await context.write(waiting)
                waiting = chunk
            if digest.hexdigest() != expected:
                raise InvalidArgument(f"Wrong input: the checksum of snapshot {name} does not match")
            await context.write(waiting)

    def _path(self, collection: str | None, name: str) -> Path:
        if collection is None:
            return self._snapshots.full_path(name)
        if collection not in self._store.names():  # an alias may stand for what its user may not see
            raise NotFound(f"Not found: Collection `{collection}` doesn't exist!")
        return self._snapshots.path(collection, name)

    async def restore(self, _: AsyncIterator[bytes], context: _Context) -> None:
        """Make a collection from a file, in the steps of the module's text.

        Raises:
            AlreadyExists: there is a collection of that name.
            InvalidArgument: the file is no whole snapshot of a collection, or has another checksum.
            LimitExceeded: the disk has no room for it.
        """
        await context.send_initial_metadata(())  # a caller waits for it, to know that the method is there
        asked = _asked(await _next(context))
        name = _text(asked, "collection")
        check_collection_name(name)
        if self._store.exists(name):
            raise existing_collection(name)
        workplace = self._home / uuid.uuid4().hex
        try:
            await asyncio.to_thread(workplace.mkdir, parents=True)
            await context.write(json.dumps({"ready": True}).encode())
            path = workplace / "file.snapshot"
            digest = await self._receive(path, context)
            if asked.get("checksum") not in (None, digest):
                raise InvalidArgument("Wrong input: the snapshot does not have the checksum that was given for it")
            room = self._room(workplace)
            await uninterrupted(asyncio.to_thread(unpack, path, workplace / "content", room))
            await context.write(_config(workplace / "content").SerializeToString())
            if _asked(await _next(context)) != {"restore": True}:
                raise InvalidArgument("the restoration was not confirmed")
            await self._store.restore(name, workplace / "content")
            await context.write(json.dumps({"restored": True}).encode())
        finally:
            await asyncio.shield(asyncio.to_thread(remove_tree, workplace))

    async def _receive(self, path: Path, context: _Context) -> str:
        """Write the chunks to `path`. Returns their SHA-256 in hexadecimal digits."""
        digest = hashlib.sha256()
        with contextlib.closing(path.open("wb")) as file:
            while chunk := await _next(context):
                if len(chunk) > self._room(path):
                    raise LimitExceeded("the database's disk has no room for the snapshot")
                await uninterrupted(asyncio.to_thread(_write, file, chunk))
                digest.update(chunk)
        return digest.hexdigest()

    def _room(self, path: Path) -> int:
        return shutil.disk_usage(path.parent).free - self._spare


def _config(folder: Path) -> qdrant.CollectionConfig:
    try:
        return CollectionRecord.load(folder).config
    except EngineFailure:
        raise InvalidArgument("Wrong input: the snapshot's record of its collection cannot be read") from None


def _write(file: BinaryIO, chunk: bytes) -> None:
    file.write(chunk)


async def _next(context: _Context) -> bytes:
    message = await context.read()
    if not isinstance(message, bytes):
        raise InvalidArgument("the call ended before its last step")
    return message


def _asked(message: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(message)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise InvalidArgument("the request is not a JSON object")
    return asked


def _text(asked: dict[str, Any], key: str) -> str:
    value = asked.get(key)
    if not isinstance(value, str):
        raise InvalidArgument(f"`{key}` must be a text")
    return value
