"""How many records a call carries: rows sent and rows answered with, for its principal's rate, and how many an answer
may show."""

from __future__ import annotations

from google.protobuf.message import Message

from vecguard.detect.watch import EVERYTHING
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


def shown(reply: Message) -> int:
    """The rows that an answer shows anything of, at most; see `vecguard.detect.watch.Shown`."""
    if isinstance(reply, m.SearchResults):
        ids = reply.results.ids
        return max(sum(map(int, reply.results.topks)), len(ids.int_id.data), len(ids.str_id.data))
    if isinstance(reply, m.QueryResults):
        try:
            return max(map(row_count, reply.fields_data), default=0)
        except InvalidArgument:
            return EVERYTHING
    return 0 if isinstance(reply, m.MutationResult) else EVERYTHING


def _rows(reply: m.QueryResults, column: int) -> int:
    try:
        return row_count(reply.fields_data[column])
    except InvalidArgument:  # a column of a kind that is not counted
        return 0
