"""Collections with `rollback: detect`: what is written is noted as the newest, what is read is held against that.

Every message about such a collection passes through here, last before it is translated. A write tells the memory
which stamps it puts where, then goes to the database, which has to acknowledge it applied (`wait`), and then lets go
of what it superseded (`fresh_writes`). A read has whole payloads sent, so that whole points can be judged
(`fresh_reads`). docs/adr/rollback.md says what is told and what is not.
"""

from __future__ import annotations

from typing import Final, cast

from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.errors import Refused
from vecguard.front.qdrant.fresh_reads import MATRICES, READS, Reader
from vecguard.front.qdrant.fresh_writes import Writer
from vecguard.shield import Shield
from vecguard.upstream import Answer
from vecguard.ways import Send

# What carries no record: QueryBatch is asked for scores alone, by `frequencies`.
_NAMES: Final = ("Count", "Facet", "QueryBatch", "CreateFieldIndex", "DeleteFieldIndex", "CreateVectorName")
_PASSED: Final = frozenset(f"/qdrant.Points/{name}" for name in (*_NAMES, "DeleteVectorName"))


async def watched(send: Send, rpc: str, message: Message, answer: type[Answer], shield: Shield) -> Answer:
    """Send a message about a guarded collection.

    Raises:
        RolledBack: a point that was read is not the newest.
        FailedPrecondition: nothing is remembered of the collection.
        Unavailable: the memory is away: nothing is read or written without it.
        Refused, InvalidArgument: it writes in a way of which nobody could say what is the newest then.
        UpstreamFailure: the database says no, or cannot be reached.
    """
    guard = shield.fresh
    assert guard is not None  # noqa: S101 - the caller looked
    if isinstance(message, q.UpsertPoints | q.UpdateBatchPoints | q.DeletePoints):
        return cast("Answer", await Writer(send, guard, await guard.stamps(), message).write(rpc))
    if rpc in READS or rpc in MATRICES:
        return await Reader(send, guard, await guard.stamps()).read(rpc, message, answer)
    if rpc in _PASSED or rpc.startswith("/qdrant.Collections/") or rpc == "/qdrant.Qdrant/HealthCheck":
        return await send(rpc, message, answer)
    raise Refused(f"{rpc} is not known to `rollback: detect` ({shield.policy.name}.integrity)")
