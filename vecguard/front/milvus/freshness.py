"""Collections with `rollback: detect`: what is written is noted as the newest, what is read is held against that.

Every message about such a collection passes through here, last before it is translated. A write tells the memory which
stamps it puts where, then goes to the database, and then lets go of what it superseded (`fresh_writes`). A read waits
for all that was written before it (consistency level Strong), and its answer is judged (`fresh_reads`).
docs/adr/rollback.md says what is told and what is not.
"""

from __future__ import annotations

from typing import Final, cast

from google.protobuf.message import Message

from vecguard.errors import Refused
from vecguard.front.milvus.fresh_reads import READS, Reader
from vecguard.front.milvus.fresh_writes import Writer
from vecguard.front.milvus.proto import m, rpc
from vecguard.shield import Shield
from vecguard.upstream import Answer
from vecguard.ways import Send

# What carries no row.
_PASSED: Final = frozenset(
    rpc(name)
    for name in (
        *("DescribeCollection", "AlterCollection", "AlterCollectionField", "AddCollectionField"),
        *("AlterCollectionSchema", "RenameCollection", "TruncateCollection", "LoadCollection", "LoadPartitions"),
        *("CreateIndex", "AlterIndex", "DescribeIndex", "GetIndexStatistics", "GetIndexBuildProgress"),
        *("GetCollectionStatistics", "GetPartitionStatistics", "GetVersion", "ShowPartitions", "Flush"),
    )
)


async def watched(send: Send, method: str, message: Message, answer: type[Answer], shield: Shield) -> Answer:
    """Send a message about a guarded collection.

    Raises:
        RolledBack: a row that was read is not the newest.
        FailedPrecondition: nothing is remembered of the collection.
        Unavailable: the memory is away: nothing is read or written without it.
        Refused, InvalidArgument: nobody could say what is the newest then, or was.
        UpstreamFailure: the database cannot be reached.
    """
    guard = shield.fresh
    assert guard is not None  # noqa: S101 - the caller looked
    if isinstance(message, m.InsertRequest | m.UpsertRequest):
        writer = Writer(send, guard, await guard.stamps(), shield, message)
        return cast("Answer", await writer.write(method, message))
    if isinstance(message, m.DeleteRequest):
        return cast("Answer", await Writer(send, guard, await guard.stamps(), shield, message).delete(message))
    if method in READS:
        return await Reader(send, guard, await guard.stamps(), shield).read(method, message, answer)
    if method in _PASSED:
        return await send(method, message, answer)
    raise Refused(f"{method} is not known to `rollback: detect` ({shield.policy.name}.integrity)")
