"""How many records a call carries, for its principal's rate: rows sent, and rows answered with."""

from __future__ import annotations

from google.protobuf.message import Message

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.columns import row_count
from vecguard.front.milvus.proto import m


def records(ask: Message, reply: Message) -> int:
    """The rows in a client's request and in the answer to it."""
    written = int(ask.num_rows) if isinstance(ask, m.InsertRequest | m.UpsertRequest) else 0
    if isinstance(reply, m.SearchResults):
        return written + sum(map(int, reply.results.topks))
    if isinstance(reply, m.QueryResults):
        return written + max((_rows(reply, i) for i in range(len(reply.fields_data))), default=0)
    return written + (1 if isinstance(ask, m.DeleteRequest) else 0)


def _rows(reply: m.QueryResults, column: int) -> int:
    try:
        return row_count(reply.fields_data[column])
    except InvalidArgument:  # a column of a kind that is not counted
        return 0
