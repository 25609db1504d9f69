"""Snapshot files over REST: sent to, and taken from, principals with the admin action.

Only the embedded engine moves files beside Qdrant's gRPC API, by a service of its own (`vecguard.engine.Snapshots`; its
steps are in `vecguard/engine/snapshot_transfer.py`). Any other database answers that with UNIMPLEMENTED. Files pass
through in pieces of 1 MiB at most, and nothing of them is kept here. They are protected as the collection at rest is.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import quote

from google.protobuf.message import DecodeError
from qdrant_client import grpc as q
from qdrant_client.http import models as m

from vecguard.errors import InvalidArgument, Refused, UpstreamFailure, VecGuardError
from vecguard.front.qdrant.metadata import stored_manifest
from vecguard.front.qdrant.serve_names import heed_all
from vecguard.front.rest import body
from vecguard.front.rest.body import Cut, Disconnected, Limits
from vecguard.front.rest.decoding import Body
from vecguard.front.rest.endpoint import Incoming
from vecguard.front.rest.multipart import FilePart
from vecguard.pipeline import Session
from vecguard.upstream import Exchange, Stream

LARGEST: Final = 64 * 1024**3
"""Bytes of an uploaded file at most; the engine refuses earlier what its disk has no room for."""
_CHUNK: Final = 1024 * 1024
_SMALL: Final = Limits(64 * 1024)
_FILE: Final = Limits(LARGEST)
_DOWNLOAD: Final = "/vecguard.engine.Snapshots/Download"
_RESTORE: Final = "/vecguard.engine.Snapshots/Restore"
_NO_FILES: Final = "the database behind VecGuard gives no snapshot files over gRPC: only the embedded engine does"
_PRIORITIES: Final = ("no_sync", "snapshot", "replica")
_SHA256: Final = re.compile("[0-9a-fA-F]{64}")
_RECOVER: Final = Body[m.SnapshotRecover](m.SnapshotRecover)


async def download(incoming: Incoming, session: Session) -> None:
    """`GET /collections/{collection_name}/snapshots/{snapshot_name}` and `GET /snapshots/{snapshot_name}`.

    Raises:
        Refused: the database is not the embedded engine.
        Suspended: detection has calls of the caller refused for now, in a collection that the file holds.
        UpstreamFailure: it has no such file, or the file is damaged.
        Cut: something failed, or the client left, after the answer had begun.
    """
    body.require_none(await body.read(incoming.receive, incoming.headers, _SMALL))
    name = incoming.path["snapshot_name"]
    if "collection_name" not in incoming.path:
        await heed_all(session)
    ask = {"collection": incoming.path.get("collection_name"), "snapshot": name}
    with session.stream(_DOWNLOAD, json.dumps(ask).encode()) as stream:
        size = int((await _answer(stream))["size"])
        await incoming.send(_head(name, size))
        leaving = asyncio.ensure_future(_left(incoming))
        try:
            async for chunk in stream.rest():
                if leaving.done():
                    raise Disconnected
                await incoming.send({"type": "http.response.body", "body": chunk, "more_body": True})
        except VecGuardError as failure:
            raise Cut(failure.status) from None
        finally:
            leaving.cancel()
        await incoming.send({"type": "http.response.body", "body": b""})


async def upload(incoming: Incoming, session: Session) -> bool:
    """`POST /collections/{collection_name}/snapshots/upload`: a new collection from the file of a snapshot.

    Raises:
        Refused: the database is not the embedded engine.
        UpstreamFailure: there is a collection of that name, or the file is not whole or not a collection's.
        FailedPrecondition, Unreadable: the snapshot is of another collection, or does not fit the policy.
        InvalidArgument, Refusal: the body is not what it should be.
    """
    name = incoming.path["collection_name"]
    part = FilePart(incoming.headers.get("content-type", ""), "snapshot")
    with session.exchange(_RESTORE) as stream:
        await _answer_to(stream, {"collection": name, "checksum": _checksum(incoming)})
        async for piece in _file(incoming, part):
            await stream.send(piece)
        await stream.send(b"")
        await session.catalog.vet(name, stored_manifest(_config(await stream.receive()).metadata))
        try:
            await _answer_to(stream, {"restore": True})
        finally:
            session.catalog.forget()
    return True


async def recover(incoming: Incoming, session: Session) -> None:
    """`PUT /collections/{collection_name}/snapshots/recover`: refused, in words that say what to do.

    Raises:
        InvalidArgument: it names an address, or is malformed.
        Refused: it names a file.
    """
    del session
    if incoming.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise InvalidArgument("Content type error")
    asked = _RECOVER.read(await body.read(incoming.receive, incoming.headers, _SMALL))
    if not asked.location.startswith("file:"):
        raise InvalidArgument(
            "Wrong input: VecGuard fetches no address that a client names, since it may reach what the client may not: "
            "fetch the snapshot yourself and send it to .../snapshots/upload"
        )
    raise Refused(
        "recovery from a file of the database's own machine is refused, since it would replace the collection while it "
        "is in use: download the snapshot, delete the collection, and send the file to .../snapshots/upload"
    )


async def _answer_to(stream: Exchange, ask: dict[str, Any]) -> dict[str, Any]:
    try:
        await stream.send(json.dumps(ask).encode())
    except UpstreamFailure as failure:
        raise _told(failure) from None
    return await _answer(stream)


async def _answer(stream: Stream) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(await stream.receive())
    except UpstreamFailure as failure:
        raise _told(failure) from None
    return answer


def _told(failure: UpstreamFailure) -> VecGuardError:
    return Refused(_NO_FILES) if failure.status == "UNIMPLEMENTED" else failure


def _checksum(incoming: Incoming) -> str | None:
    if incoming.query.get("priority", _PRIORITIES[0]) not in _PRIORITIES:
        raise InvalidArgument(f"priority must be one of {', '.join(_PRIORITIES)}")
    checksum: str | None = incoming.query.get("checksum")
    if checksum is not None and not _SHA256.fullmatch(checksum):
        raise InvalidArgument("checksum must be a SHA-256 in 64 hexadecimal digits")
    return None if checksum is None else checksum.lower()


async def _file(incoming: Incoming, part: FilePart) -> AsyncIterator[bytes]:
    async for chunk in body.pieces(incoming.receive, incoming.headers, _FILE):
        content = part.feed(chunk)
        for start in range(0, len(content), _CHUNK):
            yield content[start : start + _CHUNK]
    part.end()


def _config(message: bytes) -> q.CollectionConfig:
    try:
        return q.CollectionConfig.FromString(message)
    except DecodeError:
        raise UpstreamFailure("INTERNAL", "the engine described the snapshot in a way not understood") from None


def _head(name: str, size: int) -> dict[str, Any]:
    """The answer's head; the file's name as RFC 6266 has it."""
    plain = re.sub(r"[^\w.+~-]", "_", name, flags=re.ASCII)
    disposition = f'attachment; filename="{plain}"'
    if plain != name:
        disposition += f"; filename*=UTF-8''{quote(name, safe='')}"
    headers = {
        "content-type": "application/octet-stream",
        "content-length": str(size),
        "content-disposition": disposition,
    }
    pairs = [(key.encode(), value.encode("ascii")) for key, value in headers.items()]
    return {"type": "http.response.start", "status": 200, "headers": pairs}


async def _left(incoming: Incoming) -> None:
    while (await incoming.receive())["type"] != "http.disconnect":
        pass
